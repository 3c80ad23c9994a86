"""How a function of tensors is run: operation by operation, compiled, or as a CUDA graph.

A gradient step of one clip is some hundred small operations. A GPU finishes many of them sooner than the host can ask
for the next. A compiler merges those that only pass memory on; a CUDA graph records all of them once and then
starts them together. Neither changes what is computed beyond rounding. Both hold for fixed shapes: another shape is
compiled, or recorded, anew.
"""

import importlib.util
import os
import shutil
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from maskopt_lib.errors import UnknownNameError

EAGER, COMPILED, CUDA_GRAPH = "eager", "compiled", "cuda graph"
MODES = (EAGER, COMPILED, CUDA_GRAPH)

#: Runs before a graph is recorded: libraries choose their kernels and workspaces in the first ones.
_WARM_UP = 3


def obstacle(mode: str, device: str | torch.device) -> str | None:
    """Why a mode cannot be used on this machine, or None where it can.

    Examples
    --------
    >>> obstacle("cuda graph", "cpu")
    'CUDA graphs need a GPU'
    """
    if mode not in MODES:
        raise UnknownNameError(f"no mode {mode!r}; known: {MODES}")
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu and not torch.cuda.is_available():
        return "no GPU here"
    if mode == CUDA_GRAPH and not on_gpu:
        return "CUDA graphs need a GPU"
    if mode == COMPILED and on_gpu and importlib.util.find_spec("triton") is None:
        return "no Triton here, which torch.compile needs on a GPU"
    if mode == COMPILED and not on_gpu and not any(map(shutil.which, (os.environ.get("CXX", ""), "g++", "clang++"))):
        return "no C++ compiler here, which torch.compile needs on a CPU"
    return None


def require(mode: str, device: str | torch.device) -> None:
    """Raise ``ValueError`` with the reason where a mode cannot be used."""
    if reason := obstacle(mode, device):
        raise ValueError(f"mode {mode!r} cannot be used on {str(device)!r}: {reason}; use mode={EAGER!r}")


def accelerated(function: Callable, mode: str, *, device: str | torch.device) -> Callable:
    """A function of tensors, as the mode runs it.

    Parameters
    ----------
    function : takes tensors and returns a tensor or a tuple of them; whatever else it uses must stay as it is.
    mode : one of :data:`MODES`.
    device : where its tensors are.

    Raises
    ------
    ValueError : the mode cannot be had here; the message says why.
    """
    require(mode, device)
    if mode == COMPILED:
        # Each function has limits of its own, and one that cannot be compiled as a whole says so.
        return torch.compile(function, dynamic=False, fullgraph=True, isolate_recompiles=True)
    return GraphReplay(function) if mode == CUDA_GRAPH else function


class GraphReplay:
    """A function on a GPU, recorded at its first call with each set of shapes and replayed from then on.

    Inputs are copied in and results copied out, so that a second call changes nothing that the first returned.

    Parameters
    ----------
    function : takes tensors on a GPU, returns a tensor or a tuple of them, waits for no result and reads nothing from
        the host.
    """

    def __init__(self, function: Callable) -> None:
        self.function = function
        self._recorded: dict[tuple, tuple[torch.cuda.CUDAGraph, list[Tensor], Tensor | tuple[Tensor, ...]]] = {}

    def __call__(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        self.record(*inputs)
        graph, places, results = self._recorded[_shapes(inputs)]
        for place, value in zip(places, inputs, strict=True):
            place.copy_(value.detach())
        graph.replay()
        return results.clone() if isinstance(results, Tensor) else tuple(result.clone() for result in results)

    def record(self, *inputs: Tensor) -> None:
        """Record it for inputs of these shapes, where it is not yet."""
        if _shapes(inputs) in self._recorded:
            return
        places = [x.detach().clone() for x in inputs]
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(_WARM_UP):
                self.function(*places)
        torch.cuda.current_stream().wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            results = self.function(*places)
        self._recorded[_shapes(inputs)] = graph, places, results


def _shapes(inputs: Sequence[Tensor]) -> tuple:
    return tuple((tuple(x.shape), x.dtype) for x in inputs)


def gradient_step(
    objective: Callable[[Tensor], Sequence[Tensor]],
    weights: Sequence[float],
    *,
    mode: str = EAGER,
    device: str | torch.device = "cpu",
) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """A solver's objective with its gradient, as one function that a mode runs as a whole.

    Parameters
    ----------
    objective : ``objective(parameter)`` gives the unweighted terms, (b,) each; for CUDA graphs with a simulator in
        ``"eager"`` mode, since a graph holds no other.
    weights : one a term.
    mode, device : see :func:`accelerated`.

    Returns
    -------
    ``step(parameter)`` gives the terms (term, b) and the gradient of their weighted sum, of the parameter's shape.

    Examples
    --------
    >>> step = gradient_step(lambda x: [x.square().sum(-1)], [0.5])
    >>> [t.tolist() for t in step(torch.tensor([[1.0, 2.0]]))]
    [[[5.0]], [[1.0, 2.0]]]
    """
    # A compiler takes the objective and makes the gradient itself; a graph records both.
    forward = accelerated(objective, COMPILED, device=device) if mode == COMPILED else objective
    seen: set[tuple] = set()

    def step(parameter: Tensor) -> tuple[Tensor, Tensor]:
        if mode == COMPILED and _shapes([parameter]) not in seen:
            # What an objective makes at its first call, such as a simulator its matrices, is no work for a compiler.
            objective(parameter)
            seen.add(_shapes([parameter]))
        with torch.enable_grad():
            parameter = parameter.detach().requires_grad_()
            terms = forward(parameter)
            (gradient,) = torch.autograd.grad(
                sum(w * term.sum() for w, term in zip(weights, terms, strict=True) if w), parameter
            )
        return torch.stack([term.detach() for term in terms]), gradient

    return accelerated(step, CUDA_GRAPH, device=device) if mode == CUDA_GRAPH else step

"""What networks are trained with. Every loss gives named terms, one number a tile: ``{name: (n,)}``.

Networks give logits; a mask's transmission, or the probability that a pixel is clear, is their sigmoid. A training
takes means over tiles of weighted sums of terms; since the terms come tile by tile, a weight may differ from tile to
tile as well. None of this is a reported score: those are in :mod:`maskopt_lib.metrics`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskopt_lib.errors import GridMismatchError, UnknownNameError
from maskopt_lib.litho.simulator import Simulator
from maskopt_lib.models.middle_images import MiddleImages, middle

#: Ways to compare probabilities with labels, each of logits and labels, pixel by pixel.
LABEL_DISTANCES = {
    "mse": lambda logits, label: (torch.sigmoid(logits) - label).square(),
    "l1": lambda logits, label: (torch.sigmoid(logits) - label).abs(),
    "bce": lambda logits, label: F.binary_cross_entropy_with_logits(logits, label, reduction="none"),
}
#: How logits become the mask that is printed.
SOFT, STRAIGHT_THROUGH = "soft", "straight_through"
#: Powers of the difference between print and target.
EXPONENTS = {"squared": 2, "absolute": 1}


class LabelLoss(nn.Module):
    """How far a mask is from its label: term ``label``, a mean over the pixels of the image.

    Parameters
    ----------
    distance : one of :data:`LABEL_DISTANCES`.

    Examples
    --------
    >>> LabelLoss()(torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4))
    {'label': tensor([0.2500])}
    """

    def __init__(self, distance: str = "mse") -> None:
        super().__init__()
        if distance not in LABEL_DISTANCES:
            raise UnknownNameError(f"no distance {distance!r} to a label; known: {', '.join(LABEL_DISTANCES)}")
        self.distance = distance

    def forward(self, logits: Tensor, label: Tensor) -> dict[str, Tensor]:
        """Logits and labels (n, 1, y, x), labels from 0 to 1."""
        return {"label": LABEL_DISTANCES[self.distance](logits.float(), label).mean((1, 2, 3))}


class LithoLoss(nn.Module):
    """What a mask prints, through the exact simulator: terms ``l2`` and ``pv_band``, in areas of the core.

    Parameters
    ----------
    sim : whose kernels, threshold and three corners are used.
    pixel_nm : side of a pixel of logits and targets.
    core_nm : side of the square in the middle whose print counts.
    rim_nm : width of a rim around the core whose print counts as well.
    resist_steepness : of the soft resist, per unit of intensity; default that of ``sim``.
    mask : ``"soft"`` prints the sigmoid of the logits. ``"straight_through"`` prints the binary mask, each pixel one
        block of it, and takes the gradient as if it were the sigmoid.
    distance : of nominal print and target, ``"squared"`` or ``"absolute"``; equal where both are binary.

    Attributes
    ----------
    core_nm2 : what to multiply the terms with for nm2.

    Notes
    -----
    With 1 nm pixels, a binary mask and a steep resist the terms are L2 and PV band of
    :func:`maskopt_lib.metrics.evaluate_core`, but for what the field is smaller (0.1 % of the threshold at most).
    Larger pixels hold area fractions of the target; the images are band-limited, so their samples are exact.

    Examples
    --------
    >>> from maskopt_lib import optics
    >>> litho = LithoLoss(Simulator(optics.load("embedded")), pixel_nm=8)
    >>> terms = litho(torch.full((2, 1, 128, 128), -9.0), torch.zeros(2, 1, 128, 128))
    >>> {name: value.numpy().round(3).tolist() for name, value in terms.items()}
    {'l2': [0.0, 0.0], 'pv_band': [0.0, 0.0]}
    """

    def __init__(
        self,
        sim: Simulator,
        pixel_nm: float,
        core_nm: float = 512.0,
        *,
        rim_nm: float = 0.0,
        resist_steepness: float | None = None,
        mask: str = SOFT,
        distance: str = "squared",
    ) -> None:
        super().__init__()
        if mask not in (SOFT, STRAIGHT_THROUGH):
            raise UnknownNameError(f"no mask {mask!r}; known: {SOFT}, {STRAIGHT_THROUGH}")
        if distance not in EXPONENTS:
            raise UnknownNameError(f"no distance {distance!r}; known: {', '.join(EXPONENTS)}")
        self.images = MiddleImages(sim.kernels, pixel_nm=pixel_nm, out_nm=core_nm + 2 * rim_nm)
        self.pixel_nm = pixel_nm
        self.core_nm2 = core_nm**2
        self.threshold = sim.threshold
        self.resist_steepness = sim.resist_model.steepness if resist_steepness is None else resist_steepness
        self.mask, self.exponent = mask, EXPONENTS[distance]

    def forward(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Logits and targets (n, 1, y, x) of the image, targets from 0 to 1."""
        return self.of_mask(_transmission(logits, self.mask), target)

    def of_mask(self, mask: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The same of transmissions (n, 1, y, x)."""
        if mask.shape != target.shape or mask.ndim != 4 or mask.shape[1] != 1:
            raise GridMismatchError(f"mask {tuple(mask.shape)} and target {tuple(target.shape)} must be (n, 1, y, x)")
        nominal, outer, inner = self.prints(mask)
        wanted = middle(target[:, 0], self.images.n_out)
        difference = nominal - wanted
        fidelity = difference.square() if self.exponent == 2 else difference.abs()
        share = self.pixel_nm**2 / self.core_nm2
        return {"l2": share * fidelity.sum((-2, -1)), "pv_band": share * (outer - inner).abs().sum((-2, -1))}

    def prints(self, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Soft prints (n, y, x) of core and rim, nominal, outer and inner, of transmissions (n, 1, y, x)."""
        aerial = self.images(mask[:, 0])
        return torch.sigmoid(self.resist_steepness * (aerial - self.threshold)).unbind(1)


class ComplexityLoss(nn.Module):
    """How much there is to write in the core: terms ``outline`` and ``corners``.

    Parameters
    ----------
    pixel_nm : side of a pixel of the logits.
    core_nm : side of the square in the middle that counts.
    mask : ``"soft"`` or ``"straight_through"``, as for :class:`LithoLoss`.

    Notes
    -----
    ``outline`` is the total variation of the transmission along x and y, which for a Manhattan mask is the length of
    its outline, in sides of the core. ``corners`` is the sum of the transmission's mixed second differences, which for
    a binary mask on its own pixels is the number of corners. Rectangles apart from each other have four corners a
    shot, and two corners more cost a shot at most: the term is what a shot count has in the way of a gradient.

    Examples
    --------
    >>> logits = torch.full((1, 1, 128, 128), -20.0)
    >>> logits[..., 40:72, 60:70] = 20
    >>> terms = ComplexityLoss(8)(logits)
    >>> float(terms["outline"]) * 512, float(terms["corners"])
    (672.0, 4.0)
    """

    def __init__(self, pixel_nm: float, core_nm: float = 512.0, *, mask: str = SOFT) -> None:
        super().__init__()
        if mask not in (SOFT, STRAIGHT_THROUGH):
            raise UnknownNameError(f"no mask {mask!r}; known: {SOFT}, {STRAIGHT_THROUGH}")
        self.pixel_nm, self.core_nm, self.mask = pixel_nm, core_nm, mask

    def forward(self, logits: Tensor) -> dict[str, Tensor]:
        """Logits (n, 1, y, x) of the image."""
        m = _transmission(logits[:, 0], self.mask)
        m = middle(m, round(self.core_nm / self.pixel_nm))
        # The mask is cut at the core's border, as shots are counted.
        m = F.pad(m, (1, 1, 1, 1))
        along_y, along_x = m[:, 1:] - m[:, :-1], m[:, :, 1:] - m[:, :, :-1]
        length = along_y.abs().sum((-2, -1)) + along_x.abs().sum((-2, -1))
        corners = (along_y[:, :, 1:] - along_y[:, :, :-1]).abs().sum((-2, -1))
        return {"outline": length * self.pixel_nm / self.core_nm, "corners": corners}


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """What a discriminator minimises: (n,), binary cross-entropy of its logits, real 1 and fake 0."""
    return (F.softplus(-real) + F.softplus(fake)).flatten(1).mean(1)


def generator_loss(fake: Tensor) -> dict[str, Tensor]:
    """What a generator minimises of the discriminator's logits (n, ...): term ``adversarial``, -log D."""
    return {"adversarial": F.softplus(-fake).flatten(1).mean(1)}


@torch.no_grad()
def litho_guided_labels(logits: Tensor, label: Tensor, target: Tensor, litho: LithoLoss) -> tuple[Tensor, Tensor]:
    """Labels of a self-training: where a prediction prints better than its label, it takes the label's place.

    Parameters
    ----------
    logits, label, target : (n, 1, y, x).
    litho : judges by its ``l2``.

    Returns
    -------
    (n, 1, y, x) labels, predictions among them binary, and (n,) boolean, where one was replaced. No gradient flows
    through them.
    """
    prediction = (logits > 0).to(label.dtype)
    better = litho.of_mask(prediction, target)["l2"] < litho.of_mask(label, target)["l2"]
    return torch.where(better[:, None, None, None], prediction, label), better


def _transmission(logits: Tensor, mask: str) -> Tensor:
    soft = torch.sigmoid(logits if logits.dtype == torch.float64 else logits.float())
    return soft if mask == SOFT else soft + ((logits > 0).to(soft.dtype) - soft).detach()

"""The simulator: mask in, aerial image, resist image or print out, at named process corners."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from maskopt_lib import images as im
from maskopt_lib.errors import GridMismatchError, OptionError, UnknownNameError
from maskopt_lib.grid import Grid, grid_of, stated_pixel_nm
from maskopt_lib.litho.compiled import EAGER, accelerated, require
from maskopt_lib.litho.imaging import (
    CornerImages,
    Corners,
    FieldMatrices,
    Imaging,
    SpectrumMatrices,
    interpolation_matrix,
    real_systems,
    small_grid,
)
from maskopt_lib.litho.process import ProcessCorner, ThresholdResist, corners_of
from maskopt_lib.optics.kernels import SocsKernels
from maskopt_lib.options import LostShare, Positive, Side, check


def checked_device(device: str | torch.device) -> torch.device:
    """A device by its name.

    Raises
    ------
    OptionError : there is no such device.
    ValueError : it is not on this machine.
    """
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        raise OptionError(f"there is no device {device!r:.80}; take 'cpu' or 'cuda'") from None
    if found.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {str(device)!r} is not there: this torch sees no GPU; use device='cpu'")
    return found


class Simulator(nn.Module):
    """Exact, differentiable, batched aerial images of thin masks on any grid that covers the kernels' period.

    Parameters
    ----------
    kernels : coherent systems at one or more focus settings.
    device, dtype : where and in which precision (``torch.float32`` or ``torch.float64``) it computes.
    corners : process corners, in the order of the ``corner`` axis; by default those of the process file that the
        kernels are from, else the contest's. The same holds for the resist.
    resist : threshold, steepness and diffusion of the resist. Diffusion blurs every image that comes from here.
    energy_lost : share of each focus setting's energy that may be dropped from the weak end of the real systems; 0 is
        exact. Solvers may trade a little for speed, scores never do.
    mode : how imaging and its adjoint run, one of :data:`~maskopt_lib.litho.compiled.MODES`: operation by operation
        (``"eager"``), compiled, or replayed as CUDA graphs.
    matmul_dtype : type of the matrices and of what they are multiplied with, such as ``torch.bfloat16``; by default
        ``dtype``. Sums, squares and results stay in ``dtype``. Never for scores.

    Raises
    ------
    GridMismatchError : a corner asks for a focus setting that the kernels lack.
    ValueError : the device is not there, or the mode cannot be had on it.

    Notes
    -----
    Masks are transmissions, 1 = clear, sampled at pixel centres, as the contest's programs take them: the pixel's own
    form factor (1 - 2e-4 at the band's edge for 1 nm, 1 - 7e-3 for 8 nm) is not applied. Boundaries are
    periodic. Relative error against the full-grid sum: below 1e-5 in float32, 1e-10 in float64 (tested).

    What a mask may come as, :mod:`maskopt_lib.images` says. The values of a tensor that carries a gradient are a
    solver's own and not looked at.

    Examples
    --------
    >>> from maskopt_lib import optics
    >>> sim = Simulator(optics.load("embedded"))
    >>> tuple(sim.aerial(torch.ones(64, 64)).shape)
    (3, 64, 64)
    """

    def __init__(
        self,
        kernels: SocsKernels,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        corners: Sequence[ProcessCorner] | None = None,
        resist: ThresholdResist | None = None,
        energy_lost: float = 0.0,
        mode: str = EAGER,
        matmul_dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(kernels, SocsKernels):
            raise TypeError(f"kernels must be a SocsKernels, got {kernels!r}; load one with optics.load(name)")
        device = checked_device(device)
        check(LostShare, energy_lost=energy_lost)
        corners = corners_of(kernels) if corners is None else corners
        for corner in corners:
            if not 0 <= corner.focus < len(kernels.focus_names):
                raise GridMismatchError(
                    f"corner {corner.name!r} wants focus setting {corner.focus}, kernel set {kernels.name!r} has "
                    f"{len(kernels.focus_names)}: {kernels.focus_names}; give corners that fit, or kernels with more"
                )
        self.kernels = kernels
        self.process = tuple(corners)
        self.resist_model = ThresholdResist.of(kernels) if resist is None else resist
        self.energy_lost = energy_lost
        self.mode = mode
        self.matmul_dtype = matmul_dtype
        self._place(device, dtype)

    def _place(self, device: torch.device, dtype: torch.dtype) -> None:
        if dtype not in (torch.float32, torch.float64):
            raise ValueError(f"the simulator computes in torch.float32 or torch.float64, got {dtype}")
        require(self.mode, device)
        complex_dtype = torch.complex64 if dtype == torch.float32 else torch.complex128
        systems = torch.as_tensor(real_systems(self.kernels, energy_lost=self.energy_lost), dtype=complex_dtype)
        self.register_buffer("_systems", systems.to(device), persistent=False)
        self._field = FieldMatrices.build(self.kernels.half_width, device=device, dtype=self.matmul_dtype or dtype)
        # These depend on the mask's grid; they are small, made on first use and live as long as the simulator.
        self._spectra: dict[int, SpectrumMatrices] = {}
        self._interpolations: dict[tuple[int, int], Tensor] = {}
        self._imagings: dict[tuple[int, int, Corners], tuple[Callable, Callable]] = {}
        self._middles: dict[tuple[int, int, int], Imaging] = {}

    def _apply(self, fn, recurse=True):
        # ``.to(device)`` and ``.double()`` of a module that holds a simulator: a cast of the complex systems would lose
        # their imaginary parts, so everything is built again where, and as, a real number goes.
        probe = fn(torch.empty(0, device=self.device, dtype=self.dtype))
        self._place(probe.device, probe.dtype)
        return self

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._systems.device

    @property
    def dtype(self) -> torch.dtype:
        """Real precision of its results."""
        return self._systems.real.dtype

    @property
    def _products(self) -> torch.dtype:
        return self.matmul_dtype or self.dtype

    @property
    def corners(self) -> tuple[str, ...]:
        """Names along the ``corner`` axis."""
        return tuple(corner.name for corner in self.process)

    @property
    def threshold(self) -> float:
        """Intensity from which resist prints."""
        return self.resist_model.threshold

    def corner(self, name: str) -> ProcessCorner:
        """The corner of that name; ``UnknownNameError`` lists the others."""
        for corner in self.process:
            if corner.name == name:
                return corner
        raise UnknownNameError(f"no process corner {name!r}; this simulator has {self.corners}")

    def grid(self, mask: ArrayLike | Tensor) -> Grid:
        """The grid of a mask that spans the kernels' period."""
        grid = grid_of(tuple(np.shape(mask)), self.kernels.period_nm)
        stated_nm = stated_pixel_nm(mask)
        if stated_nm is not None and abs(stated_nm - grid.pixel_nm) > 1e-6 * grid.pixel_nm:
            raise GridMismatchError(
                f"a mask of {grid.n} x {grid.n} pixels whose coordinates are {stated_nm:g} nm apart spans "
                f"{grid.n * stated_nm:g} nm, kernel set {self.kernels.name!r} repeats after {grid.period_nm:g} nm; "
                f"read the layout with window_nm={grid.period_nm:g}, or take kernels of the mask's period"
            )
        coarsest = 2 * self.kernels.half_width + 1
        if grid.n < coarsest:
            raise GridMismatchError(
                f"a mask of {grid.n} x {grid.n} pixels ({grid.pixel_nm:g} nm) cannot carry the optics' "
                f"{coarsest} frequencies; use a pixel of at most {self.kernels.period_nm / coarsest:.4g} nm"
            )
        return grid

    def intensity(self, mask: ArrayLike | Tensor, *, n_out: int | None = None) -> Tensor:
        """Intensity at nominal dose for every focus setting.

        Parameters
        ----------
        mask : ``(*batch, y, x)`` transmission, 0 to 1, grey too, on a square grid that spans ``kernels.period_nm``.
        n_out : points along an axis of the result, default those of the mask; pixel centres of both grids
            are aligned as areas are (8 nm pixels hold sixty-four 1 nm pixels).

        Returns
        -------
        ``(*batch, focus, n_out, n_out)``, relative to an open frame as the kernel set is normalised.
        """
        return self._images(mask, n_out, tuple((focus, 1.0) for focus in range(len(self.kernels.focus_names))))

    def aerial(
        self, mask: ArrayLike | Tensor, *, n_out: int | None = None, corners: Sequence[str] | None = None
    ) -> Tensor:
        """Aerial images at the process corners, dose included.

        Parameters
        ----------
        mask, n_out : as for :meth:`intensity`.
        corners : names of the corners wanted, in that order; all of them by default.

        Returns
        -------
        ``(*batch, corner, n_out, n_out)``.
        """
        wanted = self.process if corners is None else [self.corner(name) for name in corners]
        return self._images(mask, n_out, tuple((c.focus, c.intensity_factor) for c in wanted))

    def resist(
        self, mask: ArrayLike | Tensor, *, n_out: int | None = None, corners: Sequence[str] | None = None
    ) -> Tensor:
        """Soft resist images in (0, 1), differentiable: ``(*batch, corner, n_out, n_out)``; see :meth:`aerial`."""
        return self.resist_model.soft(self.aerial(mask, n_out=n_out, corners=corners))

    def printed(self, mask: ArrayLike | Tensor, *, n_out: int | None = None) -> Tensor:
        """Prints at the process corners: ``(*batch, corner, n_out, n_out)``, boolean."""
        with torch.no_grad():
            return self.resist_model.hard(self.aerial(mask, n_out=n_out))

    def image_once(self, mask: ArrayLike | Tensor, *, corner: str, n_out: int | None = None) -> Tensor:
        """The aerial image at one corner, ``(*batch, n_out, n_out)``, without gradient; see :meth:`aerial`.

        Operation by operation in every mode: nothing is compiled or recorded for what is asked for once.
        """
        check(Side | None, n_out=n_out)
        wanted, n = self.corner(corner), self.grid(mask).n
        matrices = self._spectrum(n), self._field, self._interpolation(n, n_out or n)
        imaging = Imaging.build(self._systems, *matrices, ((wanted.focus, wanted.intensity_factor),))
        with torch.no_grad():
            mask = self.tensor(mask)
            images, _ = imaging.forward(mask.reshape(-1, n, n))
        return images.reshape(*mask.shape[:-2], *images.shape[-2:])

    def focus_dose(self, mask: ArrayLike | Tensor, *, doses: Sequence[float], n_out: int | None = None) -> Tensor:
        """Aerial images over the full matrix of the kernels' focus settings and the given doses.

        Parameters
        ----------
        mask, n_out : as for :meth:`intensity`.
        doses : relative doses on the amplitude, 1 = nominal.

        Returns
        -------
        ``(*batch, focus, dose, n_out, n_out)``. ``sim.resist_model.hard(...)`` of it are the prints.
        """
        check(Sequence[Positive], doses=tuple(doses))
        image = self.intensity(mask, n_out=n_out)
        factors = torch.tensor([dose**2 for dose in doses], device=self.device, dtype=self.dtype)
        return image[..., None, :, :] * factors[:, None, None]

    def aerial_in_middle(self, mask: ArrayLike | Tensor, *, pixel_nm: float, n_out: int | None = None) -> Tensor:
        """Aerial images in the middle of the field, of masks in the middle of an otherwise dark field.

        Parameters
        ----------
        mask : ``(*batch, y, x)`` transmission, square, of pixels that fill the field evenly.
        pixel_nm : side of a pixel in nm.
        n_out : pixels along an axis of the result, as large as the mask's; default as many as the mask has.

        Returns
        -------
        ``(*batch, corner, n_out, n_out)``: to the last digits what :meth:`aerial` gives for the whole field, without
        the work for its dark parts.

        Raises
        ------
        GridMismatchError : pixels that do not fill the field, or a mask or result that cannot stand in its middle.
        """
        check(Positive, pixel_nm=pixel_nm)
        check(Side | None, n_out=n_out)
        mask = self.tensor(mask)
        n = round(self.kernels.period_nm / pixel_nm)
        n_in, n_out = mask.shape[-1], n_out or mask.shape[-1]
        self.grid(np.broadcast_to(0, (n, n)))
        if abs(n * pixel_nm - self.kernels.period_nm) > 1e-6 or mask.shape[-2] != n_in:
            raise GridMismatchError(
                f"masks of {tuple(mask.shape)} pixels of {pixel_nm:g} nm are not square, or do not fill a field of "
                f"{self.kernels.period_nm:g} nm"
            )
        if any(part > n or (n - part) % 2 for part in (n_in, n_out)):
            raise GridMismatchError(f"{n_in} and {n_out} pixels cannot stand in the middle of {n}")
        place = [slice((n - part) // 2, (n + part) // 2) for part in (n_in, n_out)]
        if (n, n_in, n_out) not in self._middles:
            whole = self._spectrum(n)
            self._middles[n, n_in, n_out] = Imaging.build(
                self._systems,
                SpectrumMatrices(whole.rows[:, place[0]].contiguous(), whole.columns[place[0]].contiguous()),
                self._field,
                self._interpolation(n, n)[place[1]].contiguous(),
                tuple((c.focus, c.intensity_factor) for c in self.process),
            )
        with torch.no_grad():
            flat = mask.reshape(-1, n_in, n_in)
            images, _ = self._middles[n, n_in, n_out].forward(flat)
        return images.reshape(*mask.shape[:-2], *images.shape[1:])

    forward = aerial

    def _images(self, mask: ArrayLike | Tensor, n_out: int | None, corners: tuple[tuple[int, float], ...]) -> Tensor:
        if not torch.compiler.is_compiling():
            check(Side | None, n_out=n_out)
        given, mask = mask, self.tensor(mask)
        n = self.grid(given).n
        flat = mask.reshape(-1, n, n)
        images = CornerImages.apply(flat, *self._imaging(n, n_out or n, corners))
        return images.reshape(*mask.shape[:-2], *images.shape[1:])

    def tensor(self, mask: ArrayLike | Tensor, what: str = "mask") -> Tensor:
        """A mask where, and as, this simulator computes; ``ImageError`` for what is none, see the class's notes."""
        if not isinstance(mask, Tensor):
            # Torch takes neither negative strides nor arrays that may not be written to.
            kind = np.float32 if self.dtype == torch.float32 else np.float64
            return torch.from_numpy(np.require(im.grey(mask, what), kind, ["C", "W"])).to(self.device)
        im.check_shape(mask.shape, what)
        im.check_kind("c" if mask.is_complex() else "f", mask.dtype, what)
        mask = mask.to(self.device, self.dtype)
        if mask.numel() and not (mask.requires_grad and torch.is_grad_enabled()):
            im.check_range(*(value.item() for value in torch.aminmax(mask)), what)
        return mask

    def _imaging(self, n: int, n_out: int, corners: Corners) -> tuple[Callable, Callable]:
        """Mask to images and fields, and their gradient to that of the mask, as this simulator's mode runs them."""
        if (n, n_out, corners) not in self._imagings:
            matrices = self._spectrum(n), self._field, self._interpolation(n, n_out)
            imaging = Imaging.build(self._systems, *matrices, corners)
            self._imagings[n, n_out, corners] = (
                accelerated(imaging.forward, self.mode, device=self.device),
                accelerated(imaging.adjoint, self.mode, device=self.device),
            )
        return self._imagings[n, n_out, corners]

    def matrices(self, n: int) -> tuple[SpectrumMatrices, FieldMatrices, Tensor, Tensor]:
        """What takes masks of ``n`` x ``n`` pixels to the samples of ``small_grid``: the matrices of the three steps of
        :mod:`maskopt_lib.litho.imaging`, and the real systems (focus, system, h + 1, 2 h + 1)."""
        samples = small_grid(self.kernels.half_width)
        return self._spectrum(n), self._field, self._interpolation(n, samples), self._systems

    def _spectrum(self, n: int) -> SpectrumMatrices:
        if n not in self._spectra:
            self._spectra[n] = SpectrumMatrices.build(
                n, self.kernels.half_width, device=self.device, dtype=self._products
            )
        return self._spectra[n]

    def _interpolation(self, n: int, n_out: int) -> Tensor:
        if (n, n_out) not in self._interpolations:
            # Fields are referred to the first pixel's centre of the mask's grid.
            shift = 0.5 / n_out - 0.5 / n
            blur = self.resist_model.diffusion_nm / self.kernels.period_nm
            self._interpolations[n, n_out] = interpolation_matrix(
                n_out,
                small_grid(self.kernels.half_width),
                shift=shift,
                blur=blur,
                device=self.device,
                dtype=self._products,
            )
        return self._interpolations[n, n_out]

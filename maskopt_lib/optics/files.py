"""Kernel files: the layout of the ICCAD 2013 contest (``fh*.bin`` and ``scales.txt``) and the symmetrised arrays.

A contest folder holds one focus setting::

    scales.txt   the number of kernels, then one weight a line
    fh{k}.bin    24 bytes of header: six big-endian int32, the first three are n, n, 2
                 n x n x 2 big-endian float32 (real, imaginary), zero frequency at [n // 2, n // 2]

**The header.** Public programs take it for 20 bytes and leave 4 bytes at the end, so they read the numbers one too
early: each pair that they take for a kernel's value at index ``i`` is the imaginary part at ``i - 1`` and the real
part at ``i``. Nothing documents the format; the files show it. Read from byte 24, the kernels are orthonormal to
1e-8 (from byte 20 they overlap by 0.16 at focus and 0.21 at defocus), their transmission cross coefficients are
symmetric under both flips to 1e-8 (else to 0.10 and 0.24), nothing is left over at the end, and they agree with the
set that curvyILT's program loads. The public programs behind published scores (OpenILT, LithoBench) start at
byte 20, so that reading stays the default here, and ``header_bytes=24`` gives the optics itself.

**The displacement.** Up to a factor ``i`` and a conjugation, which no image shows, the set in circulation, read early,
has its real parts one frequency bin off its imaginary parts (along ``fy`` in OpenILT's order)::

    stored[k, fy, fx] = Re true[k, fy - 1, fx] + i Im true[k, fy, fx]

Moved back (:func:`realign`), the kernels become orthogonal and symmetric as the optics is; the missing symmetry of the
set in circulation is the displacement. Its effect depends on the global phase that each kernel happens to have, which
is free in optics. So a computed set that is to stand in for the circulating one must be displaced as well, with those
phases (:func:`displace`).

**The order.** The files do not say which index is ``fy``. Two orders are in use, and with the early reading they give
different prints::

    order="openilt"   spectra[k, fy, fx] = bin_k[fx, fy]   what OpenILT and LithoBench multiply with mask[y, x]
    order="file"      spectra[k, fy, fx] = bin_k[fy, fx]   the transposed set
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import linalg

from maskopt_lib import files
from maskopt_lib.errors import GridMismatchError, HashMismatchError, KernelFileError, UnknownNameError
from maskopt_lib.optics.kernels import SocsKernels

ORDERS = ("openilt", "file")
CONTEST_FOLDERS = ("M1OPC", "M1OPC_def")
#: What public programs take for the header, and what it is; see the head of this module.
EARLY, WHOLE = 20, 24
#: SHA-256 of each file of a folder that this program wrote, as ``sha256sum --check`` reads them.
SUMS = "SHA256SUMS"


def read_kernel_file(path: str | os.PathLike, *, header_bytes: int = EARLY) -> np.ndarray:
    """One kernel of a contest file, in the order of the file.

    Parameters
    ----------
    path : an ``fh*.bin`` file.
    header_bytes : 20, as public programs read the file, or 24, as it is laid out; see the head of this module.

    Returns
    -------
    (n, n) complex128, zero frequency at ``[n // 2, n // 2]``; ``n`` is what the header says, 35 in the contest.

    Raises
    ------
    KernelFileError : truncated, too long, of another byte order, or not of this layout at all.
    """
    if header_bytes not in (EARLY, WHOLE):
        raise ValueError(f"header_bytes must be {EARLY} (as programs read) or {WHOLE} (the file), got {header_bytes}")
    path = Path(path)
    raw = path.read_bytes()
    remedy = "fetch the file again (`make data`) or write it with optics.write_kernels"
    if len(raw) < WHOLE:
        raise KernelFileError(f"{path}: {len(raw)} bytes, shorter than the {WHOLE}-byte header; {remedy}")
    header = np.frombuffer(raw, ">i4", count=3)
    if header[0] != header[1] or header[2] != 2 or not 0 < header[0] < 2**15 or header[0] % 2 == 0:
        swapped = header.byteswap()
        why = "it looks little-endian" if swapped[2] == 2 and swapped[0] == swapped[1] else "not a kernel file"
        raise KernelFileError(
            f"{path}: the header must start with big-endian n, n, 2 (n odd), got {header.tolist()}: {why}; {remedy}"
        )
    n = int(header[0])
    expected = WHOLE + n * n * 8
    if len(raw) != expected:
        raise KernelFileError(f"{path}: {len(raw)} bytes, a kernel of {n} x {n} has {expected}; {remedy}")
    values = np.frombuffer(raw, ">f4", offset=header_bytes, count=n * n * 2).astype(np.float64).reshape(n, n, 2)
    if not np.isfinite(values).all():
        raise KernelFileError(f"{path}: holds values that are not finite; {remedy}")
    return values[..., 0] + 1j * values[..., 1]


def read_scales(path: str | os.PathLike) -> np.ndarray:
    """Weights of a contest folder: (kernel,) float64, as stored.

    Parameters
    ----------
    path : a ``scales.txt`` file.

    Raises
    ------
    KernelFileError : the first line is not the number of the lines that follow, or a weight is no number.
    """
    path = Path(path)
    words = path.read_text(encoding="ascii", errors="replace").split()
    try:
        count, weights = int(words[0]), np.array([float(word) for word in words[1:]])
    except (IndexError, ValueError) as error:
        raise KernelFileError(
            f"{path}: expected the number of kernels, then one weight a line ({error}); fetch it again (`make data`)"
        ) from error
    if count < 1 or count != len(weights) or not np.isfinite(weights).all():
        raise KernelFileError(f"{path}: announces {count} weights, holds {len(weights)}; fetch it again (`make data`)")
    return weights


def read_kernels(folders: Sequence[str | os.PathLike], *, order: str, **settings) -> SocsKernels:
    """A kernel set from folders in the contest's layout, one folder a focus setting.

    Parameters
    ----------
    folders : one folder a focus setting, best focus first, e.g. ``(".../M1OPC", ".../M1OPC_def")``.
    order : ``"openilt"`` or ``"file"``; see the head of this module. There is no default on purpose.
    **settings : ``header_bytes``, ``defocus_nm``, ``period_nm`` and ``name``, as for :func:`from_files`.

    Returns
    -------
    The set; ``meta`` has the array order and the folders' names.

    Raises
    ------
    KernelFileError : a file is missing, truncated or of another size than its neighbours.
    HashMismatchError : a file is not as it was written.
    UnknownNameError : ``order`` is none of the two.
    """
    _check_order(order)
    stacks = []
    for folder in map(Path, folders):
        scales = folder / "scales.txt"
        if not scales.is_file():
            raise KernelFileError(f"{folder}: no scales.txt, so not a kernel folder; `make data` fetches the contest's")
        stacks.append((scales, [folder / f"fh{k}.bin" for k in range(len(read_scales(scales)))]))
    kernels = from_files(stacks, order=order, **settings)
    for folder in map(Path, folders):
        _check_sums(folder)
    return kernels


def write_kernels(
    kernels: SocsKernels,
    folder: str | os.PathLike,
    *,
    order: str,
    header_bytes: int = EARLY,
) -> list[Path]:
    """Write a kernel set in the contest's layout; gives the folders written, one a focus setting.

    Parameters
    ----------
    kernels : the set; each kernel is scaled to unit norm, as in the contest, its weight takes up the factor.
    folder : where the folders of the focus settings are made.
    order : ``"openilt"`` or ``"file"``; read it back with the same.
    header_bytes : 20 for programs that read as the public ones do, 24 for the layout as it is; read it back with the
        same.

    Raises
    ------
    KernelFileError : more focus settings than the contest has folders.
    UnknownNameError : ``order`` is none of the two.

    Notes
    -----
    The files hold float32, so a set read back differs by rounding (about 1e-7 of the largest value).
    """
    _check_order(order)
    if len(kernels.focus_names) > len(CONTEST_FOLDERS):
        raise KernelFileError(f"{len(kernels.focus_names)} focus settings; the layout has two: {CONTEST_FOLDERS}")
    written = []
    for spectra, weights, name in zip(kernels.spectra, kernels.weights, CONTEST_FOLDERS, strict=False):
        target = Path(folder) / name
        target.mkdir(parents=True, exist_ok=True)
        norm = np.linalg.norm(spectra, axis=(1, 2))
        safe = np.where(norm > 0, norm, 1.0)
        # 17 digits: a float64 survives the text.
        lines = [str(len(weights)), *(f"{w:.17g}" for w in weights * norm**2)]
        files.write_bytes(target / "scales.txt", ("\n".join(lines) + "\n").encode("ascii"))
        for k, spectrum in enumerate(spectra / safe[:, None, None]):
            bins = spectrum.T if order == "openilt" else spectrum
            header = np.array([*bins.shape, 2, 0, 0, 0], ">i4").tobytes()[:header_bytes]
            values = np.stack([bins.real, bins.imag], axis=-1).astype(">f4").tobytes()
            files.write_bytes(target / f"fh{k}.bin", header + values + bytes(WHOLE - header_bytes))
        sums = [f"{files.sha256_of(target / name)}  {name}\n" for name in _names_of(len(weights))]
        files.write_bytes(target / SUMS, "".join(sums).encode("ascii"))
        written.append(target)
    return written


def _names_of(count: int) -> list[str]:
    return ["scales.txt", *(f"fh{k}.bin" for k in range(count))]


def _check_sums(folder: Path) -> None:
    """Raise where a file is not as :func:`write_kernels` wrote it; folders without :data:`SUMS` say nothing."""
    if not (folder / SUMS).is_file():
        return
    for line in (folder / SUMS).read_text(encoding="ascii", errors="replace").splitlines():
        expected, _, name = line.partition("  ")
        if name not in _names_of(len(list(folder.glob("fh*.bin")))) or files.sha256_of(folder / name) != expected:
            raise HashMismatchError(f"{folder / name} is not as {SUMS} beside it says; write the kernels again")


def read_symmetrised(
    kernel_path: str | os.PathLike, scale_path: str | os.PathLike, *, name: str = "iccad13-symmetrised"
) -> SocsKernels:
    """The kernels that curvyILT's released code loads: the contest optics with the symmetries of the square.

    Parameters
    ----------
    kernel_path : ``optKernel_bc.npy``, (4, 24, 35, 35) complex; slots 0 and 1 are focus and defocus. Slots 2 and 3
        are conjugates of the *genuine* kernels and are not used.
    scale_path : ``optKernel_scale.npy``, (4, 24); rows 0 and 1 are the weights of focus and defocus.
    name : name of the set.

    Returns
    -------
    The set, ``spectra[focus, k, fy, fx] = array[focus, k, fy, fx]``.

    Raises
    ------
    KernelFileError : not an array, or of another shape.
    """
    arrays = []
    for path, ndim in ((Path(kernel_path), 4), (Path(scale_path), 2)):
        try:
            array = np.array(np.load(path, "r", allow_pickle=False))  # mapped: no header asks for more than the file
        except Exception as error:  # what a header that is no literal makes of the parser, too
            raise KernelFileError(
                f"{path}: cannot be read as an array ({error}); fetch it again (`make data`)"
            ) from error
        if array.ndim != ndim or array.shape[0] < 2 or not np.isfinite(array).all():
            raise KernelFileError(
                f"{path}: expected a finite array of {ndim} axes with focus and defocus first, got {array.shape}; "
                "fetch it again (`make data`)"
            )
        arrays.append(array)
    kernels, scales = arrays
    return SocsKernels(
        spectra=kernels[:2].astype(np.complex128),
        weights=scales[:2].astype(np.float64),
        focus_names=("focus", "defocus"),
        defocus_nm=(0.0, float("nan")),
        period_nm=2048.0,
        name=name,
        meta={"order": "as stored", "files": [Path(kernel_path).name, Path(scale_path).name]},
    )


def _check_order(order: str) -> None:
    if order not in ORDERS:
        raise UnknownNameError(f"unknown array order {order!r}; known: {', '.join(ORDERS)}")


def from_files(
    stacks: Sequence[tuple[Path, Sequence[Path]]],
    *,
    order: str,
    header_bytes: int = EARLY,
    defocus_nm: Sequence[float] = (0.0, float("nan")),
    period_nm: float = 2048.0,
    name: str = "",
) -> SocsKernels:
    """The set of pairs of a scales file and its kernel files, wherever each file lies.

    Parameters
    ----------
    stacks : one pair a focus setting, best focus first.
    order : ``"openilt"`` or ``"file"``; see the head of this module.
    header_bytes : 20, as public programs read the files, or 24, as they are laid out.
    defocus_nm : one entry a focus setting; the files do not hold it.
    period_nm : side of the periodic field; 2048 nm in the contest, not held by the files either.
    name : name of the set.
    """
    spectra, weights = [], []
    for scales, paths in stacks:
        weight = read_scales(scales)
        if len(weight) != len(paths):
            raise KernelFileError(f"{scales}: {len(weight)} weights for {len(paths)} kernel files")
        stack = []
        for path in paths:
            if not path.is_file():
                raise KernelFileError(f"{path}: missing, {scales} announces {len(weight)} kernels; run `make data`")
            stack.append(read_kernel_file(path, header_bytes=header_bytes))
        if len({bins.shape for bins in stack}) > 1:
            raise KernelFileError(f"{scales.parent}: kernels of several sizes {sorted({b.shape for b in stack})}")
        spectra.append(np.array(stack))
        weights.append(weight)
    if len({stack.shape for stack in spectra}) > 1:
        raise KernelFileError(
            f"focus settings differ in number or size of kernels: {[stack.shape for stack in spectra]}; "
            "read them one by one"
        )
    array = np.array(spectra)
    return SocsKernels(
        spectra=np.ascontiguousarray(array.swapaxes(-1, -2)) if order == "openilt" else array,
        weights=np.array(weights),
        focus_names=("focus", "defocus")[: len(stacks)],
        defocus_nm=tuple(defocus_nm)[: len(stacks)],
        period_nm=period_nm,
        name=name,
        meta={
            "order": order,
            "header_bytes": header_bytes,
            "files": [f"{path.parent.name}/{path.name}" for scales, paths in stacks for path in (scales, *paths)],
        },
    )


def realign(kernels: SocsKernels) -> SocsKernels:
    """The kernels, ``-realigned`` added to their name, with their real parts moved back onto their imaginary parts.

    Parameters
    ----------
    kernels : a genuine set; its ``meta["order"]`` says along which axis (``"file"`` along fx, else along fy).
    """
    axis = -1 if kernels.meta.get("order") == "file" else -2
    return replace(
        kernels,
        spectra=_moved(kernels.spectra.real, -1, axis) + 1j * kernels.spectra.imag,
        name=f"{kernels.name}-realigned",
        meta={**kernels.meta, "real_part_moved_bins": -1},
    )


def displace(kernels: SocsKernels, phases_rad: Sequence[float]) -> SocsKernels:
    """The kernels with their real parts moved along fy, as the contest files have them; the imaginary parts stay.

    Parameters
    ----------
    kernels : a set without the displacement.
    phases_rad : one angle a focus setting: the global phase each kernel is given first, counted from where it is as
        real as can be (the sum of its squared values is real and positive).
    """
    if len(phases_rad) != len(kernels.focus_names):
        raise GridMismatchError(f"{len(kernels.focus_names)} focus settings need as many phases, got {phases_rad}")
    pairs = zip(kernels.spectra, kernels.weights, strict=True)
    real = np.array([_made_real(spectra, weights) for spectra, weights in pairs])
    turned = real * np.exp(1j * np.asarray(phases_rad))[:, None, None, None]
    return replace(
        kernels,
        spectra=_moved(turned.real, 1, -2) + 1j * turned.imag,
        meta={**kernels.meta, "real_part_moved_bins": 1, "kernel_phases_rad": list(map(float, phases_rad))},
    )


def _made_real(spectra: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The kernels of one focus setting, each turned in phase, and equal ones mixed, to be as real as they can be.

    Kernels of equal weight are defined up to a unitary mixture ``Q``. With ``C = V V^T`` (no conjugate), whose unitary
    part is ``W``, the choice ``Q = W^(1/2)`` makes ``V V^T`` of the mixture real and diagonal.
    """
    out = spectra.reshape(len(spectra), -1).copy()
    start = 0
    for stop in range(1, len(weights) + 1):
        if stop < len(weights) and weights[stop] > 0 and weights[stop] >= (1 - 1e-6) * weights[start]:
            continue
        group = out[start:stop]
        left, _, right = np.linalg.svd(group @ group.T)
        out[start:stop] = linalg.sqrtm(left @ right).conj().T @ group
        start = stop
    return out.reshape(spectra.shape)


def _moved(values: np.ndarray, bins: int, axis: int) -> np.ndarray:
    """``values`` moved by one bin, up or down ``axis``; what leaves the array is lost, zeros follow."""
    moved = np.roll(values, bins, axis)
    np.moveaxis(moved, axis, 0)[0 if bins > 0 else -1] = 0.0
    return moved

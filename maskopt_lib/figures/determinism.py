"""What moves when only the way a mask is made changes."""

import holoviews as hv
import numpy as np
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.figures import marks, style

_CHANGE, _REFERENCE = "change", "reference"
# Ten thousand pixels and more are one colour.
_BRIGHTEST = 4.0


def moved_pixels(pixels: xr.DataArray, kinds: xr.DataArray) -> hv.Overlay:
    """Pixels moved as a map: one row a solver or network, one column a kind of change.

    Parameters
    ----------
    pixels : (method, change, sample), NaN where there is no number; the reference itself is left out.
    kinds : (method,) what a method is, such as ``"solver"``; a line parts those that follow each other.

    Returns
    -------
    Colours by the logarithm of the largest of the clips, with mean and largest on them; a dash where there is none.
    """
    changes = [name for name in style.names(pixels[_CHANGE]) if name != _REFERENCE]
    shown = pixels.sel({_CHANGE: changes}).transpose(schema.METHOD, _CHANGE, schema.SAMPLE)
    mean, largest = (shown.reduce(reduce, schema.SAMPLE).values for reduce in (np.mean, np.max))
    n_rows, n_columns = largest.shape
    image = hv.Image(
        np.log10(1 + largest)[::-1], bounds=(-0.5, -0.5, n_columns - 0.5, n_rows - 0.5), kdims=["x", "y"]
    ).opts(cmap="cividis", clim=(0, _BRIGHTEST), interpolation="nearest")
    is_dark = ~(np.log10(1 + largest) > _BRIGHTEST / 2)
    numbers = [
        marks.texts([(j, i, _text(mean[i, j], largest[i, j])) for i, j in np.argwhere(cells)], colour=colour, size=9)
        for cells, colour in ((is_dark & np.isfinite(largest), "white"), (~is_dark, "black"))
    ]
    missing = [(j, i, "-") for i, j in np.argwhere(np.isnan(largest))]
    kind = kinds.values
    borders = [i - 0.5 for i in range(1, n_rows) if kind[i] != kind[i - 1]]
    return style.axes(
        [
            image,
            *numbers,
            *([marks.texts(missing, colour=style.INK, size=9)] if missing else []),
            *[marks.line([-0.5, n_columns - 0.5], [at, at], "#FFFFFF", width=2.5) for at in borders],
        ],
        size_inch=(2.6 + 1.15 * n_columns, 1.1 + 0.34 * n_rows),
        share=0.8,
        legend=None,
        title="pixels moved: mean (largest) of the clips",
        invert_yaxis=True,
        xlabel="",
        ylabel="",
        xticks=list(enumerate(changes)),
        yticks=list(enumerate(style.names(pixels[schema.METHOD]))),
    )


def _text(mean: float, largest: float) -> str:
    """Nothing moved is one number.

    Examples
    --------
    >>> _text(0.0, 0.0), _text(1.5, 3.0), _text(12345.6, 20000.0)
    ('0', '1.5 (3)', '12,346 (20,000)')
    """
    if largest == 0:
        return "0"
    return f"{mean:,.1f} ({largest:,.0f})" if mean < 10 else f"{mean:,.0f} ({largest:,.0f})"

"""The arrays of a store of tiles: names, dimensions, types, units, and what an entry not written reads as."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import zarr

from maskopt_lib.data import schema
from maskopt_lib.errors import SchemaError, UnknownNameError

#: Dimensions and kinds of shards.
SAMPLE, LABEL, CONTEXT, LABEL_CONTEXT, METHOD = schema.SAMPLE, "label", "context_nm", "label_context_nm", schema.METHOD
TILES, LINKS, LABELS = "tiles", "links", "labels"
Y, X_BYTE = schema.Y, "x_byte"


@dataclass(frozen=True)
class ArraySpec:
    """One array of a store.

    Attributes
    ----------
    dims : the first one is cut into shards.
    dtype : of the values; ``"str"`` is text of any length.
    fill : what an entry that was never written reads as.
    long_name, units : as everywhere in the study.
    by_one : an entry along the first dimension is compressed, and read, by itself.
    """

    dims: tuple[str, ...]
    dtype: str
    fill: object
    long_name: str
    units: str = "1"
    by_one: bool = False


#: What is written of a tile; codes stand for the names in the array's attribute ``names``.
TILE_ARRAYS: dict[str, ArraySpec] = {
    "content": ArraySpec(
        (SAMPLE, Y, X_BYTE), "uint8", 0, "core with its widest context, eight pixels a byte along x", by_one=True
    ),
    "design": ArraySpec((SAMPLE,), "int16", -1, "design"),
    "cell": ArraySpec((SAMPLE,), "int16", -1, "cell"),
    "orientation": ArraySpec((SAMPLE,), "int8", -1, "orientation of the placement"),
    "instance": ArraySpec((SAMPLE,), "str", "", "instance"),
    "row": ArraySpec((SAMPLE,), "int16", -1, "row of the window, in the frame of the cell"),
    "column": ArraySpec((SAMPLE,), "int16", -1, "column of the window, in the frame of the cell"),
    "n_rows": ArraySpec((SAMPLE,), "int16", -1, "rows of windows of the cell"),
    "n_columns": ArraySpec((SAMPLE,), "int16", -1, "columns of windows of the cell"),
    "x_nm": ArraySpec((SAMPLE,), "float64", np.nan, "left side of the core in the layout", "nm"),
    "y_nm": ArraySpec((SAMPLE,), "float64", np.nan, "lower side of the core in the layout", "nm"),
    "signature": ArraySpec((SAMPLE, CONTEXT), "uint64", 0, "identity of the geometry"),
    "canonical": ArraySpec((SAMPLE, CONTEXT), "uint64", 0, "identity of the geometry up to turns and mirrors"),
    "core_density": ArraySpec((SAMPLE,), "float32", np.nan, "share of the core that is covered"),
    "n_shapes_cut": ArraySpec((SAMPLE, CONTEXT), "int16", -1, "shapes cut by the edge of the window"),
    "min_cut_nm": ArraySpec((SAMPLE, CONTEXT), "float32", np.nan, "smallest width left by a cut", "nm"),
}

#: What may be written of a tile besides; asked for when a layer is reserved.
OPTIONAL_TILE_ARRAYS: dict[str, ArraySpec] = {
    "given_context_nm": ArraySpec((SAMPLE,), "int16", -1, "context of an image that is used as it was given", "nm")
}

#: Which label a tile has.
LINK_ARRAYS: dict[str, ArraySpec] = {
    "label_of": ArraySpec((SAMPLE, LABEL_CONTEXT), "int32", -1, "label of the tile"),
    "turn_of": ArraySpec((SAMPLE, LABEL_CONTEXT), "int8", 0, "turn from the label's tile to this one"),
}

#: What a label is of.
LABEL_ARRAYS: dict[str, ArraySpec] = {
    "sample": ArraySpec((LABEL,), "int64", -1, "tile that was solved"),
    "context_nm": ArraySpec((LABEL,), "int16", -1, "context it was solved with", "nm"),
}

#: What one method gives for a label; scores come to it by name.
METHOD_ARRAYS: dict[str, ArraySpec] = {
    "mask": ArraySpec(
        (LABEL, METHOD, Y, X_BYTE), "uint8", 0, "mask of the whole image, eight pixels a byte along x", by_one=True
    ),
    "solved": ArraySpec((LABEL, METHOD), "int8", 0, "1 where there is a mask"),
    schema.RUNTIME: ArraySpec((LABEL, METHOD), "float32", np.nan, *schema.VARIABLES[schema.RUNTIME]),
}


def score_specs(scores: Mapping[str, tuple[str, str]] | tuple[str, ...]) -> dict[str, ArraySpec]:
    """Arrays for scores: names of the schema, or any name -> (long_name, units)."""
    if not isinstance(scores, Mapping):
        scores = {name: schema.VARIABLES[name] for name in scores}
    like = METHOD_ARRAYS[schema.RUNTIME]
    return {name: replace(like, dtype="float64", long_name=long, units=unit) for name, (long, unit) in scores.items()}


def fitted(values: np.ndarray, array: zarr.Array, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Values as an array stores them: names as codes, pixels as bits, the right type, or an error."""
    if array.metadata.dimension_names[-1] == X_BYTE and values.shape[-1] > shape[-1]:
        values = np.packbits(values.astype(bool), axis=-1, bitorder="little")
    if values.shape != shape:
        raise SchemaError(f"{name} of this shard has shape {values.shape}, not {shape}")
    if "names" in array.attrs and values.dtype.kind in "UTO":
        codes = {known: code for code, known in enumerate(array.attrs["names"])}
        if unknown := sorted(set(values.tolist()) - set(codes)):
            raise UnknownNameError(f"{name} {', '.join(map(str, unknown))} was not reserved; known: {', '.join(codes)}")
        values = np.array([codes[one] for one in values.tolist()], int)
    if array.dtype.kind == "T":
        return values.astype(object)
    if values.dtype == array.dtype:
        return values
    # Whole numbers must not be cut down silently: a code or a count that does not fit is a mistake.
    if array.dtype.kind in "iu" and values.size and not np.array_equal(values.astype(array.dtype), values):
        raise SchemaError(f"{name} has values that {array.dtype} does not hold")
    return values.astype(array.dtype)

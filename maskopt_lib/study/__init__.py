"""What the notebooks call: the record of a run, its stores, its tables, and the parameters of a notebook."""

from maskopt_lib.study.params import parameters, read_parameters, read_variant
from maskopt_lib.study.record import Record, Run, load, load_masks, record_of, start
from maskopt_lib.study.tables import side_by_side, style, write_table

__all__ = [
    "Record",
    "Run",
    "load",
    "load_masks",
    "parameters",
    "read_parameters",
    "read_variant",
    "record_of",
    "side_by_side",
    "start",
    "style",
    "write_table",
]

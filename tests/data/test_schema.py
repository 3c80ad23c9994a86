"""Names and units of what is stored."""

from __future__ import annotations

import pytest
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.errors import SchemaError


def test_every_name_says_its_unit():
    for name, (long_name, units) in schema.VARIABLES.items():
        assert long_name and name.endswith(f"_{units}".lower()) == (units != "1"), name


def test_labels_are_filled_in_and_given_ones_kept():
    given = xr.Dataset({schema.L2: ("x", [1.0], {"long_name": "mine"}), "other": ("x", [2.0])}, coords={"x": [0.5]})
    ds = schema.label(given)
    assert ds[schema.L2].attrs == {"long_name": "mine", "units": "nm2"}
    assert ds["x"].attrs == {"long_name": "x", "units": "nm"}
    assert ds["other"].attrs == {}
    xr.testing.assert_equal(ds, given)


def test_labelling_leaves_its_input_alone():
    given = xr.Dataset({schema.L2: ("sample", [1.0])})
    schema.label(given)
    assert given[schema.L2].attrs == {}


def test_all_faults_are_named_at_once():
    ds = xr.Dataset({schema.L2: ("sample", [1.0], {"units": "um2"}), "other": ("sample", [2.0])})
    with pytest.raises(SchemaError) as error:
        schema.validate(ds)
    for fault in ("'l2_nm2' is in 'um2', the schema says 'nm2'", "'other' has no units"):
        assert fault in str(error.value)


def test_a_labelled_dataset_is_returned_as_it_is():
    ds = schema.label(xr.Dataset({schema.SHOTS: ("sample", [3])}))
    assert schema.validate(ds) is ds

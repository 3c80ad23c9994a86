"""The commands of ``python -m maskopt_lib``: what they say, and with which exit status they end."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from maskopt_lib import optics
from maskopt_lib.__main__ import main


@pytest.fixture
def run():
    """Run a command: exit status, stdout, stderr."""

    def invoke(*arguments: object) -> tuple[int, str, str]:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout, result.stderr

    return invoke


def test_help_lists_the_commands_without_importing_what_they_use(run):
    status, said, _ = run("--help")
    assert status == 0 and all(f"  {name} " in said for name in main.commands)


def test_usage_ends_with_2_and_refusals_with_1_in_one_line(run):
    assert run("kernels")[0] == 2 and run("no-such-command")[0] == 2
    status, said, refused = run("kernels", "embeded")
    assert (status, said) == (1, "") and refused.startswith("Error: ") and "embedded-ideal" in refused


def test_kernels_are_told_and_written_as_they_are(run, tmp_path):
    status, said, _ = run("kernels", "embedded", "--out", tmp_path / "ü k")
    told, expected = json.loads(said), optics.load("embedded")
    assert status == 0 and told["weights"] == expected.weights.tolist()
    back = optics.read_kernels(told["written"], order="openilt")
    assert np.allclose(back.spectra * np.sqrt(back.weights)[..., None, None],
                       expected.spectra * np.sqrt(expected.weights)[..., None, None], atol=1e-6)  # fmt: skip

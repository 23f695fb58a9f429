"""``models cost``: figures that the papers print, or that were counted by hand."""

import json

import pytest
from typer.testing import CliRunner

from cellscope.cli.root import app


def cost(*words):
    result = CliRunner().invoke(app, ["models", "cost", *words])
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize(
    ("arch", "assay", "parameters"),
    [
        ("chrnet4", "karyotype", 16_355_160),
        ("msff-segnext", "nucleus-seg", 6_138_072),
        ("histonext-tiny", "histo", 82_480_954),
        ("mobilevit-mn", "micronucleus", None),
        ("tracknet", "mitosis", None),
    ],
)
def test_what_a_network_costs(arch, assay, parameters):
    code, stdout, _ = cost(arch, "--json")
    assert code == 0
    [found] = json.loads(stdout)["architectures"]
    assert found["assay"] == assay
    assert parameters in (None, found["parameters"])
    assert found["multiply_adds"] > 0


def test_recurrent_layers_count_at_every_step():
    _, stdout, _ = cost("gao-lstm", "--json")
    [found] = json.loads(stdout)["architectures"]
    # 12 frames: three convolutions of 72, 33 and 9 pixels a side, an LSTM of 288 to 64 units, two dense layers
    frames = 72 * 72 * 6 * 147 + 33 * 33 * 16 * 96 + 9 * 9 * 32 * 144 + 4 * 64 * (288 + 64)
    assert found["multiply_adds"] == 12 * frames + 64 * 150 + 150 * 2


def test_a_name_that_several_assays_know():
    code, stdout, _ = cost("lite0-unet")
    assert code == 0
    assert [line.split()[0] for line in stdout.splitlines()[1:]] == ["micronucleus", "nucleus-seg", "histo"]
    assert len(cost("lite0-unet", "--assay", "histo")[1].splitlines()) == 2


def test_an_unknown_name_is_refused_with_the_nearest():
    code, _, stderr = cost("chrnet5")
    assert code == 2
    assert "chrnet4" in stderr

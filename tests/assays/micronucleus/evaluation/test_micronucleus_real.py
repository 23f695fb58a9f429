"""The built-in networks on real fields. The bounds are below what they reach, so that only a break is noticed."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from cellscope.assays.micronucleus.datasets.sources import mnfinder
from cellscope.cli.root import app
from cellscope.io.read import read
from cellscope.metrics.instances import matched_labels


@pytest.mark.realdata
@pytest.mark.slow
def test_a_real_field_from_file_to_table(real_data, tmp_path):
    source = real_data / "micronucleus" / "mnfinder"
    folder = source / "training-data" / "2022-03-18_RPE1"
    out = tmp_path / "out"
    words = ["micronucleus", "predict", str(folder / "images" / "3.tif"), "-o", str(out), "--num-workers", "0"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.stderr
    records = mnfinder.read_source(source, SimpleNamespace(channel=None))
    truth = next(record for record in records if record.name.endswith("2022-03-18_RPE1-3"))
    labels = read(out / "3.labels.tif").pixels[..., 0].astype(int)
    pairs = matched_labels(truth.nuclei, labels)
    assert 2 * len(pairs) / (truth.nuclei.max() + len(np.unique(labels)) - 1) > 0.85
    objects = pd.read_csv(out / "objects.csv").set_index("label")
    called = np.array([objects.loc[found, "class"] for found in pairs.values()])
    wanted = np.array([truth.classes[label] for label in pairs])
    assert np.mean([np.mean(called[wanted == name] == name) for name in set(wanted)]) > 0.75

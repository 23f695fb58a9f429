"""Frames seen by EfficientNet-Lite, sequences of other microscopes, sources left out in turn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from cellscope.assays.mitosis.assay import build
from cellscope.assays.mitosis.datasets.batches import varied_batch
from cellscope.assays.mitosis.datasets.cameras import other_microscope
from cellscope.assays.mitosis.datasets.sequences import load_sequences
from cellscope.assays.mitosis.networks.lite import as_pictures
from cellscope.assays.mitosis.networks.registry import Members, arguments_of, build_network, probabilities
from cellscope.assays.mitosis.sequences.view import network_view, normalise
from cellscope.cli.root import app
from cellscope.engine.train.schedule import decay_groups
from cellscope.io.prepared import PreparedDataset
from cellscope.models.file import load_model, read_card

SETTINGS = ("val_every=1", "augment=camera", "batch_size=2")
WORDS = ["--device", "cpu", "--precision", "32", "--steps", "1", *(word for one in SETTINGS for word in ("--set", one))]


def cellscope(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.stderr
    return result.stderr


@pytest.fixture(scope="module")
def in_turn(mitosis_dataset, tmp_path_factory):
    """Both kinds of network, every cell line left out in turn, and joined."""
    root = tmp_path_factory.mktemp("turns")
    for arch, name in (("lite-test", "frames"), ("tracknet", "tracks")):
        more = ["--repeats", 2] if name == "tracks" else []
        words = ["-o", root / name, "--arch", arch, "--leave-out", "line", *more, *WORDS]
        cellscope("mitosis", "train", mitosis_dataset, *words)
    join = f"{root / 'frames'},{root / 'tracks'}"
    cellscope("mitosis", "train", mitosis_dataset, "-o", root / "both", "--join", join)
    return root


def test_every_sequence_is_judged_by_who_had_not_seen_its_line(in_turn, mitosis_dataset):
    lines = PreparedDataset.open(mitosis_dataset, assay="mitosis").items.set_index("id")["line"]
    for name in ("frames", "tracks"):
        said = pd.read_csv(in_turn / name / "predictions.csv")
        assert sorted(said["id"]) == sorted(lines.index)
        assert (said["left-out"] == "line=" + lines[said["id"]].to_numpy()).all()
    runs = sorted(path.parent.name for path in (in_turn / "frames").glob("without-*/predictions.csv"))
    assert runs == [f"without-{line}" for line in sorted(set(lines))]
    assert read_card(in_turn / "tracks" / "model.safetensors").arch_args["members"] == 2


@pytest.mark.parametrize("name", ["frames", "tracks", "both"])
def test_left_out_sources_alone_their_mean_and_the_worst(in_turn, mitosis_dataset, name):
    lines = sorted(set(PreparedDataset.open(mitosis_dataset, assay="mitosis").items["line"]))
    table = pd.read_csv(in_turn / name / "left_out.csv").set_index("source")
    assert table.index.tolist() == [*(f"line={line}" for line in lines), "mean", "worst"]
    each = table.iloc[: len(lines)]
    assert table.loc["mean", "accuracy"] == pytest.approx(each["accuracy"].mean(), abs=1e-5)
    assert table.loc["worst", "roc_auc"] == each["roc_auc"].min()
    assert table.loc["worst", "calibration_error"] == each["calibration_error"].max()
    card = read_card(in_turn / name / "model.safetensors")
    assert card.metrics["left_out_accuracy_worst"] == pytest.approx(each["accuracy"].min(), abs=1e-5)
    assert set(card.thresholds) == ({"views", "tracks", "bias"} if name == "both" else {"slope", "bias"})


def test_a_stopped_run_goes_on_with_what_is_missing(in_turn, mitosis_dataset):
    run = in_turn / "frames"
    before = (run / "predictions.csv").read_bytes()
    (run / "all" / "run.json").unlink()
    words = ["--arch", "lite-test", "--leave-out", "line", "--resume", "auto", *WORDS]
    said = cellscope("mitosis", "train", mitosis_dataset, "-o", run, *words)
    assert "without-PC3 is done" in said
    assert "all is done" not in said
    assert (run / "predictions.csv").read_bytes() == before


def test_eval_measures_what_the_training_left_out(in_turn, mitosis_dataset, tmp_path):
    words = ["--split", "left-out", "--device", "cpu"]
    model = in_turn / "frames" / "without-PC3"
    cellscope("mitosis", "eval", mitosis_dataset, "-m", model, "-o", tmp_path / "measured", *words)
    table = pd.read_csv(tmp_path / "measured" / "per_image.csv")
    assert set(table["line"]) == {"PC3"}
    words = ["eval", str(mitosis_dataset), "-m", "mitosis-classify", "-o", str(tmp_path / "x"), *words]
    result = CliRunner().invoke(app, ["mitosis", *words])
    assert result.exit_code == 2
    assert "--leave-out KEY=VALUE" in result.stderr


def test_the_model_file_gives_the_same_network(in_turn):
    card, tensors = load_model(in_turn / "frames" / "model.safetensors", assay="mitosis", part="classify")
    assert (card.normalisation["field"], card.normalisation["tone"]) == (56.0, "spread")
    network = build(card, tensors).views
    views = torch.rand(2, 5, 2, 32, 32)
    plain = build_network(card.arch_args, 2).eval()
    full = {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
    plain.load_state_dict(full)
    with torch.inference_mode():
        assert torch.allclose(network(views), plain(views), atol=1e-3)  # norms are folded


@pytest.mark.parametrize("lamp", [(1.15, 0.0), (0.6, 0.0), (1.0, 25.0), (1.3, -20.0)])
def test_a_brighter_lamp_does_not_move_the_view(lamp):
    gain, black = lamp
    pair = np.random.default_rng(0).uniform(60, 140, (4, 2, 40, 40)).astype(np.float32)
    other = np.stack([pair[:, 0] * gain + black, pair[:, 1] * gain], 1)
    settings = {"size": 32, "zoom_power": 0.0, "follow": True, "field": 56.0}
    first, second = (network_view(normalise(one, "spread"), None, settings) for one in (pair, other))
    assert np.allclose(first, second, atol=1e-3)


def test_pictures_are_between_black_and_white():
    pictures = as_pictures(torch.randn(2, 3, 2, 8, 8) * 4)
    assert pictures.shape == (6, 3, 8, 8)
    assert float(pictures.min()) >= 0
    assert float(pictures.max()) <= 1


def test_another_microscope_records_the_same_cells(mitosis_dataset):
    prepared = PreparedDataset.open(mitosis_dataset, assay="mitosis")
    rows, classes = prepared.items.head(4), ["normal", "abnormal"]
    sequences = load_sequences(prepared, rows, classes, measured=False, tone="spread", recorded=True)
    pair = sequences.recorded[0].astype(np.float32)
    one, same, other = (other_microscope(pair, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.allclose(one, other)
    assert one.shape == pair.shape
    assert one.min() >= 0
    assert one.max() <= 1
    settings = arguments_of("lite-test")
    torch.manual_seed(0)
    views = varied_batch(sequences, [0, 1, 2, 3], settings, "camera", sequences.fields(settings))
    assert views.shape == (4, 12, 2, 32, 32)
    assert torch.isfinite(views).all()


@pytest.mark.parametrize(("mirrors", "turns"), [(1, 1), (2, 2), (4, 4)])
def test_a_network_says_how_many_mirror_images_it_wants(mirrors, turns):
    seen = []

    class Watch(torch.nn.Module):
        def forward(self, x):
            seen.append(x)
            return torch.zeros(len(x), 2)

    network = Watch()
    network.mirrors = mirrors
    probabilities(Members([network]), torch.rand(1, 2, 2, 4, 4))
    assert len({tuple(x.flatten().tolist()) for x in seen}) == turns


def test_the_backbone_learns_at_its_own_rate():
    network = build_network(arguments_of("lite-test"), 2)
    groups = decay_groups(network, backbone=network.backbone, rate=0.25)
    assert [group.get("lr") for group in groups] == [None, None, 0.25, 0.25]
    assert sum(len(group["params"]) for group in groups) == len(list(network.parameters()))
    slow = {id(p) for group in groups[2:] for p in group["params"]}
    assert slow == {id(p) for p in network.backbone.parameters()}

"""prepare, train, eval and predict on generated divisions: what is written, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn.mitosis import composite, division, field, write_composite, write_event_tables
from typer.testing import CliRunner

from cellscope.assays.mitosis.datasets.batches import plain_batch, varied_batch
from cellscope.assays.mitosis.datasets.prepare import prepare
from cellscope.assays.mitosis.datasets.sequences import draw_weights, load_sequences
from cellscope.assays.mitosis.options import MitosisPrepareOptions
from cellscope.assays.mitosis.sequences.tracks import FEATURES, first_place, measure, summary
from cellscope.cli.root import app
from cellscope.errors import DatasetError
from cellscope.io.prepared import PreparedDataset
from cellscope.io.sequence import write_sequence
from cellscope.models.file import read_card

CLASSES = ["normal", "abnormal"]
QUICK = ["--device", "cpu", "--precision", "32"]


def cellscope(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stderr


@pytest.fixture(scope="module")
def tracks(mitosis_dataset, tmp_path_factory):
    """A cross-validated model of measurements."""
    out = tmp_path_factory.mktemp("runs") / "tracks"
    words = ["--arch", "tracknet", "--cross-validate", "--steps", 150, "--set", "val_every=150", *QUICK]
    code, said = cellscope("mitosis", "train", mitosis_dataset, "-o", out, *words)
    assert code == 0, said
    return out


@pytest.fixture(scope="module")
def frames(mitosis_dataset, tmp_path_factory):
    """A cross-validated model of frames, hardly trained."""
    out = tmp_path_factory.mktemp("runs") / "frames"
    words = ["--arch", "mitonet-test", "--cross-validate", "--steps", 2, "--batch-size", 2, "--set", "val_every=2"]
    code, said = cellscope("mitosis", "train", mitosis_dataset, "-o", out, *words, *QUICK)
    assert code == 0, said
    return out


@pytest.fixture(scope="module")
def both(mitosis_dataset, frames, tracks, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "both"
    code, said = cellscope("mitosis", "train", mitosis_dataset, "-o", out, "--join", f"{frames},{tracks}")
    assert code == 0, said
    return out / "model.safetensors"


def test_two_runs_of_one_kind_are_not_joined(mitosis_dataset, frames, tracks, tmp_path):
    words = ["--join", f"{frames},{frames},{tracks}"]
    code, said = cellscope("mitosis", "train", mitosis_dataset, "-o", tmp_path / "out", *words)
    assert code == 2
    assert "second run of the same kind" in said
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_prepare_writes_two_channels_and_facts(mitosis_dataset):
    info = json.loads((mitosis_dataset / "dataset.json").read_text())
    assert info["classes"] == CLASSES
    assert info["pixel_size_um"] == pytest.approx(1 / 0.868, rel=1e-3)
    items = pd.read_csv(mitosis_dataset / "items.csv")
    facts = pd.read_csv(mitosis_dataset / "sequences.csv", dtype=str)
    assert len(items) == len(facts) == 18
    assert set(facts["line"]) == {"PC3", "U251c"}
    assert set(facts["dose"]) == {"0", "4"}
    assert items.groupby("group")["split"].nunique().max() == 1
    assert items.groupby("group")["fold"].nunique().max() == 1
    assert items["group"].nunique() == 6


def test_prepare_is_deterministic_and_takes_a_table(mitosis_source, mitosis_dataset, tmp_path):
    prepare([mitosis_source], tmp_path / "again", MitosisPrepareOptions(folds=3))
    assert (tmp_path / "again" / "dataset.json").read_bytes() == (mitosis_dataset / "dataset.json").read_bytes()
    (tmp_path / "loose").mkdir()
    for name, abnormal in (("a", False), ("b", True)):
        write_sequence(tmp_path / "loose" / f"{name}.tif", division(1, abnormal=abnormal))
    table = tmp_path / "t.csv"
    table.write_text("image,class,line,dose,position\na.tif,normal,HeLa,2,p1\nb.tif,abnormal,HeLa,2,p2\n")
    prepare([tmp_path / "loose"], tmp_path / "stated", MitosisPrepareOptions(table=table))
    assert set(pd.read_csv(tmp_path / "stated" / "items.csv")["group"]) == {
        "loose/unknown_HeLa_2_p1",
        "loose/unknown_HeLa_2_p2",
    }
    with pytest.raises(DatasetError, match="lies in no class folder"):
        prepare([tmp_path / "loose"], tmp_path / "none", MitosisPrepareOptions())


def test_prepare_refuses_what_cannot_be_trained_on(tmp_path):
    write_composite(tmp_path / "in" / "normal" / "a.tif", division(1, abnormal=False))
    write_sequence(tmp_path / "in" / "abnormal" / "b.tif", division(1, abnormal=True))
    with pytest.raises(DatasetError, match=r"a\.tif has 3 channels and .*b\.tif 2"):
        prepare([tmp_path / "in"], tmp_path / "out", MitosisPrepareOptions())
    write_composite(tmp_path / "in" / "abnormal" / "b.tif", division(1, abnormal=True, frames=1))
    with pytest.raises(DatasetError, match=r"b\.tif: one frame is not a sequence"):
        prepare([tmp_path / "in"], tmp_path / "out", MitosisPrepareOptions())


def test_draws_are_balanced(mitosis_dataset):
    prepared = PreparedDataset.open(mitosis_dataset, assay="mitosis")
    sequences = load_sequences(prepared, prepared.items, CLASSES)
    for balance in ("class", "dose"):
        weights = draw_weights(sequences, balance)
        assert weights[sequences.labels == 0].sum() == pytest.approx(0.5)
    assert draw_weights(sequences, "none").std() == 0


def test_variations_are_the_same_for_all_frames(mitosis_dataset):
    import torch

    prepared = PreparedDataset.open(mitosis_dataset, assay="mitosis")
    sequences = load_sequences(prepared, prepared.items.head(2), CLASSES)
    still = sequences.pixels[0][:1].expand(12, -1, -1, -1)
    sequences.pixels[0] = still
    settings = {"size": 32, "zoom_power": 0.5}
    fields = sequences.fields(settings)
    torch.manual_seed(0)
    varied = varied_batch(sequences, [0], settings, "strong", fields)
    assert varied.shape == (1, 12, 2, 32, 32)
    noise = (varied[0] - varied[0, :1]).std()
    assert noise < 0.3  # only noise differs between frames of a still sequence
    plain = plain_batch(sequences, [0], settings)
    assert (varied[0, 0] - plain[0, 0]).abs().max() > 1e-3
    torch.testing.assert_close(
        varied_batch(sequences, [0, 1], settings, "none", fields), plain_batch(sequences, [0, 1], settings)
    )


def test_measurements():
    normal, abnormal = (np.moveaxis(division(4, abnormal=kind).astype(np.float32), -1, 1) for kind in (False, True))
    for pair in (normal, abnormal):
        found = measure(pair)
        assert found.shape == (FEATURES,)
        assert np.isfinite(found).all()
        np.testing.assert_allclose(measure(pair * 1.3), found, atol=2e-3)
    assert np.abs(measure(normal) - measure(abnormal)).max() > 0.5
    assert np.isfinite(measure(normal[:2, :, :8, :8])).all()
    at = first_place(normal[0, 1])
    assert np.hypot(*(at - 20)) < 5


def test_summary_by_hand():
    each = np.arange(12, dtype=float)[:, None]
    parts = summary(each)
    assert parts.tolist() == pytest.approx([0.5, 2.5, 4.5, 7.0, 10.0, 11.0, 0.0, np.std(range(12)), 1.0, 8.5 - 1.0])
    assert summary(np.ones((2, 3))).shape == (30,)


def test_training_of_measurements_learns(tracks):
    table = pd.read_csv(tracks / "repeats.csv")
    assert table["run"].tolist() == ["fold-0", "fold-1", "fold-2", "mean", "standard deviation"]
    assert table["val_roc_auc"][3] > 0.9  # generated divisions are easy
    assert table["val_f1"][4] == pytest.approx(table["val_f1"][:3].std(ddof=1), abs=1e-5)
    card = read_card(tracks / "model.safetensors")
    assert card.arch_args["members"] == 3
    assert card.metrics["out_of_fold_roc_auc"] > 0.9
    assert len(pd.read_csv(tracks / "predictions.csv")) == 18


def test_repeats_and_a_line_left_out(mitosis_dataset, tmp_path):
    words = ["--arch", "tracknet", "--steps", 5, "--set", "val_every=5", *QUICK]
    code, said = cellscope("mitosis", "train", mitosis_dataset, "-o", tmp_path / "r", "--repeats", 2, *words)
    assert code == 0, said
    assert "over 2 trainings: validation accuracy" in said
    assert (tmp_path / "r" / "model.safetensors").is_file()
    runs = [json.loads((tmp_path / "r" / f"repeat-{k}" / "run.json").read_text()) for k in (1, 2)]
    assert [run["seed"] for run in runs] == [0, 1]
    assert cellscope("mitosis", "train", mitosis_dataset, "-o", tmp_path / "r", "--repeats", 2, *words)[0] == 2
    code, said = cellscope("mitosis", "train", mitosis_dataset, "-o", tmp_path / "l", "--leave-out", "line=PC3", *words)
    assert code == 0, said
    assert set(pd.read_csv(tmp_path / "l" / "predictions.csv")["line"]) == {"PC3"}
    code, said = cellscope(
        "mitosis", "train", mitosis_dataset, "-o", tmp_path / "x", "--leave-out", "line=HeLa", *words
    )
    assert code == 2
    assert "PC3, U251c" in said


@pytest.mark.parametrize("several", [("--repeats", 2), ("--set", "cross_validate=true"), ("--leave-out", "line")])
def test_several_trainings_do_not_go_on_from_one_checkpoint(mitosis_dataset, tmp_path, several):
    out = tmp_path / "r"
    code, said = cellscope("mitosis", "train", mitosis_dataset, "-o", out, *several, "--resume", tmp_path / "last.ckpt")
    assert code == 2
    assert "of several trainings each goes on from its own; give --resume auto" in said
    assert not out.exists()


def test_eval_holds_dose_and_lines_apart(mitosis_dataset, both, tmp_path):
    out = tmp_path / "e"
    code, said = cellscope("mitosis", "eval", mitosis_dataset, "-m", both, "-o", out, "--split", "train", *QUICK)
    assert code == 0, said
    found = json.loads((out / "eval.json").read_text())["metrics"]["overall"]
    assert {"f1", "roc_auc", "calibration_error", "line_PC3.f1", "dose_4.accuracy", "dose_alone.accuracy"} <= set(found)
    assert "within_doses.accuracy" in found
    for metric in found.values():
        if None not in (metric["low"], metric["value"], metric["high"]):
            assert metric["low"] <= metric["value"] <= metric["high"]
    # two of three are normal in every dose
    assert found["dose_alone.accuracy"]["value"] == pytest.approx(2 / 3)


def test_eval_compares_other_kinds_as_normal_and_abnormal(both, tmp_path):
    source = tmp_path / "source"
    for name in ("bipolar", "lagging", "multipolar"):
        for number in range(4):
            pair = division(number, abnormal=name != "bipolar", side=36)
            write_composite(source / name / f"x_p{number}_{number}.tif", pair)
    assert cellscope("mitosis", "prepare", source, "-o", tmp_path / "set")[0] == 0
    words = ["-m", both, "--split", "train", *QUICK]
    code, said = cellscope("mitosis", "eval", tmp_path / "set", "-o", tmp_path / "e", *words)
    assert code == 0, said
    table = pd.read_csv(tmp_path / "e" / "per_image.csv")
    assert set(table["class"]) == {"bipolar", "lagging", "multipolar"}
    right = (table["class"] == "bipolar") == (table["predicted"] == "normal")
    found = json.loads((tmp_path / "e" / "eval.json").read_text())["metrics"]["overall"]
    assert found["accuracy"]["value"] == pytest.approx(right.mean())


@pytest.fixture(scope="module")
def movie(tmp_path_factory):
    folder = tmp_path_factory.mktemp("movie")
    events = [(8, 60, 60, False), (10, 110, 150, True), (1, 30, 170, False)]
    pixels = field(events)
    write_sequence(folder / "well.tif", pixels, pixel_size_um=1.15, interval_s=600)
    (folder / "events.csv").write_text("frame,y,x\n" + "".join(f"{t},{y},{x}\n" for t, y, x, _ in events))
    write_composite(folder / "colours.tif", pixels)
    assert (composite(pixels)[..., 1] == composite(pixels)[..., 2]).all()
    return folder


def test_a_movie_gives_a_row_per_event(movie, both, tmp_path):
    words = ["--events", movie / "events.csv", "-m", both, *QUICK]
    assert cellscope("mitosis", "predict", movie / "well.tif", "-o", tmp_path / "a", *words)[0] == 0
    objects = pd.read_csv(tmp_path / "a" / "objects.csv")
    assert objects[["frame", "centroid-0", "centroid-1"]].to_numpy().tolist() == [
        [1, 30, 170],
        [8, 60, 60],
        [10, 110, 150],
    ]
    assert objects["reasons"][0].startswith("the movie begins or ends inside the window")
    assert bool(objects["review"][0])
    images = pd.read_csv(tmp_path / "a" / "images.csv")
    assert images.loc[0, ["kind", "n_objects"]].tolist() == ["movie", 3]
    assert (
        0 <= images["abnormal_fraction_low"][0] <= images["abnormal_fraction"][0] <= images["abnormal_fraction_high"][0]
    )
    assert (tmp_path / "a" / "well.filmstrip.png").is_file()
    # the same movie as a colour composite: the same calls
    assert cellscope("mitosis", "predict", movie / "colours.tif", "-o", tmp_path / "b", *words)[0] == 0
    again = pd.read_csv(tmp_path / "b" / "objects.csv")
    np.testing.assert_allclose(again["p_abnormal"], objects["p_abnormal"], atol=0.05)


def test_the_same_events_in_three_tables_give_the_same_windows(movie, both, tmp_path):
    events = [(8, 60, 60), (10, 110, 150)]
    found = []
    for number, table in enumerate(write_event_tables(tmp_path / "tables", events, (160, 200))):
        out = tmp_path / str(number)
        words = ["--events", table, "-m", both, "-o", out, *QUICK]
        assert cellscope("mitosis", "predict", movie / "well.tif", *words)[0] == 0
        found.append(out)
    objects = [pd.read_csv(out / "objects.csv") for out in found]
    assert objects[0][["frame", "centroid-0", "centroid-1"]].to_numpy().tolist() == [[8, 60, 60], [10, 110, 150]]
    assert objects[1]["spot"].tolist() == objects[2]["track"].tolist() == [1, 4]  # the mothers, in each program's words
    for other, out in zip(objects[1:], found[1:], strict=True):
        # what a tracking program calls its tracks comes along
        pd.testing.assert_frame_equal(other.drop(columns=["track", "spot"], errors="ignore"), objects[0])
        assert (out / "well.filmstrip.png").read_bytes() == (found[0] / "well.filmstrip.png").read_bytes()


@pytest.mark.parametrize(
    ("table", "code", "words"),
    [
        ("frame,y,x\n99,10,10\n", 1, "frame 99 is outside the movie, which has frames 0 to 29"),
        ("frame,row,col\n1,10,10\n", 2, "no column y, x"),
        ("frame,y,x\n", 2, "names no division"),
    ],
)
def test_wrong_events(movie, both, tmp_path, table, code, words):
    (tmp_path / "e.csv").write_text(table)
    common = ["--events", tmp_path / "e.csv", "-m", both, "-o", tmp_path / "out", *QUICK]
    found, said = cellscope("mitosis", "predict", movie / "well.tif", *common)
    assert found == code
    assert words in said
    assert "Traceback" not in said


def test_a_movie_wants_events(movie, both, tmp_path):
    write_sequence(tmp_path / "long.tif", np.repeat(field([], frames=5), 14, axis=0))
    code, said = cellscope("mitosis", "predict", tmp_path / "long.tif", "-m", both, "-o", tmp_path / "out", *QUICK)
    assert code == 1
    assert "may be a movie with several divisions: --events" in said


def test_sequences_of_other_lengths_and_groups(both, tmp_path):
    folder = tmp_path / "in"
    for number, (dose, frames) in enumerate([(0, 12), (0, 9), (4, 20), (4, 12)]):
        pair = division(number, abnormal=bool(number % 2), frames=frames)
        write_composite(folder / f"PC3_{dose}Gy_p1_{number}.tif", pair)
    words = ["-m", both, "--group-by", r"(PC3_\d+Gy)", "--input", "sequence", *QUICK]
    assert cellscope("mitosis", "predict", folder, "-o", tmp_path / "out", *words)[0] == 0
    objects = pd.read_csv(tmp_path / "out" / "objects.csv")
    assert objects["n_frames"].tolist() == [12, 9, 12, 12]
    assert "9 frames instead of 12" in objects["reasons"][1]
    conditions = pd.read_csv(tmp_path / "out" / "conditions.csv")
    assert conditions[["series", "dose", "n"]].to_numpy().tolist() == [["PC3", 0, 2], ["PC3", 4, 2]]
    assert (tmp_path / "out" / "conditions.png").is_file()
    code, said = cellscope("mitosis", "predict", folder, "-o", tmp_path / "no", "--frames", "refuse", *words)
    assert code == 3
    assert "9 frames, and the model was trained with 12" in said


@pytest.mark.realdata
def test_the_shared_sequences_can_be_prepared(real_data: Path, tmp_path: Path):
    source = real_data / "mitosis" / "delgado2024"
    for class_ in CLASSES:
        (tmp_path / "some" / class_).mkdir(parents=True)
        for path in sorted((source / class_).glob("*.tif"))[::40]:
            (tmp_path / "some" / class_ / path.name).symlink_to(path)
    prepare([tmp_path / "some"], tmp_path / "out", MitosisPrepareOptions())
    prepared = PreparedDataset.open(tmp_path / "out", assay="mitosis")
    sequences = load_sequences(prepared, prepared.items, CLASSES)
    assert {len(pixels) for pixels in sequences.pixels} == {12}
    assert prepared.info["pixel_size_um"] == pytest.approx(1.1518, abs=1e-3)

"""A described model tells images of another kind from its own, in tables, report, stderr and JSON, however run."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import described_assay as toy
import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from described_assay import LAYER, spotted, striped
from fake_assay import FakeOptions, table
from typer.testing import CliRunner

from cellscope.cli.root import app
from cellscope.cli.verbs import run_inputs
from cellscope.engine.assay import Large, Pieces, Result, Subject
from cellscope.engine.familiarity import describe as describing
from cellscope.engine.familiarity.describe import chosen_items, describe_model, training_items
from cellscope.engine.familiarity.judge import SENTENCE
from cellscope.engine.loading import load_models
from cellscope.engine.predict.merge import merge
from cellscope.engine.predict.stages import run_subjects
from cellscope.errors import ModelError, UsageError
from cellscope.io.image import Image
from cellscope.io.prepared import PreparedDataset
from cellscope.io.read import read
from cellscope.models.described import load_descriptions
from cellscope.models.file import load_model, raw_tensors, read_card


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Models without and with a description, the data set, and 8 images of either kind that no training saw."""
    root = tmp_path_factory.mktemp("toy")
    dataset = toy.write_data(root / "data")
    models = toy.write_models(root)
    described = root / "described.safetensors"
    about = describe_model(root / "find.safetensors", dataset, described, assay=toy.ASSAY, options=FakeOptions())
    toy.write_kind(root / "in", spotted, range(100, 108))
    toy.write_kind(root / "in", striped, range(8))
    known = [str(described), models[1]]
    toy.run(root / "in", root / "out", known)
    return SimpleNamespace(root=root, dataset=dataset, plain=models, models=known, about=about, out=root / "out")


def test_another_kind_is_flagged_and_the_own_kind_is_not(world):
    images = pd.read_csv(world.out / "images.csv")
    other = images["image"].str.startswith("striped")
    assert images["unfamiliar"][other].all()
    assert images["unfamiliar"][~other].mean() <= 0.25
    assert images["familiarity"][~other].median() > 0.2
    assert images["familiarity"].between(0, 1, inclusive="right").all()
    assert (images["warnings"] >= images["unfamiliar"]).all()


def test_what_it_was_made_from_is_in_the_card(world):
    card = read_card(world.models[0])
    assert card.familiarity == world.about
    assert card.familiarity["layer"] == LAYER
    # 48 images in groups of two, a tenth of the groups for testing
    kind = card.familiarity["kinds"]["field"]
    test = (PreparedDataset.open(world.dataset, assay="fake").items["split"] == "test").sum()
    assert (kind["images"], kind["groups"], kind["sources"]) == (48 - test, (48 - test) / 2, {"toy": 48 - test})


def test_weights_stay_as_they_are(world):
    before, after = raw_tensors(world.plain[0]), raw_tensors(world.models[0])
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert load_model(world.models[0], assay="fake")[1].keys() == before.keys()
    assert not load_descriptions(world.plain[0])


def test_a_model_without_a_description_leaves_the_cells_empty_and_the_rest_as_it_was(world, tmp_path):
    toy.run(world.root / "in", tmp_path / "plain", world.plain)
    plain, described = table(tmp_path / "plain/images.csv"), table(world.out / "images.csv")
    assert list(plain) == list(described)
    assert set(plain["familiarity"]) == set(plain["unfamiliar"]) == {""}
    same = [name for name in plain if name not in ("seconds", "familiarity", "unfamiliar", "warnings")]
    pd.testing.assert_frame_equal(plain[same], described[same])
    assert (tmp_path / "plain/objects.csv").read_bytes() == (world.out / "objects.csv").read_bytes()


@pytest.mark.parametrize("size", [1, 3, 64])
def test_the_batch_size_changes_nothing(world, tmp_path, size):
    toy.run(world.root / "in", tmp_path / "out", world.models, batch_size=size)
    assert_same(tmp_path / "out", world.out)


def test_shards_and_a_second_run_give_the_same(world, tmp_path):
    for shard in ("1/3", "2/3", "3/3"):
        toy.run(world.root / "in", tmp_path / "parts", world.models, shard=shard)
    merge(tmp_path / "parts", toy.ASSAY)
    assert_same(tmp_path / "parts", world.out)
    counts = json.loads((tmp_path / "parts/run.json").read_text())["counts"]
    assert counts["unfamiliar"] == json.loads((world.out / "run.json").read_text())["counts"]["unfamiliar"] >= 8
    images = tmp_path / "some"
    images.mkdir()
    for name in ("spotted100.tif", "striped000.tif"):
        (images / name).write_bytes((world.root / "in" / name).read_bytes())
    toy.run(images, tmp_path / "again", world.models)
    for path in (world.root / "in").iterdir():
        (images / path.name).write_bytes(path.read_bytes())
    toy.run(images, tmp_path / "again", world.models, skip_existing=True)
    assert_same(tmp_path / "again", world.out)


def assert_same(one, other):
    drop = {"seconds"}
    first, second = table(one / "images.csv"), table(other / "images.csv")
    kept = [name for name in first if name not in drop]
    pd.testing.assert_frame_equal(first[kept], second[kept])
    assert (one / "objects.csv").read_bytes() == (other / "objects.csv").read_bytes()


def test_the_report_says_it(world):
    page = (world.out / "report.html").read_text()
    assert page.count('class="badge">Unlike the training images<') == 8 + false_alarms(world)
    assert SENTENCE in page


def false_alarms(world) -> int:
    images = pd.read_csv(world.out / "images.csv")
    return int(images["unfamiliar"][images["image"].str.startswith("spotted")].sum())


def test_stderr_and_json_count_them(world, tmp_path, capsys):
    def work(inputs, out, *, run, options, models, argv):
        return toy.run(inputs[0], out, models)

    run = toy.options_for(json=True, quiet=False)
    run_inputs("fake predict", work, [str(world.root / "in")], tmp_path / "out", run, FakeOptions(), world.models, [])
    shown = capsys.readouterr()
    found, count = json.loads(shown.out), 8 + false_alarms(world)
    assert found["counts"]["unfamiliar"] == count
    assert [one["images"] for one in found["warnings"] if one["warning"] == SENTENCE] == [count]
    assert f"{SENTENCE} ({count} images, such as " in shown.err
    together = f"{count} of 16 images are unlike the training images, where one in twenty is usual"
    assert together in shown.err
    page = (tmp_path / "out/report.html").read_text()
    assert page.count(f"<li>{together}") == 1
    assert "images are unlike the training images: " not in page


STRIP = 40


def tall(draw):
    """Four drawings above one another, as large together as a slide for one piece each."""

    def drawn(seed):
        return np.concatenate([draw(1000 + 4 * seed + number) for number in range(4)])

    drawn.__name__ = draw.__name__
    return drawn


def divide(subject):
    def read(number):
        image = Image(np.ascontiguousarray(subject.image.pixels[number * STRIP : (number + 1) * STRIP]))
        return Subject(subject.name, image, subject.kind, subject.options, subject.cards, piece=number)

    return Pieces(subject.image.height // STRIP, read)


def conclude_piece(subject):
    return Result(pd.DataFrame({"label": [1]}), {}, {"labels": np.zeros((1, 1), np.uint8)})


def join(subject, results):
    assert len(list(results)) == 4
    empty = {name: [] for name in ("label", "class", "score", "review", "p_dim", "p_bright")}
    return Result(pd.DataFrame(empty))


def test_pieces_are_averaged_by_their_weights(world, tmp_path):
    in_pieces = dataclasses.replace(toy.ASSAY, conclude=conclude_piece, large=Large(divide, join))
    for draw in (spotted, striped):
        toy.write_kind(tmp_path / "in", tall(draw), range(4))
    toy.run(tmp_path / "in", tmp_path / "out", world.models, assay=in_pieces)
    images = pd.read_csv(tmp_path / "out/images.csv")
    other = images["image"].str.startswith("striped")
    assert images["unfamiliar"][other].all()
    assert not images["unfamiliar"][~other].any()
    # worked out by hand: the mean over the four strips, each seen alone
    toy.write_kind(tmp_path / "strips", spotted, range(1000, 1004))
    seen = features_by_hand(world, tmp_path / "strips")
    described = load_descriptions(world.models[0])["field"]
    expected = described.familiarity(np.mean(seen, 0)[None])[0]
    assert images["familiarity"][images["image"] == "spotted000.tif"].item() == pytest.approx(expected, rel=0.01)


def features_by_hand(world, folder):
    loaded = load_models(toy.ASSAY, world.models, torch.device("cpu"))
    subjects = [
        Subject(path.name, read(path), "field", FakeOptions(), loaded.cards) for path in sorted(folder.iterdir())
    ]
    done = run_subjects(
        toy.ASSAY, subjects, loaded.modules, run=toy.options_for(), device=torch.device("cpu"), dtype=None, window=4,
        taps=loaded.taps,
    )  # fmt: skip
    return [each.subject.features["find"].values for each in done]


def test_pieces_of_a_killed_run_count_too(world, tmp_path, monkeypatch):
    from cellscope.engine.predict.piece_store import PieceStore

    narrow = dataclasses.replace(toy.ASSAY, conclude=conclude_piece, large=Large(divide, join))
    tifffile.imwrite(tmp_path / "a.tif", tall(spotted)(300))
    toy.run(tmp_path / "a.tif", tmp_path / "whole", world.models, assay=narrow)
    put = PieceStore.put

    def fill(self, number, result, features):  # by the number: pieces are written by several threads at a time
        if number >= 2:
            raise OSError(28, "No space left on device")
        put(self, number, result, features)

    monkeypatch.setattr(PieceStore, "put", fill)
    with pytest.raises(Exception, match="No space left"):
        toy.run(tmp_path / "a.tif", tmp_path / "out", world.models, assay=narrow)
    monkeypatch.setattr(PieceStore, "put", put)
    toy.run(tmp_path / "a.tif", tmp_path / "out", world.models, assay=narrow, skip_existing=True)
    first, again = (table(tmp_path / name / "images.csv")["familiarity"][0] for name in ("whole", "out"))
    assert first == again != ""


def test_only_what_was_trained_on_is_described(world):
    prepared = PreparedDataset.open(world.dataset, assay="fake")
    card = read_card(world.plain[0])
    assert set(training_items(prepared, card)["split"]) == {"train", "val"}
    without = training_items(prepared, card, "group=toy/g0")
    assert "toy/g0" in set(prepared.items["group"])
    assert "toy/g0" not in set(without["group"])
    trained = dataclasses.replace(card, training={"leave_out": "group=toy/g1"})
    assert "toy/g1" not in set(training_items(prepared, trained)["group"])


def test_items_are_chosen_evenly_over_sources():
    names = [f"large/{n:03}" for n in range(90)] + [f"small/{n}" for n in range(6)]
    items = pd.DataFrame({"id": names, "group": names, "split": "train", "class": ""})
    chosen = chosen_items(items, 20)
    counts = chosen["id"].str.split("/").str[0].value_counts()
    assert counts.to_dict() == {"large": 14, "small": 6}
    assert chosen["id"].is_monotonic_increasing
    assert chosen["id"].iloc[0] == "large/000"
    assert "large/089" in set(chosen["id"])


def test_what_cannot_be_described_is_said(world, tmp_path):
    given = {"assay": toy.ASSAY, "options": FakeOptions()}
    out = tmp_path / "out.safetensors"
    with pytest.raises(ModelError, match="no layer 'nonesuch'; it has features"):
        describe_model(world.plain[0], world.dataset, out, layer="nonesuch", **given)
    with pytest.raises(UsageError, match="too few images"):
        describe_model(world.plain[0], toy.write_data(tmp_path / "few", 4), out, **given)
    with pytest.raises(UsageError, match="classify of fake"):
        describe_model(world.plain[1], world.dataset, out, **given)
    nameless = dataclasses.replace(toy.ASSAY, layers={})
    with pytest.raises(UsageError, match="name one with --layer"):
        describe_model(world.plain[0], world.dataset, out, assay=nameless, options=FakeOptions())
    assert not out.exists()


def test_the_command(world, tmp_path, monkeypatch):
    monkeypatch.setattr(describing, "find_assay", lambda name: toy.ASSAY)
    monkeypatch.setattr(describing, "find_predict_options", lambda name: FakeOptions())
    out = tmp_path / "model.safetensors"
    words = ["models", "describe", world.plain[0], str(world.dataset), "-o", str(out), "--device", "cpu"]
    result = CliRunner().invoke(app, words)
    assert (result.exit_code, result.stdout.strip()) == (0, str(out))
    assert out.read_bytes() == (world.root / "described.safetensors").read_bytes()
    assert CliRunner().invoke(app, words).exit_code == 2
    result = CliRunner().invoke(app, [*words, "--overwrite", "--json", "--limit", "20"])
    assert json.loads(result.stdout)["kinds"]["field"]["images"] == 20

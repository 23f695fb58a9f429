"""Training end to end: two phases, resumption, mixed sources, presets, calibration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from drawn.nuclei import packed, perfect_maps

from cellscope.assays.histo.datasets.prepare import prepare
from cellscope.assays.histo.datasets.tiles import Tile, Windows
from cellscope.assays.histo.networks.registry import arguments_of, build_network, geometry
from cellscope.assays.histo.nuclei import calibration
from cellscope.assays.histo.options import HistoPrepareOptions as Options
from cellscope.assays.histo.options import TrainOptions
from cellscope.assays.histo.training import train as training
from cellscope.assays.histo.training import tune as tuning
from cellscope.assays.histo.training.kept_types import KeptTypes, types_to_keep
from cellscope.assays.histo.training.train import Learner, _Batches, train
from cellscope.assays.histo.training.validation import score_tiles
from cellscope.engine.train.phases import MOVED_ON, Phases
from cellscope.errors import Interrupted, ModelError, UsageError
from cellscope.io.prepared import PreparedDataset
from cellscope.models.card import ModelCard
from cellscope.models.file import load_model, save_model
from cellscope.options.resolve import resolve

TINY = TrainOptions(arch="histonext-test", steps=4, batch_size=2, core=64, val_every=2, device="cpu", precision="32")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One typed source and one untyped, four images each."""
    root = tmp_path_factory.mktemp("histo")
    for source, typed in (("typed", True), ("plain", False)):
        folder = root / source
        for place in ("images", "labels", "types"):
            (folder / place).mkdir(parents=True)
        for number in range(4):
            labels = packed(120, 20, seed=number)
            image = np.full((120, 120, 3), (225, 200, 215), np.uint8)
            image[labels > 0] = (140, 60, 90)
            cv2.imwrite(str(folder / "images" / f"{number}.png"), image)
            cv2.imwrite(str(folder / "labels" / f"{number}.png"), labels.astype(np.uint16))
            if typed:
                lines = [f"{k},{'round' if k % 3 else 'flat'}" for k in np.unique(labels)[1:]]
                (folder / "types" / f"{number}.csv").write_text("id,class\n" + "\n".join(lines) + "\n")
    prepare([root / "typed", root / "plain"], root / "ds", Options(splits=(0.5, 0.5, 0.0), pixel_size=0.25))
    return root / "ds"


def test_two_phases_leave_the_encoder_alone_at_first(dataset: Path, tmp_path: Path) -> None:
    options = replace(TINY, frozen_steps=2, frozen_batch_size=3, ema=0.0, val_every=2)
    assert train(dataset, tmp_path / "run", replace(options, steps=2), argv=[]) == 0
    torch.manual_seed(0)
    card, after_first = load_model(tmp_path / "run" / "model.safetensors", assay="histo", part="nuclei")
    assert card.classes == ("flat", "round")
    assert card.pixel_size_um == 0.25
    assert train(dataset, tmp_path / "two", options, argv=[]) == 0
    _, after_both = load_model(tmp_path / "two" / "model.safetensors", assay="histo", part="nuclei")
    encoder = [name for name in after_first if name.startswith("encoder.") and after_first[name].ndim > 1]
    first = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["state_dict"]
    both = torch.load(tmp_path / "two" / "last.ckpt", weights_only=True)["state_dict"]
    assert not all(torch.equal(first[f"network.{name}"], both[f"network.{name}"]) for name in encoder)
    fresh = _fresh(options)
    assert all(torch.equal(first[f"network.{name}"], fresh[name]) for name in encoder)
    assert set(after_both) == set(after_first)


def test_each_phase_has_its_own_validations_and_rates(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No validation gains anything: with a patience of two the first phase ends early and goes on to the second."""
    monkeypatch.setattr(training, "score_tiles", lambda *_: {"val_score": 0.5})
    phases = {"steps": 11, "frozen_steps": 4, "frozen_val_every": 1, "val_every": 2, "frozen_step_every": 2}
    options = replace(TINY, **phases, schedule="step", step_every=3, step_gamma=0.5, warmup_steps=0, patience=2)
    train(dataset, tmp_path, options, argv=[])
    table = pd.read_csv(tmp_path / "metrics.csv")
    assert table.loc[table["name"] == "val_score", "step"].tolist() == [1, 2, 3, 5, 7, 9]
    kept = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert (kept["global_step"], kept[MOVED_ON]) == (9, 3)
    rates = [group["lr"] for group in kept["optimizer_states"][0]["param_groups"]]
    assert rates == [options.learning_rate * 0.25] * len(rates)  # step 6 of the second phase
    learner = Learner(_network(), options, [], ("a", "b"))
    factor = learner.configure_optimizers()["lr_scheduler"]["scheduler"].lr_lambdas[0]
    assert [factor(step) for step in range(11)] == [1, 1, 0.5, 0.5, 1, 1, 1, 0.5, 0.5, 0.5, 0.25]


def _network() -> torch.nn.Module:
    return build_network(arguments_of("histonext-test", 2))


def _fresh(options: TrainOptions) -> dict[str, torch.Tensor]:
    import lightning as L

    L.seed_everything(options.seed, verbose=False)
    arguments = arguments_of("histonext-test", 2) | {"drop_path": options.drop_path}
    return build_network(arguments).state_dict()


def test_batches_go_on_where_a_training_was_stopped() -> None:
    tile = _tile()
    options = replace(TINY, steps=6, frozen_steps=3, frozen_batch_size=4).in_steps(10)
    windows = Windows([tile], 64, 32, options)
    weights = dict.fromkeys(windows.strata, 1.0)
    phases = Phases(options)
    whole = list(_Batches(windows, weights, phases, 0))
    assert [len(batch) for batch in whole] == [4, 4, 4, 2, 2, 2]
    assert list(_Batches(windows, weights, phases, 2)) == whole[2:]
    assert list(_Batches(windows, weights, phases, 4)) == whole[4:]
    batches = iter(_Batches(windows, weights, phases, 0))
    early = [len(next(batches))]
    phases.move_on(1)  # the first phase ends after one step; the second is as long as planned
    assert early + [len(batch) for batch in batches] == [4, 2, 2, 2]


def _tile() -> Tile:
    labels = packed(120, 20)
    types = 1 + np.arange(labels.max() + 1) % 2
    types[0] = 0
    return Tile("a/x", "a", np.zeros((120, 120, 3), np.uint8), labels, types)


def test_interrupted_and_resumed_is_as_never_interrupted(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(dataset, tmp_path / "whole", TINY, argv=[])
    step = Learner.training_step

    def stops(self: Learner, batch: dict[str, torch.Tensor], index: int) -> torch.Tensor:
        if self.global_step == 2:
            import signal

            signal.raise_signal(signal.SIGTERM)
        return step(self, batch, index)

    monkeypatch.setattr(Learner, "training_step", stops)
    with pytest.raises(Interrupted):
        train(dataset, tmp_path / "cut", TINY, argv=[])
    monkeypatch.setattr(Learner, "training_step", step)
    train(dataset, tmp_path / "cut", replace(TINY, resume="auto"), argv=[])
    whole, cut = (
        torch.load(tmp_path / name / "last.ckpt", weights_only=True)["state_dict"] for name in ("whole", "cut")
    )
    assert [name for name in whole if not torch.equal(whole[name], cut[name])] == []


def test_going_on_from_a_model_of_other_types(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """What fits is taken over, at a learning rate of nothing unchanged; the layer of the types starts anew."""
    torch.manual_seed(9)
    card, other = _card(("a", "b", "c")), build_network(arguments_of("histonext-test", 3)).state_dict()
    save_model(tmp_path / "other.safetensors", other, card)
    options = replace(TINY, steps=1, val_every=1, learning_rate=0.0, ema=0.0, half=False)
    train(dataset, tmp_path / "run", replace(options, init=str(tmp_path / "other.safetensors")), argv=[])
    said = capsys.readouterr().err
    _, weights = load_model(tmp_path / "run" / "model.safetensors", assay="histo")
    new = {name for name, value in weights.items() if value.shape != other[name].shape}
    assert new
    assert all(name in said.partition("; new: ")[2] for name in new)
    learnt = {name for name, _ in _network().named_parameters()} - new
    assert all(torch.equal(weights[name], other[name]) for name in learnt)


def test_types_are_kept_where_the_dataset_has_none(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    prepare([dataset.parent / "plain"], tmp_path / "ds", Options(splits=(0.5, 0.5, 0.0), pixel_size=0.25))
    torch.manual_seed(9)
    start = build_network(arguments_of("histonext-test", 3))
    card = _card(("a", "b", "c"), temperature=1.7, threshold=0.3)
    save_model(tmp_path / "typed.safetensors", start.state_dict(), card)
    options = replace(TINY, init=str(tmp_path / "typed.safetensors"), half=False, ema=0.0, warmup_steps=0)
    train(tmp_path / "ds", tmp_path / "run", replace(options, learning_rate=1e-3), argv=[])
    assert "keeps those of" in capsys.readouterr().err
    after, weights = load_model(tmp_path / "run" / "model.safetensors", assay="histo")
    assert (after.classes, after.arch_args["types"]) == (("a", "b", "c"), 3)
    assert (after.thresholds["temperature"], after.training["typed_items"]) == (1.7, 0)
    assert after.thresholds["threshold"] != 0.3  # tuned on the new images
    assert not all(torch.equal(value, start.state_dict()[name]) for name, value in weights.items())


def test_the_teacher_holds_the_type_branch_and_no_other() -> None:
    torch.manual_seed(1)
    student = _network().eval()
    kept = KeptTypes(student, _card())
    images, known = torch.rand(2, 3, 128, 128), torch.ones(2, 64, 64, dtype=torch.bool)
    for network in (student, kept.teacher):
        network.margin = 32  # type: ignore[assignment]
    assert float(kept.loss(images, student(images)[:, 4:], known).detach()) == pytest.approx(0, abs=1e-6)
    with torch.no_grad():
        student.tp.bias += torch.tensor([0.0, 2.0, 0.0])
    loss = kept.loss(images, student(images)[:, 4:], known)
    loss.backward()
    assert float(loss.detach()) > 0.01
    assert student.tp.weight.grad.abs().sum() > 0
    assert student.np.weight.grad is None or not student.np.weight.grad.any()
    assert all(value.grad is None for value in kept.teacher.parameters())
    half = kept.loss(images, torch.where(known[:, None], student(images)[:, 4:], 0), known & False)
    assert float(half.detach()) == 0


def test_types_of_the_dataset_come_first(dataset: Path, tmp_path: Path) -> None:
    save_model(tmp_path / "plain.safetensors", _network().state_dict(), _card(("nucleus",)))
    save_model(tmp_path / "typed.safetensors", _network().state_dict(), _card(("a", "b")))
    plain, typed = (replace(TINY, init=str(tmp_path / f"{name}.safetensors")) for name in ("plain", "typed"))
    assert types_to_keep(typed, ("flat", "round")) is None
    assert types_to_keep(plain, ("nucleus",)) is None
    assert types_to_keep(TINY, ("nucleus",)) is None
    kept = types_to_keep(typed, ("nucleus",))
    assert kept is not None
    assert kept.classes == ("a", "b")


def test_tuning_anew_keeps_the_weights_and_what_they_were_trained_on(dataset: Path, tmp_path: Path) -> None:
    train(dataset, tmp_path / "first", TINY, argv=[])
    first = tmp_path / "first" / "model.safetensors"
    train(dataset, tmp_path / "tuned", replace(TINY, steps=0, val_every=None, init=str(first)), argv=[])
    (before, weights), (after, same) = (
        load_model(tmp_path / run / "model.safetensors", assay="histo") for run in ("first", "tuned")
    )
    assert all(torch.equal(value, same[name]) for name, value in weights.items())
    assert (after.training["steps"], after.training["weights"]) == (0, before.training)
    assert after.thresholds == pytest.approx(before.thresholds, rel=1e-4, abs=1e-3)  # the same tiles choose the same settings


def test_imagenet_weights_that_cannot_be_had(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    def offline(*args: object, pretrained: bool = False, **more: object) -> torch.nn.Module:
        if pretrained:
            raise OSError("no route to host")
        return create(*args, **more)

    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(ModelError, match=r"no route to host.*--init none"):
        train(dataset, tmp_path / "run", replace(TINY, init="imagenet"), argv=[])


def test_imagenet_weights_from_a_local_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Timm reads a file in place of a download; what it holds arrives in the encoder."""
    import timm

    stored = timm.create_model("test_convnext2", num_classes=10)
    torch.nn.init.constant_(stored.get_parameter("stages.0.blocks.0.conv_dw.weight"), 0.25)
    torch.save(stored.state_dict(), tmp_path / "weights.pth")
    create = timm.create_model

    def local(name: str, *, pretrained: bool = False, **more: object) -> torch.nn.Module:
        overlay = {"file": str(tmp_path / "weights.pth"), "num_classes": 10}
        return create(name, pretrained=pretrained, pretrained_cfg_overlay=overlay, **more)

    monkeypatch.setattr(timm, "create_model", local)
    network = build_network(arguments_of("histonext-test", 2), pretrained=True)
    assert (network.encoder.state_dict()["stages_0.blocks.0.conv_dw.weight"] == 0.25).all()


def test_window_and_network_must_fit(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="multiple of 32"):
        train(dataset, tmp_path / "run", replace(TINY, core=70), argv=[])


def test_the_paper_preset_is_the_papers() -> None:
    options = TrainOptions(preset="paper").in_steps(4563)  # 27 tiles of 1000 x 1000, a place every 80 pixels
    assert (options.arch, options.init, options.optimiser, options.learning_rate) == (
        "histonext-tiny", "imagenet", "adam", 1e-4,
    )  # fmt: skip
    assert (options.frozen_batch_size, options.batch_size) == (64, 16)
    assert (options.np_loss, options.tp_loss, options.gamma_positive, options.gamma_negative) == (
        "asym", "focal", 1.0, 4.0,
    )  # fmt: skip
    epoch = 4563 / 16
    assert options.step_every == round(25 * epoch)
    assert options.val_every == int(5 * epoch)
    first_epoch = 4563 / 64  # a pass in the first phase, with its own batch
    assert options.frozen_step_every == round(25 * first_epoch)
    assert options.frozen_val_every == int(5 * first_epoch)
    assert options.frozen_steps == round(50 * first_epoch)
    assert options.steps == options.frozen_steps + round(50 * epoch)
    validated = [step for step in range(1, options.steps + 1) if options.validates(step)]
    first = [step for step in validated if step <= options.second_from]
    assert len(first) == len(validated) - len(first) == 10
    own = TrainOptions(preset="paper", learning_rate=5e-5, batch_size=128).in_steps(4563)
    assert own.learning_rate == 5e-5
    assert own.batch_size == 128
    # The user's word counts where it is what the option would be without the preset, too.
    given = {"preset": "paper", "init": "none", "optimiser": "adamw"}
    scratch = resolve(TrainOptions, flags=given, env={}).in_steps(64)
    assert (scratch.init, scratch.optimiser, scratch.learning_rate) == ("none", "adamw", 1e-4)


@pytest.mark.parametrize("arch", ["histonext-atto", "histonext-pico"])
def test_the_paper_preset_has_windows_for_small_networks_too(arch: str) -> None:
    options = TrainOptions(preset="paper", arch=arch).in_steps(64)
    step = geometry(arguments_of(arch, 4))[2]
    assert step > 0
    assert (options.core + 2 * options.margin) % step == 0


def test_a_perfect_network_scores_nearly_one(monkeypatch: pytest.MonkeyPatch) -> None:
    tile = _tile()
    kinds = {label: int(tile.types[label]) - 1 for label in np.unique(tile.labels)[1:]}
    maps = perfect_maps(tile.labels, kinds, 2)
    monkeypatch.setattr("cellscope.assays.histo.training.validation.whole_maps", lambda *_: maps)
    scores = score_tiles(torch.nn.Identity(), [tile], ("a", "b"))
    assert scores["val_dice_a"] > 0.99
    assert scores["val_score"] > 0.95
    plain = replace(tile, types=np.where(np.arange(len(tile.types)) > 0, -1, 0))
    assert score_tiles(torch.nn.Identity(), [plain], ("a", "b"))["val_score"] == pytest.approx(
        scores["val_aji_a"], abs=1e-9
    )


def test_types_that_are_the_rest_do_not_choose_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of type a are called b: nothing, where a is the rest; half of what F1 is for, where it has a name."""
    tile = _tile()
    true = {label: int(tile.types[label]) - 1 for label in np.unique(tile.labels)[1:]}
    scores = {}
    for say, kinds in (("right", true), ("wrong", {label: 1 - kind for label, kind in true.items()})):
        maps = perfect_maps(tile.labels, kinds, 2)
        monkeypatch.setattr("cellscope.assays.histo.training.validation.whole_maps", lambda *_, maps=maps: maps)
        for first in ("other", "a"):
            scores[say, first] = score_tiles(torch.nn.Identity(), [tile], (first, "b"))
    one = scores["right", "other"]
    assert one["val_score"] == pytest.approx(0.5 * one["val_aji_a"] + 0.5 * one["val_f1_b"])
    both = scores["right", "a"]
    assert both["val_score"] == pytest.approx(0.5 * both["val_aji_a"] + 0.25 * (both["val_f1_a"] + both["val_f1_b"]))
    assert scores["wrong", "other"]["val_score"] == pytest.approx(0.5 * one["val_aji_a"])


def test_training_may_learn_from_the_validation_split_too(dataset: Path, tmp_path: Path) -> None:
    """Nothing is left to judge by: no best weights, no tuned thresholds."""
    train(dataset, tmp_path / "run", replace(TINY, steps=1, learn_from="train+val"), argv=[])
    model, _ = load_model(tmp_path / "run" / "model.safetensors", assay="histo")
    items = PreparedDataset.open(dataset, assay="histo").items
    assert model.training["n_items"] == len(items) > (items["split"] == "train").sum()
    assert model.thresholds == {}
    assert model.metrics == {}


def _card(classes: tuple[str, ...] = ("a", "b"), **thresholds: float) -> ModelCard:
    return ModelCard(
        assay="histo", part="nuclei", arch="x", arch_args={}, classes=classes, channels=("red", "green", "blue"),
        normalisation={}, pixel_size_um=0.25, thresholds=thresholds, training={}, metrics={},
        cellscope_version="0",
    )  # fmt: skip


def test_calibration_by_hand() -> None:
    """Temperature 1/2 squares the odds."""
    found = calibration.calibrate(np.array([[0.8, 0.2], [0.5, 0.5]]), _card(temperature=0.5))
    assert found[0, 0] / found[0, 1] == pytest.approx(16, rel=1e-4)
    assert found[1].tolist() == [0.5, 0.5]
    assert calibration.calibrate(np.zeros((0, 2)), _card(temperature=0.5)).shape == (0, 2)


def test_calibration_finds_overconfidence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that says 0.99 and is right three times of four is told to be less sure."""
    tile = _tile()
    rng = np.random.default_rng(0)
    labels = np.unique(tile.labels)[1:]
    said = {
        int(label): int(tile.types[label]) - 1 if rng.random() < 0.75 else 2 - int(tile.types[label])
        for label in labels
    }
    maps = perfect_maps(tile.labels, said, 2)
    maps[..., 3:] = 0.01 + 0.98 * maps[..., 3:]
    found = calibration.fit_calibration([tile], [maps], {})
    assert found["temperature"] > 2
    calm = calibration.calibrate(np.array([[0.99, 0.01]]), _card(temperature=found["temperature"]))
    assert 0.65 < calm[0, 0] < 0.85


def test_scores_become_the_share_that_matches() -> None:
    """Of nuclei as sure as 0.9 one in three is real, of those as sure as 0.99 all: the score says so."""
    tile = _tile()
    kinds = {int(label): int(tile.types[label]) - 1 for label in np.unique(tile.labels)[1:]}
    maps = perfect_maps(tile.labels, kinds, 2)
    false = np.random.default_rng(0).permutation(np.unique(tile.labels)[1:])
    real = tile.labels.copy()
    half = len(false) // 2
    for place, label in enumerate(false):
        maps[..., 0][real == label] = 0.9 if place < half else 0.99
        if place < half and place % 3:
            real[real == label] = 0
    seen = replace(tile, labels=real)
    found = calibration.fit_calibration([seen], [maps], {})
    told = calibration.calibrate_score(np.array([0.9, 0.99]), _card(**found))
    wanted = len(range(0, half, 3)) / half
    assert told[0] == pytest.approx(wanted, abs=0.1)
    assert told[1] > 0.85
    assert calibration.calibrate_score(np.array([0.9]), _card()).tolist() == [np.float32(0.9)]


def test_tuning_finds_the_settings_that_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Specks of noise and a low foreground: a larger least area and a lower threshold bring the truth back."""
    tile = _tile()
    kinds = {int(label): int(tile.types[label]) - 1 for label in np.unique(tile.labels)[1:]}
    maps = perfect_maps(tile.labels, kinds, 2)
    maps[..., 0] *= 0.48  # below the usual threshold
    for row in range(2, 118, 12):
        for column in range(2, 118, 12):
            speck = (slice(row, row + 6), slice(column, column + 6))
            if not tile.labels[row - 2 : row + 8, column - 2 : column + 8].any():
                maps[(*speck, 0)] = 0.9
    monkeypatch.setattr(tuning, "whole_maps", lambda *_, **__: maps)
    found = tuning.tune(torch.nn.Identity(), [tile])
    assert found["threshold"] < 0.48
    start = {name: values[0] for name, values in tuning.TRIED.items()}
    settings = {name: found[name] for name in start}
    assert tuning.agreement([tile], [maps], settings) > 0.9 > tuning.agreement([tile], [maps], start)
    assert tuning.tune(torch.nn.Identity(), []) == {}

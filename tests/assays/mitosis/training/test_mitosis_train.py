"""Training: several cross-validations, the paper's second step, weights of other programs."""

from __future__ import annotations

import lightning as L
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader
from typer.testing import CliRunner

from cellscope.assays.mitosis.datasets.sequences import draw_weights, load_sequences
from cellscope.assays.mitosis.networks.registry import arguments_of, build_network
from cellscope.assays.mitosis.networks.resnet3d import ResNet3D
from cellscope.assays.mitosis.options import TrainOptions
from cellscope.assays.mitosis.training import step as steps
from cellscope.assays.mitosis.training.train import initialised, split_rows
from cellscope.cli.root import app
from cellscope.engine.train.data import Indices
from cellscope.engine.train.phases import Phases
from cellscope.engine.train.schedule import optimiser_and_schedule
from cellscope.errors import ModelError, UsageError
from cellscope.io.prepared import PreparedDataset
from cellscope.models.file import read_card

CLASSES = ["normal", "abnormal"]


def test_several_cross_validations(mitosis_dataset, tmp_path):
    out = tmp_path / "run"
    words = ["--arch", "tracknet", "--cross-validate", "--repeats", "2", "--steps", "8", "--set", "val_every=8"]
    words += ["--device", "cpu", "--precision", "32"]
    result = CliRunner().invoke(app, ["mitosis", "train", str(mitosis_dataset), "-o", str(out), *words])
    assert result.exit_code == 0, result.stderr
    assert "over 2 cross-validations: accuracy" in result.stderr
    runs = pd.read_csv(out / "repeats.csv")
    assert runs["run"].tolist()[:6] == [f"repeat-{k}/fold-{fold}" for k in (1, 2) for fold in range(3)]
    assert runs["seed"].tolist()[:6] == [0, 1, 2, 3, 4, 5]
    card = read_card(out / "model.safetensors")
    assert (card.arch_args["members"], card.training["folds"], card.training["repeats"]) == (6, 3, 2)
    columns = [f"p_{name}" for name in CLASSES]
    each = [
        pd.concat([pd.read_csv(out / f"repeat-{k}" / f"fold-{fold}" / "predictions.csv") for fold in range(3)])
        .sort_values("id")[columns]
        .to_numpy()
        for k in (1, 2)
    ]
    mean = pd.read_csv(out / "predictions.csv").sort_values("id")
    assert len(mean) == 18
    assert mean[columns].to_numpy() == pytest.approx((each[0] + each[1]) / 2, abs=1e-6)
    seeds = pd.read_csv(out / "seeds.csv", dtype={"repeat": str})
    assert seeds["repeat"].tolist() == ["1", "2", "mean", "standard deviation"]
    assert seeds["f1"][3] == pytest.approx(seeds["f1"][:2].std(ddof=1), abs=1e-5)


def test_the_second_step_begins_with_the_best_weights_of_the_first(mitosis_dataset, monkeypatch):
    prepared = PreparedDataset.open(mitosis_dataset, assay="mitosis")
    sequences = load_sequences(prepared, prepared.items, CLASSES)
    options = TrainOptions(arch="tracknet", steps=6, second_rate=0.1, batch_size=4, val_every=1).in_steps()
    says = iter([0.1, 0.9, 0.3, 0.95, 0.2, 0.2])  # the best of the first step is its second; later ones do not count
    monkeypatch.setattr(steps, "scores", lambda *_: {"f1": (value := next(says)), "roc_auc": value})
    after: dict[int, torch.Tensor] = {}
    before: dict[int, torch.Tensor] = {}

    class Watched(steps.TrackLearner):
        def on_validation_epoch_end(self):
            super().on_validation_epoch_end()
            after[self.global_step] = self.student.body[1].weight.detach().clone()

        def on_train_batch_start(self, *given):
            super().on_train_batch_start(*given)
            before[self.global_step] = self.student.body[1].weight.detach().clone()

    torch.manual_seed(0)
    network = build_network(arguments_of("tracknet"), 2)
    network.standardise_by(sequences.measurements)
    module = Watched(network, options, sequences, sequences, {"size": 0, "zoom_power": 1.0})
    trainer = L.Trainer(
        max_steps=6, val_check_interval=1, num_sanity_val_steps=0, accelerator="cpu", logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    places = Indices(len(sequences))
    trainer.fit(module, DataLoader(places, 3), DataLoader(places, 18))
    assert torch.equal(before[2], after[2])
    assert torch.equal(before[3], after[2])
    assert not torch.equal(before[3], after[3])
    assert torch.equal(before[5], after[5])


def test_the_best_weights_travel_in_the_checkpoint():
    options = TrainOptions(arch="tracknet", steps=6, second_rate=0.1).in_steps()
    module = steps.TrackLearner(torch.nn.Linear(1, 1), options, None, None, {"size": 0})  # type: ignore[arg-type]
    module._first_best = {"score": 0.5, "weights": module.state_dict()}
    kept: dict[str, object] = {"optimizer_states": []}
    module.on_save_checkpoint(kept)
    small: dict[str, object] = {}
    module.on_save_checkpoint(small)
    assert small == {}  # what only keeps weights stays small
    again = steps.TrackLearner(torch.nn.Linear(1, 1), options, None, None, {"size": 0})  # type: ignore[arg-type]
    again.on_load_checkpoint(kept)
    assert again._first_best["score"] == 0.5


def test_the_second_step_begins_early_where_the_first_no_longer_improves():
    for arch in ("resnet50-lstm", "vgg16-lstm", "resnet50-3d"):
        options = TrainOptions(arch=arch).in_steps(265)
        assert (options.second_from, options.steps) == (6625, 13250)
        early = options.moved_on(2600)
        assert (early.second_from, early.steps) == (2600, 2600 + 6625)
        phases = Phases(options)
        made = optimiser_and_schedule(
            [torch.nn.Parameter(torch.zeros(1))], options, phases=phases, second_rate=options.second_rate
        )
        factor = made["lr_scheduler"]["scheduler"].lr_lambdas[0]
        assert [factor(2600), factor(6624), factor(6625)] == [1, 1, options.second_rate]
        phases.move_on(2600)
        assert [factor(2599), factor(2600)] == [1, options.second_rate]


def test_classes_weigh_in_the_loss_by_how_rare_they_are(mitosis_dataset):
    prepared = PreparedDataset.open(mitosis_dataset, assay="mitosis")
    sequences = load_sequences(prepared, prepared.items, CLASSES, measured=False)
    assert steps.class_weights(sequences).tolist() == [0.75, 1.5]  # 12 normal and 6 abnormal of 18
    assert draw_weights(sequences, "loss").std() == 0


@pytest.mark.parametrize("keep", ["best", "last"])
def test_the_fold_that_is_measured_chooses_nothing(mitosis_dataset, keep):
    prepared = PreparedDataset.open(mitosis_dataset, assay="mitosis")
    train, val, fold = split_rows(prepared, TrainOptions(fold=1, keep=keep))
    assert fold["id"].tolist() == prepared.in_fold(1)["id"].tolist()
    assert not set(train["group"]) & set(fold["group"])
    if keep == "last":  # nothing is chosen: all other folds teach
        assert len(train) + len(fold) == len(prepared.items)
    else:
        assert not set(val["group"]) & (set(fold["group"]) | set(train["group"]))


def test_kinetics_weights_of_a_local_file(tmp_path):
    path = tmp_path / "r3d50.pth"
    torch.manual_seed(0)
    theirs = {f"module.{name}": value.half() for name, value in ResNet3D(4).state_dict().items()}
    torch.save({"epoch": 200, "arch": "resnet-50", "state_dict": theirs}, path)
    options = TrainOptions(arch="resnet50-3d", init=str(path))
    network = initialised(arguments_of("resnet50-3d"), CLASSES, options)
    assert torch.equal(network.layer4[2].conv2.weight, theirs["module.layer4.2.conv2.weight"].float())
    assert network.fc.out_features == 2
    assert {name.split(".")[0] for name, _ in network.backbone.named_parameters()} >= {"0", "4"}
    assert not any(p is network.fc.weight for p in network.backbone.parameters())
    del theirs["module.conv1.weight"]
    torch.save({"state_dict": theirs}, path)
    with pytest.raises(ModelError, match=r"not an r3d50 of 3D-ResNets-PyTorch: 'conv1\.weight'"):
        initialised(arguments_of("resnet50-3d"), CLASSES, options)
    with pytest.raises(UsageError, match="are for --arch resnet50-3d"):
        initialised(arguments_of("gao-lstm"), CLASSES, TrainOptions(arch="gao-lstm", init=str(path)))


@pytest.mark.parametrize(
    ("init", "arch"),
    [
        ("none", "mitonet-turned"),
        ("imagenet", "lite0-gru"),
        ("mitosis-classify", "lite0-gru"),
        ("kinetics.pth", "mitonet-turned"),
        ("there-is-no-such-model", "mitonet-turned"),
    ],
)
def test_the_architecture_follows_what_a_training_starts_from(init, arch):
    assert TrainOptions(init=init).arch == arch
    assert TrainOptions(init=init, arch="tracknet").arch == "tracknet"

"""What is described of a dataset: items of the kind that it says they are, class by class where classes are many."""

from __future__ import annotations

import dataclasses

import described_assay as toy
import pytest
from described_assay import spotted
from fake_assay import FakeOptions

from cellscope.assays.karyotype.detect.inputs import CHROMOSOME, METAPHASE, kind_of_item
from cellscope.engine.familiarity.describe import describe_model
from cellscope.errors import UsageError
from cellscope.io.prepared import write_dataset
from cellscope.io.splits import Item
from cellscope.models.described import load_descriptions

COUNT = 40
INPUTS = dataclasses.replace(
    toy.ASSAY.inputs,
    kinds=("field", "single"),
    kind_of=lambda image: "field",  # what the images look like
    kind_of_item=lambda row: "single" if row["class"] else "field",
)
STAGES = tuple(dataclasses.replace(stage, kinds=("field", "single")) for stage in toy.ASSAY.stages)
ASSAY = dataclasses.replace(toy.ASSAY, inputs=INPUTS, stages=STAGES)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Half of the images are single objects of a class; all look alike."""
    root = tmp_path_factory.mktemp("kinds")
    toy.write_kind(root / "images", spotted, range(COUNT))
    items = [
        Item(f"toy/{n:03}", f"toy/g{n}", f"images/spotted{n:03}.tif", class_=("dim", "bright", "", "")[n % 4])
        for n in range(COUNT)
    ]
    write_dataset(
        root, items, assay="fake", classes=["dim", "bright"], sources=[{"name": "toy", "items": COUNT}],
        pixel_size_um=None, seed=0, splits=(1.0, 0.0, 0.0), folds=0,
    )  # fmt: skip
    return root


def describe(dataset, folder, assay=ASSAY, **changes):
    out = folder / "out.safetensors"
    about = describe_model(
        toy.write_models(folder)[0], dataset, out, assay=assay, options=FakeOptions(), device="cpu", **changes
    )
    return about["kinds"], load_descriptions(out)


def test_the_dataset_says_what_kind_an_item_is(dataset, tmp_path):
    kinds, found = describe(dataset, tmp_path)
    assert {name: kind["images"] for name, kind in kinds.items()} == {"field": COUNT / 2, "single": COUNT / 2}
    assert set(found) == {"field", "single"}


def test_one_kind_can_be_described_alone(dataset, tmp_path):
    kinds, found = describe(dataset, tmp_path, kind="single")
    assert set(kinds) == set(found) == {"single"}
    with pytest.raises(UsageError, match="no inputs of the kind 'plate'; there are field, single"):
        describe(dataset, tmp_path, kind="plate")
    untold = dataclasses.replace(ASSAY, inputs=dataclasses.replace(INPUTS, kind_of_item=None))
    with pytest.raises(UsageError, match="does not tell kinds of input apart"):
        describe(dataset, tmp_path, assay=untold, kind="single")


def test_classes_have_centres_of_their_own_where_the_assay_says_so(dataset, tmp_path):
    _, by_source = describe(dataset, tmp_path)
    _, by_class = describe(dataset, tmp_path, assay=dataclasses.replace(ASSAY, by_class=("find",)))
    assert {kind: len(one.centres) for kind, one in by_source.items()} == {"field": 1, "single": 1}
    assert {kind: len(one.centres) for kind, one in by_class.items()} == {"field": 1, "single": 2}


def test_a_karyotype_dataset_tells_metaphases_from_single_chromosomes():
    assert kind_of_item({"target": "targets/a.json", "class": ""}) == METAPHASE
    assert kind_of_item({"target": "", "class": "9"}) == CHROMOSOME

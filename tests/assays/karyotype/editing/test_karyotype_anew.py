"""A corrected cell is assigned anew: what a person fixed stays, the rest and the draft's probability follow."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from drawn.karyotype import karyotype, length_of

from cellscope.assays.karyotype.cell.calibration import Calibration
from cellscope.assays.karyotype.cell.chromosomes import Cell, Chromosome
from cellscope.assays.karyotype.cell.trust import Trust
from cellscope.assays.karyotype.classes import CLASSES
from cellscope.assays.karyotype.detect.detections import Detection
from cellscope.assays.karyotype.editing.anew import Rules, assign_anew, is_fixed

RULES = Rules(3.0, 0.8, True, Calibration(), Trust((-1.0, -1.0, -3.0, 4.0)))


def chromosome(label: int, class_: str, *, other: str = "", score: float = 0.99) -> Chromosome:
    """Draw a rod; with another class, the classifier cannot tell the two apart."""
    probabilities = np.full(24, 1e-6)
    probabilities[CLASSES.index(class_)] = 1.0
    if other:
        probabilities[[CLASSES.index(class_), CLASSES.index(other)]] = 0.55, 0.45
    mask = np.ones((round(6 * length_of(class_)), 10), bool)
    box = np.array([20 * label, 5, 20 * label + 10, 5 + len(mask)])
    return Chromosome(label, Detection(box, mask, score), class_, probabilities / probabilities.sum(), 0.0, None)


def cell(*changed: str) -> Cell:
    """A male cell; chromosomes 4 and 5 may be either where `changed` says so."""
    found = []
    for label, name in enumerate(karyotype("XY"), 1):
        other = {"4": "5", "5": "4"}.get(name, "") if name in changed else ""
        found.append(chromosome(label, name, other=other))
    return Cell(found, (300, 2400), bright_on_dark=False, probability=0.9)


def fix(one: Chromosome, class_: str | None = None) -> None:
    one.class_ = class_ or one.class_
    one.edited = ["class" if class_ else "confirm"]


def anew(before: Cell, changed: Cell, outlined: set[int] | None = None) -> Cell:
    assign_anew(changed, before, outlined or set(), RULES)
    return changed


def first(found: Cell, class_: str) -> Chromosome:
    return next(one for one in found.chromosomes if one.class_ == class_)


def test_a_swap_is_made_whole() -> None:
    before = cell("4", "5")
    changed = copy.deepcopy(before)
    one = first(changed, "4")
    fix(one, "5")
    anew(before, changed)
    assert one.class_ == "5"
    assert (one.confidence, one.review) == (1.0, False)
    assert changed.iscn_draft == "46,XY"  # another takes the place that became free
    moved = [two for two, was in zip(changed.chromosomes, before.chromosomes, strict=True) if two.class_ != was.class_]
    assert len(moved) == 2


def test_what_is_certain_stays_beside_a_change() -> None:
    before = cell()
    changed = copy.deepcopy(before)
    fix(first(changed, "4"), "5")
    anew(before, changed)
    assert changed.iscn_draft == "46,XY,-4,+5"
    assert changed.probability is not None
    assert changed.probability < 0.1


def test_confirming_what_was_doubtful_raises_the_probability() -> None:
    before = cell("4", "5")
    changed = copy.deepcopy(before)
    anew(before, changed)
    assert changed.probability == pytest.approx(0.9)  # nothing was done
    doubtful = [one for one in changed.chromosomes if one.class_ in "45"]
    said = [changed.probability]
    for one in doubtful:
        fix(one)
        anew(before, changed)
        assert changed.probability is not None
        said.append(changed.probability)
    assert said == sorted(said)
    assert said[-1] > 0.95
    assert not any(one.review for one in changed.chromosomes)


@pytest.mark.parametrize("probability", [0.9, 0.2])
def test_a_cell_is_certain_once_every_chromosome_is_confirmed(probability: float) -> None:
    before = cell("4", "5")
    before.probability = probability
    changed = copy.deepcopy(before)
    for one in changed.chromosomes:  # as predict says it
        one.confidence = 0.7 if one.class_ in "45" else 0.99
    before = copy.deepcopy(changed)
    said = [probability]
    for one in sorted(changed.chromosomes, key=lambda one: one.class_ not in "45"):
        fix(one)
        anew(before, changed)
        assert changed.probability is not None
        said.append(changed.probability)
    assert said == sorted(said)
    assert said[-1] == pytest.approx(1, abs=1e-6)
    assert probability < said[-2] < said[-1]  # one is open
    for name in "45":
        first(changed, name).edited = []
    anew(before, changed)
    assert changed.probability is not None
    assert probability < changed.probability < 0.99  # two are open that may be swapped


def test_a_fixed_gain_and_a_fixed_loss_are_certain_with_the_rest() -> None:
    before = cell()
    changed = copy.deepcopy(before)
    changed.chromosomes.append(chromosome(99, "21"))
    changed.chromosomes.remove(first(changed, "Y"))
    for one in changed.chromosomes:
        fix(one)
    anew(before, changed, {99})
    assert changed.iscn_draft == "46,X,+21"
    assert changed.probability == pytest.approx(1, abs=1e-6)


def test_one_taken_out_and_one_put_back() -> None:
    before = cell()
    changed = copy.deepcopy(before)
    (gone,) = [one for one in changed.chromosomes if one.class_ == "Y"]
    changed.chromosomes.remove(gone)
    anew(before, changed)
    assert changed.iscn_draft == "45,X"
    assert changed.probability is not None
    assert changed.probability < 0.5
    changed.chromosomes.append(chromosome(99, "Y", score=0.02))
    changed.chromosomes[-1].class_ = "unassigned"
    anew(before, changed, {99})  # a person outlined it, so that it is a chromosome however the detector scored it
    assert changed.iscn_draft == "46,XY"
    assert changed.probability == pytest.approx(0.9, abs=0.01)


def test_a_gain_that_a_person_fixed_is_no_departure() -> None:
    before = cell()
    changed = copy.deepcopy(before)
    changed.chromosomes.append(chromosome(99, "21"))
    anew(before, changed, {99})
    unfixed = changed.probability
    assert changed.iscn_draft == "47,XY,+21"
    for one in changed.chromosomes:
        if one.class_ == "21":
            fix(one)
    anew(before, changed)
    assert unfixed is not None
    assert changed.probability is not None
    assert unfixed < 0.5 < changed.probability


def test_a_chromosome_that_a_person_left_without_a_class_keeps_none() -> None:
    before = cell()
    changed = copy.deepcopy(before)
    one = first(changed, "7")
    fix(one, "unassigned")
    anew(before, changed)
    assert one.class_ == "unassigned"
    assert is_fixed(one)
    assert changed.counts["7"] == 1
    turned = first(changed, "8")
    turned.edited = ["flip"]
    assert not is_fixed(turned)


def test_what_is_one_too_many_is_the_less_sure_the_less_it_looks_like_a_chromosome() -> None:
    """A person adds a third 21: of the two that were there, one is hardly a chromosome."""
    found = []
    for score in (0.9, 0.6, 0.3):
        before = cell()
        doubtful = [one for one in before.chromosomes if one.class_ == "21"][1]
        doubtful.detection = Detection(doubtful.detection.bbox, doubtful.detection.mask, score)
        changed = copy.deepcopy(before)
        changed.chromosomes.append(chromosome(47, "21"))
        changed.chromosomes[-1].edited = ["add"]
        anew(before, changed, {47})
        one = next(one for one in changed.chromosomes if one.label == doubtful.label)
        assert (one.class_, one.review) == ("21", True)
        found.append((one.confidence, changed.probability))
    assert found == sorted(found, reverse=True)
    assert found[0][0] < 0.5


def test_a_chromosome_added_where_nothing_was_found_is_assigned() -> None:
    before = Cell([], (300, 2400), bright_on_dark=False)
    changed = Cell([chromosome(1, "7")], (300, 2400), bright_on_dark=False)
    anew(before, changed, {1})
    assert changed.classes == ["7"]
    assert changed.probability is None

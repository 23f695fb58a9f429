"""Assignment over a cell, draft ISCN, class names."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from drawn.karyotype import karyotype
from hypothesis import given, settings
from hypothesis import strategies as st

from cellscope.assays.karyotype.cell.assignment import UNASSIGNED, assign_cell, most_probable
from cellscope.assays.karyotype.cell.iscn import draft_iscn, sex_chromosomes
from cellscope.assays.karyotype.classes import CLASSES, GROUPS, parse_class


def evidence(names: list[str], *, sure: float = 0.9, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """Log probabilities that favour `names`."""
    rng = np.random.default_rng(seed)
    scores = np.full((len(names), 24), np.log((1 - sure) / 23))
    scores[np.arange(len(names)), [CLASSES.index(name) for name in names]] = np.log(sure)
    scores = scores + rng.normal(0, noise, scores.shape) if noise else scores
    return scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)


@pytest.mark.parametrize("sex", ["XX", "XY"])
def test_a_normal_cell_is_recovered_under_noise(sex: str) -> None:
    names = karyotype(sex)
    scores = evidence(names, sure=0.5, noise=0.8, seed=1)
    assert sum(a == b for a, b in zip(most_probable(scores).classes, names, strict=True)) <= 42
    assert assign_cell(scores, aneuploidy_cost=3.0).classes == names


def test_a_clear_trisomy_survives_and_a_weak_one_is_corrected() -> None:
    clear = [*karyotype("XY"), "21"]
    assert sorted(assign_cell(evidence(clear, sure=0.99), aneuploidy_cost=3.0).classes) == sorted(clear)
    weak = evidence(karyotype("XY"), sure=0.95)
    twelfth = karyotype().index("12")
    weak[twelfth] = evidence(["11"], sure=0.5)[0]
    weak[twelfth, CLASSES.index("12")] = np.log(0.4)
    assert most_probable(weak).classes.count("11") == 3
    assert assign_cell(weak, aneuploidy_cost=3.0).classes == karyotype("XY")


def test_the_cost_decides_how_much_evidence_a_departure_needs() -> None:
    scores = evidence(karyotype("XX"), sure=0.999)
    row = karyotype().index("7")
    # 4 nats for class 8 over class 7: moving it saves 4 and costs a missing 7 and a third 8.
    scores[row] = evidence(["8"], sure=0.98)[0]
    scores[row, CLASSES.index("7")] = scores[row, CLASSES.index("8")] - 4.0
    assert assign_cell(scores, aneuploidy_cost=1.9).classes[row] == "8"
    assert assign_cell(scores, aneuploidy_cost=2.1).classes[row] == "7"


def test_monosomy_x_and_other_sex_counts() -> None:
    for sex in ("X", "XX", "XY", "XXY", "XYY", "XXX"):
        names = karyotype(sex)
        found = assign_cell(evidence(names, sure=0.98), aneuploidy_cost=3.0).classes
        assert sex_chromosomes(found) == sex


def test_a_doubtful_y_follows_the_rest_of_the_cell() -> None:
    scores = evidence(karyotype("XY"), sure=0.97)
    scores[-1] = np.log(np.full(24, 0.1 / 22))
    scores[-1, CLASSES.index("22")] = np.log(0.5)
    scores[-1, CLASSES.index("Y")] = np.log(0.4)
    assert assign_cell(scores, aneuploidy_cost=3.0).classes[-1] == "Y"


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 60))
def test_the_order_of_the_chromosomes_does_not_matter(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    scores = np.log(rng.dirichlet(np.full(24, 0.3), count) + 1e-9)
    order = rng.permutation(count)
    plain = assign_cell(scores, aneuploidy_cost=2.0)
    shuffled = assign_cell(scores[order], aneuploidy_cost=2.0)
    assert shuffled.cost == pytest.approx(plain.cost)
    assert shuffled.classes == [plain.classes[i] for i in order]


def test_no_cost_gives_the_most_probable_class() -> None:
    scores = evidence([*karyotype("XY")[:30], "3", "3"], sure=0.5, noise=1.0, seed=4)
    assert assign_cell(scores, aneuploidy_cost=0.0).classes == most_probable(scores).classes


def test_an_object_like_nothing_is_left_unassigned() -> None:
    scores = evidence([*karyotype("XX"), "1"], sure=0.999)
    scores[-1] = -20.0
    assert assign_cell(scores, aneuploidy_cost=3.0).classes[-1] == UNASSIGNED


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("cost", [0.5, 3.0])
def test_optimal_against_all_possibilities(seed: int, cost: float) -> None:
    scores = np.log(np.random.default_rng(seed).dirichlet(np.full(24, 0.2), 3) + 1e-6)
    best = np.inf
    for sex in ({"X": 2, "Y": 0}, {"X": 1, "Y": 1}):
        expected = [sex.get(name, 2) for name in CLASSES]
        for choice in itertools.product(range(25), repeat=3):
            taken = [k for k in choice if k < 24]
            value = sum(-scores[i, k] if k < 24 else cost + 3.0 for i, k in enumerate(choice))
            value += cost * sum(abs(taken.count(k) - expected[k]) - expected[k] for k in set(taken))
            best = min(best, value)
    assert assign_cell(scores, aneuploidy_cost=cost).cost == pytest.approx(best)


def test_no_chromosome_at_all() -> None:
    assert assign_cell(np.zeros((0, 24)), aneuploidy_cost=3.0).classes == []
    assert most_probable(np.zeros((0, 24))).classes == []


@pytest.mark.parametrize(
    ("names", "want"),
    [
        (karyotype("XX"), "46,XX"),
        (karyotype("XY"), "46,XY"),
        ([*karyotype("XY"), "21"], "47,XY,+21"),
        (karyotype("X"), "45,X"),
        (karyotype("XXY"), "47,XXY"),
        ([*karyotype("XX")[1:]], "45,XX,-1"),
        ([name for name in karyotype("XY") if name != "7"], "44,XY,-7,-7"),
        ([*karyotype("XX")[:12], *karyotype("XX")[13:], "8"], "46,XX,-7,+8"),
        ([*karyotype("XY"), "18", "18"], "48,XY,+18,+18"),
        ([*karyotype("XY"), UNASSIGNED], "47,XY,+mar"),
        ([*karyotype("XY"), UNASSIGNED, UNASSIGNED], "48,XY,+2mar"),
        (karyotype(""), "44,?"),
        (karyotype("XY")[:20], "20,?,inc"),
        ([], "0"),
    ],
)
def test_draft_iscn_by_hand(names: list[str], want: str) -> None:
    assert draft_iscn(names) == want
    assert draft_iscn(names[::-1]) == want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("1", "1"),
        ("07", "7"),
        ("22", "22"),
        ("23", "X"),
        ("24", "Y"),
        ("25", None),
        ("0", None),
        ("x", "X"),
        ("Y", "Y"),
        ("chr9", "9"),
        ("chrX", "X"),
        ("clase12", "12"),
        ("class_3", "3"),
        ("Chromosome 5", "5"),
        (" y ", "Y"),
        ("unlabelled", None),
        ("", None),
        ("nucleus", None),
        ("1a", None),
    ],
)
def test_class_names_as_data_sets_write_them(text: str, want: str | None) -> None:
    assert parse_class(text) == want


def test_the_groups_hold_every_class_once() -> None:
    assert sorted(itertools.chain(*GROUPS.values())) == sorted(CLASSES)

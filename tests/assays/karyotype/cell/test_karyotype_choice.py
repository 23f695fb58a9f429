"""Which candidates make up a cell, worked by hand: crossings, pieces, gains and losses, and how probable a draft is."""

from itertools import product

import numpy as np
import pytest

from cellscope.assays.karyotype.cell.assignment import UNASSIGNED
from cellscope.assays.karyotype.cell.choice import Plausible, choose
from cellscope.assays.karyotype.cell.iscn import draft_iscn
from cellscope.assays.karyotype.cell.selection import Costs, select
from cellscope.assays.karyotype.cell.trust import THRESHOLDS, Trust, measure
from cellscope.assays.karyotype.classes import CLASSES

MALE = [*CLASSES[:22], *CLASSES]
FEMALE = [*CLASSES[:22], *CLASSES[:22], "X", "X"]
SURE, WEAK = 5.0, -1.0
COST = 3.0


def evidence(names: list[str], sure: float = 0.97) -> np.ndarray:
    rows = np.full((len(names), 24), np.log((1 - sure) / 23))
    rows[np.arange(len(names)), [CLASSES.index(name) for name in names]] = np.log(sure)
    return rows


def chosen(names: list[str], odds: np.ndarray, together: dict[tuple[int, int], float]) -> tuple[str, list[bool]]:
    """The draft, and which candidates are taken; areas all alike say nothing of the classes."""
    pairs = np.array([*together], int).reshape(-1, 2)
    found = Plausible(odds, pairs, np.array([*together.values()], float))
    scores = evidence(names)
    choice = choose(scores, np.full(len(names), 100.0), assign=True, aneuploidy_cost=COST, plausible=found)
    taken = [name is not None for name in choice.classes]
    return draft_iscn(name for name in choice.classes if name is not None), taken


@pytest.fixture(autouse=True)
def sizes_that_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cellscope.assays.karyotype.cell.choice.size_evidence", lambda scores, _: np.zeros_like(scores))


def test_a_crossing_pair_with_three_candidates_is_two() -> None:
    """The third lies on both, at their crossing, and is called a 21."""
    odds = np.array([SURE] * 46 + [3.0])
    alone, _ = chosen([*MALE, "21"], np.array([SURE] * 46 + [9.0]), {(0, 1): -0.5})
    assert alone == "47,XY,+21"  # without what speaks against it, it would stand
    draft, taken = chosen([*MALE, "21"], odds, {(0, 1): -0.5, (0, 46): -4.0, (1, 46): -4.0})
    assert draft == "46,XY"
    assert taken == [True] * 46 + [False]


def test_a_bent_chromosome_found_whole_and_as_two_pieces_is_one() -> None:
    """Both pieces together are surer than the whole alone, and each is called something for which there is no place."""
    whole = MALE.index("3")
    odds = np.array([SURE] * 46 + [2.0, 2.0])
    odds[whole] = 3.0
    conflicts = {(whole, 46): -6.0, (whole, 47): -6.0, (46, 47): -5.0}
    draft, taken = chosen([*MALE, "17", "20"], odds, conflicts)
    assert draft == "46,XY"
    assert taken == [True] * 46 + [False] * 2


def test_of_two_pieces_without_the_whole_one_fills_the_place() -> None:
    names = [name for index, name in enumerate(MALE) if index != MALE.index("3")]
    odds = np.array([SURE] * 45 + [0.5, 0.0])
    draft, taken = chosen([*names, "3", "3"], odds, {(45, 46): -5.0})
    assert draft == "46,XY"
    assert taken == [True] * 46 + [False]


@pytest.mark.parametrize("name", ["13", "18", "21", "X", "Y"])
def test_a_gain_with_clear_evidence_survives(name: str) -> None:
    draft, taken = chosen([*MALE, name], np.array([SURE] * 46 + [SURE]), {(0, 1): -0.5})
    assert draft == {"X": "47,XXY", "Y": "47,XYY"}.get(name, f"47,XY,+{name}")
    assert all(taken)
    doubtful, _ = chosen([*MALE, name], np.array([SURE] * 46 + [WEAK - 2]), {(0, 1): -0.5})
    assert doubtful == "46,XY"


def test_a_missing_x_stays_missing_though_a_speck_could_stand_for_it() -> None:
    one_x = FEMALE[:-1]
    draft, taken = chosen([*one_x, "X"], np.array([SURE] * 45 + [-9.0]), {(0, 1): -0.5})
    assert draft == "45,X"
    assert taken == [True] * 45 + [False]


def test_a_sure_chromosome_of_no_class_is_counted() -> None:
    scores = evidence(MALE)
    odd = np.full((1, 24), np.log(1 / 24))
    found = Plausible(np.array([SURE] * 46 + [12.0]), np.array([[0, 46]]), np.array([-0.5]))
    choice = choose(np.vstack([scores, odd]), np.full(47, 100.0), assign=True, aneuploidy_cost=COST, plausible=found)
    assert choice.classes[:46] == MALE
    assert choice.classes[46] is not None
    plain = Costs(COST, 3.0, -1.0)
    taken, placed = select(np.vstack([scores, odd]), found.certain, found.pairs, found.together, plain)
    assert taken[46]
    assert placed[46] == -1


def test_the_best_of_all_sets_is_found() -> None:
    """Against every set and naming of five candidates: the programme's is as good as the best."""
    rng = np.random.default_rng(4)
    costs = Costs(2.0, 1.0, 3.0)
    two = [CLASSES.index("X"), CLASSES.index("Y")]
    for _ in range(20):
        scores = np.full((5, 24), -30.0)
        scores[:, two] = np.log(rng.dirichlet([1, 1], 5))
        odds = rng.normal(0, 2, 5)
        pairs = np.array([[0, 1], [1, 2], [0, 2], [3, 4]])
        together = -rng.exponential(4, 4)

        def worth(placed: tuple[int, ...], scores=scores, odds=odds, pairs=pairs, together=together) -> float:
            """Places: -2 left out, -1 no class, else a class."""
            taken = np.array(placed) > -2
            value = odds[taken].sum() - costs.marker * placed.count(-1)
            value += sum(scores[i, place] + costs.leaving_out for i, place in enumerate(placed) if place >= 0)
            value += sum(extra for (a, b), extra in zip(pairs, together, strict=True) if taken[a] and taken[b])
            x, y = placed.count(two[0]), placed.count(two[1])
            return value - costs.aneuploidy * (44 + min(abs(x - 2) + y, abs(x - 1) + abs(y - 1)))

        best = max(worth(placed) for placed in product([-2, -1, *two], repeat=5))
        taken, placed = select(scores, odds, pairs, together, costs)
        mine = tuple(int(place) if kept else -2 for kept, place in zip(taken, placed, strict=True))
        assert worth(mine) == pytest.approx(best, abs=0.06 * len(pairs))


def test_odds_beside_those_taken() -> None:
    found = Plausible(np.array([1.0, 2.0, 3.0]), np.array([[0, 1], [1, 2]]), np.array([-4.0, -0.5]))
    assert found.beside(np.array([True, False, True])) == pytest.approx([1.0, 2.0 - 4.0 - 0.5, 3.0])


def test_nothing_found_is_no_cell() -> None:
    taken, placed = select(np.zeros((0, 24)), np.zeros(0), np.zeros((0, 2), int), np.zeros(0), Costs(3, 3, 5))
    assert (len(taken), len(placed)) == (0, 0)


def test_a_draft_is_the_less_probable_the_more_speaks_against_it() -> None:
    margins, gains = np.full(46, 20.0), np.array([-20.0])
    clear = measure(margins, gains, MALE)
    assert clear == pytest.approx([0, 0, 0], abs=1e-6)
    assert measure(margins, np.array([0.0]), MALE)[1] == pytest.approx(np.log(2))
    assert [measure(margins, gains, names)[2] for names in (FEMALE, [*MALE, "21"], FEMALE[:-1])] == [0, 1, 1]
    assert measure(margins, gains, [*MALE, UNASSIGNED])[2] == 1
    trusted = Trust.of(dict(zip(THRESHOLDS, (-1.0, -1.0, -1.0, 3.0), strict=True)))
    sure = trusted.probability(margins, gains, MALE)
    assert sure == pytest.approx(1 / (1 + np.exp(-3)))
    unsure = trusted.probability(np.r_[margins[:-1], 0.0], gains, MALE)
    assert sure is not None
    assert unsure is not None
    assert unsure < sure
    assert Trust.of({}).probability(margins, gains, MALE) is None
    assert trusted.probability(np.zeros(0), np.zeros(0), []) is None

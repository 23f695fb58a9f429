"""What several cells say together: evidence of each, the modal karyotype and its probability."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from drawn.karyotype import CLASSES, karyotype

from cellscope.assays.karyotype.cell.clones import summarise
from cellscope.assays.karyotype.cell.evidence import MOST, as_text, best_copies, from_text, of_draft, weigh_copies
from cellscope.assays.karyotype.cell.modal import modal_karyotype, posterior
from cellscope.io.write import write_csv


def copies(sex="XX", spare=-5.0, there=6.0, **more):
    """Values of a cell: `there` for the copies of a normal one, `spare` for the next; `more` of third copies."""
    made = np.full((24, 3), spare)
    made[:22, :2] = there
    made[CLASSES.index("X"), : sex.count("X")] = there
    made[CLASSES.index("Y"), : sex.count("Y")] = there
    for name, value in more.items():
        made[CLASSES.index(name.removeprefix("c")), 2] = value
    return made


def cells(*made):
    return [from_text(as_text(weigh_copies(one))) for one in made]


@pytest.mark.parametrize("sex", ["XX", "XY"])
def test_normal_cells_are_normal(sex):
    found = modal_karyotype(cells(*[copies(sex)] * 5))
    assert found.karyotype == f"46,{sex}"
    assert 0.95 < found.probability <= 1.0


def test_a_gain_too_weak_for_any_draft_is_found_in_ten_cells():
    """Half of the cells show nothing, and none is sure."""
    shown, hidden = copies(c21=1.5), copies(c21=-3.0)
    assert modal_karyotype(cells(shown)).karyotype == "46,XX"
    found = modal_karyotype(cells(*[shown] * 7, *[hidden] * 3))
    assert found.karyotype == "47,XX,+21"
    few = modal_karyotype(cells(*[shown] * 2, *[hidden] * 8))
    assert few.karyotype == "46,XX"


def test_cells_that_miss_a_gain_altogether_do_not_hide_it():
    """A third of the cells say with all their weight that there is none: an outline was lost there."""
    shown, lost = copies(c13=6.0), copies(spare=-30.0)
    assert modal_karyotype(cells(*[shown] * 7, *[lost] * 3)).karyotype == "47,XX,+13"


@pytest.mark.parametrize(
    ("sex", "karyotype_"), [("X", "45,X"), ("XXX", "47,XXX"), ("XXY", "47,XXY"), ("XYY", "47,XYY")]
)
def test_sex_chromosomes(sex, karyotype_):
    assert modal_karyotype(cells(*[copies(sex)] * 6)).karyotype == karyotype_


def test_two_lines_are_a_mosaic_and_one_copy_less_a_loss():
    lost = copies()
    lost[CLASSES.index("7"), 1] = -5.0
    assert modal_karyotype(cells(*[lost] * 6)).karyotype == "45,XX,-7"
    gained = copies(c8=6.0)
    found = modal_karyotype(cells(*[gained] * 6, *[copies(spare=-9.0)] * 14))
    assert found.karyotype == "mos 47,XX,+8/46,XX"


def test_probabilities_are_of_all_that_is_compared():
    said = {name: np.array([one[name] for one in cells(copies(), copies(c21=2.0))]) for name in cells(copies())[0]}
    found = posterior(said)
    assert sum(found.values()) == pytest.approx(1.0)
    # 2 sexes: normal, 44 changes of autosomes and 5 of sex chromosomes, all but 45,X once, and mosaic
    assert len(found) == 2 + 2 * 88 + 4 + 5
    assert modal_karyotype([]) is None


def test_no_cell_says_more_than_the_most():
    found = weigh_copies(copies(c21=1e6))
    assert max(map(abs, found.values())) == MOST
    assert found["XX"] == 0.0


def test_what_a_table_holds_is_read_back(tmp_path):
    """Tables put an apostrophe before texts that begin with a sign."""
    said = weigh_copies(copies(c21=5.0))
    write_csv(tmp_path / "images.csv", pd.DataFrame({"image": ["a"], "evidence": [as_text(said)]}))
    found = from_text(pd.read_csv(tmp_path / "images.csv")["evidence"][0])
    assert found == pytest.approx(said, abs=0.06)


def test_what_may_be_a_copy():
    values = np.full((4, 24), -9.0)
    values[:, CLASSES.index("21")] = [5.0, 4.0, 3.0, 2.0]
    ranked = best_copies(values, ["21", "21", "22", None])
    assert ranked[CLASSES.index("21")].tolist() == [5.0, 4.0, 2.0]  # what was called a 22 is none


def test_corrected_cells_count_by_their_draft():
    trisomy = of_draft([*karyotype("XY"), "21"], corrected=True)
    assert modal_karyotype([trisomy] * 3).karyotype == "47,XY,+21"
    guessed = of_draft([*karyotype("XY"), "21"], corrected=False)
    assert trisomy["+21"] > guessed["+21"] > 0 > guessed["+13"] > trisomy["+13"]


def test_the_table_of_cases_has_it():
    made = {f"a{number}": karyotype("XX") for number in range(4)}
    rows = [{"image": name, "class": one, "review": False} for name, classes in made.items() for one in classes]
    images = pd.DataFrame({"image": list(made), "status": "ok", "kind": "metaphase", "iscn_draft": "46,XX"})
    images["evidence"] = as_text(weigh_copies(copies(c18=5.0)))
    images["group"] = "one"
    table = summarise(images, pd.DataFrame(rows), None, {}).tables["cases"]
    assert table["modal_karyotype"].tolist() == ["47,XX,+18"]
    assert table["mosaic_draft"].tolist() == ["46,XX[4]"]
    assert table["modal_probability"].iloc[0] > 0.9
    images["evidence"] = None
    without = summarise(images, pd.DataFrame(rows), None, {}).tables["cases"]
    assert without["modal_karyotype"].tolist() == ["46,XX"]

"""Clones, modal counts and mosaic drafts, worked by hand."""

from __future__ import annotations

import pandas as pd
import pytest
from drawn.karyotype import karyotype

from cellscope.assays.karyotype.cell.clones import CHANGES, CLONES, Change, analyse_case, excluded_mosaicism, summarise


def cells(**wanted: tuple[int, list[str]]) -> dict[str, list[str]]:
    """Name -> (how many, classes)."""
    return {f"{name}{number}": classes for name, (count, classes) in wanted.items() for number in range(count)}


def without(classes: list[str], *names: str) -> list[str]:
    left = list(classes)
    for name in names:
        left.remove(name)
    return left


def test_the_mosaic_of_the_textbook() -> None:
    case = analyse_case(cells(a=(5, [*karyotype("XX"), "21"]), b=(15, karyotype("XX"))))
    assert case.mosaic_draft == "mos 47,XX,+21[5]/46,XX[15]"
    assert (case.modal_count, case.counts, case.sex) == (46, {46: 15, 47: 5}, "XX")
    assert [len(names) for _, _, names in case.clones] == [5, 15]


@pytest.mark.parametrize(("count", "clonal"), [(1, False), (2, True)])
def test_a_gain_needs_two_cells(count: int, clonal: bool) -> None:
    case = analyse_case(cells(a=(count, [*karyotype("XY"), "8"]), b=(10, karyotype("XY"))))
    assert case.is_clonal(Change("8", 1)) is clonal
    assert case.mosaic_draft == (f"mos 47,XY,+8[{count}]/46,XY[10]" if clonal else "46,XY[10]")
    assert case.non_clonal == ([] if clonal else ["a0"])


@pytest.mark.parametrize(("count", "clonal"), [(1, False), (2, False), (3, True)])
def test_a_loss_needs_three_cells(count: int, clonal: bool) -> None:
    case = analyse_case(cells(a=(count, without(karyotype("XX"), "7")), b=(10, karyotype("XX"))))
    assert case.is_clonal(Change("7", -1)) is clonal
    expected = f"mos 45,XX,-7[{count}]/46,XX[10]" if clonal else "46,XX[10]"
    assert case.mosaic_draft == expected
    assert len(case.non_clonal) == (0 if clonal else count)


def test_a_random_loss_does_not_leave_its_clone() -> None:
    trisomy = [*karyotype("XX"), "21"]
    case = analyse_case(cells(a=(4, trisomy), b=(1, without(trisomy, "9")), c=(6, karyotype("XX"))))
    assert case.mosaic_draft == "mos 47,XX,+21[5]/46,XX[6]"
    assert case.tally[Change("9", -1)] == ["b0"]
    assert not case.is_clonal(Change("9", -1))
    assert (case.non_clonal, case.departing) == ([], 1)


def test_a_case_without_a_clone_says_so() -> None:
    one = analyse_case({"a": [*karyotype("XY"), "19", "22"]})
    assert one.mosaic_draft == "no clone; 0 of 1 cells read as 46,XY"
    apart = {name: [*karyotype("XY"), *gained] for name, gained in zip("abcd", ("1", "23", "456", "7"), strict=True)}
    case = analyse_case(apart)
    assert case.mosaic_draft == "no clone; 0 of 4 cells read as 46,XY"
    assert (case.clones, case.non_clonal, case.usable) == ([], [*"abcd"], 4)


def test_a_count_of_46_alone_is_not_normal() -> None:
    exchanged = [*without(karyotype("XX"), "5"), "6"]
    assert analyse_case({"a": exchanged}).mosaic_draft == "no clone; 0 of 1 cells read as 46,XX"


def test_sex_chromosomes() -> None:
    turner = analyse_case(cells(a=(8, karyotype("X")), b=(12, karyotype("XX"))))
    assert turner.mosaic_draft == "mos 45,X[8]/46,XX[12]"
    klinefelter = analyse_case(cells(a=(10, karyotype("XXY"))))
    assert klinefelter.mosaic_draft == "47,XXY[10]"
    lost = analyse_case(cells(a=(6, karyotype("X")), b=(5, karyotype("XY"))))
    assert (lost.sex, lost.mosaic_draft) == ("XY", "mos 45,X[6]/46,XY[5]")
    one_mistake = analyse_case(cells(a=(9, karyotype("XX")), b=(1, karyotype("XY"))))
    assert (one_mistake.sex, one_mistake.mosaic_draft) == ("XX", "46,XX[9]")


def test_incomplete_cells_count_chromosomes_but_make_no_clone() -> None:
    made = cells(a=(3, karyotype("XX")), b=(3, karyotype("XX")[:30]))
    case = analyse_case(made, ["b0", "b1", "b2"])
    assert case.mosaic_draft == "46,XX[3]"
    assert case.counts == {30: 3, 46: 3}
    assert case.modal_count == 46
    assert case.unusable == ["b0", "b1", "b2"]
    nothing = analyse_case({})
    assert (nothing.modal_count, nothing.mosaic_draft) == (None, "no clone; no usable cell")


def test_many_shared_changes_are_written_out() -> None:
    gained = [*karyotype("XX"), "1", "3", "5", "7", "9", "11"]
    assert analyse_case(cells(a=(2, gained))).mosaic_draft == "52,XX,+1,+3,+5,+7,+9,+11[2]"


def test_excluded_mosaicism_is_hooks() -> None:
    assert [round(excluded_mosaicism(n) or 0, 2) for n in (5, 10, 20, 30, 50)] == [0.45, 0.26, 0.14, 0.1, 0.06]
    assert excluded_mosaicism(0) is None
    # One-sided Clopper-Pearson limits, as tables give them: 1 of 20 and 2 of 30.
    assert (excluded_mosaicism(20, 1), excluded_mosaicism(30, 2)) == pytest.approx((0.2161, 0.1953), abs=1e-3)
    assert excluded_mosaicism(3, 3) is None


def tables(grouped: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    made = cells(a=(2, [*karyotype("XX"), "21"]), b=(4, karyotype("XX")))
    columns = {
        "image": [*made, "bad.tif"],
        "status": ["ok"] * 6 + ["failed"],
        "kind": ["metaphase"] * 6 + [""],
        "iscn_draft": ["47,XX,+21"] * 2 + ["46,XX"] * 4 + [""],
    }
    images = pd.DataFrame(columns)
    if grouped:
        images["group"] = ["one"] * 3 + ["two"] * 3 + ["two"]
    rows = [{"image": name, "class": one, "review": one == "1"} for name, classes in made.items() for one in classes]
    return images, pd.DataFrame(rows)


def test_the_tables_of_a_run() -> None:
    made = summarise(*tables(True), None, {})
    assert made.tables["cases"]["mosaic_draft"].tolist() == ["mos 47,XX,+21[2]/46,XX[1]", "46,XX[3]"]
    assert made.tables["cases"]["chromosomes_to_review"].tolist() == [6, 6]
    assert made.tables["cases"]["excluded_mosaicism"].tolist()[1] == pytest.approx(1 - 0.05 ** (1 / 3))
    assert list(made.tables["clones"]) == list(CLONES)
    assert made.tables["clones"]["cells"].tolist() == [2, 1, 3]
    assert list(made.tables["changes"]) == list(CHANGES)
    assert made.tables["changes"].to_dict("records") == [
        {"group": "one", "change": "+21", "cells": 2, "needed": 2, "clonal": True, "images": "a0;a1"}
    ]
    assert made.tables["cases"]["non_clonal_cells"].tolist() == [0, 0]
    assert len(made.warnings) == 1


def test_cells_in_no_clone_are_counted_and_told() -> None:
    images, objects = tables(True)
    objects = pd.concat([objects, pd.DataFrame([{"image": "b3", "class": "13", "review": False}])], ignore_index=True)
    made = summarise(images, objects, None, {})
    assert made.tables["cases"]["mosaic_draft"].tolist()[1] == "46,XX[2]"
    assert made.tables["cases"]["non_clonal_cells"].tolist() == [0, 1]
    assert made.tables["clones"]["share"].tolist()[-1] == pytest.approx(2 / 3)
    assert "1 cell is in no clone and not normal: too few share their changes (two 1)" in made.warnings[1]


def test_without_groups_there_is_nothing_to_say() -> None:
    made = summarise(*tables(False), None, {})
    assert (made.tables, made.warnings) == ({}, [])
    assert made.headline == [("cells 46,XX", 4), ("cells 47,XX,+21", 2)]


def test_the_headline_is_the_karyotype() -> None:
    images, objects = tables(False)
    assert summarise(images[:1], objects, None, {}).headline == [("draft karyotype", "47,XX,+21")]
    assert summarise(*tables(True), None, {}).headline == [
        ("case one", "mos 47,XX,+21[2]/46,XX[1]"), ("case two", "46,XX[3]")
    ]  # fmt: skip

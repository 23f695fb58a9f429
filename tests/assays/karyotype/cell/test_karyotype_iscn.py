"""ISCN: what is written right passes, what is written wrong is said; drafts are always right."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cellscope.assays.karyotype.cell.clones import analyse_case
from cellscope.assays.karyotype.cell.iscn import AUTOSOMES, draft_iscn
from cellscope.assays.karyotype.cell.iscn_check import check_iscn
from cellscope.assays.karyotype.classes import CLASSES
from cellscope.cli.root import app

RIGHT = [
    "46,XX", "46,XY", "45,X", "47,XXY", "47,XYY", "48,XXXX", "49,XXXXY", "47,XX,+21", "47,XY,+21", "48,XY,+18,+21",
    "45,XY,-7", "46,XX,+8,-21", "45,X,-Y", "45,X,-X", "47,XX,+X", "48,XXY,+21", "48,XXYc,+21", "48,XX,+8,+21c",
    "46,XX[20]", "mos 45,X[4]/46,XX[16]", "mos 47,XX,+21[12]/46,XX[8]", "mos 47,XXX[10]/45,X[5]/46,XX[5]",
    "45,X/46,XX", "chi 46,XX[25]/46,XY[10]", "47,XX,+mar", "48,XX,+2mar", "47~49,XX,+1~3mar", "47,XX,+r",
    "46,XY,3dmin", "46,XX,t(9;22)(q34;q11.2)", "46,Y,t(X;1)(p11.2;q21)", "46,X,t(X;1)(p11.2;q21)",
    "46,t(X;Y)(p22;q11.2)", "46,X,inv(X)(p22q13)", "46,XX,inv(9)(p12q13)", "46,XX,del(5)(p15.2)",
    "46,XX,del(5)(q13q33)", "45,XX,rob(14;21)(q10;q10)", "46,XX,rob(14;21)(q10;q10),+21", "45,XY,der(13;14)(q10;q10)",
    "46,XY,+1,der(1;7)(q10;p10)", "46,X,i(X)(q10)", "46,X,idic(Y)(q11.2)", "45,XX,dic(13;15)(q22;q24)",
    "45,XX,t(9;22)(q34;q11.2),-der(22)t(9;22)(q34;q11.2)",
    "47,XY,+der(22)t(11;22)(q23;q11.2)", "46,XX,der(9)t(9;22)(q34;q11.2)", "46,XX,r(20)(p13q13.3)", "46,XX,9qh+",
    "46,XY,21pstk+", "69,XXX", "69,XXY", "70,XXX,+8", "92,XXXX", "23,X", "26,X,+4,+6,+21",
    "58<2n>,XY,+1,+2,+3,+4,+5,+6,+7,+8,+9,+10,+11,+12", "46,XX,t(9;22)(q34;q11.2)[3]/47,idem,+8[17]",
    "46,XX,t(9;22)(q34;q11.2)[3]/48,sl,+8,+9[5]/46,XX[12]", "45~48,XX,del(3)(p12),-5,+8,+11[cp7]", "60,XXX,inc",
    "44,?", "46,U", "47,XX,?+8", "49,XY,+8x3", "46,XX,add(19)(p13)", "46,XX,ins(5;2)(p14;q22q32)", "46,X,+Y",
    "46,XY,upd(15)(?)", "45,Y,-X",
]  # fmt: skip
WRONG = {
    "46,XY,+21": "the total is 46, but the sex chromosomes and changes make 47",
    "47,XX": "the total is 47, but the sex chromosomes and changes make 46",
    "46,X": "make 45",
    "47,XX,+21,+21": "make 48",
    "46,XY,-7": "make 45",
    "46,X,-Y": "make 45",
    "45,XY,-Y": "make 46",
    "46,XX,rob(14;21)(q10;q10)": "make 45",
    "45,XX,t(9;22)(q34;q11.2)": "make 46",
    "46,XX,+mar": "make 47",
    "46~47,XX,+2mar": "make 48",
    "46,XX,i(X)(q10)": "make 47",
    "46,X,del(8)(q22)": "make 45",
    "70,XXX": "make 69 at 3n",
    "46,YX": "X stands before Y",
    "46,YY": "there is no X",
    "46": "the sex chromosomes are missing",
    "46,": "make 44",
    "46XX": "it begins with the number of chromosomes, not '46XX'",
    "XX,46": "it begins with the number of chromosomes, not 'XX'",
    "46,ZZ": "'ZZ' are no sex chromosomes",
    "48,XX,+21,+18": "+18 stands before +21",
    "48,XX,+21,+X": "+X stands before +21",
    "48,XX,+mar,+21": "+21 stands before +mar",
    "47,XX,del(8)(q22),+8": "+8 stands before del(8)(q22)",
    "46,XX,t(22;9)(q11.2;q34)": "9 stands first",
    "46,XY,t(1;X)(q21;p11.2)": "X stands first",
    "46,XX,+8,-8": "8 is both gained and lost",
    "47,XX,inc,+21": "inc stands last",
    "47,XX,+23": "+23",
    "47,XX,21": "21 has no + or -",
    "47,XX,+": "names no chromosome",
    "47,XX,mar": "mar is additional: +mar",
    "46,XX,trans(9;22)": "'trans(9;22)' is not known",
    "46,XX,t(9;22)(q34;q11.2": "a parenthesis is not closed",
    "46,XX,t(9;22)()": "a parenthesis is empty",
    "46,XX,t(9;25)(q34;q11)": "'25' is no chromosome",
    "46,XX,t(9;22)(34;q11)": "'34' is no breakpoint",
    "46,XX ,+21": "no blank stands within a karyotype",
    "47, XX, +21": "no blank stands within a karyotype",
    "mos 46,XX[20]": "mos is written for two or more clones",
    "mos45,X[4]/46,XX[16]": "one space stands between mos and the karyotype",
    "mos 45,X/46,XX": "every clone has its number of cells in square brackets",
    "mos 45,X[4]/46,XX": "every clone has its number of cells in square brackets",
    "mos 46,XX[16]/45,X[4]": "the normal clone stands last",
    "mos 45,X[2]/47,XXX[7]/46,XX[11]": "clones of a mosaic stand by size, the largest first",
    "45,X[4]/45,X[3]": "45,X is written twice",
    "46,XX[0]": "a clone has at least one cell",
    "46,XX[n]": "cells are written [n] at the end of the clone",
    "46,XX[20],+21": "cells are written [n] at the end of the clone",
    "45,X[4]/": "a karyotype is missing beside a /",
    "47,idem,+8": "idem needs a clone before it",
    "46,XX,t(9;22)(q34;q11.2)[3]/47,idem,+8,+19[17]": "make 48",
    "48~46,XX,+8": "runs from more to less",
    "": "there is no karyotype",
}


@pytest.mark.parametrize("text", RIGHT)
def test_right(text: str) -> None:
    assert check_iscn(text) == []


@pytest.mark.parametrize("text", WRONG)
def test_wrong(text: str) -> None:
    said = check_iscn(text)
    assert any(WRONG[text] in fault for fault in said), said


@given(st.lists(st.sampled_from([*CLASSES, "unassigned"]), min_size=1, max_size=60))
def test_every_draft_is_right(classes: list[str]) -> None:
    text = draft_iscn(classes)
    assert [fault for fault in check_iscn(text) if "there is no X" not in fault] == [], text


@given(st.dictionaries(st.sampled_from(AUTOSOMES), st.integers(-2, 9)), st.sampled_from(["X", "XX", "XXY", "XY"]))
def test_every_clone_is_right(changes: dict[str, int], sex: str) -> None:
    counts = Counter({name: max(0, 2 + changes.get(name, 0)) for name in AUTOSOMES}) + Counter(sex)
    text = draft_iscn(counts.elements(), most=None)
    assert check_iscn(text) == [], text


def test_the_draft_of_a_case_is_right() -> None:
    normal = [*AUTOSOMES] * 2 + ["X", "X"]
    cells = {f"n{number}": normal for number in range(7)}
    cells |= {f"t{number}": [*normal, "21"] for number in range(3)}
    cells |= {f"m{number}": normal[:-1] for number in range(5)}
    text = analyse_case(cells).mosaic_draft
    assert text == "mos 45,X[5]/47,XX,+21[3]/46,XX[7]"
    assert check_iscn(text) == []


def test_the_command() -> None:
    result = CliRunner().invoke(app, ["karyotype", "iscn", "47,XX,+21", "46,XY,+21"])
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "47,XX,+21: right",
        "46,XY,+21: the total is 46, but the sex chromosomes and changes make 47",
    ]
    assert CliRunner().invoke(app, ["karyotype", "iscn", "mos 45,X[4]/46,XX[16]"]).exit_code == 0

import base64
import hashlib
import re
from html.parser import HTMLParser
from importlib import resources

import numpy as np
import pandas as pd
import pytest

from cellscope.report.page import MAX_CELLS, Card, Table, render, write_report
from cellscope.report.values import MAX_ENTRIES, format_value, label_of, tree_node

NASTY = "<script>alert(\"x\")</script><img src=x onerror=alert(1)> & 'odd'.tif"


class Page(HTMLParser):
    """Every start tag with its attributes, and all text by the tag that holds it."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.open = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "input", "path"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("path",):
            assert self.open.pop() == tag, f"badly nested {tag}"

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]

    def text(self, tag):
        return [data for name, data in self.texts if name == tag]


def everything(tmp_path=None):
    figure = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    cards = [
        Card(NASTY, [(NASTY, figure)], [(NASTY, NASTY)], [NASTY], NASTY),
        Card("plain.tif", [("overlay", figure[..., 0]), ("karyogram", figure)], [("n", 46), ("ok", True)], [], "plain"),
    ]
    frame = pd.DataFrame({"image": [NASTY, "plain.tif"], "score": [0.123456789, np.nan], NASTY: [NASTY, None]})
    return {
        "title": NASTY,
        "subtitle": NASTY,
        "summary": [(NASTY, NASTY), ("images", 2)],
        "cards": cards,
        "tables": [Table(NASTY, frame, NASTY), Table("again", frame)],
        "warnings": [NASTY],
        "provenance": {NASTY: NASTY, "argv": ["cellscope", NASTY], "models": [{"sha256": NASTY}, {"x": [1, 2]}]},
        "notes": [NASTY],
    }


@pytest.fixture(scope="module")
def text():
    return render(**everything())


def test_all_that_comes_from_outside_is_escaped(text):
    page = Page(text)
    assert not page.open
    assert len(page.all("script")) == 1
    assert not [attrs for _, attrs in page.tags if any(name.startswith("on") for name in attrs)]
    assert all(attrs["src"].startswith("data:image/") for attrs in page.all("img") if "src" in attrs)
    # Escaped, not lost: it is there word for word wherever it was given.
    for tag in ("title", "h1", "h3", "li", "figcaption", "dt", "dd", "button", "td", "h2", "a"):
        assert any(NASTY in data for data in page.text(tag)), tag


def test_the_page_loads_nothing_and_its_policy_says_so(text):
    page = Page(text)
    for tag, attrs in page.tags:
        for name in ("src", "href", "data", "srcset", "poster", "action"):
            value = attrs.get(name)
            assert value is None or value.startswith(("data:", "#", "./")), (tag, name, value)
    assert not re.search(r"url\(|@import|https?://", page.text("style")[0])
    assert not re.search(r"https?://|fetch\(|XMLHttp|import\(|innerHTML|eval\(", page.text("script")[0])
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(page.text(tag)[0].encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"
    assert not [attrs for _, attrs in page.tags if "style" in attrs]  # the policy would drop them


def test_the_page_can_be_used_with_a_keyboard_and_a_screen_reader(text):
    page = Page(text)
    assert page.all("html")[0]["lang"] == "en"
    ids = [attrs["id"] for _, attrs in page.tags if attrs.get("id")]
    assert len(set(ids)) == len(ids)
    for attrs in page.all("a"):
        if attrs.get("href", "").startswith("#"):
            assert attrs["href"][1:] in ids
    for _, attrs in page.tags:
        assert attrs.get("aria-labelledby", ids[0]) in ids
    assert page.all("a")[0] == {"class": "skip", "href": "#content"}
    assert all(attrs.get("aria-label") for attrs in page.all("input") if attrs["type"] == "search")
    assert all("alt" in attrs for attrs in page.all("img"))
    heads = [attrs for attrs in page.all("th") if attrs["scope"] == "col"]
    assert len(heads) == 6
    assert {attrs["aria-sort"] for attrs in heads} == {"none"}
    buttons = page.all("button")
    assert all(attrs["type"] == "button" for attrs in buttons)
    assert sum(attrs["class"] == "sort" for attrs in buttons) == 6
    assert sum(attrs["class"] == "zoom" for attrs in buttons) == 3
    assert all(attrs["tabindex"] == "0" for attrs in page.all("div") if attrs.get("role") == "region")
    assert len(page.all("dialog")) == 1


def test_the_page_says_what_it_is_not_for(text):
    assert "Research use only" in text
    assert "never a diagnosis" in text


def test_figures_have_their_size(text):
    sizes = [(a["width"], a["height"]) for a in Page(text).all("img") if "src" in a]
    assert sizes == [("240", "180")] * 3


def test_tables_keep_exact_numbers_and_link_to_cards():
    frame = pd.DataFrame(
        {"image": ["a.tif", "b.tif"], "x": [1 / 3, 0.5], "n": [12345678, 2], "flag": [True, False], "t": ["7", None]}
    )
    page = Page(render(title="t", cards=[Card("b.tif", anchor="image b!")], tables=[Table("T", frame)]))
    cells = page.all("td")
    assert cells[0] == {"class": "number", "data-v": repr(1 / 3)}
    assert cells[4] == {"class": "number"}  # 0.5 is shown in full
    assert list(page.text("td")) == ["0.3333", "12345678", "yes", "7", "0.5", "2", "no"]
    assert [a["href"] for a in page.all("a") if a.get("href") == "#image-b"] == ["#image-b"]
    assert [a.get("class") for a in page.all("th")] == [None, "number", "number", None, None, None, None]


def test_a_long_table_is_cut_with_a_note():
    frame = pd.DataFrame(np.zeros((MAX_CELLS // 10 + 5, 10), int))
    text = render(title="t", tables=[Table("T", frame)])
    assert text.count("<tr>") == 1 + MAX_CELLS // 10
    assert f"The first {MAX_CELLS // 10} of {len(frame)} rows are shown" in text
    assert "are shown" not in render(title="t", tables=[Table("T", frame.head(20))])
    assert "<table>" in render(title="t", tables=[Table("T", pd.DataFrame())])


def test_figures_given_as_files_are_linked_when_they_lie_below_the_page(tmp_path):
    from PIL import Image

    out = tmp_path / "out"
    names = ["sub dir/a?#.png", "javascript:alert(1).png", "ä.png"]
    for name in names:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 20), "red").save(out / name)
    Image.new("RGB", (30, 20)).save(tmp_path / "elsewhere.png")
    paths = [*(out / name for name in names), tmp_path / "elsewhere.png", out / "gone.png"]
    write_report(out / "report.html", title="t", cards=[Card("c", [("f", path) for path in paths])])
    page = Page((out / "report.html").read_text(encoding="utf-8"))
    links = [attrs.get("data-href") for attrs in page.all("button") if attrs.get("class") == "zoom"]
    assert links == ["./sub%20dir/a%3F%23.png", "./javascript%3Aalert%281%29.png", "./%C3%A4.png", None]
    assert any("No picture" in data and "gone.png" in data for data in page.text("p"))
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []


def test_the_same_arguments_give_the_same_bytes(tmp_path):
    write_report(tmp_path / "a.html", **everything())
    write_report(tmp_path / "b.html", **everything())
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_anchors_are_unique_and_names_that_are_not_text_survive():
    cards = [Card("a", anchor="x"), Card("b", anchor="x"), Card("c"), Card("d\udcff.tif", anchor="<>")]
    text = render(title="t", cards=cards)
    ids = [attrs["id"] for attrs in Page(text).all("article")]
    assert ids == ["x", "x-2", "card-3", "card-4"]
    assert "d?.tif" in text


def test_an_empty_report_is_a_page():
    page = Page(render(title="nothing"))
    assert page.text("h1") == ["nothing"]
    assert not page.all("section")


@pytest.mark.parametrize(
    ("figures", "layout"), [([(90, 90)], "small"), ([(600, 800)], "medium"), ([(90, 90), (90, 90)], "wide")]
)
def test_the_layout_follows_the_figures(figures, layout):
    card = Card("c", [("", np.random.default_rng(0).integers(0, 255, size, np.uint8)) for size in figures])
    assert f'class="cards {layout}"' in render(title="t", cards=[card])


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (pd.NA, "–"),
        (float("inf"), "∞"),
        (-np.inf, "−∞"),
        (True, "yes"),
        (np.False_, "no"),
        (3, "3"),
        (np.int64(123456789), "123456789"),
        (0.123456, "0.1235"),
        (np.float32(0.5), "0.5"),
        (123456.7, "123457"),
        (1.5e-7, "1.5e-07"),
        (0.0, "0"),
        ([1, 0.25, "x"], "1, 0.25, x"),
        ({"a": 1}, "a: 1"),
        ([], "–"),
        ("text", "text"),
    ],
)
def test_values_are_written_for_people(value, shown):
    assert format_value(value) == shown


def test_provenance_keeps_precision_quotes_the_command_and_cuts_long_lists():
    assert tree_node("argv", ["cellscope", "a b.tif"])["text"] == "cellscope 'a b.tif'"
    assert tree_node("learning_rate", 0.000123456789)["text"] == "0.000123456789"
    assert tree_node("x", float("nan"))["text"] == "–"
    tree = tree_node("inputs", [{"image": str(number)} for number in range(MAX_ENTRIES + 3)])
    assert len(tree["children"]) == MAX_ENTRIES + 1
    assert tree["children"][-1]["text"] == "and 3 more"
    assert tree_node("list", list(range(MAX_ENTRIES + 2)))["text"].endswith("and 2 more")


def test_style_script_and_template_are_installed_with_the_package():
    files = {entry.name for entry in resources.files("cellscope.report").iterdir()}
    assert {"style.css", "script.js", "template.html.j2"} <= files


def test_empty_columns_are_left_out_and_named():
    frame = pd.DataFrame({"image": ["a", "b"], "area_um2": [np.nan, np.nan], "axis_major_length": [1.0, 2.0]})
    page = Page(render(**everything() | {"tables": [Table("T", frame, total=90)]}))
    heads = [attrs["title"] for attrs in page.all("button") if attrs.get("class") == "sort"]
    assert heads == ["image", "axis_major_length"]
    assert "length" in page.text("button")
    assert any("Empty, not shown: area_um2" in text for text in page.text("p"))
    assert "90" in page.text("span")
    none = Page(render(**everything() | {"tables": [Table("T", frame[:0])]}))
    assert len([attrs for attrs in none.all("button") if attrs.get("class") == "sort"]) == 3


def test_what_people_look_at_first_stands_first_and_probabilities_are_folded():
    columns = ("image", "label", "class", "score", "review", "p_a", "p_b", "bbox-0", "solidity", "area", "reasons")
    frame = pd.DataFrame({name: ["x" if name in ("image", "reasons") else 1] * 2 for name in columns})
    text = render(title="t", tables=[Table("Objects", frame), Table("Other", frame[["p_a", "label"]])])
    heads = [re.findall(r'title="([^"]+)">', part) for part in re.findall(r"<thead>.*?</thead>", text)]
    assert heads == [
        ["image", "label", "class", "score", "review", "reasons", "area", "solidity", "p_a", "p_b", "bbox-0"],
        ["label", "p_a"],
    ]
    first = re.search(r"<thead>.*?</thead>", text)[0]
    assert [re.search(r'title="([^"]+)"', head)[1] for head in re.findall(r'<th [^>]*fold".*?</th>', first)] == [
        "p_a", "p_b", "bbox-0",
    ]  # fmt: skip
    assert text.count('<td class="number fold"') == 2 * 3 + 2 * 1
    assert "Probabilities and boxes (3 columns)" in text


def test_beyond_fifty_images_there_are_pages():
    text = render(title="t", cards=[Card(f"{number}.tif") for number in range(120)])
    assert text.count('class="card later"') == 70
    assert text.count('class="pager') == 2
    assert 'class="pager' not in render(title="t", cards=[Card(f"{number}.tif") for number in range(50)])


def test_labels_for_raw_names():
    names = ("axis_major_length_um", "n_spindle", "p_X", "density_per_mm2", "area_mm2", "centroid-0", "score", "_um")
    assert [label_of(name) for name in names] == [
        "length (µm)", "spindle (number)", "probability of X", "density per mm²", "area (mm²)", "row", "score", " um"
    ]  # fmt: skip

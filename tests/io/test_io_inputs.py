"""Which images a command line means, and their names."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cellscope.errors import UsageError
from cellscope.io.inputs import Input, check_collisions, resolve_inputs, stem

SUFFIXES = frozenset({".tif", ".png"})


@pytest.fixture
def tree(tmp_path):
    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return make


def images(*arguments, **options):
    return [item.image for item in resolve_inputs([str(a) for a in arguments], SUFFIXES, **options)]


def test_file_given_directly_has_its_name(tree):
    root = tree("deep/down/a.tif")
    (found,) = resolve_inputs([str(root / "deep" / "down" / "a.tif")], SUFFIXES)
    assert found == Input(root / "deep" / "down" / "a.tif", "a.tif")


def test_file_given_directly_may_have_any_suffix(tree):
    root = tree("a.czi", ".hidden.tif", "a.overlay.png")
    assert images(root / "a.czi") == ["a.czi"]
    assert images(root / ".hidden.tif") == [".hidden.tif"]
    assert images(root / "a.overlay.png") == ["a.overlay.png"]


def test_folder_is_searched_recursively_for_the_suffixes(tree):
    root = tree("x/b.TIF", "x/y/c.png", "a.tif", "notes.txt", "d.jpg", "tif", "e.tif.gz")
    assert images(root) == ["a.tif", "x/b.TIF", "x/y/c.png"]
    assert [item.path for item in resolve_inputs([str(root)], SUFFIXES)] == [
        root / "a.tif",
        root / "x/b.TIF",
        root / "x/y/c.png",
    ]


def test_several_arguments_are_named_from_their_deepest_common_folder(tree):
    root = tree("day1/a.tif", "day2/p/b.tif", "day2/c.tif")
    assert images(root / "day1", root / "day2") == ["day1/a.tif", "day2/c.tif", "day2/p/b.tif"]
    assert images(root / "day2/p/b.tif", root / "day2/c.tif") == ["c.tif", "p/b.tif"]
    assert images(root / "day1/a.tif", root / "day2") == ["day1/a.tif", "day2/c.tif", "day2/p/b.tif"]
    assert images(root / "day2", root / "day2/p") == ["c.tif", "p/b.tif"]
    assert images(root / "day2", root / "day2/p/b.tif") == ["c.tif", "p/b.tif"]


def test_duplicates_are_removed(tree, monkeypatch):
    root = tree("d/a.tif", "d/b.tif")
    assert images(root / "d", root / "d", root / "d/a.tif") == ["a.tif", "b.tif"]
    assert images(root / "d/a.tif", root / "d/../d/a.tif") == ["a.tif"]
    monkeypatch.chdir(root)
    assert images("d", root / "d") == ["a.tif", "b.tif"]


def test_relative_arguments(tree, monkeypatch):
    root = tree("d/a.tif", "d/e/b.tif", "c.tif")
    monkeypatch.chdir(root / "d")
    assert images(".") == ["a.tif", "e/b.tif"]
    assert images("..") == ["c.tif", "d/a.tif", "d/e/b.tif"]
    assert images("../c.tif", "a.tif") == ["c.tif", "d/a.tif"]
    assert images("../c.tif") == ["c.tif"]
    assert resolve_inputs(["e"], SUFFIXES)[0].path == Path("e/b.tif")


def test_natural_order(tree):
    root = tree("a10.tif", "a2.tif", "A1.tif", "b/1.tif", "b/01.tif", "z.tif", "a2.png", "b1/x.tif")
    assert images(root) == ["A1.tif", "a2.png", "a2.tif", "a10.tif", "b/01.tif", "b/1.tif", "b1/x.tif", "z.tif"]


def test_limit_keeps_the_first(tree):
    root = tree("a10.tif", "a2.tif", "a1.tif")
    assert images(root, limit=2) == ["a1.tif", "a2.tif"]
    assert len(images(root, limit=9)) == 3


def test_hidden_files_and_own_results_are_left_out(tree):
    results = [".labels.tif", ".cells.tif", ".micronuclei.tif", ".overlay.png", ".karyogram.png", ".filmstrip.png"]
    root = tree(".a.tif", ".git/b.tif", "._c.tif", "d.tif", *(f"out/d{suffix}" for suffix in results))
    tree("run/run.json", "run/curves.png", "mine/curves.png", "eval/eval.json", "eval/figures/f.png", "figures/f.png")
    assert images(root) == ["d.tif", "figures/f.png", "mine/curves.png"]
    assert images(root / ".git") == ["b.tif"]


def test_list(tree):
    root = tree("data/a.tif", "data/sub/b.tif", "c.png")
    (root / "data" / "list.txt").write_bytes(
        "\ufeff# a comment\r\n\r\na.tif\r\n  sub \n   # another\n../c.png\na.tif\n".encode()
    )
    assert images(f"@{root / 'data' / 'list.txt'}") == ["c.png", "data/a.tif", "data/sub/b.tif"]
    (root / "one.txt").write_text(f"{root / 'data' / 'sub' / 'b.tif'}\n")
    assert images(f"@{root / 'one.txt'}") == ["b.tif"]
    assert images(f"@{root / 'one.txt'}", root / "data" / "a.tif") == ["a.tif", "sub/b.tif"]


def test_list_that_is_wrong(tree):
    root = tree("a.tif")
    (root / "list.txt").write_text("a.tif\n\nmissing.tif\n")
    with pytest.raises(UsageError, match=r"list\.txt, line 3: missing\.tif: no such file"):
        images(f"@{root / 'list.txt'}")
    with pytest.raises(UsageError, match=r"gone\.txt: the list of inputs cannot be read"):
        images(f"@{root / 'gone.txt'}")
    with pytest.raises(UsageError, match="cannot be read"):
        images(f"@{root}")
    (root / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not UTF-8"):
        images(f"@{root / 'binary.txt'}")
    (root / "empty.txt").write_text("# nothing\n")
    with pytest.raises(UsageError, match=r"no images found in @.*empty\.txt"):
        images(f"@{root / 'empty.txt'}")


def test_nothing_found_says_what_was_searched(tree):
    root = tree("x/notes.txt")
    with pytest.raises(UsageError) as caught:
        images(root / "x", glob="*.tif")
    message = str(caught.value)
    assert str(root / "x") in message
    assert ".png, .tif" in message
    assert "--glob '*.tif'" in message
    with pytest.raises(UsageError, match="no inputs given"):
        images()


@pytest.mark.parametrize("name", ["gone.tif", "a.tif/b.tif", "bad\0name"])
def test_missing_file_is_a_usage_error(tree, name):
    root = tree("a.tif")
    with pytest.raises(UsageError) as caught:
        images(root / "a.tif", root / name)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_glob_narrows_folders_only(tree):
    root = tree("a.tif", "images/b.tif", "images/b.png", "p/images/c.tif", "p/masks/c.tif", "p/images/q/d.tif")
    assert images(root, glob="*.tif") == ["a.tif"]
    assert images(root, glob="**/images/*.tif") == ["images/b.tif", "p/images/c.tif"]
    assert images(root, glob="**/images/**/*.tif") == ["images/b.tif", "p/images/c.tif", "p/images/q/d.tif"]
    assert images(root, glob="*/*/?.tif") == ["p/images/c.tif", "p/masks/c.tif"]
    assert images(root, glob="./images/[a-b].*") == ["images/b.png", "images/b.tif"]
    assert images(root / "p", root / "images", glob="*.png") == ["images/b.png"]
    assert images(root / "p", root / "a.tif", glob="masks/*") == ["a.tif", "p/masks/c.tif"]
    assert images(root, glob="**/*.tif") == images(root, glob="**/*[!g]")


@pytest.mark.parametrize("glob", ["", ".", "/abs/*.tif", "../*.tif", "a/../*.tif", "**.tif", "a**/b"])
def test_glob_that_is_not_valid(tree, glob):
    with pytest.raises(UsageError, match="--glob"):
        images(tree("a.tif"), glob=glob)


PART = st.text("ab1", min_size=1, max_size=2)
PATTERN = st.sampled_from(["**", "*", "a*", "?", "*1", "[ab]", "[!a]*", "b"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    paths=st.lists(st.lists(PART, min_size=1, max_size=4), min_size=1, max_size=12),
    pattern=st.lists(PATTERN, max_size=4),
    last=st.sampled_from(["*.tif", "a.tif", "?.tif", "*"]),
)
def test_glob_follows_pathlib(tmp_path_factory, paths, pattern, last):
    root = tmp_path_factory.mktemp("glob")
    for parts in paths:
        folder = root.joinpath(*parts[:-1])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{parts[-1]}.tif").touch()
    glob = "/".join([*pattern, last])
    expected = {path.relative_to(root).as_posix() for path in root.glob(glob) if path.is_file()}
    try:
        found = images(root, glob=glob)
    except UsageError:
        found = []
    assert set(found) == expected
    assert len(found) == len(expected)


def test_linked_folders_are_followed_once_and_loops_end(tree):
    root = tree("data/real/a.tif", "elsewhere/b.tif", "elsewhere/deep/c.tif", "above.tif")
    (root / "elsewhere" / "deep" / "back").symlink_to(root / "elsewhere")
    (root / "data" / "again").symlink_to(root / "data" / "real")
    (root / "data" / "real" / "loop").symlink_to(root / "data")
    (root / "data" / "up").symlink_to(root)
    (root / "data" / "other").symlink_to(root / "elsewhere")
    (root / "data" / "self").symlink_to(root / "data" / "self")
    assert images(root / "data") == ["other/b.tif", "other/deep/c.tif", "real/a.tif"]
    assert images(root / "data", glob="**/deep/*") == ["other/deep/c.tif"]
    assert images(root / "data" / "other") == ["b.tif", "deep/c.tif"]


def test_linked_files_are_inputs_of_their_own_and_broken_ones_are_not_lost(tree):
    root = tree("store/1.tif", "data/a.tif")
    (root / "data" / "b.tif").symlink_to(root / "store" / "1.tif")
    (root / "data" / "c.tif").symlink_to(root / "store" / "gone.tif")
    (root / "data" / "d.tif").symlink_to(root / "data" / "d.tif")
    assert images(root / "data") == ["a.tif", "b.tif", "c.tif", "d.tif"]


def test_no_folder_is_listed_twice(tree, monkeypatch):
    root = tree("data/a.tif", "elsewhere/p/b.tif")
    (root / "data" / "one").symlink_to(root / "elsewhere")
    (root / "data" / "two").symlink_to(root / "elsewhere")
    (root / "elsewhere" / "p" / "back").symlink_to(root / "elsewhere")
    listed = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(os.path.realpath(path)) or scandir(path))
    assert images(root / "data") == ["a.tif", "one/p/b.tif"]
    assert len(listed) == len(set(listed)) == 3


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_are_left_out(tree):
    root = tree("a.tif")
    os.mkfifo(root / "b.tif")
    assert images(root) == ["a.tif"]


def test_folder_that_cannot_be_searched_is_not_skipped_in_silence(tree, monkeypatch):
    root = tree("a.tif", "locked/b.tif")
    scandir = os.scandir

    def deny(path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", deny)
    with pytest.raises(UsageError, match=r"locked: the folder cannot be searched \(Permission denied\)"):
        images(root)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    paths=st.lists(st.lists(PART, min_size=1, max_size=4), min_size=1, max_size=8),
    chosen=st.lists(st.integers(0, 7), min_size=1, max_size=4),
    order=st.randoms(use_true_random=False),
)
def test_names_never_leave_and_do_not_depend_on_the_order_of_arguments(tmp_path_factory, paths, chosen, order):
    root = tmp_path_factory.mktemp("names")
    files = [root.joinpath(*parts[:-1], f"{parts[-1]}.tif") for parts in paths]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    arguments = [files[i % len(files)] if i % 2 else files[i % len(files)].parent for i in chosen]
    found = resolve_inputs([str(a) for a in arguments], SUFFIXES)
    base = found[0].path.parents[found[0].image.count("/")]
    for item in found:
        assert ".." not in item.image.split("/")
        assert (base / item.image).samefile(item.path)
    shuffled = list(arguments)
    order.shuffle(shuffled)
    again = resolve_inputs([str(a) for a in shuffled], SUFFIXES)
    assert [item.image for item in again] == [item.image for item in found]


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("a.tif", "a"),
        ("day1/a.tif", "day1/a"),
        ("day.1/a", "day.1/a"),
        ("a.ome.tif", "a.ome"),
        ("x/97002128.7.tiff", "x/97002128.7"),
        (".tif", ".tif"),
    ],
)
def test_stem(image, expected):
    assert stem(image) == expected


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("day1/a.tif", "day1/a.png"),
        ("a.tif", "A.tif"),
        ("Day/a.tif", "day/a.png"),
        ("caf\u00e9.tif", "cafe\u0301.tif"),
        ("stra\u00dfe.tif", "STRASSE.tif"),
    ],
)
def test_collisions_are_refused_by_name(first, second):
    inputs = [Input(Path(name), name) for name in ("x.tif", first, second)]
    with pytest.raises(UsageError) as caught:
        check_collisions(inputs)
    assert first in str(caught.value)
    assert second in str(caught.value)
    assert "more" not in str(caught.value)
    inputs += [Input(Path("x.png"), "x.png")]
    with pytest.raises(UsageError, match="and 1 more"):
        check_collisions(inputs)


def test_no_collision():
    names = ["a.tif", "b.tif", "day1/a.tif", "day2/a.tif", "a.ome.tif"]
    check_collisions([Input(Path(name), name) for name in names])


def test_finding_inputs_imports_nothing_heavy():
    code = (
        "import sys, cellscope.io.inputs; "
        "print([m for m in ('numpy', 'torch', 'cv2', 'pandas', 'tifffile', 'PIL') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"

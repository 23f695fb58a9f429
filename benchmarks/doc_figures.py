"""Make the figures of the documentation, by cellscope's own commands from drawn images and the example's metaphase.

    python benchmarks/doc_figures.py [NAME...]

Without a name all of them. Pictures of reports are taken in Chromium (selenium and its driver are needed). What is made
goes to ``docs/images``, with 256 colours at most. ``notebook`` needs nbconvert.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import tifffile
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
IMAGES = ROOT / "docs/images"
LARGEST = 150_000
"""Bytes of a picture."""
METAPHASE = ROOT / "examples/metaphase.tif"


def cellscope(*words: object) -> None:
    """Run a command."""
    print("cellscope", *words, flush=True)
    subprocess.run([sys.executable, "-m", "cellscope", *map(str, words), "-q"], check=True, stdout=subprocess.DEVNULL)


def keep(image: Image.Image, name: str, width: int = 900, *, rare: bool = True) -> None:
    """Write a picture, no wider than asked for, in as many colours and pixels as `LARGEST` allows.

    With `rare`, colours of few pixels stay, such as those of outlines; else the shades of pages.
    """
    method = Image.Quantize.MAXCOVERAGE if rare else Image.Quantize.MEDIANCUT
    image = image.convert("RGB")
    path = IMAGES / f"{name}.png"
    while True:
        if image.width > width:
            image = image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
        for colours in (256, 128, 64):
            image.quantize(colours, method, dither=Image.Dither.NONE).save(path, optimize=True)
            if path.stat().st_size <= LARGEST:
                print(path.relative_to(ROOT), path.stat().st_size // 1000, "kB", image.size, colours, "colours")
                return
        width = round(0.9 * image.width)


def write(path: Path, image: np.ndarray) -> Path:
    """Write an image (H, W, 3), red, green, blue."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image[..., ::-1])
    return path


def report(out: Path, name: str, query: str = "body", size: tuple[int, int] = (1100, 800)) -> None:
    """Take a picture of an element of a report."""
    from drawn.reviewing import chromium

    with chromium(*size) as driver:
        driver.get((out / "report.html").resolve().as_uri())
        found = driver.find_element("css selector", query)
        target = out / f"{name}.png"
        if query == "body":
            driver.save_screenshot(str(target))
        else:
            found.screenshot(str(target))
    keep(Image.open(target), name, rare=False)


def tissue(folder: Path) -> Path:
    """Draw a tile of tissue with two regions."""
    from drawn.histo import tissue as draw

    square = [[[20, 20], [240, 20], [240, 480], [20, 480], [20, 20]], [[300, 50], [490, 50], [490, 300], [300, 300]]]
    square[1].append(square[1][0])
    regions = [
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]},
         "properties": {"objectType": "annotation", "name": name}}
        for ring, name in zip(square, ("tumour", "stroma"), strict=True)
    ]  # fmt: skip
    (folder / "regions.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": regions}))
    return write(folder / "tissue.png", draw(99, 512, 160)[0])


def histo(folder: Path) -> None:
    """Show nuclei of two regions."""
    image = tissue(folder)
    cellscope("histo", "predict", image, "-o", folder / "out", "--roi", folder / "regions.geojson",
              "--pixel-size", 0.25, "--num-workers", 0)  # fmt: skip
    keep(Image.open(folder / "out/tissue.overlay.png"), "histo", 700)


def nuclei(folder: Path) -> None:
    """Show white cells of a smear."""
    from drawn.nucleus_seg import smear

    image = write(folder / "smear.png", smear(3, (360, 520), cells=8, radius=22)[0])
    cellscope("nucleus-seg", "predict", image, "-o", folder / "out", "--pixel-size", 0.2, "--num-workers", 0)
    keep(Image.open(folder / "out/smear.overlay.png"), "nucleus-seg", 800)


def micronuclei(folder: Path) -> None:
    """Show a field with micronuclei."""
    from drawn.micronucleus import draw_field

    chosen = ((1, 3), (), (2,), (4,), (1, 2), ())
    fields = [draw_field(seed, carriers).grey for seed, carriers in enumerate(chosen)]
    tifffile.imwrite(folder / "field.tif", np.block([fields[:3], fields[3:]]))
    cellscope("micronucleus", "predict", folder / "field.tif", "-o", folder / "out", "--input", "field",
              "--num-workers", 0)  # fmt: skip
    keep(Image.open(folder / "out/field.overlay.png"), "micronucleus", 900)


def mitosis(folder: Path) -> None:
    """Show a normal and an abnormal division."""
    from drawn.mitosis import division, write_composite

    for name, abnormal in (("normal", False), ("abnormal", True)):
        write_composite(folder / f"in/{name}.tif", division(7, abnormal=abnormal, side=48))
    cellscope("mitosis", "predict", folder / "in", "-o", folder / "out", "--num-workers", 0)
    strips = [Image.open(folder / f"out/{name}.filmstrip.png").convert("RGB") for name in ("normal", "abnormal")]
    both = Image.new("RGB", (max(one.width for one in strips), sum(one.height for one in strips) + 12), "white")
    both.paste(strips[0], (0, 0))
    both.paste(strips[1], (0, strips[0].height + 12))
    keep(both, "mitosis", 1000)


def karyotype(folder: Path) -> None:
    """Show the example, and the report of it."""
    cellscope("karyotype", "predict", METAPHASE, "-o", folder / "out", "--num-workers", 0)
    keep(Image.open(folder / "out/metaphase.overlay.png"), "karyotype-overlay", 640)
    report(folder / "out", "report", size=(1000, 900))


def unfamiliar(folder: Path) -> None:
    """Give tissue to the wrong assay."""
    image = tissue(folder)
    cellscope("karyotype", "predict", image, "-o", folder / "out", "--num-workers", 0)
    report(folder / "out", "unfamiliar", size=(1000, 1150))


def training(folder: Path) -> None:
    """Show what `prepare` draws of a source, and the curves of a short training."""
    from drawn.nucleus_seg import write_wbc

    write_wbc(folder / "source", 10, 6)
    cellscope("nucleus-seg", "prepare", folder / "source", "-o", folder / "dataset")
    keep(Image.open(folder / "dataset/preview.png"), "preview", 900)
    cellscope("nucleus-seg", "train", folder / "dataset", "-o", folder / "run", "--init", "none", "--steps", 60,
              "--batch-size", 4, "--num-workers", 0, "--set", "val_every=5")  # fmt: skip
    keep(Image.open(folder / "run/curves.png"), "curves", 900)


def notebook(folder: Path) -> None:
    """Show a notebook as HTML, from its tables on."""
    from drawn.reviewing import chromium

    words = [
        "-m",
        "nbconvert",
        "--to",
        "html",
        "--execute",
        "--output-dir",
        folder,
        ROOT / "docs/notebooks/nucleus-seg.ipynb",
    ]
    subprocess.run([sys.executable, *map(str, words)], check=True)
    with chromium(900, 1650) as driver:
        driver.get((folder / "nucleus-seg.html").as_uri())
        driver.save_screenshot(str(folder / "page.png"))
        where = "(one) => one.getBoundingClientRect()"
        tops, ends = (
            driver.execute_script(f"return [...document.querySelectorAll('.jp-OutputArea-output {tag}')].map({where})")
            for tag in ("table", "img")
        )
    page = Image.open(folder / "page.png")
    end = min(max(one["bottom"] for one in ends) + 20, page.height)
    keep(page.crop((0, int(tops[0]["top"]) - 4, page.width - 20, int(end))), "notebook", rare=False)


FIGURES: dict[str, Callable[[Path], None]] = {
    "histo": histo,
    "nuclei": nuclei,
    "micronuclei": micronuclei,
    "mitosis": mitosis,
    "karyotype": karyotype,
    "unfamiliar": unfamiliar,
    "training": training,
    "notebook": notebook,
}


def main() -> None:
    """Make what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("names", nargs="*", choices=[[], *FIGURES], metavar="NAME")
    for name in parser.parse_args().names or FIGURES:
        with tempfile.TemporaryDirectory() as folder:
            FIGURES[name](Path(folder))


if __name__ == "__main__":
    main()

"""``cellscope info``: what an image file holds, and what each assay would take of it."""

from __future__ import annotations

import json
from typing import Any

import typer

from cellscope.errors import EXIT_FAILED, EXIT_OK, InputError
from cellscope.io.choice import Choice, Unchosen, Wants
from cellscope.io.scene import AXIS_NAMES, Scene
from cellscope.io.text import one_line

NEEDS: dict[str, Wants] = {
    "micronucleus": Wants.STAIN,
    "karyotype": Wants.STAIN,
    "mitosis": Wants.MOVIE,
    "histo": Wants.COLOUR,
    "nucleus-seg": Wants.COLOUR,
}
"""What each assay asks of a file; a test holds it against the assays."""


def show_info(paths: list[str], choice: Choice, *, as_json: bool) -> int:
    """Print what files hold: axes, sizes, channels, scenes, pixel size, and what each assay would take.

    Returns
    -------
    int
        1 where a file cannot be read.
    """
    from cellscope.io.read import describe

    found: list[dict[str, Any]] = []
    failed = False
    for path in paths:
        try:
            facts = describe(path)
        except InputError as error:
            failed = True
            found.append({"path": path, "error": str(error)})
            if not as_json:
                typer.echo(str(error), err=True)
            continue
        taken = {assay: _taken(facts.scenes, choice, wants) for assay, wants in NEEDS.items()}
        if facts.slide:
            taken |= {assay: {"refused": "whole slides are read by histo only"} for assay in NEEDS if assay != "histo"}
        scenes = [_scene(scene) for scene in facts.scenes]
        found.append({"path": path, "format": facts.format, "scenes": scenes, "assays": taken})
        if not as_json:
            _print(path, facts.format, facts.scenes, taken)
    if as_json:
        typer.echo(json.dumps({"command": "info", "files": found}))
    return EXIT_FAILED if failed else EXIT_OK


def _taken(scenes: tuple[Scene, ...], choice: Choice, wants: Wants) -> dict[str, Any]:
    """Say what would be taken, or why nothing can be; whether the pixels bear it out shows only when they are read."""
    from cellscope.io.planes import told
    from cellscope.io.select import listed, select

    try:
        chosen = select(scenes, choice, wants)
    except Unchosen as error:
        return {"refused": str(error)}
    scene = scenes[chosen.scene]
    if not chosen.certain and not chosen.composed:
        held = f"{len(chosen.channels)} channels, choose one with --channel (unless all are the same)"
        return {"refused": f"the file holds {held}: {listed(scene)}"}
    return {"takes": told(scenes[chosen.scene], chosen, len(scenes)), "warnings": list(chosen.warnings)}


def _scene(scene: Scene) -> dict[str, Any]:
    return {
        "name": scene.name,
        "axes": scene.axes,
        "sizes": dict(scene.sizes),
        "dtype": scene.dtype,
        "channels": list(scene.channels),
        "pixel_size_um": scene.pixel_size_um,
        "pixel_size_from": scene.pixel_size_from or None,
        "z_step_um": scene.z_step_um,
        "interval_s": scene.interval_s,
        "overview": scene.overview,
        "warnings": list(scene.warnings),
    }


def _print(path: str, format: str, scenes: tuple[Scene, ...], taken: dict[str, dict[str, Any]]) -> None:
    typer.echo(f"{one_line(path)}: {format}, {len(scenes)} scene{'' if len(scenes) == 1 else 's'}")
    for number, scene in enumerate(scenes):
        name = f" {one_line(scene.name)}" if scene.name else ""
        many = ", ".join(f"{size} {AXIS_NAMES.get(axis, axis)}" for axis, size in scene.many)
        colour = ", colour" if scene.size("S") > 1 else ""
        kind = ", an overview or label" if scene.overview else ""
        typer.echo(f"  scene {number}{name}: {scene.width} x {scene.height} pixels{colour}, {scene.dtype}{kind}")
        typer.echo(f"    axes {scene.axes}" + (f": {many}" if many else ""))
        if scene.channels:
            typer.echo("    channels " + ", ".join(f"{n} {one_line(name)}" for n, name in enumerate(scene.channels)))
        size = scene.pixel_size_um
        typer.echo(f"    pixel size {f'{size:.6g} um ({scene.pixel_size_from})' if size else 'not known'}")
        steps = [(scene.z_step_um, "um between slices"), (scene.interval_s, "s between time points")]
        for text in [*(f"{value:.6g} {what}" for value, what in steps if value), *scene.warnings]:
            typer.echo(f"    {text}")
    for assay, said in taken.items():
        if "refused" in said:
            typer.echo(f"  {assay}: refused: {said['refused']}")
            continue
        typer.echo(f"  {assay}: {said['takes']}")
        for warning in said["warnings"]:
            typer.echo(f"    {warning}")

"""``cellscope models``: which models there are, what one is, its mean with others, its data, what networks cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from cellscope.cli.groups import Group
from cellscope.cli.logged import logged
from cellscope.errors import EXIT_FAILED, EXIT_OK

app = typer.Typer(cls=Group, help="List, show, verify, average, describe and export models; count what networks cost.")

JsonFlag = Annotated[bool, typer.Option("--json", help="Print a JSON object.")]
NONE_YET = "no built-in models in this installation"


@app.callback(invoke_without_command=True)
def models(context: typer.Context) -> int:
    """List, show, verify, average and describe models; `cellscope models` alone lists them."""
    if context.invoked_subcommand is None:
        return list_models()
    return EXIT_OK


@app.command("list")
@logged
def list_models(json: JsonFlag = False) -> int:
    """List the built-in models."""
    from cellscope.models.registry import builtin

    entries = builtin()
    if json:
        _print_json({"models": [{**vars(entry), "path": str(entry.path)} for entry in entries]})
    elif not entries:
        typer.echo(NONE_YET, err=True)
    else:
        rows = [("name", "assay", "part", "size", "default")]
        for entry in entries:
            default = "yes" if entry.default else "no"
            rows.append((entry.name, entry.assay, entry.part, f"{entry.bytes / 1e6:.1f} MB", default))
        _print_table(rows)
    return EXIT_OK


@app.command()
@logged
def show(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Model file or built-in model.")],
    json: JsonFlag = False,
) -> int:
    """Show the model card: classes, training data, licence and metrics."""
    from cellscope.models.file import read_card, sha256
    from cellscope.models.registry import locate

    path = locate(model)
    card = {"file": str(path), "bytes": path.stat().st_size, "sha256": sha256(path), **read_card(path).as_dict()}
    if json:
        _print_json(card)
    else:
        _print_tree(card)
    return EXIT_OK


@app.command()
@logged
def verify(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL]...", help="Built-in models or files; default: all built-in."),
    ] = None,
    json: JsonFlag = False,
) -> int:
    """Verify the hashes of model files. Exit code 1 if one is damaged."""
    found = {name: _problems(name) for name in models or _all_names()}
    if json:
        _print_json({"models": [{"name": name, "ok": not wrong, "problems": wrong} for name, wrong in found.items()]})
    elif not found:
        typer.echo(NONE_YET, err=True)
    else:
        for name, wrong in found.items():
            typer.echo(f"{name}: {'; '.join(wrong) or 'ok'}")
    return EXIT_FAILED if any(found.values()) else EXIT_OK


@app.command()
@logged
def average(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL=SHARE...", help="Model files, training folders or built-in models, with weights."
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="Model file to write.")] = Path(
        "average.safetensors"
    ),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing FILE.")] = False,
) -> int:
    """Average the weights of models fine-tuned from one another; tune the result with `train --steps 0`."""
    from cellscope.errors import UsageError
    from cellscope.models.average import average_models
    from cellscope.models.file import save_model
    from cellscope.models.registry import locate

    shares: dict[Path, float] = {}
    for text in models:
        name, equals, share = text.rpartition("=")
        try:
            path, value = locate(name if equals else text), float(share) if equals else 1.0
        except ValueError:
            raise UsageError(f"{text!r} is not of the form MODEL=SHARE, such as first=0.4") from None
        if path in shares:
            raise UsageError(f"{name or text} is given twice; add up its shares")
        shares[path] = value
    if out.suffix != ".safetensors":
        raise UsageError(f"{out}: a model file ends in .safetensors")
    if out.exists() and not overwrite:
        raise UsageError(f"{out} is already there; --overwrite replaces it")
    card, tensors = average_models(shares)
    save_model(out, tensors, card, half=True)
    typer.echo(str(out))
    return EXIT_OK


@app.command()
@logged
def cost(
    arch: Annotated[str, typer.Argument(metavar="ARCH", help="Network architecture, as --arch of train takes it.")],
    assay: Annotated[str | None, typer.Option("--assay", help="Assay, where several know the name.")] = None,
    json: JsonFlag = False,
) -> int:
    """Count the parameters and multiply-adds of an architecture, for one input of the size given."""
    from cellscope.cli.commands.cost import costs

    found = costs(arch, assay=assay)
    if json:
        _print_json({"architectures": found})
        return EXIT_OK
    rows = [("assay", "part", "parameters", "multiply-adds", "input", "")]
    for one in found:
        adds = f"{one['multiply_adds'] / 1e9:.3f} G"
        counted = f"multiply-adds of {one['counted']}" if "counted" in one else ""
        rows.append((one["assay"], one["part"], f"{one['parameters']:,}", adds, one["input"], counted))
    _print_table(rows)
    return EXIT_OK


@app.command()
@logged
def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Model file, training folder or built-in model.")],
    to: Annotated[str, typer.Option("--to", metavar="onnx|bioimageio", help="Format to write.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="File to write. Default: named after MODEL.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing FILE.")] = False,
    json: JsonFlag = False,
) -> int:
    """Write a network as ONNX or as a package of the BioImage Model Zoo, checked by a run."""
    return export_model(model, to=to, out=out, overwrite=overwrite, json=json)


def export_model(model: str, *, to: str, out: Path | None, overwrite: bool, json: bool) -> int:
    """Write the model and print what was written."""
    from cellscope.errors import UsageError
    from cellscope.exports import networks
    from cellscope.models.registry import locate

    networks.check_installed(to)
    path = locate(model)
    ending = ".onnx" if to == "onnx" else ".zip"
    target = out or Path(f"{path.stem if path.stem != 'model' else path.parent.name}{ending}")
    if target.suffix != ending:
        raise UsageError(f"{target}: the file ends in {ending}")
    if target.exists() and not overwrite:
        raise UsageError(f"{target} is already there; --overwrite replaces it")
    write = networks.export_onnx if to == "onnx" else networks.export_bioimageio
    told = networks.describe(write(path, target))
    if json:
        _print_json(told)
    else:
        typer.echo(str(target))
        _print_tree({name: value for name, value in told.items() if name != "out"}, 2)
    return EXIT_OK


@app.command()
@logged
def describe(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Model file, training folder or built-in model.")],
    dataset: Annotated[Path, typer.Argument(metavar="DATASET", help="Prepared dataset that the model was trained on.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="Model file to write.")] = Path(
        "described.safetensors"
    ),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing FILE.")] = False,
    leave_out: Annotated[
        str | None,
        typer.Option("--leave-out", metavar="KEY=VALUE", help="Leave out items, as in `train`. Default: as trained."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=8, help="Images at most, of all sources.")] = 400,
    layer: Annotated[
        str | None,
        typer.Option("--layer", metavar="NAME", help="Layer whose features are described. Default: the usual one."),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option("--kind", metavar="NAME", help="Input type to describe, such as chromosome. Default: all."),
    ] = None,
    device: Annotated[
        str, typer.Option("--device", metavar="auto|cpu|cuda|cuda:N|mps", help="Compute device.")
    ] = "auto",
    json: JsonFlag = False,
) -> int:
    """Describe a model's training images, so that `predict` tells images that are unlike them.

    Weights do not change. `train` does this at its end.
    """
    from functools import partial

    from cellscope.engine.familiarity.describe import describe_model
    from cellscope.errors import UsageError
    from cellscope.models.registry import locate

    if out.suffix != ".safetensors":
        raise UsageError(f"{out}: a model file ends in .safetensors")
    if out.exists() and not overwrite:
        raise UsageError(f"{out} is already there; --overwrite replaces it")
    about = describe_model(
        locate(model), dataset, out, layer=layer, limit=limit, leave_out=leave_out, kind=kind,
        device=device, say=partial(typer.echo, err=True),
    )  # fmt: skip
    if json:
        _print_json({"out": str(out), **about})
    else:
        typer.echo(str(out))
    return EXIT_OK


def _all_names() -> list[str]:
    from cellscope.models.registry import builtin

    return [entry.name for entry in builtin()]


def _problems(name: str) -> list[str]:
    from cellscope.errors import ModelError
    from cellscope.models.file import load_model, read_card
    from cellscope.models.registry import builtin, locate
    from cellscope.models.registry import verify as verify_entry

    for entry in builtin():
        if entry.name == name:
            return verify_entry(entry)
    path = locate(name)
    try:
        load_model(path, assay=read_card(path).assay)
    except ModelError as error:
        return [str(error)]
    return []


def _print_json(value: Any) -> None:
    import json

    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _print_tree(value: dict[str, Any], indent: int = 0) -> None:
    for name, inner in value.items():
        label = " " * indent + f"{name}:"
        if isinstance(inner, dict) and inner:
            typer.echo(label)
            _print_tree(inner, indent + 2)
        elif isinstance(inner, list) and any(isinstance(item, dict) for item in inner):
            typer.echo(label)
            for item in inner:
                _print_tree(item if isinstance(item, dict) else {"-": item}, indent + 2)
        elif isinstance(inner, list):
            typer.echo(f"{label} {', '.join(map(str, inner)) or '-'}")
        else:
            typer.echo(f"{label} {'-' if inner is None or inner == {} else inner}")

"""``cellscope models cost``: parameters and multiply-adds of a network that `--arch` names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from cellscope.errors import UsageError
from cellscope.options.resolve import nearest


@dataclass(frozen=True)
class Architecture:
    """A network by name.

    Attributes
    ----------
    assay, part : str
    build : callable
        Makes it, with new weights.
    shape : tuple of int
        One input, the batch first; 0 channels: as many as the network takes.
    counted : str
        What multiply-adds are counted of; empty for the whole network.
    """

    assay: str
    part: str
    build: Callable[[], Any]
    shape: tuple[int, ...]
    counted: str = ""


def architectures() -> dict[str, list[Architecture]]:
    """Give all names that ``--arch`` of any assay takes, and the networks they stand for."""
    every: dict[str, list[Architecture]] = {}
    for source in (_karyotype, _micronucleus, _nucleus_seg, _histo, _mitosis):
        for name, one in source():
            every.setdefault(name, []).append(one)
    return every


def _karyotype() -> Iterator[tuple[str, Architecture]]:
    from cellscope.assays.karyotype.classes import CLASSES
    from cellscope.assays.karyotype.networks import baselines, chrnet, detectors
    from cellscope.assays.karyotype.networks.chrrender import ChrRender

    for name, arguments in detectors.ARCHS.items():
        shape = (1, int(arguments.get("in_channels", 1)), 256, 256)
        counted = "backbone and pyramid; the heads depend on what is found"
        yield name, Architecture("karyotype", "detect", lambda a=arguments: ChrRender(**a), shape, counted)  # type: ignore[misc]
    for name in (*chrnet.ARCHS, *baselines.ARCHS):
        build = lambda n=name: chrnet.build_classifier(n, classes=len(CLASSES))  # noqa: E731
        yield name, Architecture("karyotype", "classify", build, (1, 0, 224, 224))


def _micronucleus() -> Iterator[tuple[str, Architecture]]:
    from cellscope.assays.micronucleus.classify.classifiers import ARCHS, build_classifier
    from cellscope.assays.micronucleus.find.finders import ARCHS as FINDERS
    from cellscope.assays.micronucleus.find.finders import build_finder

    for name in FINDERS:
        yield name, Architecture("micronucleus", "nuclei", lambda n=name: build_finder(n), (1, 2, 192, 192))  # type: ignore[misc]
    for name in ARCHS:
        yield name, Architecture("micronucleus", "classify", lambda n=name: build_classifier(n), (1, 1, 224, 224))  # type: ignore[misc]


def _nucleus_seg() -> Iterator[tuple[str, Architecture]]:
    from cellscope.assays.nucleus_seg.networks.registry import FAMILIES, arguments_of, build_network

    for name in FAMILIES:
        build = lambda n=name: build_network(n, arguments_of(n, 2))  # noqa: E731
        yield name, Architecture("nucleus-seg", "nuclei", build, (1, 3, 512, 512))


def _histo() -> Iterator[tuple[str, Architecture]]:
    from cellscope.assays.histo.networks.registry import ARCHS, arguments_of, build_network, geometry

    for name in ARCHS:
        core, margin, step = geometry(arguments_of(name, 5))
        side = 256 if step else core + 2 * margin
        build = lambda n=name: build_network(arguments_of(n, 5))  # noqa: E731
        yield name, Architecture("histo", "nuclei", build, (1, 3, side, side))


def _mitosis() -> Iterator[tuple[str, Architecture]]:
    from cellscope.assays.mitosis.networks.registry import ARCHS, build_network
    from cellscope.assays.mitosis.sequences.view import FRAMES

    for name, arguments in ARCHS.items():
        size = int(arguments["size"])
        shape = (1, FRAMES, 2, size, size) if size else (1, int(arguments["features"]))
        yield name, Architecture("mitosis", "classify", lambda a=arguments: build_network(a, 2), shape)  # type: ignore[misc]


def costs(arch: str, *, assay: str | None = None) -> list[dict[str, Any]]:
    """Count what networks of a name cost, one record per assay and part that knows it.

    Raises
    ------
    UsageError
        No assay, or not the one named, knows such a network.
    """
    from cellscope.nn.cost import count_parameters, multiply_adds

    known = {
        name: kept
        for name, found in architectures().items()
        if (kept := [one for one in found if assay in (None, one.assay)])
    }
    if arch not in known:
        where, names = f" of {assay}" if assay else "", list(known)
        advice = nearest(arch, names) or f"; there are {', '.join(names)}"
        raise UsageError(f"no --arch{where} is called {arch}{advice}")
    records = []
    for one in known[arch]:
        network = one.build()
        parameters = count_parameters(network)
        shape = tuple(side or network.in_channels for side in one.shape)
        adds = multiply_adds(network.backbone if one.counted else network, *shape)
        size = " x ".join(map(str, shape[1:]))
        record = {"arch": arch, "assay": one.assay, "part": one.part, "parameters": parameters, "multiply_adds": adds}
        records.append(record | {"input": size} | ({"counted": one.counted} if one.counted else {}))
    return records

"""The options that mean the same in every assay and every verb, described once.

A verb has exactly the options that it obeys: it takes the class that holds these and no more.

=================  ======================================
`OutputOptions`    commands that compute nothing at random
`PrepareOptions`   ``prepare``
`WorkerOptions`    with more of its own, ``train``
`ShardOptions`     ``eval``
`InputOptions`     ``render``, ``measure``
`RunOptions`       ``predict``
=================  ======================================
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from cellscope.errors import UsageError
from cellscope.options.resolve import check, option

MAX_PIXELS = 2**28
"""Largest image read whole: 268 million pixels, a square of 16384."""

AUTO = "auto"
"""``--input``: the type of each input is detected."""

PANEL = "General options"
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
_DEVICES = re.compile(r"auto|all|cpu(:[1-9]\d*)?|\d+(,\d+)*")
_CLUSTER = re.compile(r"(local|slurm|pbs|lsf|sge)(:[1-9]\d*)?|[a-z]+://.+")
_SHARD = re.compile(r"\s*(\d+)\s*/\s*(\d+)\s*")


@dataclass(frozen=True)
class OutputOptions:
    """Options of every command that writes files."""

    panel: ClassVar[str] = PANEL

    overwrite: bool = option(False, "Replace existing results in OUT.")
    json: bool = option(False, "Print a JSON object at the end instead of the path of OUT.")
    quiet: bool = option(False, "Show errors only.", short="-q")
    verbose: bool = option(False, "Show all options and further messages.", short="-v")
    log_file: Path | None = option(
        None, "Append what is written to stderr, with the time of each line, to this file too.", metavar="FILE"
    )

    def __post_init__(self) -> None:
        check(self)
        if self.quiet and self.verbose:
            raise UsageError("--quiet and --verbose exclude each other; give one of them")


@dataclass(frozen=True)
class BaseOptions(OutputOptions):
    """Options of the four verbs."""

    panel: ClassVar[str] = PANEL

    seed: int = option(0, "Random seed.", low=0, high=2**32 - 1)


@dataclass(frozen=True)
class ComputeOptions(BaseOptions):
    """Options of the verbs that run a network."""

    panel: ClassVar[str] = PANEL

    device: str = option(
        "auto", "Compute device; auto takes a GPU if there is one.", metavar="auto|cpu|cuda|cuda:N|mps"
    )
    batch_size: int | None = option(None, "Batch size; the model's own if not given.", low=1, high=65536)
    precision: Literal["auto", "32", "bf16", "16"] = option(
        "auto", "Floating-point precision; auto takes bf16 where the device supports it at full speed."
    )
    limit: int | None = option(None, "Use only the first N inputs or dataset items.", low=1, metavar="N")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _DEVICE.fullmatch(self.device):
            raise UsageError(f"device: '{self.device}' is not one of auto, cpu, cuda, cuda:N (N is a number), mps")


@dataclass(frozen=True)
class WorkerOptions(ComputeOptions):
    """Options of the verbs that run a network and further processes."""

    panel: ClassVar[str] = PANEL

    num_workers: int | None = option(
        None, "Number of worker processes; chosen from the number of CPUs if not given.", low=0, high=1024
    )


@dataclass(frozen=True)
class ShardOptions(WorkerOptions):
    """Options of the verbs that can resume and be cut into parts; ``eval`` has these."""

    panel: ClassVar[str] = PANEL

    skip_existing: bool = option(False, "Keep existing results in OUT and process only the remaining inputs.")
    shard: str | None = option(None, "Process part I of N of the inputs; `merge` joins the parts.", metavar="I/N")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.overwrite and self.skip_existing:
            raise UsageError("--overwrite and --skip-existing exclude each other; give one of them")
        _ = self.shard_pair

    @property
    def shard_pair(self) -> tuple[int, int] | None:
        """``shard`` as (I, N) with 1 <= I <= N; None when it is not given."""
        if self.shard is None:
            return None
        match = _SHARD.fullmatch(self.shard)
        index, count = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= index <= count:
            raise UsageError(f"shard: '{self.shard}' is not I/N with I from 1 to N, for example 2/8")
        return index, count


@dataclass(frozen=True)
class InputOptions(WorkerOptions):
    """Options of the commands that go over inputs."""

    panel: ClassVar[str] = PANEL

    pixel_size: float | None = option(
        None, "Pixel size in micrometres; overrides the image metadata.", low=1e-4, high=1e4, metavar="UM"
    )
    max_pixels: int = option(MAX_PIXELS, "Refuse images with more pixels than this.", low=1)
    glob: str | None = option(
        None, "File name pattern for input folders, such as '*.tif' or '**/*_dapi.tif'.", metavar="PATTERN"
    )
    group_by: str | None = option(
        None,
        "Group the inputs for summaries: by folder, by case (file name without its counter), by a column of a"
        " table with a column `image`, or by a regular expression with one group, searched in `image`.",
        metavar="folder|case|TABLE.csv:COLUMN|REGEX",
    )


@dataclass(frozen=True)
class RunOptions(ShardOptions, InputOptions):
    """Options of ``predict``."""

    panel: ClassVar[str] = PANEL

    devices: str | None = option(
        None,
        "Share the inputs among devices of this computer, a process each: auto (every GPU, else the CPUs), all GPUs,"
        " GPUs by number, or N processes on the CPUs.",
        metavar="auto|all|0,1|cpu:N",
    )
    cluster: str | None = option(
        None,
        "Share the inputs among the computers of a cluster by Dask: N processes here, a running scheduler, or N jobs"
        " of a batch system. Needs the extra `cluster`.",
        metavar="local:N|tcp://HOST:PORT|slurm:N|pbs:N|lsf:N|sge:N",
    )
    cluster_option: tuple[str, ...] = option(
        (), "Setting of the cluster, such as queue=long, cores=4 or memory=8GiB. Repeats.",
        metavar="KEY=VALUE", repeat=True,
    )  # fmt: skip
    input: str = option(AUTO, "Input type; auto detects it.", metavar="auto|KIND")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.devices is not None and not _DEVICES.fullmatch(self.devices):
            raise UsageError(
                f"devices: '{self.devices}' is not auto, all, numbers of GPUs such as 0,1, or cpu:N with N from 1"
            )
        if self.devices is not None and self.device != AUTO:
            raise UsageError("--device and --devices exclude each other; give one of them")
        if self.cluster is not None:
            self._check_cluster(self.cluster)
        elif self.cluster_option:
            raise UsageError("--cluster-option needs --cluster")

    def _check_cluster(self, cluster: str) -> None:
        if not _CLUSTER.fullmatch(cluster):
            raise UsageError(
                f"cluster: '{cluster}' is not local, slurm, pbs, lsf or sge, with or without :N (from 1), nor a"
                " scheduler such as tcp://host:8786"
            )
        for name, value in (("--devices", self.devices), ("--shard", self.shard)):
            if value is not None:
                raise UsageError(f"{name} and --cluster exclude each other; give one of them")
        if bad := next((each for each in self.cluster_option if not re.match(r"\w+=", each)), None):
            raise UsageError(f"cluster_option: '{bad}' is not KEY=VALUE, such as queue=long")


@dataclass(frozen=True)
class PrepareOptions(BaseOptions):
    """Options of ``prepare``."""

    format: str | None = option(None, "Format of the source; detected if not given.", metavar="NAME")
    splits: tuple[float, float, float] = option(
        (0.6, 0.2, 0.2), "Fractions of the groups for training, validation and test.", low=0, high=1, metavar="A,B,C"
    )
    hold_out: str = option("", "Sources (names, such as cell lines or data sets) held out as test split.")
    split_table: Path | None = option(
        None,
        "CSV of a fixed division: a column split (train, val or test) and a column id or group. Items it does not name "
        "are divided by --splits, never into a test split that it names.",
        metavar="CSV",
    )
    folds: int = option(0, "Also assign the groups to K folds for cross-validation; 0 for none.", low=0, metavar="K")
    group_by: str | None = option(
        None,
        "Groups that no split separates, such as patients: by folder, by case (file name without its counter), by a"
        " column of a table with a column `image`, or by a regular expression with one group, searched in the image's"
        " path within its source; those the source tells if not given.",
        metavar="folder|case|TABLE.csv:COLUMN|REGEX",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if abs(sum(self.splits) - 1) > 1e-6:
            raise UsageError(f"splits: {','.join(map(str, self.splits))} must add up to 1")
        if self.folds == 1:
            raise UsageError("folds: 1 fold is not a cross-validation; give 0 or at least 2")

"""Commands whose ``--help`` shows what most people need, and ``--help-all`` everything."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand

from cellscope.options.flags import HELP_ALL

RARE = frozenset(
    {
        *("json", "quiet", "verbose", "seed", "batch-size", "precision", "limit", "num-workers", "max-pixels", "glob"),
        *(
            "shard",
            "config",
            "set",
            "z",
            "scene",
            "frame",
            "folds",
            "fold",
            "val_fold",
            "split_table",
            "imagenet",
            "resume",
            "devices",
        ),
        *("cluster", "cluster_option", "num_nodes", "log_file"),
        *("leave-out", "steps", "learning-rate", "patience", "logger", "hold-out", "recipe", "crop-size", "binary"),
        *("pieces", "images", "gallery", "review-margin", "keep-border", "specificity", "input-size", "finder"),
        *("learn-from", "thresholds-from", "pretrain-steps", "synthetic", "centre-loss", "repeats", "cross-validate"),
        *("join", "augment", "validation-share", "nuclei-channel", "frames", "frames-before", "check-grid", "views"),
        *("labels", "min-area", "nucleus-diameter", "score-threshold", "no-assignment", "aneuploidy-cost", "backend"),
        "explain",
    }
)
"""Names of options that ``--help`` leaves to ``--help-all``."""

_VARIABLE = re.compile(r"; CELLSCOPE_\w+(?=\))| \(CELLSCOPE_\w+\)")


class Command(TyperCommand):
    """A command with two help pages."""

    def format_whole_help(self, context: Any) -> None:
        """Show the page with everything."""
        super().format_help(context, context.make_formatter())

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Show the page without the options that are `RARE` and the names of variables."""
        options: list[Any] = [parameter for parameter in self.params if parameter.param_type_name == "option"]
        before = [(option, option.hidden, option.help) for option in options]
        rare = [option for option in options if any(flag.lstrip("-") in RARE for flag in option.opts)]
        epilog = self.epilog
        try:
            for parameter, _, text in before:
                parameter.hidden = parameter.hidden or parameter in rare
                parameter.help = without_variable(text) if text else text
            if rare:
                self.epilog = f"{len(rare)} more options: {ctx.command_path} {HELP_ALL}"
            super().format_help(ctx, formatter)
        finally:
            self.epilog = epilog
            for parameter, hidden, text in before:
                parameter.hidden, parameter.help = hidden, text


def without_variable(text: str) -> str:
    """Leave out the variable that a help text ends with.

    >>> without_variable("Random seed (at least 0; CELLSCOPE_SEED)"), without_variable("Quiet (CELLSCOPE_QUIET)")
    ('Random seed (at least 0)', 'Quiet')
    """
    return _VARIABLE.sub("", text)

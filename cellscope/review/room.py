"""The room in which a run is reviewed: its images, their corrections, and what is written of them."""

from __future__ import annotations

import getpass
import socket
import threading
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from cellscope.errors import InputError, UsageError
from cellscope.io.corrections import HOLDER, CorrectionLog, now
from cellscope.io.inputs import stem
from cellscope.io.write import encode_png, write_json
from cellscope.review.called import REASON, UNSURE
from cellscope.review.corrector import Corrector
from cellscope.review.opened import OpenRun
from cellscope.review.writer import Writer

MAX_SIDE = 4096
"""Longer side of the picture that the browser gets."""
GALLERY = "gallery"


class Stale(Exception):
    """The image was changed meanwhile, in another tab."""


class Room:
    """A run under review; what the server's addresses do.

    Parameters
    ----------
    out : Path
    images : Path, optional
        Where the images are, if they were moved.
    who : str
        Who reviews; empty for the user's name.
    argv : list of str

    Raises
    ------
    UsageError
        As of `OpenRun` and `CorrectionLog`.
    """

    def __init__(self, out: Path, *, images: Path | None, who: str, argv: list[str]):
        self.run = OpenRun(out, images)
        if not self.run.reviewable:
            kinds, assay = " or ".join(self.run.review.page), self.run.record["assay"]
            other = "; correct slides in QuPath, then give --corrections" if self.run.correctable else ""
            raise UsageError(f"{out} holds no image to review: {assay} reviews inputs of kind {kinds}{other}")
        self.who = who or user()
        self.log = CorrectionLog(out, run=self.run.name, who=self.who)
        self.corrector = Corrector(self.run)
        self.writer = Writer(self.run, self.log, self.corrector, argv)
        self._changing, self._drawing = threading.Lock(), threading.Lock()
        self._waiting: dict[str, int] = {}
        self._cells: dict[str, list[dict[str, Any]]] = {}

    def announce(self, address: str) -> None:
        """Leave word of who has the folder open, and where."""
        told = {"who": self.who, "since": now(), "host": socket.gethostname(), "address": address.split("?")[0]}
        write_json(self.log.folder / HOLDER, told)

    def close(self) -> None:
        """Write what is due and let go of the folder."""
        self.writer.close()
        self.log.close()

    # ---- what the browser asks for

    def overview(self) -> dict[str, Any]:
        """Give the run: its images with what is known of each, the classes, the progress."""
        images = [self._line(image) for image in self.run.reviewable]
        return {
            "assay": self.run.record["assay"],
            "out": self.run.out.resolve().name,
            "who": self.who,
            "classes": list(self.run.review.classes({one["part"]: one for one in self.run.record["models"]})),
            "tools": list(self.run.review.tools),
            "strips": self.run.review.picture is not None,
            "sheet": self.run.review.sheet is not None,
            "images": images,
            "reviewed": sum(image["reviewed"] for image in images),
            "problem": self.writer.problem,
            "saved": self.writer.idle,
        }

    def _line(self, image: str) -> dict[str, Any]:
        corrections, entry = self.log.of(image), self.run.entry(image)
        kept = self.writer.written.get(image, {})
        return {
            "image": image,
            "page": self.run.review.page[entry.row["kind"]],
            "reviewed": corrections.reviewed,
            "corrected": len(corrections.edits),
            "review": self._waiting_of(image),
            "cells": self._cells_of(image),
            "objects": int((kept.get("row") or entry.row).get("n_objects") or 0),
            "unfamiliar": entry.row.get("unfamiliar") == "True",
        }

    def _waiting_of(self, image: str) -> int:
        """Count the objects still to review."""
        if image not in self._waiting:
            sheet = self.writer.sheet(image, "objects")
            if sheet is None or not sheet.rows:
                return 0
            at = sheet.columns.index("review")
            self._waiting[image] = sum(row[at] == "True" for row in sheet.rows)
        return self._waiting[image]

    def _cells_of(self, image: str) -> list[dict[str, Any]]:
        """Give what a gallery shows of an image: its objects with their class; nothing on other pages."""
        if self.run.review.page[self.run.entry(image).row["kind"]] != GALLERY:
            return []
        if image not in self._cells:
            sheet = self.writer.sheet(image, "objects")
            rows = [] if sheet is None else [dict(zip(sheet.columns, row, strict=True)) for row in sheet.rows]
            self._cells[image] = [
                {
                    "label": int(row["label"]),
                    "class": UNSURE if row.get("reasons") == REASON else row["class"],
                    "review": row["review"] == "True",
                    "corrected": row["corrected"] == "True",
                }
                for row in rows
            ]
        return self._cells[image]

    def image(self, number: int) -> dict[str, Any]:
        """Give an image as it is now: objects, history and revision of one moment, not of a change under way."""
        image = self._name(number)
        with self._changing:
            return self._shown(image)

    def _shown(self, image: str) -> dict[str, Any]:
        corrections = self.log.of(image)
        shown = self.corrector.show(image, corrections.edits)
        self._waiting[image] = sum(bool(one["review"]) for one in shown["objects"])
        if self._cells_of(image):
            kept = ("label", "class", "review", "corrected")
            self._cells[image] = [{name: one[name] for name in kept} for one in shown["objects"]]
        return {
            **shown,
            "image": image,
            "revision": corrections.revision,
            "can_undo": bool(corrections.edits),
            "can_redo": bool(corrections.undone),
            "line": self._line(image),
            "history": [
                {"do": one["do"], "who": one.get("who", ""), "when": one.get("when", "")} for one in corrections.edits
            ],
        }

    def change(self, number: int, revision: int, what: Mapping[str, Any]) -> dict[str, Any]:
        """Make a change: ``edit`` (an edit), ``undo``, ``redo`` or ``reviewed`` (true or false).

        Raises
        ------
        Stale
            The browser saw another revision of the image.
        InputError
            The edit cannot be made; nothing is changed.
        """
        image = self._name(number)
        with self._changing:
            corrections = self.log.of(image)
            if revision != corrections.revision:
                raise Stale
            if "edit" in what:
                edit = self.corrector.complete(image, corrections.edits, dict(what["edit"]))
                self.corrector.subject(image, [*corrections.edits, edit])  # raises what is wrong with it
                self.log.add(image, edit=dict(edit))
            elif what.get("undo") and corrections.edits:
                self.log.add(image, undo=True)
            elif what.get("redo") and corrections.undone:
                self.log.add(image, redo=True)
            elif "reviewed" in what:
                self.log.add(image, reviewed=bool(what["reviewed"]))
            self.writer.changed(image)
            return self._shown(image)

    def sheet(self, number: int) -> tuple[str, bytes]:
        """Give the file to print of an image as it is now, with its name; InputError where there is none."""
        image = self._name(number)
        ending, found = self.corrector.sheet(image, self.log.of(image).edits)
        return f"{PurePosixPath(stem(image)).name}{ending}", found

    def picture(self, number: int) -> bytes:
        """Give the input as a PNG that a browser shows: 8 bit, at most `MAX_SIDE` long; without colours, stretched."""
        return self._picture(self._name(number))

    @lru_cache(maxsize=8)  # noqa: B019 - one room per process
    def _picture(self, image: str) -> bytes:
        import cv2

        pixels = self.corrector.pixels(image).pixels
        shown = pixels[..., :3] if pixels.shape[2] >= 3 else pixels[..., :1]
        if shown.dtype != np.uint8 or shown.shape[2] == 1:  # else micronuclei of a dim field could not be seen
            low, high = np.percentile(shown, [0.1, 99.9])
            shown = np.clip((shown - low) * (255.0 / max(float(high - low), 1e-6)), 0, 255).astype(np.uint8)
        factor = MAX_SIDE / max(shown.shape[:2])
        if factor < 1:
            shown = cv2.resize(shown, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        return encode_png(shown)

    def object_picture(self, number: int, label: int) -> bytes:
        """Give what a gallery shows of an object, as a PNG.

        Raises
        ------
        InputError
            It is not there, or its input is not.
        """
        image = self._name(number)
        if all(one["label"] != label for one in self._cells_of(image)):
            raise InputError(f"{image} has no {label} to show")
        if self.run.review.picture is None:
            return self._picture(image)
        return self._object_picture(image, label)

    @lru_cache(maxsize=256)  # noqa: B019 - one room per process
    def _object_picture(self, image: str, label: int) -> bytes:
        assert self.run.review.picture is not None
        with self._drawing:
            return encode_png(self.run.review.picture(self.run, image, label))

    def file(self, number: int, suffix: str) -> Path:
        """Give the path of an image's artefact: the corrected one if it is there, else the original.

        Raises
        ------
        InputError
            The run wrote no such file.
        """
        image = self._name(number)
        name = f"{stem(image)}{suffix}"
        corrected = self.writer.written.get(image, {}).get("outputs", [])
        for folder, names in ((self.log.folder, corrected), (self.run.out, self.run.entry(image).outputs)):
            path = folder / name
            if name in names and path.resolve().is_relative_to(self.run.out.resolve()) and path.is_file():
                return path
        raise InputError(f"{image} has no file {suffix}")

    def _name(self, number: int) -> str:
        if not 0 <= number < len(self.run.reviewable):
            raise InputError(f"there is no image {number}")
        return self.run.reviewable[number]


def user() -> str:
    """Give the name of who runs this."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in a container
        return "unknown"

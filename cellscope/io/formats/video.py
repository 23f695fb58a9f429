"""AVI and MP4 through OpenCV: frames in order, as RGB."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2

from cellscope.io.convert import Decoded, Refused
from cellscope.io.scene import Scene


class VideoSource:
    """An open video (see `cellscope.io.scene.Source`).

    Going backwards opens the file anew: seeking in compressed video is not exact. A video's frame rate is that of
    watching it, not of taking it, so the time between frames is not known.

    Raises
    ------
    Refused
        It cannot be opened.
    """

    format = "video"

    def __init__(self, path: Path):
        self._path = str(path)
        self._video = cv2.VideoCapture(self._path)
        self._next = 0
        if not self._video.isOpened():
            raise Refused("cannot be opened as a video; save it as a TIFF stack or as AVI with another codec")
        numbers = (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH)
        frames, height, width = (int(self._video.get(number)) for number in numbers)
        if frames < 1:
            raise Refused("holds no frame")
        self.scenes: tuple[Scene, ...] = (Scene((("T", frames), ("Y", height), ("X", width), ("S", 3)), "uint8"),)

    def plane(self, scene: int, at: Mapping[str, int]) -> Decoded:
        """Decode a frame: (H, W, 3) uint8, red first."""
        index = at.get("T", 0)
        if index < self._next:
            self._video.release()
            self._video = cv2.VideoCapture(self._path)
            self._next = 0
        while self._next < index and self._video.grab():
            self._next += 1
        found, frame = self._video.read() if self._next == index else (False, None)
        if not found or frame is None:
            raise Refused("the video ends or is damaged there")
        self._next = index + 1
        return Decoded(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))

    def close(self) -> None:
        """Let go of the file."""
        self._video.release()

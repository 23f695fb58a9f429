"""AVI and MP4 through OpenCV: frames in order, as RGB."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from cellscope.io.convert import Refused


class VideoFrames:
    """Frames of a video file. Going backwards opens the file anew: seeking in compressed video is not exact.

    Attributes
    ----------
    shape : (frames, height, width, 3)
        Frames as the file's header counts them.
    """

    pixel_size_um: float | None = None
    interval_s: float | None = None  # a video's frame rate is that of watching it, not of taking it
    warnings: tuple[str, ...] = ()

    def __init__(self, path: Path):
        self._path = str(path)
        self._video = cv2.VideoCapture(self._path)
        self._next = 0
        if not self._video.isOpened():
            raise Refused("cannot be opened as a video; save it as a TIFF stack or as AVI with another codec")
        numbers = (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH)
        frames, height, width = (int(self._video.get(number)) for number in numbers)
        self.shape = (frames, height, width, 3)

    def read(self, index: int) -> np.ndarray:
        """Return frame `index` as (H, W, 3) uint8, red first."""
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
        return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)

    def close(self) -> None:
        """Let go of the file."""
        self._video.release()

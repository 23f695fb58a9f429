"""What the channels of a sequence are: transmitted light and nuclei, also in a file of colour pictures of both."""

from __future__ import annotations

import numpy as np

from cellscope.errors import InputError

CHANNELS = ("transmitted", "nuclei")
TOLERANCE = 0.03
"""Largest mean difference of green and blue in a composite, as a share of the grey range: lossy video is not exact."""


def two_channels(frames: np.ndarray, *, nuclei_channel: int = 1) -> np.ndarray:
    """Give transmitted light and nuclear fluorescence.

    Parameters
    ----------
    frames : (T, H, W, C) uint8, uint16 or float32
        Two channels as they are; or a colour picture in which green and blue are transmitted light and red is
        transmitted light plus nuclei (the layout of Delgado-Rodriguez et al., Scientific Reports 2024).
    nuclei_channel : int
        Which of two channels holds the nuclei, from 0.

    Returns
    -------
    (T, 2, H, W) float32
        Transmitted light, nuclei; not normalised. Nuclei of a composite are red minus green.

    Raises
    ------
    InputError
        One channel; three that are no such composite; more than three; a channel without any contrast.
    """
    count = frames.shape[-1]
    if count == 2:
        nuclei, transmitted = frames[..., nuclei_channel], frames[..., 1 - nuclei_channel]
        pair = np.stack([transmitted, nuclei], axis=1).astype(np.float32)
    elif count == 3:
        pair = _from_composite(frames)
    else:
        plural = "channel" if count == 1 else "channels"
        raise InputError(f"{count} {plural}; needed are two (transmitted light, nuclei) or a colour composite of them")
    for name, channel in zip(CHANNELS, (pair[:, 0], pair[:, 1]), strict=True):
        if float(channel.max()) <= float(channel.min()):
            raise InputError(f"the channel of {name} is empty (one value everywhere); check which channels were saved")
    return pair


def _from_composite(frames: np.ndarray) -> np.ndarray:
    red, green, blue = (frames[..., place].astype(np.float32) for place in range(3))
    top = float(np.iinfo(frames.dtype).max) if frames.dtype.kind == "u" else max(float(frames.max()), 1e-6)
    apart = float(np.abs(green - blue).mean()) / top
    darker = float(np.clip(green - red, 0, None).mean()) / top
    if apart > TOLERANCE or darker > TOLERANCE:
        raise InputError(
            "the three channels are not a composite of transmitted light (green and blue, equal) with nuclei in red; "
            "save transmitted light and nuclei as two channels"
        )
    return np.stack([(green + blue) / 2, np.clip(red - green, 0, None)], axis=1)

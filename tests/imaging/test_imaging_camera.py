"""Other people's cameras: one draw for all frames, a range that holds, every change at work."""

from dataclasses import fields

import numpy as np
import pytest

from cellscope.imaging.camera import OTHERS, Camera, photograph, without

RNG = np.random.default_rng(0)
FRAMES = (0.3 + 0.4 * RNG.random((4, 24, 30, 2))).astype(np.float32)


def test_the_same_state_gives_the_same_pictures() -> None:
    first, second = (photograph(FRAMES, OTHERS, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, photograph(FRAMES, OTHERS, np.random.default_rng(6)))


def test_nothing_changes_nothing() -> None:
    assert np.allclose(photograph(FRAMES, Camera(), np.random.default_rng(1)), FRAMES, atol=1e-6)


@pytest.mark.parametrize("name", [field.name for field in fields(Camera)])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_each_change_alone_is_at_work_and_keeps_the_range(name: str, channels: int) -> None:
    frames = np.repeat(FRAMES[..., :1], channels, -1)
    camera = Camera(**{name: {"resolution": 1.0, "compression": 1.0, "blur": 2.0}.get(name, 0.4)})
    changed = 0
    for seed in range(8):
        out = photograph(frames, camera, np.random.default_rng(seed))
        assert out.shape == frames.shape
        assert out.dtype == np.float32
        assert out.min() >= 0
        assert out.max() <= 1
        changed += not np.allclose(out, frames, atol=1e-4)
    assert changed >= 2


@pytest.mark.parametrize("name", ["gain", "offset", "gamma", "uneven", "blur"])
def test_one_acquisition_has_one_lamp(name: str) -> None:
    """Equal frames stay equal: light and focus are drawn once, whatever the number of frames."""
    equal = np.repeat(FRAMES[:1], 5, 0)
    camera = Camera(**{name: 0.5})
    for seed in range(4):
        out = photograph(equal, camera, np.random.default_rng(seed))
        assert np.array_equal(out, np.repeat(out[:1], 5, 0))


def test_noise_differs_from_frame_to_frame() -> None:
    out = photograph(np.repeat(FRAMES[:1], 2, 0), Camera(noise=0.1), np.random.default_rng(0))
    assert not np.allclose(out[0], out[1])


def test_changes_are_left_out_by_name() -> None:
    assert without(OTHERS, "noise", "blur").noise == 0
    assert without(OTHERS, "noise").blur == OTHERS.blur

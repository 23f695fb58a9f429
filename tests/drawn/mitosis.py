"""Generated divisions: a round cell whose bright nucleus becomes two (normal) or stays one and grows (abnormal)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

INTERVAL = 600.0


def _disc(side: int, centre: tuple[float, float], radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side]
    return 1 / (1 + np.exp((np.hypot(rows - centre[0], columns - centre[1]) - radius) / 0.6))


def division(
    seed: int,
    *,
    abnormal: bool,
    frames: int = 12,
    side: int = 40,
    drift: float = 0.0,
    at: tuple[float, float] | None = None,
) -> np.ndarray:
    """Both channels of a division: (T, H, W, 2) uint8, transmitted light and nuclei; it splits at frame 3."""
    rng = np.random.default_rng([seed, int(abnormal)])
    angle = rng.uniform(0, np.pi)
    middle = np.array(at if at is not None else (side / 2, side / 2)) + (0 if at is not None else rng.uniform(-2, 2, 2))
    movie = np.zeros((frames, side, side, 2))
    for t in range(frames):
        place = middle + drift * np.array([t - 3, 0])
        apart = 0.0 if abnormal or t < 3 else min(2.0 + 1.2 * (t - 2), 9.0)
        arm = np.array([np.sin(angle), np.cos(angle)]) * apart / 2
        bright = 110 if t < 5 else 60
        radius = 4.0 if abnormal and t > 4 else 2.6
        nuclei = sum(_disc(side, tuple(place + sign * arm), radius) for sign in ((0,) if apart == 0 else (-1, 1)))
        round_ = _disc(side, tuple(place), 8.0) - _disc(side, tuple(place), 6.5)
        movie[t, ..., 0] = 110 - 45 * round_ * (1 if t < 8 else 0.3) + rng.normal(0, 1.5, (side, side))
        movie[t, ..., 1] = 18 + bright * nuclei + rng.normal(0, 1.5, (side, side))
    return np.clip(np.rint(movie), 0, 255).astype(np.uint8)


def composite(pair: np.ndarray) -> np.ndarray:
    """The authors' colours: green and blue transmitted light, red the nuclei added to it; (T, H, W, 3) uint8."""
    light, nuclei = pair[..., 0].astype(int), pair[..., 1].astype(int)
    return np.stack([np.clip(light + nuclei, 0, 255), light, light], -1).astype(np.uint8)


def write_composite(path: Path, pair: np.ndarray, axes: str = "TYXS") -> None:
    """Write the authors' kind of file: ImageJ, colours, frames called T or Z."""
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"axes": axes, "finterval": INTERVAL, "unit": "um"}
    tifffile.imwrite(path, composite(pair), imagej=True, metadata=metadata, resolution=(0.868, 0.868))


def write_source(folder: Path, positions: int = 6) -> Path:
    """Class folders with names like the authors': two normal and one abnormal sequence per position and dose."""
    for position in range(positions):
        dose = (0, 4)[position % 2]
        line = ("PC3", "U251c")[position % 3 == 0]
        for k in range(3):
            abnormal = k == 2
            side = 36 + 4 * ((position + k) % 3)
            pair = division(10 * position + k, abnormal=abnormal, side=side)
            letter, class_ = ("A", "AbnormalMitosis") if abnormal else ("N", "NormalMitosis")
            name = f"{letter}_160930.nd2_{line}_{dose}Gy_p{position}_{10 * k}_{10 * k + 11}.tif"
            write_composite(folder / class_ / name, pair, "ZYXS" if k else "TYXS")
    return folder


def field(
    events: list[tuple[int, int, int, bool]],
    *,
    frames: int = 30,
    size: tuple[int, int] = (160, 200),
    drift: float = 0.0,
) -> np.ndarray:
    """A movie with divisions at (frame of the split, row, column, abnormal): (T, H, W, 2) uint8."""
    rng = np.random.default_rng(7)
    movie = np.empty((frames, *size, 2), np.float64)
    movie[..., 0] = 110 + rng.normal(0, 1.5, movie.shape[:3])
    movie[..., 1] = 18 + rng.normal(0, 1.5, movie.shape[:3])
    side = 48
    for number, (frame, row, column, abnormal) in enumerate(events):
        pair = division(100 + number, abnormal=abnormal, side=side, drift=drift, at=(side / 2, side / 2)).astype(float)
        for t in range(12):
            if 0 <= frame - 3 + t < frames:
                area = (frame - 3 + t, slice(row - 24, row + 24), slice(column - 24, column + 24))
                movie[area] += pair[t] - np.array([110, 18])
    return np.clip(np.rint(movie), 0, 255).astype(np.uint8)


def write_event_tables(folder: Path, events: list[tuple[int, int, int]], size: tuple[int, int]) -> list[Path]:
    """Write divisions (frame of the split, row, column) as CSV, TrackMate XML and a Cell Tracking Challenge folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "events.csv").write_text("frame,y,x\n" + "".join(f"{t},{y},{x}\n" for t, y, x in events))
    spots, links, tracks = [], [], []
    masks: dict[int, np.ndarray] = {}
    for number, (t, y, x) in enumerate(events):
        mother, *daughters = (3 * number + k + 1 for k in range(3))
        for label, frame, row in ((mother, t - 1, y), (daughters[0], t, y - 4), (daughters[1], t, y + 4)):
            spots.append(f'<Spot ID="{label}" FRAME="{frame}" POSITION_Y="{row * 1.15}" POSITION_X="{x * 1.15}"/>')
            mask = masks.setdefault(frame, np.zeros(size, np.uint16))
            mask[row - 2 : row + 3, x - 2 : x + 3] = label
            tracks.append(f"{label} {frame} {frame} {0 if label == mother else mother}")
        links += [f'<Edge SPOT_SOURCE_ID="{mother}" SPOT_TARGET_ID="{label}"/>' for label in daughters]
    (folder / "tracks.xml").write_text(
        f'<?xml version="1.0"?><TrackMate><Model spatialunits="micron"><AllSpots>{"".join(spots)}</AllSpots>'
        f"<AllTracks><Track>{''.join(links)}</Track></AllTracks></Model>"
        '<Settings><ImageData pixelwidth="1.15" pixelheight="1.15"/></Settings></TrackMate>'
    )
    challenge = folder / "01_GT" / "TRA"
    challenge.mkdir(parents=True, exist_ok=True)
    (challenge / "man_track.txt").write_text("\n".join(tracks) + "\n")
    for frame, mask in masks.items():
        tifffile.imwrite(challenge / f"man_track{frame:03d}.tif", mask)
    return [folder / "events.csv", folder / "tracks.xml", challenge]

"""What is taken of a file that holds more than one plane: one rule for every format and every assay.

What the user names is taken, or refused with the list of what there is. What nobody named is taken where that cannot
change what the image shows (the first time point, the sharpest slice, the first scene), with a warning that says what
was taken and what there was. Where it would be a guess about content (which of two stains shows the DNA), the file is
refused with the list. Nothing heavy is imported here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cellscope.io.choice import ALL, FOCUS, MAX, RED_GREEN_BLUE, Choice, Selection, Unchosen, Wants
from cellscope.io.scene import AXIS_NAMES, CHANNEL, COLOUR, SLICE, TIME, UNNAMED, Scene

OVERVIEW_SHARE = 0.25
"""A scene with less than this share of the largest one's pixels is an overview of it."""
SHOWN = 8
"""Most names in a list of what there is."""


def listed(scene: Scene) -> str:
    """Channels of a scene as a list to choose from: ``0 (DAPI), 1 (FITC)``."""
    count = scene.size(CHANNEL)
    names = [f"{n} ({scene.channel_name(n)})" if scene.channel_name(n) else str(n) for n in range(min(count, SHOWN))]
    return ", ".join(names) + (f", ... {count - 1}" if count > SHOWN else "")


def scene_names(scenes: Sequence[Scene]) -> str:
    """Scenes as a list to choose from: ``0 (Pos1), 1 (Pos2)``."""
    names = [f"{n} ({one.name})" if one.name else str(n) for n, one in enumerate(scenes[:SHOWN])]
    return ", ".join(names) + (f", ... {len(scenes) - 1}" if len(scenes) > SHOWN else "")


def main_scenes(scenes: Sequence[Scene]) -> list[int]:
    """Numbers of the scenes that are images of their own: no thumbnails, labels or overviews of others."""
    own = [n for n, scene in enumerate(scenes) if not scene.overview] or list(range(len(scenes)))
    largest = max(scenes[n].height * scenes[n].width for n in own)
    return [n for n in own if scenes[n].height * scenes[n].width >= OVERVIEW_SHARE * largest]


def pages_as_scenes(scenes: Sequence[Scene], choice: Choice, wants: Wants) -> int:
    """Count the pages that the file does not name, where ``--scene`` chooses among them; else 0."""
    own = main_scenes(scenes)
    count = scenes[own[0]].size(UNNAMED) if len(own) == 1 else 1
    named = choice.channel or choice.z or choice.frame
    return count if count > 1 and choice.scene and not named and wants is not Wants.MOVIE else 0


def scenes_to_take(scenes: Sequence[Scene], choice: Choice, wants: Wants) -> list[tuple[int, str]]:
    """List what ``--scene all`` makes inputs of: number and name of each, one where there is no more."""
    if pages := pages_as_scenes(scenes, choice, wants):
        return [(number, "") for number in range(pages)]
    return [(number, scenes[number].name) for number in main_scenes(scenes)]


def select(scenes: Sequence[Scene], choice: Choice, wants: Wants) -> Selection:
    """Decide what is taken of a file.

    Raises
    ------
    Unchosen
        What was named is not there, or only a person can choose.
    """
    number, page = 0, 0
    roles: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    if pages := pages_as_scenes(scenes, choice, wants):
        page = _numbered(choice.scene, pages, (), "page", _plural(pages, "page"))
    else:
        number, warnings = _scene(scenes, choice)
        roles, notes = _roles(scenes[number], choice, wants)
    scene = scenes[number]
    known = replace(scene, sizes=tuple((roles.get(axis, axis), size) for axis, size in scene.sizes))
    taken = Selection(number, page=page, roles=roles, warnings=(*warnings, *notes))
    taken = _time(known, choice, wants, taken)
    taken = _slice(known, choice, taken)
    taken = _channels(known, choice, wants, taken, len(scenes))
    others = [(axis, size) for axis, size in known.many if axis not in (TIME, CHANNEL, SLICE, taken.time)]
    unnamed = {UNNAMED} if UNNAMED in scene.axes else set()
    for axis, size in others:
        if axis not in unnamed:
            what = AXIS_NAMES.get(axis, f"planes along the axis {axis}")
            taken = _warned(taken, f"the file holds {size} {what}; only the first was read")
    return taken


def _warned(taken: Selection, line: str) -> Selection:
    return replace(taken, warnings=(*taken.warnings, line))


def _numbered(text: str, count: int, names: Sequence[str], what: str, held: str) -> int:
    """Return a number from 0 or the place of a name; Unchosen with the list `held`."""
    if text.isdecimal() and int(text) < count:
        return int(text)
    exact = [n for n, name in enumerate(names) if name == text]
    near = exact or [n for n, name in enumerate(names) if name.casefold() == text.casefold() and name]
    if len(near) == 1:
        return near[0]
    if len(near) > 1:
        raise Unchosen(f"{len(near)} {what}s are called {text!r}; choose one by its number: {held}")
    raise Unchosen(f"there is no {what} {text}; the file holds {held}, counted from 0")


def _scene(scenes: Sequence[Scene], choice: Choice) -> tuple[int, tuple[str, ...]]:
    own = main_scenes(scenes)
    if choice.scene and choice.scene != ALL:
        held = f"{_plural(len(scenes), 'scene')}: {scene_names(scenes)}"
        return _numbered(choice.scene, len(scenes), [one.name for one in scenes], "scene", held), ()
    if choice.scene == ALL and len(own) > 1:
        raise Unchosen(f"--scene all needs each scene as an input of its own; here choose one: {scene_names(scenes)}")
    if sum(not scene.overview for scene in scenes) < 2:
        return own[0], ()
    left = f"the file holds {len(scenes)} scenes ({scene_names(scenes)}); only scene {own[0]} was read"
    return own[0], (f"{left}, --scene NAME, N or all takes others",)


def _roles(scene: Scene, choice: Choice, wants: Wants) -> tuple[dict[str, str], tuple[str, ...]]:
    """Tell what pages are that the file does not name: what the user chose among."""
    count = scene.size(UNNAMED)
    if count < 2:
        return {}, ()
    if wants is Wants.MOVIE and scene.size(TIME) == 1:
        return {UNNAMED: TIME}, ()
    chosen = ((choice.channel, CHANNEL), (choice.z, SLICE), (choice.frame, TIME))
    for text, axis in chosen:
        if text and scene.size(axis) == 1:
            return {UNNAMED: axis}, (f"the file does not say what its {count} pages are; taken as {AXIS_NAMES[axis]}",)
    if wants is Wants.STAIN:
        raise Unchosen(
            f"the file holds {count} pages and does not say what they are; say it with --channel N (stains), --z N, "
            f"max or focus (slices), --frame N (time points) or --scene N or all (images), N from 0 to {count - 1}"
        )
    line = f"the file holds {count} pages (channels, slices or time points); only page 0 was read"
    colours = count == 3 and wants is Wants.COLOUR and scene.size(COLOUR) == 1
    return {}, (f"{line}; if they are red, green and blue, give --channel 0,1,2" if colours else line,)


def _time(scene: Scene, choice: Choice, wants: Wants, taken: Selection) -> Selection:
    count = scene.size(TIME)
    if wants is Wants.MOVIE:
        axis = TIME if count > 1 else ""
        if not axis and scene.size(SLICE) > 1 and not choice.z:
            axis = SLICE
        return replace(taken, time=axis)
    if choice.frame:
        frame = _numbered(choice.frame, count, (), "frame", _plural(count, "time point"))
        return replace(taken, frame=frame)
    if count > 1:
        line = f"the file holds {count} time points; only the first was read, --frame N takes another"
        return _warned(taken, line)
    return taken


def _slice(scene: Scene, choice: Choice, taken: Selection) -> Selection:
    count = 1 if taken.time == SLICE else scene.size(SLICE)
    if choice.z:
        if choice.z.casefold() in (MAX, FOCUS):
            return replace(taken, z=choice.z.casefold() if count > 1 else 0)
        return replace(taken, z=_numbered(choice.z, count, (), "slice", _plural(count, "slice")))
    if count > 1:
        line = f"the file holds {count} slices (Z); the sharpest was taken, --z N takes another, --z max projects them"
        return _warned(replace(taken, z=FOCUS), line)
    return taken


def _channels(scene: Scene, choice: Choice, wants: Wants, taken: Selection, scenes: int) -> Selection:
    count, colours = scene.size(CHANNEL), scene.size(COLOUR)
    if choice.channel:
        return _chosen_channels(scene, choice, wants, taken, scenes)
    every = replace(taken, channels=tuple(range(count)))
    if count == 1 or (wants is Wants.ANY and colours == 1):
        return every
    if colours > 1:
        raise Unchosen(f"the file holds {count} colour images as channels; choose one with --channel: {listed(scene)}")
    if wants is Wants.MOVIE:
        if count > 3:
            raise Unchosen(
                f"the file holds {count} channels; name the one of transmitted light and the one of the nuclei with "
                f"--channel A,B: {listed(scene)}"
            )
        return every
    if wants is Wants.COLOUR:
        return _composed(scene, every)
    return replace(every, certain=False)  # equal channels, a grey image saved as several, need no choice


def _chosen_channels(scene: Scene, choice: Choice, wants: Wants, taken: Selection, scenes: int) -> Selection:
    count, colours = scene.size(CHANNEL), scene.size(COLOUR)
    words = [word.strip() for word in choice.channel.split(",") if word.strip()]
    most = {Wants.STAIN: 1, Wants.MOVIE: 2, Wants.COLOUR: 3}.get(wants, len(words))
    if len(words) > most:
        raise Unchosen(f"--channel {choice.channel}: at most {most} can be used")
    if count == 1 and colours > 1:
        names = ("red", "green", "blue", "alpha")[:colours]
        held = f"one colour image of {colours} channels: " + ", ".join(f"{n} ({name})" for n, name in enumerate(names))
        return replace(taken, samples=tuple(_numbered(word, colours, names, "channel", held) for word in words))
    held = f"{_plural(count, 'channel')}" + (f": {listed(scene)}" if count > 1 else "")
    if count == 1:
        held = "one channel" + (f" in each of {scenes} scenes, which --scene chooses" if scenes > 1 else "")
    names = tuple(scene.channel_name(n) for n in range(count))
    channels = tuple(_numbered(word, count, names, "channel", held) for word in words)
    return replace(taken, channels=channels, composed=wants is Wants.COLOUR and len(channels) == 3)


def _composed(scene: Scene, taken: Selection) -> Selection:
    """Three channels as red, green and blue; by their names, else what they show must bear it out."""
    count = scene.size(CHANNEL)
    names = [scene.channel_name(n).casefold() for n in range(count)]
    order = [next((n for n, name in enumerate(names) if name in known), None) for known in RED_GREEN_BLUE]
    if count == 3 and None not in order:
        line = "red, green and blue are separate channels; they were put together"
        return _warned(replace(taken, channels=tuple(n for n in order if n is not None), composed=True), line)
    if count == 3 and not any(names):
        line = "its three channels are separate planes; they were taken for red, green and blue"
        return _warned(replace(taken, composed=True, certain=False), line)
    raise Unchosen(
        f"the file holds {count} channels and no colour image; if three of them are red, green and blue, name them "
        f"with --channel R,G,B: {listed(scene)}"
    )


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"

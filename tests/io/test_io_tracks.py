"""Divisions from CSV, TrackMate XML and Cell Tracking Challenge folders: the same division in each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from cellscope.errors import InputError, UsageError
from cellscope.io.events import Event
from cellscope.io.tracks import check_events, events_of, read_events

TRACKMATE = """<?xml version="1.0" encoding="UTF-8"?>
<TrackMate version="7.11.1">
  <Model spatialunits="{units}" timeunits="min">
    <AllSpots>
      <SpotsInFrame frame="4"><Spot ID="1" FRAME="4" POSITION_X="30.0" POSITION_Y="12.5" RADIUS="4"/></SpotsInFrame>
      <SpotsInFrame frame="5">
        <Spot ID="2" FRAME="5" POSITION_X="28.0" POSITION_Y="12.5" RADIUS="3"/>
        <Spot ID="3" FRAME="5" POSITION_X="33.0" POSITION_Y="12.5" RADIUS="3"/>
      </SpotsInFrame>
      <SpotsInFrame frame="6"><Spot ID="4" FRAME="6" POSITION_X="27.0" POSITION_Y="12.5" RADIUS="3"/></SpotsInFrame>
    </AllSpots>
    <AllTracks><Track TRACK_ID="0">
      <Edge SPOT_SOURCE_ID="1" SPOT_TARGET_ID="2"/><Edge SPOT_SOURCE_ID="1" SPOT_TARGET_ID="3"/>
      <Edge SPOT_SOURCE_ID="2" SPOT_TARGET_ID="4"/>
    </Track></AllTracks>
  </Model>
  {settings}
</TrackMate>
"""
IMAGE = '<Settings><ImageData filename="a.tif" pixelwidth="0.5" pixelheight="0.5" nframes="10"/></Settings>'


def challenge(folder: Path) -> Path:
    """Track 1 ends in frame 4 and has two daughters; track 4 goes on after a gap as 5, which is no division."""
    folder.mkdir()
    (folder / "man_track.txt").write_text("1 0 4 0\n2 5 9 1\n3 5 9 1\n4 0 2 0\n5 4 9 4\n")
    labels = np.zeros((40, 80), np.uint16)
    labels[24:27, 59:62] = 1  # centroid (25, 60)
    tifffile.imwrite(folder / "man_track004.tif", labels)
    return folder


def test_the_same_division_in_three_formats(tmp_path):
    (tmp_path / "e.csv").write_text("frame;y;x\n5;25;60\n")
    (tmp_path / "e.xml").write_text(TRACKMATE.format(units="micron", settings=IMAGE))
    folder = challenge(tmp_path / "TRA")
    for path in (tmp_path / "e.csv", tmp_path / "e.xml", folder, folder / "man_track.txt"):
        [event] = read_events(path)
        assert (event.frame, event.y, event.x) == (5, 25.0, 60.0), path


def test_csv_takes_size_and_image(tmp_path):
    (tmp_path / "e.csv").write_text("Image,Frame,Y,X,Size\nday1/b.tif,7,1.5,2,80\n,3,4,5,\n")
    events = read_events(tmp_path / "e.csv")
    assert list(events) == [Event(3, 4, 5, None, "row 2", ""), Event(7, 1.5, 2, 80, "row 1", "day1/b.tif")]
    assert [event.frame for event in events_of(events, Path("/x/day1/b.tif"), "e.csv")[0]] == [3, 7]
    assert [event.frame for event in events_of(events, Path("/x/day2/b.tif"), "e.csv")[0]] == [3]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("frame,row,column\n1,2,3\n", "no column y, x; it has frame, row, column"),
        ("frame,y,x\n1,two,3\n", "row 1: y is 'two', not a number"),
        ("frame;y;x\n1;2,5;3\n", "row 1: y is '2,5', not a number; write decimals with a point"),
        ("frame,y,x\n1.5,2,3\n", "whole number"),
        ("frame,y,x,size\n1,2,3,0\n", "at least 2 pixels"),
    ],
)
def test_wrong_tables(tmp_path, text, words):
    (tmp_path / "e.csv").write_text(text)
    with pytest.raises(UsageError, match=words):
        read_events(tmp_path / "e.csv")


def test_trackmate_without_a_pixel_size(tmp_path):
    (tmp_path / "e.xml").write_text(TRACKMATE.format(units="micron", settings=""))
    with pytest.raises(UsageError, match="positions are in micron"):
        read_events(tmp_path / "e.xml")
    (tmp_path / "e.xml").write_text(TRACKMATE.format(units="pixel", settings=""))
    assert read_events(tmp_path / "e.xml")[0].x == 30.0


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("e.xml", "<TrackMate><Model>", "not a TrackMate file"),
        ("e.xml", "<TrackMate></TrackMate>", "no spots"),
        ("man_track.txt", "1 0 4\n", "line 1: not four whole numbers"),
        ("man_track.txt", "2 5 9 1\n3 5 9 1\n", "track 1 is a parent and not in the table"),
        ("man_track.txt", "1 0 4 0\n2 5 9 1\n3 5 9 1\n", "no mask of frame 4"),
    ],
)
def test_wrong_tracking_files(tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match=words):
        read_events(tmp_path / name)


def test_what_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="no such table"):
        read_events(tmp_path / "none.csv")
    with pytest.raises(UsageError, match=r"holds no man_track\.txt"):
        read_events(tmp_path)


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (Event(30, 1, 1, None, "row 1"), r"e\.csv, row 1: frame 30 is outside the movie, which has frames 0 to 29"),
        (Event(1, 50, 1, None, "row 1"), "y 50, x 1 is outside the movie of 40 rows and 60 columns"),
        (Event(1, 1, -1, None, "row 1"), "outside"),
    ],
)
def test_events_outside_the_movie(event, words):
    check_events([Event(29, 39, 59)], (30, 40, 60), "e.csv")
    with pytest.raises(InputError, match=words):
        check_events([event], (30, 40, 60), "e.csv")


def test_links_have_no_direction_and_hidden_tracks_do_not_count(tmp_path):
    text = TRACKMATE.format(units="micron", settings=IMAGE)
    turned = text.replace('SPOT_SOURCE_ID="1" SPOT_TARGET_ID="3"', 'SPOT_SOURCE_ID="3" SPOT_TARGET_ID="1"')
    assert turned != text
    twice = text.replace("</Track></AllTracks>", '<Edge SPOT_SOURCE_ID="1" SPOT_TARGET_ID="2"/></Track></AllTracks>')
    shown = text.replace("</AllTracks>", '</AllTracks><FilteredTracks><TrackID TRACK_ID="0"/></FilteredTracks>')
    for number, content in enumerate((text, turned, twice, shown)):
        path = tmp_path / f"{number}.xml"
        path.write_text(content)
        assert list(read_events(path)) == [Event(5, 25.0, 60.0, None, "spot 1", track="0", spot="1")]
        assert read_events(path).notes == ()
    hidden = tmp_path / "hidden.xml"
    hidden.write_text(text.replace("</AllTracks>", "</AllTracks><FilteredTracks/>"))
    assert list(read_events(hidden)) == []
    assert "1 divisions lie in tracks that are hidden" in read_events(hidden).notes[0]


def test_merging_cells_and_links_within_a_frame_are_no_divisions(tmp_path):
    text = TRACKMATE.format(units="micron", settings=IMAGE)
    merging = text.replace('FRAME="4"', 'FRAME="9"').replace('<Edge SPOT_SOURCE_ID="2" SPOT_TARGET_ID="4"/>', "")
    (tmp_path / "a.xml").write_text(merging)
    assert list(read_events(tmp_path / "a.xml")) == []


@pytest.mark.parametrize(
    ("named", "path", "found"),
    [
        ("movie", "/x/movie.tif", True),
        ("Movie.TIF", "/x/movie.tif", True),
        ("D:/data/movie.tif", "/x/movie.tif", True),
        ("D:\\data\\movie.tif", "/x/movie.tif", True),
        ("day1\\movie.tif", "/x/day1/movie.tif", True),
        ("day1/movie", "/x/day2/movie.tif", False),
        ("other.tif", "/x/movie.tif", False),
    ],
)
def test_names_of_another_machine(tmp_path, named, path, found):
    (tmp_path / "e.csv").write_text(f"image,frame,y,x\n{named},3,4,5\n")
    events, notes = events_of(read_events(tmp_path / "e.csv"), Path(path), "e.csv")
    assert bool(events) == found
    assert "e.csv" in notes[0]
    assert ("taken for this movie" in notes[0]) == found


def test_folders_that_all_images_share_do_not_count_and_the_others_do(tmp_path):
    (tmp_path / "e.csv").write_text("image,frame,y,x\nD:/lab/day1/m.tif,3,4,5\nD:/lab/day2/m.tif,7,4,5\n")
    table = read_events(tmp_path / "e.csv")
    for day, frame in (("day1", 3), ("day2", 7)):
        events, _ = events_of(table, Path(f"/x/{day}/m.tif"), "e.csv")
        assert [event.frame for event in events] == [frame]


def test_a_row_that_is_there_twice_counts_once(tmp_path):
    (tmp_path / "e.csv").write_text("frame,y,x\n3,4,5\n7,4,5\n3,4,5\n")
    table = read_events(tmp_path / "e.csv")
    assert [event.frame for event in table] == [3, 7]
    assert table.notes == ("row 3 says the same as row 1 and counts once",)

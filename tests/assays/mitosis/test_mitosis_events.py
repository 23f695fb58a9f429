"""Sequences cut out of movies by a labelled table; ids of tracks and spots; scale bars."""

import numpy as np
import pandas as pd
import pytest
from drawn.mitosis import division

from cellscope.assays.mitosis.datasets.prepare import prepare
from cellscope.assays.mitosis.options import MitosisPrepareOptions
from cellscope.assays.mitosis.report.figures import TILE, Strip, draw_filmstrip
from cellscope.errors import DatasetError, UsageError
from cellscope.io.movie import open_movie
from cellscope.io.sequence import write_sequence
from cellscope.io.tracks import read_events

TRACKMATE = """<?xml version="1.0"?><TrackMate><Model spatialunits="pixel">
<AllSpots><SpotsInFrame frame="3">
<Spot ID="1" name="abnormal" FRAME="3" POSITION_X="30" POSITION_Y="20"/>
<Spot ID="5" name="ID5" FRAME="3" POSITION_X="60" POSITION_Y="40"/>
</SpotsInFrame><SpotsInFrame frame="4">
<Spot ID="2" name="ID2" FRAME="4" POSITION_X="28" POSITION_Y="20"/>
<Spot ID="3" name="ID3" FRAME="4" POSITION_X="33" POSITION_Y="20"/>
<Spot ID="6" name="ID6" FRAME="4" POSITION_X="58" POSITION_Y="40"/>
<Spot ID="7" name="ID7" FRAME="4" POSITION_X="62" POSITION_Y="40"/></SpotsInFrame></AllSpots>
<AllTracks><Track TRACK_ID="0" name="Track_0">
<Edge SPOT_SOURCE_ID="1" SPOT_TARGET_ID="2"/><Edge SPOT_SOURCE_ID="1" SPOT_TARGET_ID="3"/></Track>
<Track TRACK_ID="4" name="normal">
<Edge SPOT_SOURCE_ID="5" SPOT_TARGET_ID="6"/><Edge SPOT_SOURCE_ID="5" SPOT_TARGET_ID="7"/></Track></AllTracks>
</Model></TrackMate>"""


@pytest.fixture
def movies(tmp_path):
    """Two movies of 20 frames, 100 x 120 pixels, in which every pixel says its row and its frame."""
    folder = tmp_path / "movies"
    rows = np.arange(100, dtype=np.uint16)[None, :, None, None] * 10
    frames = np.arange(20, dtype=np.uint16)[:, None, None, None]
    movie = np.broadcast_to(rows + frames, (20, 100, 120, 2)).astype(np.uint16).copy()
    for name in ("160930_PC3_4Gy_p1", "160930_PC3_0Gy_p2"):
        write_sequence(folder / f"{name}.tif", movie, pixel_size_um=0.5, interval_s=600)
    return folder


def test_labelled_divisions_become_sequences(movies, tmp_path):
    table = tmp_path / "events.csv"
    table.write_text(
        "image,frame,y,x,class,track,spot,size\n"
        "160930_PC3_4Gy_p1.tif,8,50,60,abnormal,12,340,40\n"
        "160930_PC3_4Gy_p1.tif,5,30,40,NormalMitosis,13,,40\n"
        "160930_PC3_0Gy_p2.tif,9,55,70,normal,,,40\n"
    )
    prepare([movies], tmp_path / "out", MitosisPrepareOptions(events=table))
    items = pd.read_csv(tmp_path / "out" / "items.csv", dtype=str, keep_default_na=False)
    assert items["class"].tolist() == ["normal", "normal", "abnormal"]
    assert items["track"].tolist() == ["", "13", "12"]
    assert items["spot"].tolist() == ["", "", "340"]
    assert items["dose"].tolist() == ["0", "4", "4"]
    assert items["group"].nunique() == 2  # those of one movie stay together
    cut = open_movie(tmp_path / "out" / items["image"][2])
    pixels = cut.read()
    assert pixels.shape == (12, 40, 40, 2)
    assert cut.pixel_size_um == pytest.approx(0.5)
    steps = pixels[:, 0, 0, 0].astype(int) - pixels[0, 0, 0, 0]
    assert (np.diff(steps) % 10 == 1).all()  # frames 5 to 16, one after the other


def test_divisions_without_a_class_are_refused(movies, tmp_path):
    table = tmp_path / "events.csv"
    table.write_text("image,frame,y,x\n160930_PC3_4Gy_p1.tif,8,50,60\n")
    with pytest.raises(DatasetError, match=r"events\.csv, row 1: the division has no class"):
        prepare([movies], tmp_path / "out", MitosisPrepareOptions(events=table))


def test_trackmate_names_are_classes_unless_it_gave_them(tmp_path):
    path = tmp_path / "tracks.xml"
    path.write_text(TRACKMATE)
    found = [(event.track, event.spot, event.class_) for event in read_events(path)]
    assert sorted(found) == [("0", "1", "abnormal"), ("4", "5", "normal")]


def test_filmstrips_have_a_bar_of_a_round_length_where_the_pixel_size_is_known():
    shown = np.moveaxis(division(3, abnormal=False), -1, 1)[:, :, :48, :48].astype(np.float32) * 0
    strips = [Strip(shown, np.arange(len(shown)), "a", False, False, size) for size in (None, 1.0)]
    plain, barred = (draw_filmstrip([strip], "t", 10.0) for strip in strips)
    changed = np.argwhere((plain != barred).any(-1))
    white = (barred == 255).all(-1) & (plain != 255).any(-1)
    rows = white.sum(1)
    assert rows.max() >= 2 * TILE // 48 * 10  # 20 um: two thirds of the way to half a frame
    assert changed[:, 1].max() < TILE  # in the first frame alone


@pytest.mark.parametrize("beside", [True, False])
def test_the_authors_test_folder_stays_the_test_set(tmp_path, beside):
    for kept in ("TRAIN", "TEST") if beside else ("TEST",):
        for name, abnormal in (("NormalMitosis", False), ("AbnormalMitosis", True)):
            for number in range(4 if kept == "TRAIN" or not beside else 1):
                path = tmp_path / "data" / kept / name / f"{kept[:2]}{number}_160930_PC3_4Gy_p{number}_1.tif"
                write_sequence(path, division(number, abnormal=abnormal)[:3])
    prepare([tmp_path / "data"], tmp_path / "out", MitosisPrepareOptions(validation_share=0.43, splits=(0.8, 0.0, 0.2)))
    items = pd.read_csv(tmp_path / "out" / "items.csv", dtype=str, keep_default_na=False)
    below = items["image"].str.contains("/TEST/")
    if beside:
        assert (items.loc[below, "split"] == "test").all()
        assert set(items.loc[~below, "split"]) == {"train", "val"}
        assert not set(items.loc[below, "group"]) & set(items.loc[~below, "group"])
    else:  # nothing beside it: a folder that happens to be called so
        assert (items["split"] != "test").any()


def test_a_table_states_splits_also_within_a_position(tmp_path, capsys):
    rows = ["image,split"]
    for name, abnormal in (("NormalMitosis", False), ("AbnormalMitosis", True)):
        for number in range(4):
            path = tmp_path / "data" / name / f"160930_PC3_4Gy_p{number // 2}_{abnormal:d}{number}.tif"
            write_sequence(path, division(number, abnormal=abnormal)[:3])
            rows.append(f"{path.relative_to(tmp_path / 'data')},{'test' if number == 1 else 'train'}")
    table = tmp_path / "facts.csv"
    table.write_text("\n".join(rows) + "\n")
    prepare([tmp_path / "data"], tmp_path / "out", MitosisPrepareOptions(table=table))
    items = pd.read_csv(tmp_path / "out" / "items.csv", dtype=str, keep_default_na=False)
    tested = items["image"].str.contains("01.tif|11.tif", regex=True)
    assert tested.sum() == 2
    assert (items.loc[tested, "split"] == "test").all()
    assert (items.loc[~tested, "split"] == "train").all()
    assert not set(items.loc[tested, "group"]) & set(items.loc[~tested, "group"])
    assert "1 movie positions have sequences in the test split and in others" in capsys.readouterr().err
    table.write_text("\n".join(rows).replace("test", "exam") + "\n")
    with pytest.raises(UsageError, match="exam is no split; there are train, val, test"):
        prepare([tmp_path / "data"], tmp_path / "again", MitosisPrepareOptions(table=table))

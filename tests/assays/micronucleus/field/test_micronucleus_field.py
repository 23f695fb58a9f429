"""A field before and after the networks: light, scale, instances, parents, masks of other tools, crops."""

from pathlib import Path

import numpy as np
import pytest
from drawn.micronucleus import PLACES, draw_field

from cellscope.assays.micronucleus.classify.crops import SIDE, cell_crop, normalise_crop, owners
from cellscope.assays.micronucleus.count.objects import condensed, localise
from cellscope.assays.micronucleus.datasets.fields import depth_map
from cellscope.assays.micronucleus.evaluation.scores import frequency_error, sensitivity_at
from cellscope.assays.micronucleus.field.field import (
    classical_nuclei,
    estimate_diameter,
    exposure_warnings,
    grey_of,
    median_diameter,
    normalise_field,
)
from cellscope.assays.micronucleus.field.masks import find_mask, labels_of
from cellscope.assays.micronucleus.field.scaling import finder_maps, finder_view
from cellscope.assays.micronucleus.find.instances import micronuclei_of, nuclei_of, reachable, score_cells
from cellscope.assays.micronucleus.training.classifier_data import add_micronucleus
from cellscope.errors import InputError
from cellscope.imaging.labels import label_table
from cellscope.io.annotations.label_image import LabelImage
from cellscope.metrics.instances import matched_labels


def test_a_channel_must_be_chosen():
    stack = np.zeros((4, 5, 3), np.uint8)
    stack[..., 2] = 7
    with pytest.raises(InputError, match=r"a.tif: the image has 3 channels.*--channel 0..2"):
        grey_of(stack, "a.tif")
    assert (grey_of(stack[..., 2:], "a.tif") == 7).all()
    grey = np.repeat(stack[..., 2:], 3, 2)  # a grey image saved as RGB needs no choice
    assert (grey_of(grey, "a.tif") == 7).all()


def test_exposure_is_looked_at():
    black = np.zeros((8, 8, 1), np.uint8)
    assert "all black" in exposure_warnings(black, black[..., 0].astype(np.float32))[0]
    burnt = np.full((8, 8, 1), 65535, np.uint16)
    burnt[:4] = 10
    assert "saturated" in exposure_warnings(burnt, burnt[..., 0].astype(np.float32))[0]
    fine = draw_field().grey
    assert exposure_warnings(fine[..., None], fine.astype(np.float32)) == []
    sparse = np.full((100, 100, 1), 20, np.uint8)
    sparse[40:50, 40:50] = 255  # 1 % of the field, but all of its only nucleus
    [warning] = exposure_warnings(sparse, sparse[..., 0].astype(np.float32))
    assert "of the nuclei's pixels are saturated" in warning


def test_light_is_normalised_whatever_the_gain():
    grey = draw_field().grey.astype(np.float32)
    first, second = normalise_field(grey), normalise_field(grey * 7 + 400)
    assert np.abs(first - second).max() < 1e-3
    field = draw_field()
    assert np.median(first[field.nuclei > 0]) == pytest.approx(1, abs=0.03)
    assert np.median(first[field.nuclei == 0]) == pytest.approx(0, abs=0.02)
    assert not normalise_field(np.full((9, 9), 5, np.float32)).any()


def test_the_diameter_is_guessed():
    field = draw_field()
    assert median_diameter(field.nuclei) == pytest.approx(25, abs=1.5)
    assert estimate_diameter(field.grey.astype(np.float32)) == pytest.approx(25, abs=3.0)
    assert estimate_diameter(np.zeros((20, 20), np.float32)) is None


def test_classical_nuclei_finds_what_is_there():
    field = draw_field()
    found = classical_nuclei(field.grey.astype(np.float32))
    assert len(matched_labels(field.nuclei, found)) == 4


def maps_of(field):
    """The finder's maps as a perfect network would give them."""
    depth = np.clip(depth_map(field.nuclei), 0.02, 0.98)
    return np.stack(
        [
            np.where(field.nuclei > 0, 5.0, -5.0),
            np.log(depth / (1 - depth)),
            np.where(field.micronuclei > 0, 5.0, -9.0),
        ]
    ).astype(np.float32)


def test_perfect_maps_give_the_field_back():
    field = draw_field()
    maps = maps_of(field)
    labels = nuclei_of(maps[0], maps[1], 25.0)
    assert matched_labels(field.nuclei, labels) == {1: 1, 2: 2, 3: 3, 4: 4}
    reach = reachable(labels, 25.0)
    found, parents, scores = micronuclei_of(maps[2], reach)
    assert parents == {1: 1, 2: 3}
    assert scores == pytest.approx({1: 0.9933, 2: 0.9933}, abs=1e-3)
    assert matched_labels(field.micronuclei, found, 0.8) == {1: 1, 2: 2}
    seen = score_cells(maps[2], labels, 25.0, [1, 2, 3, 4])
    assert (seen > 0).tolist() == [True, False, True, False]


def test_evidence_is_shared_between_two_possible_parents_and_none_comes_from_inside():
    labels = np.zeros((30, 64), np.int32)
    labels[5:25, 2:22], labels[5:25, 42:62] = 7, 9
    logits = np.full(labels.shape, -9.0, np.float32)

    def seen(columns, ids=(7, 9)):
        spot = logits.copy()
        spot[13:16, columns] = 4.0
        return 1 / (1 + np.exp(-score_cells(spot, labels, 20.0, list(ids))))

    high = 1 / (1 + np.exp(-4.0))
    between = seen(slice(30, 33))
    assert between == pytest.approx([0.5 * high] * 2, abs=0.25)  # half a pixel decides little
    near = seen(slice(24, 27))
    assert near[0] > 0.98 * high
    assert near[1] < 0.02
    assert seen(slice(10, 13)).max() < 0.001  # inside a nucleus
    assert seen(slice(24, 27), ids=(9, 7)).argmax() == 1
    assert seen(slice(24, 27), ids=()).size == 0


def test_touching_nuclei_are_separated():
    labels = np.zeros((40, 60), np.int32)
    y, x = np.mgrid[:40, :60]
    labels[(y - 20) ** 2 + (x - 19) ** 2 <= 144] = 1
    labels[(y - 20) ** 2 + (x - 42) ** 2 <= 144] = 2
    depth = np.clip(depth_map(labels), 0.02, 0.98)
    found = nuclei_of(np.where(labels > 0, 4.0, -4.0), np.log(depth / (1 - depth)), 24.0)
    assert len(matched_labels(labels, found, 0.9)) == 2


def test_a_micronucleus_too_far_from_every_nucleus_is_nobodys():
    labels = np.zeros((60, 60), np.int32)
    labels[5:15, 5:15] = 1
    logits = np.full((60, 60), -9.0, np.float32)
    logits[50:54, 50:54] = 5
    assert micronuclei_of(logits, reachable(labels, 11.0))[1] == {}


def test_what_a_nucleus_reaches_is_exact():
    labels = np.zeros((40, 50), np.int32)
    labels[3:9, 4:12], labels[20:31, 30:37], labels[36, 2] = 4, 9, 5
    pixels, nuclei = np.argwhere(labels >= 0), np.argwhere(labels > 0)
    distance = np.sqrt(((pixels[:, None] - nuclei[None]) ** 2).sum(-1))
    near = distance <= 0.75 * 16
    found = reachable(labels, 16.0).ravel()
    assert ((found > 0) == near.any(1)).all()
    ids = labels[tuple(nuclei.T)]
    for pixel in np.flatnonzero(found):  # one of the nearest
        assert found[pixel] in ids[distance[pixel] == distance[pixel].min()]
    known = owners(labels)
    assert np.array_equal(reachable(labels, 16.0, owner=known).ravel(), found)
    assert not reachable(np.zeros_like(labels), 16.0).any()


def test_positive_cells_show_where():
    field = draw_field()
    logits = maps_of(field)[2]
    logits[field.micronuclei == 2] = -2.0  # not seen: the classifier alone said so
    reach = reachable(field.nuclei, 25.0)
    labels, parents, scores = localise(logits, reach, [1, 3], 0.5)
    assert list(parents.values()) == [1]
    assert set(scores) == set(parents)
    assert localise(logits, reach, [], 0.5)[1] == {}
    assert (labels > 0)[field.micronuclei == 1].all()


def test_condensed_nuclei_are_not_scorable():
    field = draw_field()
    grey = field.grey.astype(np.float32)
    labels = field.nuclei.copy()
    labels[labels == 4] = 0
    labels[106:115, 106:115] = 4
    grey[labels == 4] = 5000
    table = label_table(labels, grey)
    assert condensed(table, 100.0).tolist() == [False, False, False, True]


def test_every_pixel_belongs_to_the_nearest_nucleus():
    labels = np.zeros((1, 9), np.int32)
    labels[0, 1], labels[0, 7] = 4, 9
    assert owners(labels)[0, [0, 1, 2, 3, 5, 6, 7, 8]].tolist() == [4, 4, 4, 4, 9, 9, 9, 9]
    assert not owners(np.zeros((3, 3), np.int32)).any()


def test_a_crop_shows_its_cell_alone_in_the_middle():
    field = draw_field(carriers=(1, 2))
    grey = field.grey.astype(np.float32)
    size, diameter = 160, 25.0
    crop = cell_crop(grey, field.nuclei, owners(field.nuclei), 1, (40.0, 40.0), diameter, size)
    assert crop.shape == (size, size)
    seen = normalise_crop(crop)
    scale = size / (SIDE * diameter)
    rows, columns = np.nonzero(seen > 0.5)
    nucleus = np.hypot(rows - size / 2, columns - size / 2) < 15 * scale
    assert rows[nucleus].mean() == pytest.approx(size / 2 - 0.5, abs=1)
    assert columns[nucleus].mean() == pytest.approx(size / 2 - 0.5, abs=1)
    assert seen[size // 2, round(size / 2 + 18 * scale)] > 0.4  # its own micronucleus, 18 pixels to the right
    # cell 3 sits 70 pixels below: outside; what is nearer to another nucleus is flat background
    near = cell_crop(grey, field.nuclei, owners(field.nuclei), 1, (40.0, 40.0), 70.0, size)
    assert near[size // 2, -1] == near[-1, -1]


def test_synthetic_micronuclei_add_light_outside_the_nucleus():
    field = draw_field(carriers=())
    crop = normalise_crop(
        cell_crop(field.grey.astype(np.float32), field.nuclei, owners(field.nuclei), 1, PLACES[0], 25.0)
    )
    rng = np.random.default_rng(1)
    for _ in range(10):
        painted = add_micronucleus(crop, rng)
        assert (painted >= crop).all()
        added = painted - crop
        assert 0.2 < added.max() < 1.6
        assert (added > 0.1).sum() < 0.05 * crop.size
    blank = np.zeros((32, 32), np.float32)
    assert add_micronucleus(blank, rng) is blank


def test_scaling_there_and_back():
    field = draw_field()
    view = finder_view(normalise_field(field.grey.astype(np.float32)), 25.0)
    assert view.shape == (2, 192, 192)
    back = finder_maps(np.repeat(view[:1], 3, 0), field.grey.shape)
    assert back.shape == (3, 150, 150)
    assert np.corrcoef(back[0].ravel(), field.grey.ravel())[0, 1] > 0.99


def image_of(labels, name="m.tif"):
    return LabelImage(labels, Path(name))


def test_masks_keep_their_ids():
    labels = np.zeros((20, 20), np.uint16)
    labels[2:6, 2:6], labels[10:14, 10:14] = 7, 300
    assert np.array_equal(labels_of(image_of(labels), (20, 20)), labels)
    colours = np.zeros((20, 20, 3), np.uint8)
    colours[2:6, 2:6], colours[10:14, 10:14] = (9, 9, 9), (0, 200, 0)
    assert np.array_equal(labels_of(image_of(colours), (20, 20)), (labels == 7) + 2 * (labels == 300))


def test_masks_that_will_not_do():
    binary = np.zeros((20, 20), np.uint8)
    binary[2:6, 2:6] = binary[10:14, 10:14] = 255
    with pytest.raises(InputError, match=r"one number only \(255\) for 2 separate pieces.*--binary split"):
        labels_of(image_of(binary), (20, 20))
    assert labels_of(image_of(binary), (20, 20), binary="split").max() == 2
    shared = np.zeros((20, 20), np.uint8)
    shared[2:6, 2:6] = shared[10:14, 10:14] = 3
    shared[2:6, 10:14], shared[10:14, 2:6] = 4, 5
    with pytest.raises(InputError, match=r"1 id is shared by several nuclei \(3\)"):
        labels_of(image_of(shared), (20, 20))
    binary[10:14, 10:14] = 0
    binary[6, 7] = 255  # a speck beside the nucleus is no second one
    assert labels_of(image_of(binary), (20, 20)).max() == 255
    with pytest.raises(InputError, match="20 x 20 pixels and its field 30 x 10"):
        labels_of(image_of(binary), (10, 30))
    with pytest.raises(InputError, match="fractions"):
        labels_of(image_of(np.full((20, 20), 0.5, np.float32)), (20, 20))


def test_masks_are_found_beside_their_images(tmp_path):
    (tmp_path / "day1").mkdir()
    (tmp_path / "day1" / "a_cp_masks.png").write_bytes(b"")
    (tmp_path / "b.labels.tif").write_bytes(b"")
    path = Path("elsewhere.tif")
    assert find_mask(str(tmp_path), "day1/a.tif", path).name == "a_cp_masks.png"
    assert find_mask(str(tmp_path), "day1/A.tif", path).name == "a_cp_masks.png"
    assert find_mask(str(tmp_path), "day2/b.tif", path).name == "b.labels.tif"
    assert find_mask(str(tmp_path / "b.labels.tif"), "any.tif", path).name == "b.labels.tif"
    (tmp_path / "day1" / "a.tif").write_bytes(b"")
    assert find_mask(str(tmp_path), "day1/a.tif", tmp_path / "day1" / "a.tif").name == "a_cp_masks.png"
    with pytest.raises(InputError, match=r"two files can be its mask, a\.tif and a_cp_masks\.png"):
        find_mask(str(tmp_path), "day1/a.tif", path)
    with pytest.raises(InputError, match=r"day2/c.tif: nothing in .* belongs to it"):
        find_mask(str(tmp_path), "day2/c.tif", path)


def test_scores_by_hand():
    truth = np.zeros((10, 20), int)
    truth[:, :5], truth[:, 10:15] = 1, 2
    found = np.zeros_like(truth)
    found[:, 1:5], found[:, 13:18] = 1, 2
    assert matched_labels(truth, found) == {1: 1}
    positive = np.array([False] * 10 + [True] * 4)
    scores = np.array([*np.arange(10), 3, 8.9, 9.5, 12], float)
    assert sensitivity_at(positive, scores, 0.9) == 0.75  # the 0.9 quantile of 0..9 is 8.1
    assert sensitivity_at(positive[10:], scores[10:], 0.9) is None
    errors = frequency_error(np.array([0.1, 0.3, 0.5]), np.array([0.2, 0.4, 0.6]))
    assert errors == pytest.approx({"frequency_r": 1, "frequency_mae": 0.1, "frequency_bias": 0.1})

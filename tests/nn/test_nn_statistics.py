"""Pooling of feature maps and the statistics of pictures."""

import torch

from cellscope.nn.statistics import image_statistics, pooled


def test_pooled_by_hand():
    maps = torch.arange(8.0).reshape(2, 1, 2, 2)
    torch.testing.assert_close(pooled(maps, 2), torch.tensor([[1.5, 1.25**0.5], [5.5, 1.25**0.5]]))
    # the two maps of one item are pooled together
    torch.testing.assert_close(pooled(maps, 1), torch.tensor([[3.5, (63 / 12) ** 0.5]]))


def test_features_without_space_are_taken_as_they_are():
    features = torch.randn(3, 5)
    torch.testing.assert_close(pooled(features, 3), features)


def test_pictures_are_described_alone():
    torch.manual_seed(0)
    for channels, count in ((1, 11), (2, 23), (3, 36), (24, 22)):
        batch = torch.rand(4, channels, 40, 56)
        found = image_statistics(batch)
        assert found.shape == (4, count)
        torch.testing.assert_close(found[2:3], image_statistics(batch[2:3]))


def test_sharpness_and_contrast_are_seen():
    torch.manual_seed(0)
    sharp = torch.rand(1, 1, 256, 256)
    blurred = torch.nn.functional.avg_pool2d(sharp, 5, 1, 2)
    one, other = image_statistics(sharp)[0], image_statistics(blurred)[0]
    assert one[8] > other[8] + 0.5  # steepness between neighbours, against the contrast
    assert one[1] > other[1] + 0.5  # contrast
    flat = image_statistics(torch.zeros(1, 3, 8, 8))
    assert torch.isfinite(flat).all()
    assert torch.isfinite(image_statistics(torch.zeros(1, 1, 1, 3))).all()

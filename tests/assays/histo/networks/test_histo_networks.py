"""The networks: what they cost, what they give, and that output and input are registered to the pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cellscope.assays.histo.networks import compact, histonext
from cellscope.assays.histo.networks.registry import arguments_of, build_network, geometry, normalise, to_maps
from cellscope.errors import UsageError
from cellscope.nn.cost import count_parameters, fvcore_multiply_adds

HOVERNET = 54_744_522
"""Weights of the published layers: encoder 25.6 M, three branches of 9.7 M."""
PUBLISHED = {"tiny": (82.6, 33.7), "base": (184.8, 69.5), "large": (414.0, 155.7), "xlarge": (734.4, 276.0)}


@pytest.mark.parametrize("size", PUBLISHED)
def test_costs_are_the_published_ones(size: str) -> None:
    with torch.device("meta"):
        network = build_network(arguments_of(f"histonext-{size}", 5))
    parameters, operations = PUBLISHED[size]
    assert count_parameters(network) / 1e6 == pytest.approx(parameters, rel=0.02)
    assert fvcore_multiply_adds(network, 1, 3, 270, 270) / 1e9 == pytest.approx(operations, rel=0.02)


def test_small_network_costs_a_fraction() -> None:
    with torch.device("meta"):
        network = build_network(arguments_of("histonext-atto", 4))
    assert count_parameters(network) < 6e6  # float16: within 12 MB
    core, margin, _ = geometry(arguments_of("histonext-atto", 4))
    per_pixel = fvcore_multiply_adds(network, 1, 3, core + 2 * margin, core + 2 * margin) / core**2
    assert per_pixel < 33.7e9 / 80**2 / 40


def test_network_on_imagenet_encoder_costs_less_than_the_small_one() -> None:
    costs = {}
    for arch in ("lite0-unet", "histonext-atto"):
        with torch.device("meta"):
            network = build_network(arguments_of(arch, 4))
        core, margin, _ = geometry(arguments_of(arch, 4))
        costs[arch] = fvcore_multiply_adds(network, 1, 3, core + 2 * margin, core + 2 * margin) / core**2
        assert count_parameters(network) < 6e6
    assert costs["lite0-unet"] < costs["histonext-atto"]


def test_paper_network_gives_the_central_pixels() -> None:
    network = build_network(arguments_of("histonext-tiny", 5)).eval()
    core, margin, step = geometry(arguments_of("histonext-tiny", 5))
    assert (core, margin, step) == (80, 95, 0)
    with torch.inference_mode():
        assert network(torch.rand(1, 3, 270, 270)).shape == (1, 10, 80, 80)


@pytest.mark.parametrize("arch", ["histonext-test", "lite0-unet"])
@pytest.mark.parametrize("core", [64, 128])
def test_small_networks_take_any_window(arch: str, core: int) -> None:
    network = build_network(arguments_of(arch, 4)).eval()
    side = core + 2 * network.margin
    with torch.inference_mode():
        assert network(torch.rand(2, 3, side, side)).shape == (2, 9, core, core)


def test_maps_of_the_paper_network_lie_on_the_central_pixels() -> None:
    """Cells that hold the coordinate of their own middle come out as the coordinates of the pixels [95, 175)."""
    middles = 56 + 2 * torch.arange(80.0) + 0.5
    rows, columns = torch.meshgrid(middles, middles, indexing="ij")
    out = histonext.registered(torch.stack([rows, columns])[None])[0]
    wanted = torch.arange(95.0, 175)
    assert torch.allclose(out[0], wanted[:, None].expand(80, 80), atol=1e-3)
    assert torch.allclose(out[1], wanted[None].expand(80, 80), atol=1e-3)


def test_maps_of_the_small_network_lie_on_the_pixels() -> None:
    middles = 2 * torch.arange(64.0) + 0.5
    out = compact.registered(middles[None, None, :, None].expand(1, 1, 64, 64), margin=32)[0, 0]
    assert torch.allclose(out, torch.arange(32.0, 96)[:, None].expand(64, 64), atol=1e-4)


@pytest.mark.parametrize(("arch", "tolerance"), [("histonext-test", 2.0), ("histonext-tiny", 6.0)])
def test_an_output_pixel_looks_at_its_own_place(arch: str, tolerance: float) -> None:
    """What an output pixel depends on is centred on that pixel, whichever it is: no shift and no magnification."""
    torch.manual_seed(0)
    network = build_network(arguments_of(arch, 2)).eval()
    core, margin = geometry(arguments_of(arch, 2))[:2]
    core = core if network.fixed else 64
    side = core + 2 * margin
    for at in (core // 2,) if network.fixed else (12, core // 2, core - 12):
        centre = torch.zeros(2)
        total = torch.zeros(())
        # Cells of the coarse maps see blocks of 32 pixels: averaged over their phases.
        for shift in range(-8, 8, 8 if network.fixed else 4):
            image = torch.rand(1, 3, side, side, requires_grad=True)
            network(image)[0, :, at + shift, core // 2].sum().backward()
            weight = image.grad[0].abs().sum(0)
            near = torch.zeros_like(weight)
            row, column = at + shift + margin, core // 2 + margin
            near[max(row - 24, 0) : row + 25, max(column - 24, 0) : column + 25] = 1
            weight = weight * near
            places = torch.arange(side) - row
            centre[0] += (weight.sum(1) * places).sum()
            centre[1] += (weight.sum(0) * (torch.arange(side) - column)).sum()
            total += weight.sum()
        assert (centre / total).abs().max() < tolerance


def test_maps_are_probabilities_and_distances() -> None:
    outputs = torch.randn(2, 9, 8, 8) * 3
    maps = to_maps(outputs).numpy()
    assert maps.shape == (2, 8, 8, 7)
    assert maps.dtype == np.float16
    assert np.allclose(maps[..., 3:].astype(float).sum(-1), 1, atol=2e-3)
    assert ((maps[..., 0] >= 0) & (maps[..., 0] <= 1)).all()
    likely = outputs[0, 1, 0, 0] > outputs[0, 0, 0, 0]
    assert (maps[0, 0, 0, 0] > 0.5) == bool(likely)


def test_normalise_centres_colours() -> None:
    grey = torch.tensor([0.485, 0.456, 0.406])[None, :, None, None].expand(1, 3, 4, 4)
    assert torch.allclose(normalise(grey), torch.zeros(1, 3, 4, 4), atol=1e-6)


def test_unknown_architecture_is_named() -> None:
    with pytest.raises(UsageError, match="histonext-atto"):
        arguments_of("histonext-ato", 4)


def test_hovernet_is_the_published_one() -> None:
    network = build_network(arguments_of("hovernet", 5)).eval()
    assert count_parameters(network) == HOVERNET
    with torch.no_grad():
        outputs = network(torch.zeros(1, 3, 270, 270))
    assert outputs.shape == (1, 4 + 6, 80, 80)
    assert geometry(arguments_of("hovernet", 5)) == (80, 95, 0)


def test_hovernet_sees_the_pixels_that_it_speaks_of() -> None:
    """A bright pixel moves the outputs around the same pixel of the core most."""
    torch.manual_seed(0)
    network = build_network(arguments_of("hovernet", 2)).eval()
    image = torch.rand(1, 3, 270, 270, requires_grad=True)
    network(image)[0, 0, 20, 60].backward()
    seen = image.grad.abs().sum((0, 1))
    rows, columns = np.indices(seen.shape)
    middle = (float((rows * seen.numpy()).sum() / seen.sum()), float((columns * seen.numpy()).sum() / seen.sum()))
    assert middle == pytest.approx((95 + 20, 95 + 60), abs=3)

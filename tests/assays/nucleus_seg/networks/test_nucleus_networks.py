"""Networks: the paper's parameter and multiply-add counts, shapes, the parts that are described in words."""

from __future__ import annotations

import pytest
import torch

from cellscope.assays.nucleus_seg.networks.registry import arguments_of, build_network, has_distance
from cellscope.assays.nucleus_seg.networks.segnext import Cbam, EdgeGuidedAttention, Hamburger, Nmf, edge_map
from cellscope.errors import UsageError
from cellscope.nn.cost import count_parameters, torchinfo_multiply_adds


@pytest.mark.parametrize(
    ("arch", "classes", "parameters", "giga"),
    [
        ("unet", 2, 34_527_041, 261.55),
        ("r2unet", 2, 39_091_393, 610.43),
        ("deeplabv3", 2, 41_806_762, 170.64),
        ("msff-segnext", 2, 6_138_072, None),
        # Table 1's "SegNeXt" is MSFF-SegNeXt with 150 classes; its 13,642,302 parameters hold 7,466,194 never called.
        ("msff-segnext", 150, 13_642_302 - 7_466_194, 14.79),
        ("segnext", 2, 4_225_378, None),
        ("compact", 3, 3_244_228, None),
        ("lite0-unet", 3, 3_436_208, None),
    ],
)
def test_the_papers_counts(arch: str, classes: int, parameters: int, giga: float | None) -> None:
    network = build_network(arch, arguments_of(arch, classes))
    assert count_parameters(network) == parameters
    if giga is not None:
        assert round(torchinfo_multiply_adds(network, 1, 3, 512, 512) / 1e9, 2) == giga


def test_the_parts_of_msff_segnext() -> None:
    network = build_network("msff-segnext", arguments_of("msff-segnext", 2))
    counts = {name: count_parameters(module) for name, module in network.named_children() if name != "drop"}
    assert counts == {
        "encoder": 3_903_584, "squeeze": 123_392, "hamburger": 131_840, "align": 66_048, "classify": 514,
        "edge_attention": 1_781_110, "squeeze_again": 131_584,
    }  # fmt: skip


@pytest.mark.parametrize("arch", ["compact-test", "lite0-unet", "unet-test", "segnext", "msff-segnext"])
@pytest.mark.parametrize("classes", [2, 3])
def test_every_parameter_learns(arch: str, classes: int) -> None:
    torch.manual_seed(0)
    network = build_network(arch, arguments_of(arch, classes))
    images = torch.rand(2, 3, 64, 96)
    outputs = network(images)
    assert outputs.shape == (2, classes + has_distance(network), 64, 96)
    outputs.square().mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    network.eval()
    with torch.no_grad():
        torch.testing.assert_close(network(images[:1]), network(images)[:1], rtol=1e-4, atol=1e-4)


def test_imagenet_weights_are_for_encoders_that_have_them() -> None:
    with pytest.raises(UsageError, match="no ImageNet weights for compact-test; lite0-unet has them"):
        build_network("compact-test", arguments_of("compact-test", 3), pretrained=True)


def test_the_ablations_of_table_6() -> None:
    images = torch.rand(1, 3, 64, 64)
    outputs = {}
    for edge in ("sobel", "laplacian"):
        for hamburgers in (1, 2):
            torch.manual_seed(0)
            more = {"edge": edge, "hamburgers": hamburgers}
            network = build_network("msff-segnext", arguments_of("msff-segnext", 2, **more)).eval()
            assert count_parameters(network) == 6_138_072  # the second Hamburger is the first one again
            with torch.no_grad():
                outputs[edge, hamburgers] = network(images)
    values = list(outputs.values())
    assert all(not torch.equal(values[0], other) for other in values[1:])


def test_the_factorisation_lowers_the_rank_and_keeps_the_sign() -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 128, 16, 16)
    y = Nmf(128, rank=3).eval()(x)
    assert y.min() >= 0
    assert torch.linalg.matrix_rank(y[0].flatten(1), rtol=1e-4) <= 3
    exact = (torch.rand(1, 128, 2) @ torch.rand(1, 2, 256)).reshape(1, 128, 16, 16)
    close = Nmf(128, rank=64).eval()(exact)
    assert (close - exact).norm() < 0.15 * exact.norm()  # seven steps are few
    assert Hamburger(64)(torch.randn(1, 64, 8, 8)).min() >= 0


def test_the_edge_map_sees_edges() -> None:
    images = torch.zeros(1, 3, 64, 64)
    images[..., 32:] = 1
    for detector in ("sobel", "laplacian"):
        edges = edge_map(images, detector)
        assert edges.shape == (1, 1, 32, 32)
        assert edges[0, 0, 16].argmax().item() in (15, 16)
        assert edges[..., :10].max() == 0
        assert edges.max() == 1
    assert edge_map(torch.ones(1, 3, 8, 8), "sobel").max() == 0


def test_the_edge_attention_keeps_its_input_where_everything_else_is_shut() -> None:
    module = EdgeGuidedAttention(32).eval()
    x = torch.randn(1, 32, 8, 8)
    with torch.no_grad():
        module.weigh[1].bias.fill_(-100)  # the map that weighs the fused features is 0
        module.refine = torch.nn.Identity()
        torch.testing.assert_close(module(torch.rand(1, 1, 8, 8), x, torch.randn(1, 32, 8, 8)), x)
    assert count_parameters(Cbam(256)) == 8464 + 99


def test_an_unknown_architecture_is_named() -> None:
    with pytest.raises(UsageError, match="msff-segnext"):
        arguments_of("msff-segnxt", 2)


def test_equation_4_has_batch_normalisation_and_no_relu_after_the_sum() -> None:
    torch.manual_seed(0)
    module = Hamburger(64, form="equation").train()
    assert isinstance(module.upper[1], torch.nn.BatchNorm2d)
    z = torch.randn(2, 64, 8, 8)
    y = module(z)
    assert y.min() < 0
    added = (y - z).detach()
    assert added.mean((0, 2, 3)).abs().max() < 1e-4  # BN(H(Z)): every channel at mean 0
    assert count_parameters(module) == count_parameters(Hamburger(64))

"""Networks: the reference's parameter counts, any number of frames, time that matters, members that average."""

from __future__ import annotations

import pytest
import torch

from cellscope.assays.mitosis.networks.backbones import Gao, shift_in_time
from cellscope.assays.mitosis.networks.registry import (
    ARCHS,
    Members,
    MitoNet,
    arguments_of,
    as_composite,
    build_network,
    probabilities,
)
from cellscope.assays.mitosis.networks.resnet3d import ResNet3D
from cellscope.assays.mitosis.options import TrainOptions
from cellscope.errors import UsageError
from cellscope.nn.cost import keras_parameters


def test_gao_counts_as_the_reference_states():
    assert keras_parameters(Gao()) == 7_296
    assert Gao().eval()(torch.zeros(1, 3, 78, 78)).shape == (1, 32, 3, 3)
    assert keras_parameters(build_network(arguments_of("gao-lstm"), 2)) == 107_716


def test_resnet50_counts_as_the_reference_states():
    # the reference's 28,332,996 less the biases that Keras gives ResNet50's convolutions and PyTorch does not
    with torch.device("meta"):  # counted, never filled
        network = build_network(arguments_of("resnet50-lstm"), 2)
    assert keras_parameters(network) == 28_332_996 - 26_560


def test_the_head_is_the_papers():
    network = build_network(arguments_of("gao-lstm"), 2)
    assert network.lstm.hidden_size == 64
    drops = [layer.p for layer in network.head if isinstance(layer, torch.nn.Dropout)]
    widths = [layer.out_features for layer in network.head if isinstance(layer, torch.nn.Linear)]
    assert (drops, widths) == ([0.4, 0.2], [150, 2])


@pytest.mark.parametrize("arch", ["mitonet", "gao-lstm", "mobilenet-lstm"])
@pytest.mark.parametrize("frames", [2, 12])
def test_any_number_of_frames(arch, frames):
    size = ARCHS[arch]["size"]
    network = build_network(arguments_of(arch), 2).eval()
    with torch.inference_mode():
        out = network(torch.rand(1, frames, 2, size, size))
    assert out.shape == (1, 2)
    assert torch.isfinite(out).all()


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["vgg16-lstm", "xception-lstm", "resnet50-lstm"])
def test_the_papers_backbones_run(arch):
    network = build_network(arguments_of(arch), 2).eval()
    with torch.inference_mode():
        assert network(torch.rand(1, 2, 2, 78, 78)).shape == (1, 2)


def bottlenecks(kernel: int) -> int:
    """Parameters of the stem and blocks 3, 4, 6, 3 of a ResNet50 whose 3x3 and 7x7 kernels also span time."""
    count = 3 * 64 * 7**kernel + 2 * 64
    inner = 64
    for width, depth in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for place in range(depth):
            count += inner * width + width * width * 3**kernel + width * 4 * width + 2 * (2 * width + 4 * width)
            count += inner * 4 * width + 8 * width if place == 0 else 0
            inner = 4 * width
    return count


def test_3d_resnet50():
    assert bottlenecks(2) == 23_508_032  # torchvision's ResNet50 without its last layer
    network = ResNet3D(2).eval()
    assert sum(p.numel() for name, p in network.named_parameters() if not name.startswith("fc.")) == bottlenecks(3)
    with torch.inference_mode():
        assert network(torch.rand(1, 4, 2, 32, 32)).shape == (1, 2)
    other = ResNet3D(700)
    network.load_kinetics(other.state_dict())
    assert torch.equal(network.conv1.weight, other.conv1.weight)
    with pytest.raises(KeyError):
        network.load_kinetics({})


def test_every_parameter_of_ours_gets_a_gradient():
    network = MitoNet((8, 8, 8, 16))
    network(torch.rand(2, 4, 2, 32, 32)).sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum()] == []


def test_shift_in_time():
    features = torch.arange(2 * 3 * 8, dtype=torch.float32).view(6, 8, 1, 1)
    out = shift_in_time(features, 3).view(2, 3, 8)
    split = features.view(2, 3, 8)
    assert torch.equal(out[:, :2, 0], split[:, 1:, 0])
    assert out[:, 2, 0].tolist() == [0, 0]
    assert torch.equal(out[:, 1:, 1], split[:, :2, 1])
    assert torch.equal(out[:, :, 2:], split[:, :, 2:])


@pytest.mark.parametrize("arch", ["mitonet-test", "gao-lstm"])
def test_the_order_of_frames_matters(arch):
    torch.manual_seed(0)
    network = build_network(arguments_of(arch), 2).eval()
    frames = torch.rand(1, 6, 2, ARCHS[arch]["size"], ARCHS[arch]["size"])
    with torch.inference_mode():
        assert not torch.allclose(network(frames), network(frames.flip(1)), atol=1e-6)


def test_composite_is_the_papers():
    sequences = torch.rand(1, 2, 2, 4, 4)
    colours = as_composite(sequences)
    assert torch.equal(colours[:, :, 0], sequences[:, :, 0] + sequences[:, :, 1])
    assert torch.equal(colours[:, :, 1], colours[:, :, 2])


def test_members_give_the_mean_probability():
    networks = [MitoNet((8, 8, 8, 16)).eval() for _ in range(3)]
    sequences = torch.rand(2, 4, 2, 32, 32)
    with torch.inference_mode():
        mean = torch.stack([network(sequences).softmax(1) for network in networks]).mean(0)
        torch.testing.assert_close(Members(networks)(sequences).exp(), mean)


def test_mirror_images_do_not_change_probabilities():
    network = MitoNet((8, 8, 8, 16)).eval()
    sequences = torch.rand(2, 4, 2, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(probabilities(network, sequences), probabilities(network, sequences.flip(-1)))
        assert not torch.allclose(network(sequences), network(sequences.flip(-1)), atol=1e-6)


def test_names_of_architectures():
    with pytest.raises(UsageError, match="mitosis knows mitonet"):
        arguments_of("resnet")
    with pytest.raises(UsageError, match="no ImageNet weights for gao"):
        build_network(arguments_of("gao-lstm"), 2, pretrained=True)


@pytest.mark.parametrize(
    ("arch", "init", "rate", "second"),
    [
        ("resnet50-lstm", "imagenet", 1e-3, 0.01),
        ("vgg16-lstm", "imagenet", 1e-5, 0.1),
        ("xception-lstm", "none", 1e-4, 0.0),
        ("xception-lstm", "imagenet", 1e-3, 0.01),
        ("gao-lstm", "none", 1e-3, 0.0),
    ],
)
def test_schedules_of_table_1(arch, init, rate, second):
    options = TrainOptions(arch=arch, init=init, steps=1000).in_steps()
    assert (options.learning_rate, options.second_rate, options.batch_size) == (rate, second, 10)
    assert options.optimiser == "adam"
    assert options.schedule == "constant"  # within a step
    assert (options.two_steps, options.second_from) == ((True, 500) if second else (False, 0))


def test_what_is_given_is_kept():
    options = TrainOptions(arch="gao-lstm", optimiser="adamw", learning_rate=0.5, schedule="cosine").in_steps()
    assert (options.optimiser, options.learning_rate, options.schedule) == ("adamw", 0.5, "cosine")

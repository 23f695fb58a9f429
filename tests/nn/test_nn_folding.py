"""Folding changes no output, and says how many norms it took."""

import timm
import torch
from torch import nn

from cellscope.nn.folding import fold_norms


def varied(network: nn.Module) -> nn.Module:
    """Give every batch norm statistics and weights of its own."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
            for tensor in (module.bias.data, module.running_mean):
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.1)
    return network.eval()


@torch.no_grad()
def test_a_sequence_by_hand():
    conv, norm = nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1, eps=0.0)
    conv.weight.fill_(3.0)
    norm.running_mean.fill_(1.0)
    norm.running_var.fill_(4.0)
    norm.weight.fill_(2.0)
    norm.bias.fill_(5.0)
    network = nn.Sequential(conv, norm).eval()
    assert fold_norms(network) == 1
    assert float(network[0].weight) == 3.0  # 3 * 2 / sqrt(4)
    assert float(network[0].bias) == 4.0  # 5 - 1 * 2 / sqrt(4)
    assert isinstance(network[1], nn.Identity)


@torch.no_grad()
def test_timms_blocks_keep_their_activation():
    torch.manual_seed(0)
    network = varied(timm.create_model("mobilevit_xxs", num_classes=2))
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    image = torch.rand(2, 3, 64, 64)
    before = network(image)
    assert fold_norms(network) == norms
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert torch.allclose(network(image), before, atol=1e-4)


@torch.no_grad()
def test_resnets_and_blocks_that_say_what_follows_what():
    class Block(nn.Module):
        folds = (("conv", "norm"),)

        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

        def forward(self, x):
            return x + self.norm(self.conv(x)).relu()

    torch.manual_seed(0)
    image = torch.rand(2, 3, 64, 64)
    for network in (
        timm.create_model("resnet18", num_classes=2),
        timm.create_model("resnet26", num_classes=2),
        Block(),
    ):
        varied(network)
        norms = sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())
        before = network(image)
        assert fold_norms(network) == norms
        after = network(image)
        assert torch.allclose(after, before, atol=1e-3 * float(before.abs().max()))


@torch.no_grad()
def test_a_norm_before_its_convolution_stays():
    network = varied(nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1), nn.ReLU(), nn.BatchNorm2d(2)))
    assert fold_norms(network) == 0


@torch.no_grad()
def test_a_sequence_inside_a_block():
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Conv2d(2, 2, 3, groups=2, padding=1), nn.Conv2d(2, 4, 1, bias=False))
    network = varied(nn.Sequential(inner, nn.BatchNorm2d(4), nn.SiLU()))
    image = torch.rand(1, 2, 5, 5)
    before = network(image)
    assert fold_norms(network) == 1
    assert torch.allclose(network(image), before, atol=1e-5)

"""Networks: the paper's parameter counts, attention worked by hand, every architecture runs."""

import numpy as np
import pytest
import timm
import torch
import torchvision.models as zoo
from safetensors.torch import save_file

from cellscope.assays.micronucleus.classify import attended
from cellscope.assays.micronucleus.classify.classifiers import TIMM, TORCHVISION, build_classifier
from cellscope.assays.micronucleus.classify.mobilevit import (
    ARCHS,
    NormAttention,
    blocks_of,
    build_mobilevit,
    squeeze_excite,
)
from cellscope.assays.micronucleus.classify.mobilevit_xxs import MobileVitBlock
from cellscope.assays.micronucleus.find.finders import build_finder
from cellscope.errors import ModelError, UsageError
from cellscope.nn.cost import count_parameters, pytorch_multiply_adds, twice_the_weights

#: Parameters with 1000 classes. The first three equal Table 2 to the last digit; those with SE are ours (reduction 4).
COUNTS = {
    "mobilevit": 1_272_024,
    "mobilevit-dsc": 970_008,
    "mb-nam": 1_272_408,
    "mv2-se": 987_288,
    "mv2-se-tr1": 648_008,
    "mv2-se-tr3": 968_680,
    "mv2-nam": 970_872,
    "mv2-nam-tr1": 631_592,
    "mv2-nam-tr3": 952_264,
    "mb-se": 1_278_424,
    "mv2-se-mb-nam": 1_289_688,
    "mv2-nam-mb-se": 1_279_288,
    "mobilevit-dsc-nam": 970_392,
    "mobilevit-mn": 987_672,
}


@pytest.mark.parametrize("arch", sorted(ARCHS))
def test_parameter_counts(arch):
    assert count_parameters(build_mobilevit(**ARCHS[arch], classes=1000)) == COUNTS[arch]


def test_the_papers_flops_are_twice_the_weights():
    assert twice_the_weights(build_mobilevit(**ARCHS["mb-nam"], classes=1000)) == 2_516_672
    assert twice_the_weights(build_mobilevit(**ARCHS["mv2-nam"], classes=1000)) == 1_912_640
    assert twice_the_weights(build_mobilevit(**ARCHS["mobilevit"], classes=1000)) == 2_516_672
    assert twice_the_weights(build_mobilevit(**ARCHS["mobilevit-dsc"], classes=1000)) == 1_912_640


def test_multiply_adds_count_a_convolution():
    conv = torch.nn.Conv2d(3, 8, 3, padding=1, bias=False)
    assert pytorch_multiply_adds(conv, size=10) == 100 * 3 * 8 * 9


@pytest.mark.parametrize("side", [64, 80])  # the second is no multiple of the patch at the end
@torch.no_grad()
def test_the_plain_network_is_timms(side):
    torch.manual_seed(0)
    theirs = timm.create_model("mobilevit_xxs", num_classes=3).eval()
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.uniform_(0.5, 1.5)
    theirs.head.fc.weight.normal_()
    ours = build_mobilevit(**ARCHS["mobilevit"], classes=3).eval()
    ours.load_state_dict(theirs.state_dict())  # every name and shape
    image = torch.rand(2, 3, side, side)
    assert torch.allclose(ours(image), theirs(image), rtol=1e-3, atol=1e-4)


def test_weights_are_drawn_as_timm_draws_them():
    torch.manual_seed(0)
    theirs, ours = timm.create_model("mobilevit_xxs", num_classes=2), build_mobilevit(**ARCHS["mobilevit"])
    drawn = dict(ours.named_parameters())
    for name, value in theirs.named_parameters():
        if value.numel() > 1000:
            assert drawn[name].std().item() == pytest.approx(value.std().item(), rel=0.15), name
        elif value.std() == 0:
            assert torch.equal(drawn[name], value), name


def test_unchanged_layers_keep_timms_names_and_shapes():
    plain = {
        name: value.shape for name, value in timm.create_model("mobilevit_xxs", num_classes=2).state_dict().items()
    }
    ours = {name: value.shape for name, value in build_mobilevit(**ARCHS["mobilevit-mn"]).state_dict().items()}
    shared = [name for name, shape in ours.items() if plain.get(name) == shape]
    assert len(shared) > 0.8 * len(plain)
    changed = {name for name, shape in plain.items() if ours.get(name) != shape}
    assert all("conv_kxk" in name or "conv_fusion" in name for name in changed)


def test_transformer_depths():
    def depths(arch):
        return [len(block.transformer) for block in blocks_of(build_mobilevit(**ARCHS[arch]), MobileVitBlock)]

    assert depths("mobilevit") == [2, 4, 3]
    assert depths("mv2-se-tr1") == [1, 1, 1]
    assert depths("mv2-se-tr3") == [3, 3, 3]


def test_squeeze_excite_by_hand():
    gate = squeeze_excite(4)
    gate.fc[0].weight.data = torch.tensor([[1.0, -1.0, 0.0, 0.0]])
    gate.fc[2].weight.data = torch.tensor([[1.0], [0.0], [0.0], [0.0]])
    x = torch.tensor([3.0, 1.0, 7.0, 9.0]).reshape(1, 4, 1, 1).expand(1, 4, 2, 2)
    out = gate(x)
    assert torch.allclose(out[0, 0], torch.full((2, 2), 3 / (1 + float(np.exp(-2)))))
    assert torch.allclose(out[0, 1], torch.full((2, 2), 0.5))


def test_norm_attention_by_hand():
    attention = NormAttention(2).eval()
    attention.bn.weight.data = torch.tensor([3.0, -1.0])
    x = torch.tensor([2.0, 4.0]).reshape(1, 2, 1, 1)
    out = attention(x).flatten()
    normal = x.flatten() * torch.tensor([3.0, -1.0])  # batch norm with mean 0, variance 1
    expected = x.flatten() * torch.sigmoid(torch.tensor([0.75, 0.25]) * normal)
    assert torch.allclose(out, expected, atol=1e-4)
    assert count_parameters(attention) == 4


@pytest.mark.parametrize("arch", ["mobilevit-mn", "mv2-nam-mb-se", "mv2-se-tr3", *TIMM, *TORCHVISION, *attended.ARCHS])
def test_every_architecture_learns(arch):
    torch.manual_seed(0)
    # VGG-16 has 138 million parameters: its shapes and gradients are followed without their numbers
    place = torch.device("meta" if "vgg16" in arch else "cpu")
    with place:
        network = build_classifier(arch).train()
        logits = network(torch.rand(2, 1, 64, 64))
    assert logits.shape == (2, 2)
    logits.square().sum().backward()
    gradients = {name: p.grad for name, p in network.named_parameters()}
    assert all(g is not None for g in gradients.values())
    if place.type == "cpu":
        assert not [name for name, g in gradients.items() if not torch.isfinite(g).all()]


def test_attention_by_hand():
    attention = attended.MapAttention(2, 1)
    for layer in (attention.of_map, attention.of_last, attention.weigh):
        torch.nn.init.zeros_(layer.weight)
    attention.weigh.bias.data.zero_()
    attention.of_map.weight.data[0, 0] = 1  # the first channel is compared, less what the last map says
    attention.of_last.weight.data[0, 0] = -1
    attention.weigh.weight.data[0, 0] = 1
    earlier = torch.tensor([[[[3.0, 0.0], [0.0, 0.0]], [[8.0, 4.0], [4.0, 4.0]]]])
    out = attention(earlier, torch.ones(1, 1, 1, 1))
    near = float(1 / (1 + np.exp(-2.0)))  # relu(3 - 1); elsewhere relu(0 - 1) = 0 weighs one half
    assert torch.allclose(out, torch.tensor([[3 * near / 4, (8 * near + 12 * 0.5) / 4]]))


@pytest.mark.parametrize("arch", ["aalnet", "alexnet-ca", "alexnet-light", "googlenet-att"])
def test_networks_with_attention_take_the_weights_of_their_base(arch, tmp_path):
    torch.manual_seed(1)
    base = getattr(zoo, attended.ARCHS[arch])(**({"init_weights": False} if "google" in arch else {}))
    published = base.state_dict()
    save_file(published, tmp_path / "base.safetensors")
    network = build_classifier(arch, pretrained=True, weights=tmp_path / "base.safetensors").network
    known = {tuple(value.flatten()[:3].tolist()) for value in published.values() if value.numel() > 1000}
    heavy = [p for name, p in network.named_parameters() if p.numel() > 1000 and not name.startswith(("fc", "attend"))]
    taken = [p for p in heavy if tuple(p.flatten()[:3].tolist()) in known]
    assert len(heavy) > 3
    assert len(taken) == len(heavy) - (arch == "alexnet-light") * sum(p.shape[0] == 2 for p in heavy)


def test_unknown_architectures_are_named():
    with pytest.raises(UsageError, match=r"did you mean 'mobilevit-mn'"):
        build_classifier("mobilevit-mm")
    with pytest.raises(UsageError, match="unet-s"):
        build_finder("unet-z")


def test_imagenet_weights_that_cannot_be_had_say_so(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise OSError("no network")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(ModelError, match=r"--init imagenet.*no network.*--init none"):
        build_classifier("mobilevit-mn", pretrained=True)


def test_imagenet_weights_from_a_file_reach_the_unchanged_layers(tmp_path):
    """A random network with 1000 classes, saved as timm publishes weights, stands for those of ImageNet."""
    torch.manual_seed(1)
    published = timm.create_model("mobilevit_xxs").state_dict()
    save_file(published, tmp_path / "mobilevit_xxs.safetensors")
    ours = build_classifier("mobilevit-mn", pretrained=True, weights=tmp_path / "mobilevit_xxs.safetensors")
    tensors = ours.network.state_dict()
    taken = [name for name, value in tensors.items() if name in published and torch.equal(value, published[name])]
    fresh = set(tensors) - set(taken)
    assert len(taken) > 0.8 * len(published)
    assert all("conv_kxk" in n or "conv_fusion" in n or ".attn." in n or n.startswith("head.fc") for n in fresh)
    assert tensors["head.fc.weight"].shape == (2, 320)


def test_imagenet_weights_of_torchvision_from_a_file(tmp_path):
    torch.manual_seed(1)
    published = zoo.googlenet(aux_logits=True, init_weights=False).state_dict()  # as published, with auxiliary heads
    torch.save(published, tmp_path / "googlenet.pth")
    ours = build_classifier("googlenet", pretrained=True, weights=tmp_path / "googlenet.pth").network.state_dict()
    assert torch.equal(ours["inception3a.branch1.conv.weight"], published["inception3a.branch1.conv.weight"])
    assert ours["fc.weight"].shape == (2, 1024)


def test_a_file_of_other_weights_says_so(tmp_path):
    save_file({"x": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match=r"other\.safetensors: no ImageNet weights of mobilevit-mn"):
        build_classifier("mobilevit-mn", pretrained=True, weights=tmp_path / "other.safetensors")


@pytest.mark.parametrize("shape", [(64, 64), (37, 51), (8, 9)])
def test_the_finder_takes_any_shape(shape):
    network = build_finder("unet-xs").eval()
    with torch.no_grad():
        assert network(torch.rand(1, 2, *shape)).shape == (1, 3, *shape)


def test_built_in_sizes_fit_the_budget():
    total = count_parameters(build_finder("unet-s")) + count_parameters(build_classifier("mobilevit-mn"))
    assert 2 * total < 2.9e6  # bytes as float16, of the 3 MB both files may have


def test_finder_on_an_encoder_keeps_size_and_has_no_seams():
    network = build_finder("lite0-unet").eval()
    with torch.inference_mode():
        for height, width in ((33, 50), (64, 48)):
            assert network(torch.rand(1, 2, height, width)).shape == (1, 3, height, width)
        one, many = network(torch.zeros(1, 2, 64, 64)), network(torch.zeros(3, 2, 64, 64))
    assert torch.allclose(one[0], many[2], atol=1e-5)


def test_classifier_on_an_encoder_reads_the_whole_crop():
    network = build_classifier("lite0-mn").eval()
    crop = torch.zeros(1, 1, 96, 96)
    speck = crop.clone()
    speck[..., 80:84, 10:14] = 1.0
    with torch.inference_mode():
        logits, early = network.with_early_map(speck)
        plain = network(crop)
    assert early.shape == (1, network.early_channels, 12, 12)
    assert logits.shape == (1, 2)
    assert not torch.allclose(logits, plain)


def test_small_finders_have_no_imagenet_weights():
    with pytest.raises(UsageError, match="lite0-unet has"):
        build_finder("unet-s", pretrained=True)

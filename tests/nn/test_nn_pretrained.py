"""ImageNet weights from a file: a random network, saved as timm publishes weights, stands for them."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from cellscope.errors import ModelError
from cellscope.nn.pretrained import timm_network

NAME = "resnet10t"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("timm") / "resnet10t.safetensors"
    torch.manual_seed(1)
    save_file(timm.create_model(NAME).state_dict(), path)
    return path


def test_weights_of_a_file_arrive(published: Path) -> None:
    plain = timm_network(NAME, pretrained=True, weights=published, num_classes=0)
    stored = timm.create_model(NAME)
    stored.load_state_dict(load_file(published))
    for name, value in plain.state_dict().items():
        assert torch.equal(value, stored.state_dict()[name]), name


def test_weights_of_a_file_arrive_in_a_pyramid_of_grey_images(published: Path) -> None:
    """One grey channel: the first convolution's colours are summed, all else is taken as it is."""
    trunk = timm_network(NAME, pretrained=True, weights=published, features_only=True, in_chans=1, out_indices=(1, 2))
    stored, own = load_file(published), trunk.state_dict()
    assert torch.equal(own["layer1.0.conv1.weight"], stored["layer1.0.conv1.weight"])
    first = "conv1.0.weight"
    assert torch.allclose(own[first][:, 0], stored[first].sum(1))


def test_without_pretrained_the_file_is_not_looked_at(tmp_path: Path) -> None:
    assert timm_network(NAME, weights=tmp_path / "missing", num_classes=3)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"--imagenet .*nothing\.pth: there is no such file"):
        timm_network(NAME, pretrained=True, weights=tmp_path / "nothing.pth")


def test_the_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match=r"other\.safetensors: no ImageNet weights of resnet10t"):
        timm_network(NAME, pretrained=True, weights=tmp_path / "other.safetensors")


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(ModelError, match=r"text\.pth: no ImageNet weights"):
        timm_network(NAME, pretrained=True, weights=tmp_path / "text.pth")


def test_weights_that_cannot_be_had_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_arguments: object, **_options: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(ModelError, match=r"no route to host.*--imagenet.*--init none"):
        timm_network(NAME, pretrained=True)

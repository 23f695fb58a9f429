"""ImageNet weights from a file, from a hub that does not answer: a random network stands for what timm publishes."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from cellscope.errors import ModelError
from cellscope.nn import pretrained
from cellscope.nn.pretrained import hub_or_cache, timm_network

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


@pytest.fixture
def silent_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Open a port that takes connections and says nothing, in the place of the hub; its cache is empty."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(pretrained, "PATIENCE", 0.3)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(name, "127.0.0.1")
        yield server


def test_a_hub_that_does_not_answer_is_not_asked_again(silent_hub: socket.socket) -> None:
    with pytest.raises(ModelError, match=r"no connection to http://127\.0\.0\.1.*cached, .*--imagenet.*--init none"):
        timm_network(NAME, pretrained=True)
    silent_hub.settimeout(0.0)
    asked = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            silent_hub.accept()[0].close()
            asked += 1
    assert asked <= 1  # none, where the machine is so busy that time is up before
    assert constants.HF_HUB_OFFLINE is False


def test_without_a_connection_the_cache_serves(silent_hub: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    with hub_or_cache():
        assert constants.HF_HUB_OFFLINE
    monkeypatch.setattr(pretrained, "_answers", lambda _seconds: True)
    with hub_or_cache():
        assert not constants.HF_HUB_OFFLINE

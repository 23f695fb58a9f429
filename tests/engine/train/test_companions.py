"""What is said where another process of a training is lost."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from lightning.pytorch.plugins.environments import LightningEnvironment

from cellscope.engine.train import companions
from cellscope.engine.train.companions import LAUNCHER, Companions

GLOO = "[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:4242"


def trainer(world: int, codes: tuple[int | None, ...] = (), *, lightning: bool = True) -> SimpleNamespace:
    procs = [SimpleNamespace(poll=lambda code=code: code, kill=lambda: None) for code in codes]
    environment = LightningEnvironment() if lightning else object()
    strategy = SimpleNamespace(launcher=SimpleNamespace(procs=procs), cluster_environment=environment)
    return SimpleNamespace(world_size=world, strategy=strategy)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(companions, "PERIOD", 0.01)
    monkeypatch.setenv(LAUNCHER, "")
    monkeypatch.delenv("LOCAL_RANK", raising=False)


@pytest.mark.parametrize("lightning", [True, False])
def test_a_broken_connection_is_explained_and_other_errors_are_not(lightning: bool) -> None:
    watch = Companions(trainer(2, (None,), lightning=lightning), lambda: "do this")
    explained = watch.explain(RuntimeError(GLOO))
    assert str(explained) == "the connection to another process of the training is lost; do this"
    assert watch.explain(RuntimeError("shapes do not match")) is None
    assert Companions(trainer(1), lambda: "").explain(RuntimeError(GLOO)) is None


@pytest.mark.parametrize(
    ("code", "said"), [(None, None), (0, None), (1, ""), (-9, "process 3 of 3 of the training was killed (signal 9)")]
)
def test_the_first_looks_at_those_it_started(code: int | None, said: str | None) -> None:
    assert Companions(trainer(3, (None, code)), lambda: "")._lost() == said


def test_the_others_look_at_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv(LAUNCHER, str(os.getppid()))
    watch = Companions(trainer(3), lambda: "")
    assert watch._lost() is None
    monkeypatch.setenv(LAUNCHER, "1234567")
    assert watch._lost() == "the first process of the training was killed"
    monkeypatch.setenv("LOCAL_RANK", "2")
    assert Companions(trainer(3), lambda: "")._lost() == ""  # the second says it


def test_the_watch_goes_on_while_a_connection_is_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended: list[int] = []

    def leave(code: int) -> None:
        ended.append(code)
        raise SystemExit  # of the watch's thread

    monkeypatch.setattr(os, "_exit", leave)
    watch = Companions(trainer(2, (-9,)), lambda: "resume")
    with pytest.raises(RuntimeError), watch:
        raise RuntimeError(GLOO)
    watch.explain(RuntimeError(GLOO))
    assert ended == [1]
    assert capsys.readouterr().err == "error: process 2 of 2 of the training was killed (signal 9); resume\n"

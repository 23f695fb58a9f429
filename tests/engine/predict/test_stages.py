"""run_subjects: order, pooling, bounds and isolation, with the fake assay's stages."""

from __future__ import annotations

import dataclasses
import os
import weakref

import numpy as np
import pytest
import torch
from fake_assay import ASSAY, CONCLUDE, CUT, FINISH, FORWARD, KILL, FakeOptions, State, options_for, spots

from cellscope.engine.assay import Stage, Subject
from cellscope.engine.predict import stages
from cellscope.engine.predict.outcome import Done
from cellscope.engine.predict.stages import run_subjects
from cellscope.engine.predict.workers import Workers, usual_count
from cellscope.errors import InputError, error_line
from cellscope.io.image import Image
from cellscope.models.file import ModelCard

CARD = ModelCard("fake", "classify", "conv", {}, ("dim", "bright"), ("grey",), {}, None, {}, {}, {}, "0")


def conv():
    module = torch.nn.Conv2d(1, 1, 1)
    torch.nn.init.ones_(module.weight)
    torch.nn.init.zeros_(module.bias)
    return module.eval()


MODULES = {"find": conv(), "classify": conv()}


def subject(name, places=((4, 4, 200),), size=(32, 32), corner=0, **options):
    image = Image(spots(size, places, corner)[..., None])
    return Subject(name, image, "field", FakeOptions(main=os.getpid(), **options), {"classify": CARD})


def many(count):
    sizes = [(32, 32), (24, 48), (16, 16)]
    for k in range(count):
        places = [(4, 4, 150 + k), (10, 10, 255 - k)][: k % 3]
        yield subject(f"s{k}", places, sizes[k % 3])


def run(subjects, assay=ASSAY, window=4, workers=None, **options):
    settings = {"run": options_for(**options), "device": torch.device("cpu"), "dtype": None, "window": window}
    return map(three, run_subjects(assay, subjects, MODULES, workers=workers, **settings))


def three(one):
    """Who, with what result or error; a failure has the name and the seconds of its subject."""
    return (one.subject, one.result, None) if isinstance(one, Done) else (one, None, one.error)


def outcome(results):
    return [
        (s.name, error and error_line(error), None if result is None else result.objects.to_csv())
        for s, result, error in results
    ]


def test_results_are_right_and_in_order():
    results = list(run(many(7)))
    assert [s.name for s, _, _ in results] == [f"s{k}" for k in range(7)]
    assert [len(result.objects) for _, result, _ in results] == [0, 1, 2, 0, 1, 2, 0]
    second = results[2][1].objects
    assert second["area"].tolist() == [9, 9]
    assert second["p_bright"].tolist() == pytest.approx([152 / 255, 253 / 255])
    assert second["class"].tolist() == ["bright", "bright"]
    assert second["review"].tolist() == [True, False]


@pytest.mark.parametrize(("window", "batch"), [(1, 1), (1, 64), (3, 2), (50, 64), (50, None)])
def test_results_do_not_depend_on_window_or_batch_size(window, batch):
    assert outcome(run(many(13), window=window, batch_size=batch)) == outcome(run(many(13)))


def test_items_of_several_subjects_share_a_batch():
    seen = []

    def forward(module, batch):
        seen.append(len(batch))
        return ASSAY.stages[0].forward(module, batch)

    spy = dataclasses.replace(ASSAY, stages=(dataclasses.replace(ASSAY.stages[0], forward=forward), ASSAY.stages[1]))
    list(run((subject(f"s{k}") for k in range(8)), spy, window=8, batch_size=4))
    assert seen == [4, 4]


@pytest.mark.parametrize(("cpu_batch", "expected"), [(1, [1] * 5), (2, [2] * 3), (3, [3] * 3), (64, [4, 4])])
def test_the_network_always_sees_as_many_items_whatever_there_are(cpu_batch, expected):
    seen, blanks = [], []

    def forward(module, batch):
        seen.append(len(batch))
        blanks.append(sum(not item.any() for item in batch))
        return ASSAY.stages[0].forward(module, batch)

    first = dataclasses.replace(ASSAY.stages[0], forward=forward, cpu_batch=cpu_batch)
    spy = dataclasses.replace(ASSAY, stages=(first, ASSAY.stages[1]))
    results = outcome(run((subject(f"s{k}") for k in range(5)), spy, window=5, batch_size=4))
    assert seen == expected
    assert sum(blanks) == sum(seen) - 5
    assert results == outcome(run((subject(f"s{k}") for k in range(5)), window=5, batch_size=1))


def test_the_window_bounds_the_subjects_alive():
    alive: weakref.WeakSet[Subject] = weakref.WeakSet()
    most = 0

    def source():
        nonlocal most
        for k in range(30):
            made = subject(f"s{k}")
            alive.add(made)
            most = max(most, len(alive))
            yield made
            del made

    for result in run(source(), window=5, batch_size=64):
        del result
    assert 2 <= most <= 6  # the window, and the one the caller has in hand


def test_pixels_in_flight_are_bounded(monkeypatch):
    monkeypatch.setattr(stages, "PIXELS_IN_FLIGHT", 2 * 32 * 32)
    taken = 0

    def source():
        nonlocal taken
        for k in range(12):
            taken += 1
            yield subject(f"s{k}")

    for count, _ in enumerate(run(source(), window=50, batch_size=64)):
        assert taken - count <= 2


@pytest.mark.parametrize(
    ("corner", "line"),
    [
        (CUT, "s3: cannot be cut; send another"),
        (FORWARD, "unexpected RuntimeError: the network stumbled (CELLSCOPE_DEBUG=1 shows where)"),
        (FINISH, "unexpected KeyError: 'nothing there' (CELLSCOPE_DEBUG=1 shows where)"),
        (CONCLUDE, "unexpected ZeroDivisionError: one over nothing (CELLSCOPE_DEBUG=1 shows where)"),
    ],
)
def test_one_bad_subject_does_not_take_others_down(corner, line):
    subjects = [subject(f"s{k}", corner=corner if k == 3 else 0) for k in range(8)]
    results = list(run(subjects, window=8, batch_size=8))
    assert [s.name for s, _, _ in results] == [f"s{k}" for k in range(8)]
    assert [s.name for s, result, _ in results if result is None] == ["s3"]
    assert error_line(results[3][2]) == line
    good = outcome(run([subject("s0")]))[0]
    assert all(shown[1:] == good[1:] for shown in outcome(results) if shown[0] != "s3")


def test_all_items_of_a_failed_subject_are_dropped():
    calls = []

    def cut(subject):
        first = np.full((1, 2, 2), 17 / 255 if subject.name == "bad" else 0, np.float32)
        return [first, *(np.zeros((1, 3, 3), np.float32) for _ in range(5))]

    def forward(module, batch):
        calls.append((tuple(batch[0].shape), len(batch)))
        return ASSAY.stages[0].forward(module, batch)

    stage = Stage("find", ("field",), 2, cut, forward, lambda subject, outputs: None)
    assay = dataclasses.replace(ASSAY, stages=(stage,), conclude=lambda s: ASSAY.conclude(blank(s)))
    results = list(run([subject("bad"), subject("good")], assay, window=1))
    assert [result is None for _, result, _ in results] == [True, False]
    assert sum(count for shape, count in calls if shape == (1, 3, 3)) <= 5 + 4


def blank(subject):
    subject.state = State(np.zeros((4, 4), int), [])
    return subject


def test_out_of_memory_halves_the_batch_for_the_rest_of_the_run():
    sizes = []

    def forward(module, batch):
        sizes.append(len(batch))
        if len(batch) > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return ASSAY.stages[0].forward(module, batch)

    assay = dataclasses.replace(ASSAY, stages=(dataclasses.replace(ASSAY.stages[0], forward=forward), ASSAY.stages[1]))
    results = list(run((subject(f"s{k}") for k in range(16)), assay, window=8, batch_size=8))
    assert all(error is None for _, _, error in results)
    assert sizes.count(8) == 1
    assert max(sizes[3:]) <= 2


def test_a_stage_that_gives_too_few_outputs_fails_its_subjects():
    stage = dataclasses.replace(ASSAY.stages[0], forward=lambda module, batch: [])
    assay = dataclasses.replace(ASSAY, stages=(stage, ASSAY.stages[1]))
    ((_, result, error),) = run([subject("s")], assay)
    assert result is None
    assert "0 outputs for 4 items" in str(error)


def test_a_stage_that_opens_a_file_is_caught_by_these_tests(tmp_path):
    """`tests/opened.py` watches every test of every assay."""
    (tmp_path / "regions.geojson").write_text("{}")

    def cut(subject):
        (tmp_path / "regions.geojson").read_text()
        return ASSAY.stages[0].cut(subject)

    first = dataclasses.replace(ASSAY.stages[0], cut=cut)
    ((_, result, error),) = run([subject("s")], dataclasses.replace(ASSAY, stages=(first, ASSAY.stages[1])))
    assert result is None
    assert "a stage opened" in str(error)


def test_a_result_that_breaks_the_contract_is_refused():
    def twice(subject):
        result = ASSAY.conclude(subject)
        result.objects["label"] = 1
        return result

    assay = dataclasses.replace(ASSAY, conclude=twice)
    ((_, result, error),) = run([subject("s", [(4, 4, 200), (10, 10, 200)])], assay)
    assert result is None
    assert "labels that repeat" in str(error)


def test_stop_ends_the_run_between_batches():
    asked = iter(range(1000))
    results = list(
        run_subjects(
            ASSAY,
            many(500),
            MODULES,
            run=options_for(),
            device=torch.device("cpu"),
            dtype=None,
            window=4,
            stop=lambda: next(asked) > 40,
        )
    )
    assert 0 < len(results) < 40


def test_seconds_are_counted_for_each_subject():
    slow, fast = run([subject("slow", delay=0.05), subject("fast")])
    assert slow[0].seconds > 0.05 > fast[0].seconds > 0


@pytest.mark.slow
def test_worker_processes_give_the_same_results():
    workers = Workers(ASSAY, 2, total=9, start_now=True)
    try:
        subjects = [subject(f"s{k}", corner=FINISH if k == 4 else 0) for k in range(9)]
        assert outcome(run(subjects, window=6, workers=workers)) == outcome(run(subjects, window=6))
        assert workers.pool is not None
    finally:
        workers.close()


@pytest.mark.slow
def test_a_killed_worker_costs_nothing_but_time(capsys):
    workers = Workers(ASSAY, 1, total=4, start_now=True)
    try:
        subjects = [subject(f"s{k}", corner=KILL if k == 1 else 0) for k in range(4)]
        results = list(run(subjects, workers=workers))
    finally:
        workers.close()
    assert [error for _, _, error in results] == [None] * 4
    assert "a worker process died" in capsys.readouterr().err


def test_workers_start_only_when_they_pay():
    workers = Workers(ASSAY, 3, total=100)
    assert not workers.pays()
    workers.concluded, workers.spent = 10, 4.0  # 0.4 s each, 90 to go: 27 s saved
    assert not workers.pays()
    workers.spent = 5.0
    assert workers.pays()
    workers.concluded, workers.spent = 98, 49.0
    assert not workers.pays()


@pytest.mark.parametrize(
    ("cpus", "networks_here", "count"),
    [(1, False, 0), (2, False, 2), (16, False, 8), (1, True, 0), (2, True, 0), (4, True, 2), (16, True, 8)],
)
def test_a_network_on_the_cpus_leaves_fewer_for_workers(cpus, networks_here, count):
    assert usual_count(cpus, networks_here=networks_here) == count


def test_error_line_of_an_own_error_is_its_text():
    assert error_line(InputError("a.tif:\n  truncated")) == "a.tif: truncated"
    assert error_line(MemoryError()).startswith("not enough memory")

import pytest


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Model files of the fake assay."""
    from fake_assay import write_models

    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def go(tmp_path, models):
    """Run predict of the fake assay: ``go(inputs, out)`` and any option of the run."""
    from fake_assay import ASSAY, FakeOptions, options_for

    from cellscope.engine.predict.plan import predict

    def go(arguments, out="out", options=None, assay=ASSAY, use=None, **run):
        return predict(
            assay,
            [str(a) for a in (arguments if isinstance(arguments, list) else [arguments])],
            tmp_path / out,
            run=options_for(**run),
            options=options or FakeOptions(),
            models=models if use is None else use,
            argv=["cellscope", "fake", "predict"],
        ).code

    return go


@pytest.fixture
def job(tmp_path, models):
    def job(arguments=None, out="out", options=None, **run):
        return {
            "arguments": [str(arguments or tmp_path / "in")],
            "out": str(tmp_path / out),
            "models": models,
            "run": run,
            "options": options or {},
        }

    return job

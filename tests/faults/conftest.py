"""The fixtures of the engine's tests, for the faults too."""

import importlib.util
from pathlib import Path

_spec = importlib.util.spec_from_file_location("engine_fixtures", Path(__file__).parents[1] / "engine" / "conftest.py")
assert _spec is not None
assert _spec.loader is not None
_engine = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_engine)
go, models = _engine.go, _engine.models

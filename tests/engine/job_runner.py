"""Run the fake assay in a process of its own, told by a JSON object; the exit code is the command line's."""

import json
import sys

from fake_assay import FakeOptions, options_for

from cellscope.engine.predict.plan import predict_shard
from cellscope.errors import CellscopeError

if __name__ == "__main__":
    job = json.loads(sys.argv[1])
    run = options_for(**job.get("run", {}))
    options = FakeOptions(**job.get("options", {}))
    try:
        code = predict_shard(
            "fake_assay:ASSAY", job["arguments"], job["out"], run, options, job["models"], ["fake"]
        ).code
    except CellscopeError as error:
        print(error, file=sys.stderr)
        code = error.exit_code
    sys.exit(code)

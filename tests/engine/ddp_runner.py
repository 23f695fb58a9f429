"""Train the plain toy, told by ``OUT KEY=NUMBER...``; for two devices Lightning starts this script once more."""

import sys
import time
from pathlib import Path

import toy_training

from cellscope.errors import CellscopeError

if __name__ == "__main__":
    numbers = {name: int(value) for name, value in (word.split("=") for word in sys.argv[2:])}
    pause = numbers.pop("pause_ms", 0) / 1000
    step = toy_training.Toy.training_step

    def slow_step(*about):
        time.sleep(pause)
        return step(*about)

    toy_training.Toy.training_step = slow_step
    try:
        toy_training.run_toy(Path(sys.argv[1]), plain=True, **{"steps": 8, "resume": "auto"} | numbers)
    except CellscopeError as error:
        sys.exit(f"error: {error}")

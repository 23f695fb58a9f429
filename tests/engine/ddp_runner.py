"""Train the plain toy, told by ``OUT DEVICES BATCH_SIZE``; for two devices Lightning starts this script once more."""

import sys
from pathlib import Path

from toy_training import run_toy

if __name__ == "__main__":
    devices, batch_size = map(int, sys.argv[2:])
    run_toy(Path(sys.argv[1]), plain=True, devices=devices, batch_size=batch_size, steps=8)

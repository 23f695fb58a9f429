"""What the tests of histo share."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "contract"))  # contract_check is shared by several rooms' tests

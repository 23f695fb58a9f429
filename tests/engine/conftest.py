import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "contract"))  # contract_check is shared by several rooms' tests

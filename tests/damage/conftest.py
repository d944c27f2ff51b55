"""Makes the modules of the other test folders importable."""

import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "blackbox"), str(HERE.parent / "hostile")]

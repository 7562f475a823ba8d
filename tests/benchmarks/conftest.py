"""Makes the checkout's ``benchmarks`` importable: it is in no wheel."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))

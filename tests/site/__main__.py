"""`python -m tests.site [--bench PATH …] [-k EXPR] [--keep] [--fresh] [PATH …]`; see README.md beside it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from site_rig.driver import main

raise SystemExit(main())

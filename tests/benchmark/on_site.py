"""The benchmark's part that runs inside a bench: `python -m tests.benchmark.on_site ORDER`, started by sites.py.

Writes each figure as a line of JSON as soon as it is known, so that one that fails costs no other.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from site_rig.client import Rig

from .figure import Figure, Run
from .sites import FAMILIES

__all__ = ["main"]


def main(order: dict[str, Any]) -> int:
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"  [on the bench {time.monotonic() - began:6.1f} s] {text}", file=sys.stderr, flush=True)

    rig = Rig()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="eos-benchmark-") as folder,
            open(order["found"], "w") as found,
        ):
            run = Run(seed=order["seed"], quick=order["quick"], folder=Path(folder), say=say)

            def keep(figure: Figure) -> None:
                told = {
                    "id": figure.plan.id,
                    "value": figure.value,
                    "spread": figure.spread,
                    "refused": figure.refused,
                    "beside": dict(figure.beside),
                }
                found.write(json.dumps(told) + "\n")
                found.flush()

            for family in FAMILIES:
                plans = [plan for plan in family.PLANS if plan.id in order["plans"]]
                if not plans:
                    continue
                known = set()
                try:
                    for figure in family.measure_on(rig, run, plans):
                        keep(figure)
                        known.add(figure.plan.id)
                except Exception as error:
                    why = f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"
                    say(f"{plans[0].id} and what follows of its kind: {why}")
                    for plan in plans:
                        if plan.id not in known:
                            keep(plan.unmeasured(why))
    finally:
        rig.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(json.loads(sys.argv[1])))

"""Figures of real sites: the shadow bench of the site tier, with two web workers a site, measured from within.

The bench's own Python runs `on_site`, which has the rig at hand; what it found comes back as a file.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import against, lane_cost, latency, outbox_on_site, save
from .figure import Figure, Plan, Run

__all__ = ["FAMILIES", "PLANS", "measure"]

FAMILIES = (against, save, outbox_on_site, latency, lane_cost)
PLANS = tuple(plan for family in FAMILIES for plan in family.PLANS)
WEB_WORKERS = 2
_ROOT = Path(__file__).resolve().parents[2]
_SITE_TIER = _ROOT / "tests" / "site"


def measure(run: Run, plans: Sequence[Plan]) -> Iterator[Figure]:
    """Raises RuntimeError where the bench is none, or what runs on it fails."""
    sys.path.insert(0, str(_SITE_TIER))
    from site_rig.shadow import Bench, Shadow
    from site_rig.shadow import plans as site_plans

    assert run.bench is not None
    bench = Bench(path=run.bench.expanduser().resolve())
    if problem := bench.problem():
        raise RuntimeError(problem)
    run.say(f"Frappe {bench.frappe} on {bench.database}")
    by_id = {plan.id: plan for plan in plans}
    with Shadow(bench, _ROOT, home(), run.say).open(fresh=False) as shadow:
        sites = shadow.ensure_sites(
            site_plans(False, companion=True), web_workers=WEB_WORKERS, as_deployed=True
        )
        shadow.services.start(*(f"{role}_web" for role in sites))
        found = shadow.folder / "figures.jsonl"
        found.unlink(missing_ok=True)
        order = {"plans": list(by_id), "seed": run.seed, "quick": run.quick, "found": str(found)}
        began = time.monotonic()
        code = shadow.run_module(
            sites, ["tests.benchmark.on_site", json.dumps(order)], report=shadow.folder / "report"
        )
        run.say(f"real sites: {time.monotonic() - began:.0f} s")
        for line in found.read_text(encoding="utf-8").splitlines() if found.exists() else ():
            told = json.loads(line)
            yield Figure(plan=by_id[told.pop("id")], **told)
    if code:
        raise RuntimeError(f"what ran on the bench ended with {code}")


def home() -> Path:
    """Where the benchmark's own shadow benches are kept between runs."""
    if chosen := os.environ.get("BENCHMARK_HOME"):
        return Path(chosen).expanduser().resolve()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser().resolve() / "erp_offline_sync-benchmark"

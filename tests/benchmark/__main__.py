"""`python -m tests.benchmark [--bench PATH] [--json] [--only ID,…] [--quick]`: measures, and prints one table.

What each figure is stands in hooks-docs/benchmark.md. Progress goes to standard error.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import chart, topics
from .figure import BENCH, Figure, Plan, Run, Topic
from .report import machine, merged, paged, report, table, versions

SEED = 1


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _arguments(argv)
    plans = [plan for topic in topics.ALL for plan in topic.PLANS]
    wanted = [name.strip() for name in (arguments.only or "").split(",") if name.strip()]
    unknown = [name for name in wanted if not any(plan.is_of([name]) for plan in plans)]
    if unknown:
        print(f"No such figure: {', '.join(unknown)}. There are:", file=sys.stderr)
        print("\n".join(f"  {plan.id}" for plan in plans), file=sys.stderr)
        return 2
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:7.1f} s] {text}", file=sys.stderr, flush=True)

    about = {
        "machine": machine(),
        "versions": versions(),
        "seed": arguments.seed,
        "quick": arguments.quick,
    }
    with tempfile.TemporaryDirectory(prefix="eos-benchmark-", dir=arguments.dir) as folder:
        run = Run(
            seed=arguments.seed, quick=arguments.quick, folder=Path(folder), say=say, bench=arguments.bench
        )
        figures = list(measured(run, topics.ALL, wanted))
    about["seconds"] = round(time.monotonic() - began)
    told = report(figures, **about)
    if arguments.add:
        told = merged(told, json.loads(arguments.add.read_text(encoding="utf-8")))
    if arguments.chart:
        arguments.chart.write_text(chart.chart(told), encoding="utf-8")
    if arguments.page:
        page = arguments.page.read_text(encoding="utf-8")
        arguments.page.write_text(paged(page, told), encoding="utf-8")
    print(json.dumps(told, indent=1) if arguments.json else table(figures))
    return 0


def measured(run: Run, all_topics: Sequence[Topic], wanted: Sequence[str]) -> Iterator[Figure]:
    """The wanted figures in the order of their plans. One that fails is said so, and does not take the others along."""
    for topic in all_topics:
        plans = [plan for plan in topic.PLANS if plan.is_of(wanted)]
        possible = [plan for plan in plans if plan.needs != BENCH or run.bench is not None]
        found = _found(run, topic, possible)
        for plan in plans:
            if plan in possible:
                yield found.get(plan.id) or plan.unmeasured("it was not measured")
            else:
                yield plan.unmeasured()


def _found(run: Run, topic: Topic, plans: Sequence[Plan]) -> dict[str, Figure]:
    found: dict[str, Figure] = {}
    if not plans:
        return found
    try:
        for figure in topic.measure(run, plans):
            found[figure.plan.id] = figure
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        run.say(f"{plans[0].id} and what follows of its kind: {why}")
        found.update({plan.id: plan.unmeasured(why) for plan in plans if plan.id not in found})
    return found


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmark", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "--bench", type=Path, help="a Frappe bench; without one the figures of real sites are left out"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--only", metavar="ID,…", help="these figures, or families of them: drain, wire.create"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small sizes: shows that it works, not how fast it is"
    )
    parser.add_argument(
        "--seed", type=int, default=SEED, help=f"of everything that is drawn (default {SEED})"
    )
    parser.add_argument(
        "--dir", type=Path, help="where files are made (default: the temporary folder); 2 GB for all"
    )
    parser.add_argument(
        "--chart", type=Path, metavar="FILE", help="write the figures as an SVG chart as well"
    )
    parser.add_argument(
        "--page", type=Path, metavar="FILE", help="write them as a table into this Markdown page"
    )
    parser.add_argument(
        "--add",
        type=Path,
        metavar="FILE",
        help="what --json printed earlier: its figures where this run has none",
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    raise SystemExit(main())

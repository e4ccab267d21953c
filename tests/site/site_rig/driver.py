"""`python -m tests.site`: finds benches, runs the site tier on each, and writes `.site-tests.json`.

A bench with ERPNext runs the cases about it as well, as a part that is counted apart. It passes
only where every test passed, none was skipped, and each bench ran the same ones of its part.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from . import browser
from .services import ServiceFailed
from .shadow import Bench, RigFailed, Shadow, copy_checkout, plans

_ROOT = Path(__file__).resolve().parents[3]
_SITE_TESTS = "tests/site"
_ERPNEXT_TESTS = "tests/site/erpnext"
_DESK_TESTS = (
    "tests/site/test_conflict_preview.py",
    "tests/site/test_conflicts_page.py",
    "tests/site/test_desk.py",
)
_AXE_TESTS = (
    "tests/site/test_conflict_preview.py::test_axe_finds_no_serious_fault_in_what_the_central_says",
    "tests/site/test_conflicts_page.py::test_axe_finds_no_serious_fault",
)
_DEFAULT_BENCHES = ("~/frappe-bench", "~/frappe-bench-16")


def main(argv: list[str] | None = None) -> int:
    options = _options(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    benches = find_benches(options.bench)
    if not benches:
        print(f"No bench found (FRAPPE_BENCH, {', '.join(_DEFAULT_BENCHES)}): the site tier is left out.")
        return 0
    for bench in benches:
        if problem := bench.problem():
            print(problem, file=sys.stderr)
            return 2
    try:
        with tempfile.TemporaryDirectory(prefix="eos-checkout-") as frozen:
            # An edit during a run, or between two benches, would have them run different things.
            copy_checkout(_ROOT, Path(frozen))
            if options.at_once and len(benches) > 1:
                ran = _run_at_once(benches, Path(frozen), options)
            else:
                ran = [_run_bench(bench, Path(frozen), options) for bench in benches]
    except (RigFailed, ServiceFailed) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; everything that was started has been ended", file=sys.stderr)
        return 130
    records = [record for of_bench in ran for record in of_bench]
    if not any("erpnext" in bench.apps for bench in benches):
        print("no ERPNext on these benches: its cases are left out")
    problems = judge(records)
    if not (options.expression or options.paths or options.pytest or options.exit_first or options.keep):
        _write_report(records)
    for line in problems:
        print(line, file=sys.stderr)
    return 1 if problems else 0


def find_benches(named: list[str]) -> list[Bench]:
    """Those named on the command line, else in FRAPPE_BENCH (colon separated), else the usual ones that exist."""
    given = named or [path for path in os.environ.get("FRAPPE_BENCH", "").split(os.pathsep) if path]
    paths = [Path(path).expanduser().resolve() for path in given or _DEFAULT_BENCHES]
    return [Bench(path=path) for path in dict.fromkeys(paths) if given or path.is_dir()]


def home() -> Path:
    """Where shadows are kept between runs, also of fresh clones."""
    if chosen := os.environ.get("SITE_TESTS_HOME"):
        return Path(chosen).expanduser().resolve()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser().resolve() / "erp_offline_sync-site-tests"


def judge(records: list[dict[str, Any]]) -> list[str]:
    """Why the tier did not pass; nothing where it did."""
    problems = []
    for record in records:
        where = f"{record['path']} with ERPNext" if "erpnext" in record else record["path"]
        for kind in ("failed", "skipped"):
            if record[kind]:
                problems.append(f"{where}: {record[kind]} {kind}")
        if record.get("broken"):
            problems.append(f"{where}: pytest ended with {record['broken']}")
    for part in (False, True):
        ids = [set(record["tests"]) for record in records if ("erpnext" in record) is part]
        if any(each != ids[0] for each in ids):
            odd = sorted(set.union(*ids) - set.intersection(*ids))
            problems.append(f"not the same tests on each bench: {', '.join(odd)}")
    return problems


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.site", description="Runs the site tier on each bench."
    )
    parser.add_argument("paths", nargs="*", help="only these files or node ids, below the checkout")
    parser.add_argument(
        "--bench", action="append", default=[], metavar="PATH", help="a bench; may be repeated"
    )
    parser.add_argument("-k", dest="expression", metavar="EXPR", help="only tests that match, as pytest's -k")
    parser.add_argument("-x", dest="exit_first", action="store_true", help="stop at the first failure")
    parser.add_argument(
        "--keep", action="store_true", help="leave the sites up after the tests, until Ctrl-C"
    )
    parser.add_argument(
        "--again",
        action="store_true",
        help="run tests that failed a second time, and name those that passed only then",
    )
    parser.add_argument(
        "--at-once",
        action="store_true",
        help="run the benches at the same time; what each prints is shown when it has ended",
    )
    parser.add_argument("--fresh", action="store_true", help="make the sites anew")
    words = sys.argv[1:] if argv is None else argv
    split = words.index("--") if "--" in words else len(words)
    return parser.parse_args(words[:split], argparse.Namespace(pytest=words[split + 1 :]))


def _run_at_once(
    benches: list[Bench], checkout: Path, options: argparse.Namespace
) -> list[list[dict[str, Any]]]:
    """A process for each bench: they share nothing but the machine."""
    with tempfile.TemporaryDirectory(prefix="eos-output-") as folder:
        outputs = [Path(folder) / f"{number}.txt" for number in range(len(benches))]
        with ProcessPoolExecutor(len(benches), mp_context=get_context("fork")) as pool:
            runs = [
                pool.submit(_run_apart, bench, checkout, options, output)
                for bench, output in zip(benches, outputs, strict=True)
            ]
            for bench, run, output in zip(benches, runs, outputs, strict=True):
                print(f"[{bench.path.name}] is at work ...", flush=True)
                wait([run])
                print(output.read_text(), flush=True)
        return [run.result() for run in runs]


def _run_apart(
    bench: Bench, checkout: Path, options: argparse.Namespace, output: Path
) -> list[dict[str, Any]]:
    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    return _run_bench(bench, checkout, options)


def chosen_parts(apps: list[str], paths: list[str]) -> dict[bool, list[str]]:
    """What runs on a bench with these apps, `{with ERPNext: paths}`: of what the paths name, or of all, what it can
    run."""
    able, paths = "erpnext" in apps, paths or [_SITE_TESTS]
    about = [path for path in paths if Path(path.partition("::")[0]).is_relative_to(_ERPNEXT_TESTS)]
    others = [path for path in paths if path not in about]
    if any(Path(_ERPNEXT_TESTS).is_relative_to(path) for path in others):
        about = [_ERPNEXT_TESTS]
    return {
        part: chosen for part, chosen in ((False, others), (True, about)) if chosen and (able or not part)
    }


def _run_bench(bench: Bench, checkout: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """A record for each part that the bench runs."""
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{bench.path.name} {time.monotonic() - began:5.1f} s] {text}", flush=True)

    parts = chosen_parts(bench.apps, [str(_below_root(path)) for path in options.paths])
    erpnext = bench.erpnext
    say(f"Frappe {bench.frappe}{f' with ERPNext {erpnext}' if erpnext else ''} on {bench.database}")
    if not parts:
        say("no ERPNext on this bench: nothing to run")
        return []
    record: dict[str, Any] = {"path": str(bench.path), "frappe": bench.frappe, "database": bench.database}
    with Shadow(bench, checkout, home(), say).open(fresh=options.fresh) as shadow:
        shadow.ensure_pytest()
        return [
            {
                **record,
                **({"erpnext": erpnext} if part else {}),
                **_run_part(shadow, paths, options, erpnext=part, say=say),
            }
            for part, paths in parts.items()
        ]


def _run_part(
    shadow: Shadow, paths: list[str], options: argparse.Namespace, *, erpnext: bool, say: Any
) -> dict[str, Any]:
    plan = plans(erpnext, companion=erpnext or _asks_for_companion(shadow.copy, paths))
    sites = shadow.ensure_sites(plan)
    web = [f"{site.role}_web" for site in plan]
    shadow.services.start(*web)
    say("sites are up: " + ", ".join(f"{role} {site['url']}" for role, site in sites.items()))
    arguments = [str(shadow.copy / path) for path in paths]
    if not erpnext:
        arguments.append(f"--ignore={shadow.copy / _ERPNEXT_TESTS}")
    left_out: list[str] = []
    if not erpnext:
        if lacking := browser.missing_programs():
            say(f"no {', '.join(lacking)} on this machine: {', '.join(_DESK_TESTS)} are left out")
            left_out = list(_DESK_TESTS)
        elif not shadow.ensure_axe():
            say(f"axe-core cannot be had from the package index: {', '.join(_AXE_TESTS)} are left out")
            left_out = list(_AXE_TESTS)
    arguments += [
        f"--deselect={path}" if "::" in path else f"--ignore={shadow.copy / path}" for path in left_out
    ]
    arguments += ["-k", options.expression] if options.expression else []
    arguments += ["--durations=25", *(["-x"] if options.exit_first else []), *options.pytest]
    code, report = shadow.run_tests(sites, arguments)
    unsteady = _second_look(shadow, sites, report, say) if options.again else []
    counts = Counter(report["outcomes"].values())
    # 0: all passed, 1: some failed (they are counted); anything else, or a file that could not be collected,
    # means that tests are missing from the count.
    broken = code if code not in (0, 1) or report.get("not_collected") else 0
    if options.keep:
        say("kept up; Ctrl-C ends everything")
        signal.pause()
    shadow.services.stop(*web, "worker", "scheduler")
    return {
        **{kind: counts[kind] for kind in ("passed", "failed", "skipped")},
        **({"broken": broken} if broken else {}),
        **({"passed_only_again": unsteady} if unsteady else {}),
        **({"left_out": left_out} if left_out else {}),
        "tests": sorted(report["outcomes"]),
    }


def _second_look(shadow: Shadow, sites: dict[str, Any], report: dict[str, Any], say: Any) -> list[str]:
    """Run what failed once more, by itself; the names of those that passed then, which count as passed."""
    failed = sorted(name for name, outcome in report["outcomes"].items() if outcome == "failed")
    if not failed:
        return []
    say(f"a second look at {len(failed)} that failed")
    _, again = shadow.run_tests(sites, [str(shadow.copy / name) for name in failed])
    passed = [name for name in failed if again["outcomes"].get(name) == "passed"]
    report["outcomes"].update(dict.fromkeys(passed, "passed"))
    for name in passed:
        say(f"passed only the second time: {name}")
    return passed


def _asks_for_companion(copy: Path, paths: list[str]) -> bool:
    """Whether a chosen test file names the fixture."""
    chosen = [copy / path.partition("::")[0] for path in paths]
    files = [file for path in chosen for file in ([path] if path.is_file() else path.rglob("test_*.py"))]
    return any("companion" in file.read_text(encoding="utf-8") for file in files)


def _below_root(path: str) -> Path:
    """A path as typed, from the checkout's root or from where one stands, as a path below the root."""
    file, separator, test = path.partition("::")
    full = Path(file).resolve() if Path(file).exists() else (_ROOT / file).resolve()
    return Path(f"{full.relative_to(_ROOT)}{separator}{test}")


def _write_report(records: list[dict[str, Any]]) -> None:
    commit, dirty = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--untracked-files=no")
    report = {
        "commit": commit,
        "changed_since_commit": bool(dirty),
        "benches": [record for record in records if "erpnext" not in record],
        "erpnext": [record for record in records if "erpnext" in record],
    }
    (_ROOT / ".site-tests.json").write_text(json.dumps(report, indent=1) + "\n")


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(_ROOT), *words], capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None

"""Runs pytest with a bench's own Python: the bench's packages come first, pytest's own only where they lack.

A warning that our own modules raise is an error, as in the other tiers; Frappe's are its own affair.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

_WARNINGS = "ignore\nerror:::erp_offline_sync"


class Recorder:
    """What became of each test. An error in its set-up or its clean-up is a failure, an expected one a skip."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}
        self.problems: list[str] = []

    def pytest_runtest_logreport(self, report: Any) -> None:
        before = self.outcomes.get(report.nodeid)
        if report.failed:
            self.outcomes[report.nodeid] = "failed"
        elif report.skipped and before is None:
            self.outcomes[report.nodeid] = "skipped"
        elif report.when == "call" and before is None:
            self.outcomes[report.nodeid] = "passed"

    def pytest_collectreport(self, report: Any) -> None:
        if not report.passed:
            self.problems.append(report.nodeid)


def main(arguments: list[str]) -> int:
    facts = json.loads(Path(os.environ["SITE_RIG"]).read_text())
    sys.path.append(facts["tools"])
    import pytest

    recorder = Recorder()
    code = pytest.main(["-o", f"filterwarnings={_WARNINGS}", *arguments], plugins=[recorder])
    Path(facts["report"]).write_text(
        json.dumps({"outcomes": recorder.outcomes, "not_collected": recorder.problems})
    )
    return int(code)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

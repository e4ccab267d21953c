"""The figures as one table for people, and as one object for programs."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import erp_offline_sync

from .figure import Figure

__all__ = ["machine", "merged", "paged", "report", "table", "versions"]

_BEGIN, _END = "<!-- measured -->", "<!-- until here -->"
_PACKAGES = ("requests", "urllib3", "frappe-client")
_HEADS = ("figure", "", "measured", "spread", "goal", "")


def machine() -> dict[str, Any]:
    """Where it was measured: nothing that names the machine."""
    cpu = platform.processor() or platform.machine()
    memory = None
    for line in _lines("/proc/cpuinfo"):
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemTotal"):
            memory = round(int(line.split()[1]) / 1024**2, 1)
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gb": memory,
        "system": f"{platform.system()} {platform.release()}",
        "load_before": load,
    }


def versions() -> dict[str, str]:
    told = {
        "erp_offline_sync": erp_offline_sync.__version__,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }
    for package in _PACKAGES:
        try:
            told[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return told


def report(figures: Sequence[Figure], **about: Any) -> dict[str, Any]:
    """One object; `about`: machine, versions, seed, quick …"""
    return {**about, "figures": [figure.to_json() for figure in figures]}


def merged(told: Mapping[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
    """The report with the figures of an earlier one where it has none of its own: measured in parts."""
    found = {figure["id"]: figure for figure in earlier["figures"]}
    for figure in told["figures"]:
        if figure["value"] is not None or figure.get("refused") or figure["id"] not in found:
            found[figure["id"]] = figure
    return {**told, "figures": list(found.values())}


def paged(page: str, told: Mapping[str, Any]) -> str:
    """The page with the figures of the report as a table between its two marks. Raises ValueError without them."""
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not end:
        raise ValueError(f"the page has no {_BEGIN} … {_END}")
    machine = told["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in told["versions"].items())
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, {machine['system']}; load "
        f"{machine['load_before']} before it began. {versions}. Seed {told['seed']}.",
        "",
        "| figure | measured | spread | goal | |",
        "|---|---|---|---|---|",
    ]
    for figure in told["figures"]:
        value, spread = _number(figure["value"], figure["unit"]), _number(figure["spread"], "")
        lines.append(
            f"| `{figure['id']}` {figure['title']} | {value} | {spread} | {figure['goal'] or ''} | {_said(figure)} |"
        )
    return before + begin + "\n\n" + "\n".join(lines) + "\n\n" + end + after


def _said(figure: Mapping[str, Any]) -> str:
    if figure.get("needs"):
        return f"needs a {figure['needs']}"
    if figure.get("refused"):
        return f"refused: {figure['refused']}"
    return {None: "", True: "reached", False: "**not reached**"}[figure["met"]]


def table(figures: Sequence[Figure]) -> str:
    """One line a figure: its id and title, value, spread, goal, and whether it is reached or what is missing."""
    rows = [_HEADS, *(_row(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if column in (2, 3, 4) else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines)


def _row(figure: Figure) -> tuple[str, ...]:
    plan = figure.plan
    goal = "" if plan.goal is None else str(plan.goal)
    return (
        plan.id,
        plan.title,
        _number(figure.value, plan.unit),
        _number(figure.spread, ""),
        goal,
        _verdict(figure),
    )


def _verdict(figure: Figure) -> str:
    if figure.needed:
        return f"needs a {figure.needed}"
    if figure.refused:
        return f"refused: {figure.refused}"
    return {None: "", True: "reached", False: "NOT REACHED"}[figure.met]


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    digits = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{digits} {unit}".rstrip()


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []

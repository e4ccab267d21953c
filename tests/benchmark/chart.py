"""The figures of a report as an SVG: one bar a figure, as a share of its goal.

Bars of "at most" should end before the line, bars of "at least" behind it; the words beside them say so as well, so
that nobody has to tell colours apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

__all__ = ["chart"]

_WIDTH, _LINE, _TOP = 1100, 26, 64
_TITLES, _BARS, _VALUES = 16, 560, 850
_GOAL = 170
"""How long a bar is that reaches its goal."""
_LONGEST = _VALUES - _BARS - 20
_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .small { font-size: 11px; fill: #57606a }
  .reached { fill: #2c7fb8 } .missed { fill: #d95f0e } .none { fill: #8c959f }
  line { stroke: #57606a; stroke-dasharray: 3 3 }
  @media (prefers-color-scheme: dark) {
    svg { background: #0d1117 } text { fill: #e6edf3 } .small { fill: #9198a1 } line { stroke: #9198a1 }
  }
"""


def chart(report: Mapping[str, Any]) -> str:
    """SVG text of what `report.report` made: the figures that have a goal and were not left out for want of a bench."""
    figures = [figure for figure in report["figures"] if figure["goal"] and not figure.get("needs")]
    height = _TOP + _LINE * len(figures) + 40
    machine = report["machine"]
    about = f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB" + (
        "; small sizes, only to see that it works" if report["quick"] else ""
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}">',
        f"<title>What was measured, and the goals</title><style>{_STYLE}</style>",
        _text(_TITLES, 24, "Measured, as a share of the goal"),
        _text(_TITLES, 44, about, "small"),
        _text(_BARS + _GOAL, 44, "goal", "small", anchor="middle"),
        f'<line x1="{_BARS + _GOAL}" x2="{_BARS + _GOAL}" y1="{_TOP - 14}" y2="{height - 34}"/>',
    ]
    for place, figure in enumerate(figures):
        parts += _bar(figure, _TOP + _LINE * place)
    note = "“<=”: the bar shall end before the line. “>=”: behind it. A bar that is cut off ends in a point."
    parts += [_text(_TITLES, height - 12, note, "small"), "</svg>"]
    return "\n".join(parts) + "\n"


def _bar(figure: Mapping[str, Any], top: int) -> list[str]:
    goal, value = str(figure["goal"]), figure["value"]
    title = _text(_TITLES, top + 14, figure["title"])
    if value is None:
        return [
            title,
            _text(_BARS, top + 14, "refused" if figure.get("refused") else "not measured", "small"),
        ]
    number = float(goal.split()[1])
    share = value / number if number else (0.0 if value == 0 else 9.0)
    long = max(2.0, min(share * _GOAL, _LONGEST))
    kind = {True: "reached", False: "missed", None: "none"}[figure["met"]]
    end = _BARS + long
    tip = 8 if share * _GOAL > _LONGEST else 0
    shape = f"{_BARS},{top + 3} {end},{top + 3} {end + tip},{top + 10} {end},{top + 17} {_BARS},{top + 17}"
    words = f"{value:.3g} {figure['unit']}".rstrip() + f"  ({goal}{'' if figure['met'] else ': not reached'})"
    return [title, f'<polygon class="{kind}" points="{shape}"/>', _text(_VALUES, top + 14, words)]


def _text(x: int, y: int, words: str, kind: str = "", *, anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'

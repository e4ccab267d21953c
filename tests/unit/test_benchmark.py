"""The benchmark's own arithmetic, and the shape of what it prints. Nothing here measures time."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.benchmark import topics
from tests.benchmark.__main__ import main, measured
from tests.benchmark.chart import chart
from tests.benchmark.figure import BENCH, Figure, Plan, Run, at_least, at_most
from tests.benchmark.measuring import Samples, compared, interleaved, percentile
from tests.benchmark.report import machine, merged, paged, report, table, versions

FAST = Plan(id="a.fast", title="how fast", unit="ms", goal=at_most(2.0))
TIMES = Plan(id="a.times", title="how many times", unit="×", goal=at_least(4.0))
SITE = Plan(id="b.site", title="on a site", unit="ms", goal=at_most(1.0), needs=BENCH)


def samples(*values: float) -> Samples:
    return Samples(tuple(values))


def a_run(**changes: object) -> Run:
    given: dict[str, object] = {"seed": 1, "quick": True, "folder": Path("."), "say": lambda text: None}
    return Run(**{**given, **changes})  # type: ignore[arg-type]


class Measures:
    """A topic that measures what it is told."""

    PLANS = (FAST, TIMES, SITE)

    def __init__(self, *, fails_after: int | None = None) -> None:
        self.asked: list[str] = []
        self._fails_after = fails_after

    def measure(self, run: Run, plans: Sequence[Plan]) -> Iterator[Figure]:
        self.asked = [plan.id for plan in plans]
        for count, plan in enumerate(plans):
            if count == self._fails_after:
                raise OSError("the disk is full")
            yield plan.measured(samples(1.0, 1.5, 2.0))


# Statistics


@pytest.mark.parametrize(
    ("values", "median", "spread"),
    [((3.0,), 3.0, 0.0), ((1.0, 3.0), 2.0, 1.0), ((9.0, 1.0, 2.0, 3.0, 4.0), 3.0, 2.0)],
)
def test_the_spread_is_the_distance_between_the_quartiles(
    values: tuple[float, ...], median: float, spread: float
) -> None:
    taken = Samples(values)
    assert (taken.median, taken.spread) == (median, spread)


def test_nothing_measured_is_no_measurement() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        Samples(())


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 5), (0.95, 10), (0.9, 9), (1.0, 10)])
def test_a_percentile_is_a_value_that_was_measured(share: float, value: float) -> None:
    assert percentile([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], share) == value


def test_arms_take_turns_and_warm_ups_do_not_count() -> None:
    order: list[str] = []
    heard: list[tuple[str, int]] = []

    def arm(name: str) -> float:
        order.append(name)
        return float(len(order))

    taken = interleaved(
        {"A": lambda: arm("A"), "B": lambda: arm("B")},
        2,
        warm_up=1,
        heard=lambda name, turn, value: heard.append((name, turn)),
    )
    assert order == ["A", "B", "A", "B", "A", "B"]
    assert taken == {"A": samples(3.0, 5.0), "B": samples(4.0, 6.0)}
    assert heard == [("A", 0), ("B", 0), ("A", 1), ("B", 1)]


# Comparisons


def test_a_ratio_is_taken_turn_by_turn() -> None:
    """A machine that slows down meets both arms alike."""
    ratio = compared(samples(10.0, 20.0, 10.5), samples(2.0, 4.0, 2.1))
    assert (ratio.value, ratio.refused) == (pytest.approx(5.0), None)


def test_a_comparison_is_refused_whose_spread_is_larger_than_the_difference() -> None:
    ratio = compared(samples(10.0, 14.0, 18.0), samples(9.0, 13.0, 17.0))
    assert ratio.value is None
    assert ratio.refused == "the spread 4 is larger than the difference 1"


def test_one_that_shall_be_no_larger_is_refused_where_the_spread_reaches_the_goal() -> None:
    close = samples(1.0, 1.02, 0.98), samples(1.0, 1.0, 1.0)
    assert compared(*close).value is None
    assert compared(*close, goal=1.2).value == pytest.approx(1.0)
    assert compared(*close, goal=1.005).refused is not None


def test_arms_of_different_length_are_no_comparison() -> None:
    with pytest.raises(ValueError, match="zip"):
        compared(samples(1.0), samples(1.0, 2.0))


# Figures


@pytest.mark.parametrize(
    ("goal", "value", "met"),
    [
        (at_most(2.0), 2.0, True),
        (at_most(2.0), 2.1, False),
        (at_least(0.8), 0.8, True),
        (at_least(0.8), 0.7, False),
    ],
)
def test_a_goal_is_reached_at_its_number(goal: object, value: float, met: bool) -> None:
    figure = Plan(id="x", title="", unit="", goal=goal).measured(samples(value))  # type: ignore[arg-type]
    assert figure.met is met


def test_a_figure_says_what_the_report_has_to_hold() -> None:
    told = FAST.measured(samples(1.0, 1.5, 2.0), rows=1000).to_json()
    assert told == {
        "id": "a.fast",
        "title": "how fast",
        "unit": "ms",
        "value": 1.5,
        "spread": 0.5,
        "goal": "<= 2",
        "met": True,
        "beside": {"rows": 1000},
    }


def test_a_refused_comparison_has_no_value_and_meets_nothing() -> None:
    told = TIMES.measured(compared(samples(1.0, 3.0), samples(1.0, 3.0))).to_json()
    assert (told["value"], told["met"]) == (None, None)
    assert "larger than" in told["refused"]


def test_without_a_bench_its_figures_say_that_they_need_one() -> None:
    topic = Measures()
    *_, site = measured(a_run(), [topic], [])
    told = site.to_json()
    assert (told["value"], told["met"], told["needs"]) == (None, None, "bench")
    assert topic.asked == ["a.fast", "a.times"]


def test_with_a_bench_they_are_measured() -> None:
    figures = list(measured(a_run(bench=Path("/bench")), [Measures()], ["b"]))
    assert [(figure.plan.id, figure.met) for figure in figures] == [("b.site", False)]


def test_a_figure_is_chosen_by_its_id_or_its_family() -> None:
    assert [figure.plan.id for figure in measured(a_run(), [Measures()], ["a.times"])] == ["a.times"]
    assert [figure.plan.id for figure in measured(a_run(), [Measures()], ["a"])] == ["a.fast", "a.times"]
    assert list(measured(a_run(), [Measures()], ["a.t"])) == []


def test_what_fails_takes_nothing_else_along() -> None:
    figures = list(measured(a_run(), [Measures(fails_after=1), Measures()], ["a"]))
    assert [figure.value for figure in figures] == [1.5, None, 1.5, 1.5]
    assert figures[1].refused == "OSError: the disk is full"


# What is printed


def test_the_report_names_machine_versions_seed_and_figures() -> None:
    told = report([FAST.unmeasured()], machine=machine(), versions=versions(), seed=1, quick=False)
    assert set(told) == {"machine", "versions", "seed", "quick", "figures"}
    assert {"cpu", "cores", "memory_gb"} <= set(told["machine"])
    assert {"erp_offline_sync", "python", "sqlite"} <= set(told["versions"])
    json.dumps(told)


def test_the_table_has_a_line_for_each_figure_and_says_what_is_not_reached() -> None:
    text = table(
        [
            FAST.measured(samples(1.0)),
            TIMES.measured(samples(2.0)),
            TIMES.measured(compared(samples(1.0, 3.0), samples(1.0, 3.0))),
            SITE.unmeasured(),
        ]
    )
    head, rule, *lines = text.splitlines()
    assert head.split() == ["figure", "measured", "spread", "goal"]
    assert set(rule) == {"-"}
    assert [line.split("  ")[-1].split(":")[0].strip() for line in lines] == [
        "reached",
        "NOT REACHED",
        "refused",
        "needs a bench",
    ]


def test_parts_that_were_measured_one_by_one_make_one_report() -> None:
    earlier = report([FAST.measured(samples(1.0)), TIMES.measured(samples(5.0))], seed=1)
    later = report([FAST.measured(samples(3.0)), SITE.unmeasured()], seed=2)
    told = merged(later, earlier)
    assert told["seed"] == 2
    assert [(figure["id"], figure["value"]) for figure in told["figures"]] == [
        ("a.fast", 3.0),
        ("a.times", 5.0),
        ("b.site", None),
    ]
    assert merged(report([TIMES.unmeasured()], seed=3), earlier)["figures"][1]["value"] == 5.0


def test_the_table_of_a_page_is_replaced_and_the_rest_stays() -> None:
    told = report([FAST.measured(samples(1.0)), SITE.unmeasured()], machine=machine(), versions={}, seed=1)
    once = paged("before <!-- measured --> old <!-- until here --> after", told)
    assert once.startswith("before <!-- measured -->")
    assert once.endswith("<!-- until here --> after")
    assert "| `a.fast` how fast | 1 ms | 0 | <= 2 | reached |" in once.splitlines()
    assert "old" not in once
    assert paged(once, told) == once
    with pytest.raises(ValueError, match="no <!-- measured"):
        paged("a page", told)


def test_the_chart_is_xml_with_a_bar_for_each_value() -> None:
    figures = [
        FAST.measured(samples(1.0)),
        TIMES.measured(samples(400.0)),
        TIMES.unmeasured("it failed <&>"),
        SITE.unmeasured(),
    ]
    told = report(figures, machine=machine(), quick=True)
    tree = ElementTree.fromstring(chart(told))
    names = [element.tag.rpartition("}")[2] for element in tree.iter()]
    assert names.count("polygon") == 2
    assert "not reached" not in "".join(tree.itertext())


def test_ids_are_all_different_and_each_topic_keeps_to_its_plans() -> None:
    ids = [plan.id for topic in topics.ALL for plan in topic.PLANS]
    assert len(set(ids)) == len(ids)


def test_a_figure_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    errors = io.StringIO()
    with redirect_stderr(errors):
        assert main(["--only", "nonsense"]) == 2
    assert "cost.cpu" in errors.getvalue()


def test_the_command_prints_one_object() -> None:
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(io.StringIO()):
        assert main(["--quick", "--json", "--only", "merge.document"]) == 0
    told = json.loads(out.getvalue())
    (figure,) = told["figures"]
    assert (told["quick"], told["seed"], figure["id"]) == (True, 1, "merge.document")
    assert figure["value"] > 0

"""The line to the central: probed, kept between runs, and what people are told of it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support import LOST, NOT_SENT, Branch, page, refused

from erp_offline_sync.engine.breaker import CLOSED
from erp_offline_sync.engine.classify import Outcome, Verdict, classify
from erp_offline_sync.engine.model import Operation, Reply
from erp_offline_sync.engine.sending.line import (
    BREAKER,
    CENTRAL_USER,
    LAST_REACHED,
    PROPER,
    Line,
    kept_breaker,
)


@pytest.fixture
def line(branch: Branch) -> Line:
    return Line(branch.ports)


def meta(branch: Branch, key: str) -> str | None:
    with branch.store.transaction():
        return branch.store.get_meta(key)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (NOT_SENT, "offline"),
        (LOST, "offline"),
        (page(200), "busy"),
        (page(502), "busy"),
        (refused(503, "SessionStopped"), "busy"),
        (refused(500, "QueryDeadlockError"), "busy"),
        (refused(500, "KeyError"), "failing"),
        (refused(401, "AuthenticationError"), "credentials"),
        (refused(403, "PermissionError"), "credentials"),
        (page(301), "configuration"),
        (page(404), "configuration"),
    ],
)
def test_a_probe_that_fails_opens_it_with_the_reason(
    branch: Branch, line: Line, answer: Reply, reason: str
) -> None:
    branch.central.answers_all = answer
    assert not line.probe()
    assert (line.breaker.state, line.breaker.reason) == ("open", reason)
    assert line.message


def test_a_good_probe_says_who_we_are_there_and_when_it_was_reached(branch: Branch, line: Line) -> None:
    assert line.probe()
    assert meta(branch, CENTRAL_USER) == "branch@example.com"
    assert meta(branch, LAST_REACHED) == branch.clock.now().isoformat()


def test_while_it_is_open_only_a_probe_leaves_and_only_when_it_is_due(branch: Branch, line: Line) -> None:
    branch.central.online = False
    assert not line.probe()
    probes = branch.central.probes
    branch.central.online = True
    assert not line.usable()
    assert branch.central.probes == probes
    branch.later(1)
    assert line.usable()
    assert line.breaker.state == "half-open"
    assert line.usable()
    assert branch.central.probes == probes + 1


def test_a_proper_answer_to_a_request_closes_it(branch: Branch, line: Line) -> None:
    branch.central.online = False
    line.probe()
    line.answered()
    assert line.breaker == CLOSED
    assert kept_breaker(meta(branch, BREAKER)) == CLOSED


def test_it_is_the_same_for_the_next_run(branch: Branch, line: Line) -> None:
    branch.central.online = False
    line.probe()
    other = Line(branch.ports)
    assert other.breaker == CLOSED
    other.load()
    assert other.breaker == line.breaker


def test_the_central_says_how_long_to_wait_but_not_for_ever(branch: Branch, line: Line) -> None:
    for header, seconds in (("90", 90), ("0", 1), ("999999", 6 * 3600), ("soon", 1)):
        line.breaker = CLOSED
        line.trip(classify(page(503, retry_after=header), Operation.UPDATE))
        assert line.breaker.next_probe_at == branch.clock.now() + timedelta(seconds=seconds)


def test_three_requests_that_fail_beside_a_good_probe_open_it(branch: Branch, line: Line) -> None:
    outcome = Outcome(verdict=Verdict.SERVER_ERROR, message="HTTP 500")
    for request in ("a", "b", "c"):
        assert line.breaker.closed
        line.request_failed(request, outcome)
    assert (line.breaker.reason, line.message) == ("failing", "HTTP 500")


def test_what_is_the_configurations_fault_is_called_so(branch: Branch, line: Line) -> None:
    for request in ("a", "b", "c"):
        line.request_failed(request, Outcome(verdict=Verdict.CONFIGURATION))
    assert line.breaker.reason == "configuration"


def test_what_says_that_the_central_itself_answered() -> None:
    """A deadlock was told by the central, a proxy's page was not."""
    assert Verdict.CONTENTION in PROPER
    assert Verdict.APPLIED in PROPER
    assert Verdict.REFUSED_AT_ONCE in PROPER
    assert not PROPER & {
        Verdict.NOT_NOW,
        Verdict.NOT_SENT,
        Verdict.UNANSWERED,
        Verdict.SERVER_ERROR,
        Verdict.CREDENTIALS,
        Verdict.CONFIGURATION,
    }

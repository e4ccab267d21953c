"""Laws of the small pure parts, for whatever values there are."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from erp_offline_sync.adapters.standalone import PlainPolicies
from erp_offline_sync.engine.backoff import delay, longest
from erp_offline_sync.engine.breaker import CLOSED, Breaker
from erp_offline_sync.engine.config import RETRY_AFTER_LIMIT
from erp_offline_sync.engine.model import FieldKind, Operation, Request, Schema, Status
from erp_offline_sync.engine.sync import SyncEngine
from erp_offline_sync.engine.values import differences, moved_fields, same_value, synced_values
from erp_offline_sync.testing.clock import FrozenClock
from erp_offline_sync.testing.doubles import MemoryDocuments, ports_around
from erp_offline_sync.testing.memory_store import MemoryStore
from erp_offline_sync.testing.model_central import ModelCentral

EXAMPLES = settings(max_examples=60, deadline=None, derandomize=True)
NOON = datetime(2026, 1, 5, 12, tzinfo=timezone.utc)
RANDOM = st.floats(min_value=0, max_value=1, exclude_max=True)
KINDS = st.none() | st.sampled_from([kind for kind in FieldKind if kind is not FieldKind.TABLE])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
    | st.text(max_size=6)
    | st.sampled_from(["0", "0.0", "1.50", "2026-01-05 09:05:00", "9:05", "09:05:00.000", '{"a": 1}', "[]"])
)

# values


@EXAMPLES
@given(SCALARS, KINDS)
def test_a_value_is_the_same_as_itself(value: Any, kind: FieldKind | None) -> None:
    assert same_value(value, value, kind)


@EXAMPLES
@given(SCALARS, SCALARS, KINDS)
def test_sameness_does_not_depend_on_the_side(one: Any, other: Any, kind: FieldKind | None) -> None:
    assert same_value(one, other, kind) == same_value(other, one, kind)


ROWS = st.lists(st.fixed_dictionaries({"item": st.text(max_size=2), "qty": st.integers(0, 3)}), max_size=3)
DOCUMENTS = st.fixed_dictionaries(
    {}, optional={"title": st.text(max_size=3), "total": st.integers(0, 3) | st.none(), "items": ROWS}
)
SCHEMA = Schema(
    fields={"title": FieldKind.TEXT, "total": FieldKind.NUMBER},
    tables={"items": Schema(fields={"item": FieldKind.TEXT, "qty": FieldKind.NUMBER})},
)


@EXAMPLES
@given(DOCUMENTS, DOCUMENTS, st.sampled_from([None, SCHEMA]))
def test_what_moved_is_what_is_not_the_same_and_moves_back(
    one: Any, other: Any, schema: Schema | None
) -> None:
    moved = moved_fields(one, other, schema)
    assert moved == moved_fields(other, one, schema)
    assert moved_fields(one, {**other, **{field: one.get(field) for field in moved}}, schema) == []


@EXAMPLES
@given(DOCUMENTS, st.sampled_from([None, SCHEMA]))
def test_a_document_does_not_differ_from_itself(document: Any, schema: Schema | None) -> None:
    assert moved_fields(document, document, schema) == []
    assert differences(synced_values(document, schema), document, schema) == {}


# backoff and breaker


@EXAMPLES
@given(st.integers(0, 50), st.integers(100, 10**6), st.integers(100, 10**7), RANDOM, RANDOM)
def test_a_later_wait_is_never_shorter_by_more_than_the_jitter(
    n: int, base: int, maximum: int, random: float, later: float
) -> None:
    one = delay(n, base=base, maximum=maximum, random=random)
    two = delay(n + 1, base=base, maximum=maximum, random=later)
    assert 0 < one <= longest(maximum)
    assert two * 1.1 >= one


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["trip", "failed", "probe", "answered", "at once"]),
        st.sampled_from(["offline", "busy", "failing", "credentials", "configuration"]),
        st.sampled_from("abcdef"),
        st.integers(0, 400),
        RANDOM,
    ),
    max_size=30,
)


@EXAMPLES
@given(STEPS)
def test_an_open_breaker_always_probes_within_its_limits_and_a_proper_answer_closes_it(steps: Any) -> None:
    breaker, now = CLOSED, NOON
    for what, reason, request, seconds, random in steps:
        now += timedelta(seconds=seconds)
        breaker = _stepped(breaker, what, reason, request, now, random)
        assert breaker.closed == (breaker.state == "closed")
        assert not (breaker.closed and (breaker.half_open or breaker.open_since))
        if breaker.state == "open" and breaker.next_probe_at is not None:
            assert breaker.probe_due(breaker.next_probe_at)
            assert breaker.next_probe_at - now <= timedelta(seconds=RETRY_AFTER_LIMIT)
        assert len(set(breaker.failed)) == len(breaker.failed)
        assert Breaker.from_json(breaker.to_json()) == breaker


def _stepped(breaker: Breaker, what: str, reason: str, request: str, now: datetime, random: float) -> Breaker:
    if what == "trip":
        return breaker.trip(now, reason, random=random, request_id=request)
    if what == "failed":
        return breaker.request_failed(request, now, random=random)
    if what == "probe":
        return breaker.probe_answered()
    return CLOSED if what == "answered" else breaker.probe_at_once()


# coalescing

VALUES = st.fixed_dictionaries(
    {},
    optional={
        "title": st.sampled_from(["a", "b", "", None]),
        "total": st.sampled_from([0, 1, 2.5]),
        "items": st.lists(
            st.fixed_dictionaries({"name": st.sampled_from(["r1", "r2", "r3"]), "qty": st.integers(0, 3)}),
            max_size=3,
            unique_by=lambda row: row["name"],
        ),
    },
)


@settings(EXAMPLES, max_examples=25)
@given(st.lists(VALUES, min_size=1, max_size=6), st.booleans())
def test_merging_gives_the_same_document_as_sending_one_by_one(
    saves: list[dict[str, Any]], is_there: bool
) -> None:
    """A create and the updates after it, or updates of a document that is there already."""
    together, merged = _played(saves, is_there, at_once=True)
    apart, sent = _played(saves, is_there, at_once=False)
    assert _content(together) == _content(apart)
    assert merged <= sent


def _played(saves: list[dict[str, Any]], is_there: bool, *, at_once: bool) -> tuple[dict[str, Any], int]:
    """The document as the central holds it in the end, and how many effects that took."""
    clock = FrozenClock()
    store, central, documents = MemoryStore(clock.now), ModelCentral(clock.now), MemoryDocuments()
    policies = PlainPolicies(schemas={"Sale": SCHEMA})
    engine = SyncEngine(
        ports_around(store, central, clock, documents=documents, policies=policies), holder="a"
    )
    for number, values in enumerate(saves):
        _save(store, documents, str(number), values)
        if not at_once or (is_there and number == 0):
            assert engine.run().reason == "done"
    assert engine.run().reason == "done"
    with store.transaction():
        ended = {request.status for request in store.list_requests(limit=100)}
    assert ended <= {Status.SYNCED, Status.MERGED}
    (document,) = central.documents["Sale"].values()
    return document, len(central.effects)


def _save(store: MemoryStore, documents: MemoryDocuments, key: str, values: Mapping[str, Any]) -> None:
    before = documents.documents.get(("Sale", "S-1"))
    whole = {"title": "", "total": 0, "items": [], **(before or {}), **values}
    documents.documents["Sale", "S-1"] = {**whole, "name": "S-1", "docstatus": 0}
    create = before is None
    body = {field: whole[field] for field in ("title", "total", "items")} if create else dict(values)
    base = None if before is None else {field: before.get(field) for field in values}
    with store.transaction():
        store.add(
            Request(
                id=key,
                key=key,
                seq=0,
                operation=Operation.CREATE if create else Operation.UPDATE,
                resource_type="Sale",
                resource_id="S-1",
                method="PUT",
                path="/api/resource/Sale",
                body=body,
                base=base,
                created_at=store.now(),
            )
        )


def _content(document: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        {key: value for key, value in row.items() if key != "name"} for row in document.get("items") or ()
    ]
    return {"title": document.get("title") or "", "total": document.get("total") or 0, "items": rows}

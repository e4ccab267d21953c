"""What must hold in the world after every step, and when everything has come to its end.

The letters are those of the guarantees in hooks-docs/semantics.md. Every function answers texts, one for each thing
that is wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from erp_offline_sync.engine.model import Document, Operation, Request, Status
from erp_offline_sync.engine.transitions import ENDS
from erp_offline_sync.engine.values import is_rows, moved_fields
from erp_offline_sync.testing.memory_store import MemoryStore

from .sites import KINDS
from .world import World

__all__ = ["after_every_step", "at_the_end", "when_drained"]

_HELD = frozenset({Status.NEEDS_ATTENTION, Status.CONFLICT})
_MAY_BE_THERE = (frozenset(Status) - ENDS) | {Status.DECIDED}


def after_every_step(world: World) -> list[str]:
    found = [
        *world.violations,
        *_g0_ends_are_accounted_for(world),
        *_g1_no_undetected_duplicate(world),
        *_g1_one_effect_a_key(world),
        *_g2_effects_come_in_order(world),
        *_g4_the_ledger_adds_up(world),
        *_g7_attempts_are_counted_as_said(world),
        *_waiting_makes_sense(world),
    ]
    world.note_ends()
    world.violations.clear()
    return found


def _g0_ends_are_accounted_for(world: World) -> Iterator[str]:
    """A request ends by somebody or something that is named, once, and vanishes only by a purge after that."""
    now = world.store.requests_now()
    for request_id in world.queued:
        if request_id not in now and request_id not in world.ended:
            yield f"G0: {request_id} vanished"
    for request_id, was in world.ended.items():
        request = now.get(request_id)
        if request is not None and (
            request.status,
            request.merged_into,
            request.closed_by,
            request.reason,
        ) != (
            was.status,
            was.merged_into,
            was.closed_by,
            was.reason,
        ):
            yield f"G0: {request_id} ended as {was.status.value} and is {request.status.value} now"
    for request in now.values():
        if request.status in ENDS:
            yield from _g0_names_its_end(world, request)


def _g0_names_its_end(world: World, request: Request) -> Iterator[str]:
    if request.closed_at is None:
        yield f"G0: {request.id} has no time of its end"
    if request.status is Status.MERGED and request.merged_into not in world.queued:
        yield f"G0: {request.id} was merged into {request.merged_into}, which never was"
    if request.status is Status.DISCARDED and not (request.closed_by and request.reason):
        yield f"G0: {request.id} was discarded by nobody or for no reason"
    if request.status is Status.DECIDED and not (request.closed_by and request.reason):
        yield f"G0: {request.id} was decided by nobody or in no conflict"


def _g1_no_undetected_duplicate(world: World) -> Iterator[str]:
    now = world.store.requests_now()
    documents = world.store.all_documents()
    linked: dict[tuple[str, str], list[Document]] = {}
    for document in documents:
        if document.central_name:
            linked.setdefault((document.doctype, document.central_name), []).append(document)
    renaming = {
        world.queued[request.id]
        for request in world.open_requests()
        if request.operation is Operation.RENAME and request.sends
    }
    for (doctype, name), key in world.central.made_by.items():
        owner = world.key_owner[key]
        request = now.get(owner) or world.ended.get(owner)
        uid = world.queued.get(owner)
        if (doctype, name) in linked or request is None or key in world.central.companion.uncertain:
            continue
        if uid in renaming or uid in world.cut | world.renamed_back:
            continue
        if request.status not in _MAY_BE_THERE:
            yield f"G1: {doctype} {name} was made by {owner} ({request.status.value}) and is no document of ours"
    for (doctype, name), ours in linked.items():
        alive = [document for document in ours if not document.deleted]
        if len(alive) > 1 and name in world.central.documents.get(doctype, {}):
            names = ", ".join(document.local_name for document in alive)
            yield f"G1: {doctype} {name} at the central is {names} here"


def _g1_one_effect_a_key(world: World) -> Iterator[str]:
    """The companion lets a request have one effect, however often it is sent."""
    if world.faults["central restored"]:
        return
    central = world.central
    counted = Counter(key for key, *_ in central.effects if key in central.pushed_keys)
    for key, count in counted.items():
        if count > 1 and key not in central.companion.uncertain and key not in central.plain_keys:
            yield f"G1: {world.key_owner[key]} had {count} effects through the companion"


def _g4_receipts_are_applied_requests(world: World) -> Iterator[str]:
    """Once nothing is in flight or in doubt, what left a receipt is closed as applied, and the other way round."""
    central = world.central
    restored = world.faults["central restored"] or world.faults["branch restored"]
    if restored or central.misled or not central.has_companion:
        return
    for key in central.companion.kept.keys() - central.plain_keys:
        request = world.store.by_key(key) or world.ended.get(world.key_owner[key])
        if request is None or request.key != key or world.queued[request.id] in world.cut:
            continue
        if request.id in world.judged:
            continue
        if request.status is not Status.SYNCED:
            yield f"G4: {request.id} left a receipt and is {request.status.value}"
    pushed_only = central.pushed_keys - central.plain_keys - central.companion.uncertain
    for request in world.store.all_requests():
        applied = request.status is Status.SYNCED and [each.event for each in request.history][-1:] == [
            "applied"
        ]
        if applied and request.key in pushed_only - central.companion.kept.keys():
            yield f"G4: {request.id} was applied and left no receipt"


def _g2_effects_come_in_order(world: World) -> Iterator[str]:
    """Effects about one document come in the order of its requests' commits."""
    last: dict[int, tuple[int, str]] = {}
    order = {request_id: place for place, request_id in enumerate(world.queued)}
    for key, what, _, _ in world.central.effects:
        owner = world.key_owner[key]
        uid = world.queued.get(owner)
        if uid is None or uid in world.cut | world.lost:
            continue
        place, before = last.get(uid, (-1, ""))
        if order[owner] < place:
            yield f"G2: {what} of {owner} came after that of {before}"
        last[uid] = max((place, before), (order[owner], owner))


def _g4_the_ledger_adds_up(world: World) -> Iterator[str]:
    now = world.store.requests_now()
    with MemoryStore.transaction(world.store):
        counters = {status: count for status, count in world.store.counters().items() if count}
    purged = (request.status for request_id, request in world.ended.items() if request_id not in now)
    recount = Counter([*(request.status for request in now.values()), *purged])
    if counters != dict(recount):
        yield f"G4: counted {_named(counters)}, recounted {_named(recount)}"


def _named(counts: Any) -> dict[str, int]:
    return {status.value: count for status, count in sorted(counts.items())}


def _g7_attempts_are_counted_as_said(world: World) -> Iterator[str]:
    for request in world.store.requests_now().values():
        if request.status in ENDS:
            continue
        low, high = world.answers.attempts(request.key, request.operation)
        if not low <= request.retry_count <= high:
            yield f"G7: {request.id} has {request.retry_count} attempts, {low} to {high} by the answers"


def _waiting_makes_sense(world: World) -> Iterator[str]:
    """Who waits names an open request that goes no later than it needs to; every circle would be a wedge."""
    now = world.store.requests_now()
    for request in now.values():
        if request.status is not Status.WAITING:
            continue
        blocker = now.get(request.waits_for or "")
        if blocker is None or blocker.status in ENDS:
            yield f"G3: {request.id} waits for {request.waits_for}, which is over"
            continue
        if blocker.rank > request.rank:
            yield f"order: {blocker.id} ({blocker.rank}) holds up {request.id} ({request.rank})"
        seen = {request.id}
        current: Request | None = blocker
        while current is not None and current.waits_for:
            if current.id in seen:
                yield f"G3: {request.id} waits in a circle"
                break
            seen.add(current.id)
            current = now.get(current.waits_for)


def when_drained(world: World) -> list[str]:
    """G3: with the central healthy only what a person has to look at is left, and what needs it."""
    found = [*after_every_step(world)]
    now = world.store.requests_now()
    for request in now.values():
        if request.status in ENDS or request.status in _HELD:
            continue
        current: Request | None = request
        while current is not None and current.status is Status.WAITING:
            current = now.get(current.waits_for or "")
        if current is None or current.status not in _HELD:
            found.append(f"G3: {request.id} is {request.status.value} and nothing holds it up")
    return found


def at_the_end(world: World) -> list[str]:
    """Nothing is open, and both sides are equal in what was delivered."""
    left = [
        f"{request.id} {request.operation.value} {request.status.value}" for request in world.open_requests()
    ]
    found = [*after_every_step(world), *(f"G3: wedged: {each}" for each in left)]
    if not left:
        found += _g4_receipts_are_applied_requests(world)
    if not left and not world.standalone:
        found += _g5_both_sides_are_equal(world)
    return found


def _g5_both_sides_are_equal(world: World) -> Iterator[str]:
    sent = {
        uid
        for request_id, uid in world.queued.items()
        if world.ended[request_id].status in (Status.SYNCED, Status.DECIDED)
    }
    live = {
        (document.doctype, document.local_name): document
        for document in world.store.all_documents()
        if not document.deleted
    }
    for key, here in world.documents.all.items():
        uid = world.documents.uids[key]
        if uid not in sent or uid in world.cut | world.lost:
            continue
        document = live.get(key)
        if document is None or document.central_name is None:
            yield f"G5: {key} was sent and is linked to nothing"
            continue
        there = world.central.documents.get(key[0], {}).get(document.central_name)
        if there is None and set(document.base or ()) <= {"name", "modified", "docstatus"}:
            continue  # a receipt told that it arrived, and since then it is gone
        known = document.base or {}
        expected = _in_central_names(world, key[0], here, live)
        schema = KINDS[key[0]].schema
        if there is not None and there["modified"] == document.version:
            # A rename at the central rewrites links without a new version.
            moved = [field for field in moved_fields(known, there, schema) if not _has_links(key[0], field)]
            if moved:
                yield f"G5: {key} is known otherwise than it stands there under one version: {moved}"
            known = there
        else:
            expected = {field: value for field, value in expected.items() if not _has_links(key[0], field)}
            known = {field: value for field, value in known.items() if not _has_links(key[0], field)}
        differs = [
            field
            for field in moved_fields(expected, known, schema)
            if not _links_to_a_cut_one(world, key[0], field, here)
        ]
        named_by = KINDS[key[0]].named_by
        if named_by in differs and (here[named_by], known.get(named_by)) == (key[1], known.get("name")):
            differs.remove(named_by)
        if differs or (known.get("docstatus") or 0) != here["docstatus"]:
            pairs = {field: (expected.get(field), known.get(field)) for field in [*differs, "docstatus"]}
            yield f"G5: {key} differs from what the central answered: {pairs}"
    yield from _deleted_are_gone(world, sent)


def _has_links(doctype: str, field: str) -> bool:
    return any(path.partition(".")[0] == field for path in KINDS[doctype].paths)


def _links_to_a_cut_one(world: World, doctype: str, field: str, here: dict[str, Any]) -> bool:
    """Names of documents that somebody left unequal on purpose are not compared, nor of what a merge that did
    not travel made of them."""
    cut = world.cut | world.lost
    for request_id, uid in world.merges.items():
        if world.ended[request_id].status is not Status.SYNCED or world.queued[request_id] in cut:
            cut.add(uid)
    for path, target in KINDS[doctype].paths.items():
        table, _, cell = path.partition(".")
        if table == field:
            names = [row.get(cell) for row in here.get(table) or ()] if cell else [here.get(field)]
            if any(world.documents.uids.get((target, str(name))) in cut for name in names):
                return True
    return False


def _deleted_are_gone(world: World, sent: set[int | None]) -> Iterator[str]:
    alive = set(world.documents.uids.values())
    lines = {
        request.line: uid
        for request_id, request in world.ended.items()
        if (uid := world.queued[request_id]) is not None
    }
    for document in world.store.all_documents():
        uid = lines.get(document.id)
        if (
            not document.deleted
            or uid is None
            or uid in alive
            or uid in world.cut | world.lost
            or uid not in sent
        ):
            continue
        there = world.central.documents.get(document.doctype, {})
        others = [
            other
            for other in world.store.all_documents()
            if other.id != document.id
            and (other.doctype, other.central_name) == (document.doctype, document.central_name)
        ]
        decided = any(
            request.line == document.id
            and request.operation in (Operation.DELETE, Operation.RENAME)
            and request.status is Status.DECIDED
            for request in world.ended.values()
        )
        # Somebody may have made another one under its name.
        same = (there.get(document.central_name or "") or {}).get("creation") == (document.base or {}).get(
            "creation"
        )
        if document.central_name in there and same and not others and not decided:
            yield f"G5: {document.doctype} {document.local_name} was deleted here and is still there"


def _in_central_names(
    world: World, doctype: str, here: dict[str, Any], live: dict[tuple[str, str], Document]
) -> dict[str, Any]:
    """The branch's document with its links under the names that the central has for them."""
    kind = KINDS[doctype]

    def name_of(target: str, name: Any) -> Any:
        document = live.get((target, name)) if name else None
        return (document.central_name or name) if document else name

    values = {
        field: name_of(kind.links[field], value) if field in kind.links else value
        for field, value in here.items()
    }
    if kind.row_links and is_rows(values.get("items") or []):
        values["items"] = [
            {
                cell: name_of(kind.row_links[cell], value) if cell in kind.row_links else value
                for cell, value in row.items()
            }
            for row in values.get("items") or ()
        ]
    return values

"""Bytes on the line for a document of 24 kB, against its JSON as a site would post it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from erp_offline_sync import bootstrap
from erp_offline_sync.adapters.standalone import PlainPolicies
from erp_offline_sync.engine.model import Policy, Request
from erp_offline_sync.engine.sending.outgoing import document_body
from erp_offline_sync.engine.sync import SyncEngine
from erp_offline_sync.engine.values import moved_fields, synced_values

from .central import CentralProcess
from .documents import INVOICE, INVOICE_SCHEMA, changed_head, changed_row, invoice
from .figure import Figure, Plan, Run, at_most
from .measuring import Samples
from .outboxes import create, drained, fill, update
from .relay import Relay

__all__ = ["PLANS", "measure"]

DOCUMENTS, DOCUMENTS_QUICK = 200, 20
Document = dict[str, Any]
Change = Callable[[Document, random.Random], Document]

_GOALS = {"create": 20, "update": 5, "update_with_row": 5}
_COMPANION = {
    f"wire.companion.{what}": Plan(
        id=f"wire.companion.{what}",
        title=f"bytes sent against raw JSON, companion: {what.replace('_', ' ')}",
        unit="%",
        goal=at_most(most),
    )
    for what, most in _GOALS.items()
}
_PLAIN = {
    f"wire.plain.{what}": Plan(
        id=f"wire.plain.{what}",
        title=f"bytes sent against raw JSON, plain REST: {what.replace('_', ' ')}",
        unit="%",
        goal=at_most(most) if what == "update" else None,
    )
    for what, most in _GOALS.items()
}
PLANS = (*_COMPANION.values(), *_PLAIN.values())


def measure(run: Run, plans: Sequence[Plan]) -> Iterator[Figure]:
    for kind, companion in (("companion", True), ("plain", False)):
        of_kind = [plan for plan in plans if plan.id.startswith(f"wire.{kind}.")]
        if not of_kind:
            continue
        run.say(f"bytes of an invoice, {kind}")
        told = _sent(run, companion)
        for plan in of_kind:
            sent, raw = told[plan.id.rpartition(".")[2]]
            yield plan.measured(Samples((100 * sent / raw,)), bytes_sent=sent, bytes_raw=raw)


def _sent(run: Run, companion: bool) -> dict[str, tuple[float, float]]:
    """What was done → bytes sent and bytes of its raw JSON, a document."""
    drawn = random.Random(run.seed)
    count = DOCUMENTS_QUICK if run.quick else DOCUMENTS
    documents = [invoice(number, drawn) for number in range(count)]
    raw = sum(len(json.dumps(document, separators=(",", ":")).encode()) for document in documents) / count
    found: dict[str, tuple[float, float]] = {}
    with CentralProcess(companion=companion, seed=run.seed) as central, Relay(central.url) as line:
        path = run.folder / f"wire-{companion}.sqlite"
        outbox = bootstrap.standalone({**central.settings, "central_url": line.url}, path=path)
        outbox = _with_schema(outbox)
        ids, store = outbox.ports.ids, outbox.ports.store

        def send(what: str, requests: Sequence[Request]) -> None:
            fill(outbox, requests)
            before = line.sent
            drained(outbox)
            found[what] = ((line.sent - before) / count, raw)

        now = store.now()
        send(
            "create",
            [
                create(
                    INVOICE,
                    document["name"],
                    document_body(document, INVOICE_SCHEMA),
                    key=ids.new_key(),
                    now=now,
                )
                for document in documents
            ],
        )
        changes: tuple[tuple[str, Change], ...] = (("update", changed_head), ("update_with_row", changed_row))
        for what, change in changes:
            after = [change(document, drawn) for document in documents]
            send(
                what,
                [
                    _update(one, other, key=ids.new_key(), now=store.now())
                    for one, other in zip(documents, after, strict=True)
                ],
            )
            documents = after
        outbox.close()
    path.unlink()
    return found


def _with_schema(outbox: bootstrap.Assembled) -> bootstrap.Assembled:
    policies = PlainPolicies({INVOICE: Policy()}, {INVOICE: INVOICE_SCHEMA})
    ports = replace(outbox.ports, policies=policies)
    return bootstrap.Assembled(engine=SyncEngine(ports, holder="benchmark"), ports=ports)


def _update(before: Document, after: Document, *, key: str, now: datetime) -> Request:
    """What capture finds changed, with the fields as they were."""
    was, is_now = (synced_values(document, INVOICE_SCHEMA) for document in (before, after))
    fields = moved_fields(was, is_now, INVOICE_SCHEMA)
    body, base = ({name: values[name] for name in fields} for values in (is_now, was))
    return update(INVOICE, before["name"], body, base, key=key, now=now)

"""A shop's week in a few seconds: sales while the line is down, and how they all reach the central.

Nothing is played: the engine, the outbox file and the HTTP are the real ones, only the central is a stand-in on
loopback. The ledger is counted from the outbox, duplicates from the central's documents, so that whoever keeps the
files can count again.
"""

from __future__ import annotations

import random
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from erp_offline_sync import bootstrap
from erp_offline_sync.adapters.system_clock import SystemIds
from erp_offline_sync.engine import actions
from erp_offline_sync.engine.calls import queued_call, under_local_names
from erp_offline_sync.engine.errors import NotAllowed
from erp_offline_sync.engine.model import Conflict, Json, Policy, Request, Resolution, Status, Strategy
from erp_offline_sync.engine.registry import HookRegistry
from erp_offline_sync.engine.transitions import ledger
from erp_offline_sync.testing.stand_in import (
    API_KEY,
    API_SECRET,
    DocTypeRule,
    FieldRule,
    Refusal,
    StandInCentral,
)

__all__ = ["CENTRAL_FILE", "LEDGER", "OUTBOX_FILE", "Teller", "run_demo"]

OUTBOX_FILE = "outbox.sqlite"
CENTRAL_FILE = "central.jsonl"
LEDGER = (
    "captured",
    "applied",
    "merged",
    "decided",
    "discarded",
    "held",
    "waiting",
    "conflicts",
    "duplicates_at_central",
    "attempts_while_offline",
)
"""Keys of the result: captured is the sum of the next six."""

_MARK = "made_by_demo"
_SALES_A_DAY = 24
_DAYS_AWAY = 3
_MAX_BYTES = 1_000_000

_ITEMS = {"TEA": 4.5, "COFFEE": 6.2, "MILK": 1.3, "BREAD": 2.1, "CHEESE": 7.9, "APPLES": 3.4}
_REGULARS = ("Ada Marsh", "Bela Kovacs", "Chiara Conti", "Dilan Aydin", "Emeka Obi")
_NEWCOMERS = ("Café Linde", "Farah & Sons", "Grace O'Neill", "Hôtel du Port", "Imani 100% Fresh", "Jo Brand")


class Teller:
    """Who hears the story; this one says nothing."""

    def heading(self, text: str) -> None:
        """A new part begins."""

    def line(self, text: str, detail: str = "") -> None:
        """Something happened."""

    def table(self, title: str, rows: list[tuple[str, Any]]) -> None:
        """Names and values."""

    def progress(self, payload: Json, total: int) -> None:
        """So much of `total` is sent."""

    def progress_done(self) -> None:
        """What was to be sent is sent."""


def run_demo(*, keep: Path | None = None, seed: int = 1, tell: Teller | None = None) -> dict[str, int]:
    """Play the week; answers the ledger (`LEDGER`).

    With `keep` the files stay in that directory: the outbox, and the central's documents, one a line. Raises
    NotAllowed where an outbox that is not a demo's is there already.
    """
    with _folder(keep) as folder, _Week(folder, seed, tell or Teller()) as week:
        return week.play()


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="erp-offline-sync-") as made:
            yield Path(made)
        return
    keep.mkdir(parents=True, exist_ok=True)
    outbox = keep / OUTBOX_FILE
    if outbox.exists() and not _made_by_demo(outbox):
        raise NotAllowed(f"{outbox} is there already and is no demo's: name another directory with --keep.")
    _remove(outbox)
    yield keep
    outbox.with_name(f"{OUTBOX_FILE}-run").unlink(missing_ok=True)


def _made_by_demo(outbox: Path) -> bool:
    connection = sqlite3.connect(outbox)
    try:
        found = connection.execute("SELECT 1 FROM sync_metadata WHERE key = ?", [_MARK]).fetchone()
    except sqlite3.Error:
        return False
    finally:
        connection.close()
    return found is not None


def _remove(outbox: Path) -> None:
    for ending in ("", "-wal", "-shm", "-run"):
        outbox.with_name(outbox.name + ending).unlink(missing_ok=True)


# The central's doctypes


def _check_sale(document: dict[str, Any], central: StandInCentral) -> None:
    """The central's own rules, as an ERP has them."""
    for row in document["items"]:
        if row["qty"] <= 0:
            raise Refusal(417, "ValidationError", f"Row {row['idx']}: the quantity must be above zero")
        row["amount"] = round(row["qty"] * row["rate"], 2)
    document["total"] = round(sum(row["amount"] for row in document["items"]), 2)


def _rules() -> list[DocTypeRule]:
    money, text, needed = FieldRule(fieldtype="Currency"), FieldRule(), FieldRule(required=True)
    item = FieldRule(fieldtype="Link", options="Item", required=True)
    customer = FieldRule(fieldtype="Link", options="Customer", required=True)
    return [
        DocTypeRule(
            name="Customer",
            fields={"customer_name": needed, "phone": text, "territory": text, "credit_limit": money},
            autoname="CUST-.#####",
        ),
        DocTypeRule(
            name="Item",
            fields={"item_code": needed, "item_name": text, "price": money},
            autoname="field:item_code",
        ),
        DocTypeRule(name="Address", fields={"customer": customer, "street": text, "city": text}),
        DocTypeRule(
            name="Sales Invoice Item",
            fields={
                "item_code": item,
                "qty": FieldRule(fieldtype="Float"),
                "rate": money,
                "amount": money,
            },
            is_table=True,
        ),
        DocTypeRule(
            name="Sales Invoice",
            fields={
                "customer": customer,
                # Not unique on purpose: were a sale sent twice, the central would take it twice.
                "receipt_no": needed,
                "posting_date": FieldRule(fieldtype="Date", default="Today"),
                "remarks": text,
                "items": FieldRule(fieldtype="Table", options="Sales Invoice Item"),
                "total": money,
            },
            autoname="SINV-.YYYY.-.#####",
            submittable=True,
            validate=_check_sale,
        ),
    ]


def _head_office_sets_credit_limits(conflict_id: str, conflict: Mapping[str, Any]) -> dict[str, str] | None:
    """A conflict hook: the central's limit counts, whoever wrote last. Everything else is left to the rule."""
    server, base = conflict["server_data"] or {}, conflict["base_data"] or {}
    if server and server.get("credit_limit") != base.get("credit_limit"):
        return {"resolution": "server_wins"}
    return None


class _Week:
    """The shop, its outbox and its central, from Monday to Friday."""

    def __init__(self, folder: Path, seed: int, tell: Teller) -> None:
        self._folder = folder
        self._tell = tell
        self._random = random.Random(seed)  # noqa: S311  (a shop's sales, no secret)
        self._ids = SystemIds()
        self._shift = timedelta(days=-_DAYS_AWAY - 1)
        self._receipts = 0
        self._total = 0
        self._attempts_while_offline = 0
        self._runs_while_offline = 0
        self._customers: list[str] = []
        self._central = StandInCentral(_rules(), clock=self._central_now, seed=seed)
        self._registry = HookRegistry()
        self._registry.register("Customer", _head_office_sets_credit_limits)
        self._office = self._open()

    def __enter__(self) -> _Week:
        return self

    def __exit__(self, *_: object) -> None:
        self._office.close()
        self._central.close()

    def play(self) -> dict[str, int]:
        self._central.start()
        self._monday()
        self._line_down()
        self._line_up()
        self._people()
        self._central.dump_jsonl(self._folder / CENTRAL_FILE)
        result = self._count()
        self._tell_ledger(result)
        return result

    # the machinery

    def _open(self) -> bootstrap.Assembled:
        settings = {
            "central_url": self._central.url,
            "api_key": API_KEY,
            "api_secret": API_SECRET,
            "base_retry_delay": 100,
            "max_retry_delay": 1000,
            "sync_batch_size": 20,
        }
        office = bootstrap.standalone(
            settings,
            path=self._folder / OUTBOX_FILE,
            on_event=self._heard,
            registry=self._registry,
            policies={
                "Item": Policy(strategy=Strategy.SERVER_WINS, same_names=True),
                "Address": Policy(strategy=Strategy.MANUAL, same_names=True),
            },
        )
        with office.ports.store.transaction():
            office.ports.store.set_meta(_MARK, "1")
        return office

    def _heard(self, event: str, payload: Json) -> None:
        if event == "sync-progress" and self._total:
            self._tell.progress(payload, self._total)

    def _central_now(self) -> datetime:
        return datetime.now(timezone.utc) + self._shift

    def _queue(
        self, method: str, path: str, body: Json | None = None, *, ago: float = 0, **options: Any
    ) -> str:
        """Queue a call as it was made so many hours ago."""
        ports = self._office.ports
        with ports.store.transaction():
            at = ports.store.now() - timedelta(hours=ago)
            request = queued_call(
                method, path, body, key=self._ids.new_key(), now=at, max_bytes=_MAX_BYTES, **options
            )
            return ports.store.add(under_local_names(ports.store, request)).id

    def _sale(self, *, customer: str | None, ago: float, **values: Any) -> tuple[str, dict[str, Any]]:
        """A sale with its rows; its receipt number is what it can be found by."""
        self._receipts += 1
        codes = self._random.sample(sorted(_ITEMS), self._random.randint(1, 3))
        body = {
            "receipt_no": f"T1-{self._receipts:05}",
            "posting_date": f"{datetime.now(timezone.utc) - timedelta(hours=ago):%Y-%m-%d}",
            "items": [
                {"item_code": code, "qty": self._random.randint(1, 5), "rate": _ITEMS[code]} for code in codes
            ],
            **({"customer": customer} if customer else {}),
            **values,
        }
        links = {f"items.{row}.item_code": "Item" for row in range(len(body["items"]))}
        if customer:
            links["customer"] = "Customer"
        name = self._queue(
            "POST", "/api/resource/Sales Invoice", body, ago=ago, unique=["receipt_no"], links=links
        )
        return name, body

    def _run(self, **options: Any) -> str:
        return self._office.engine.run(**options).reason

    def _requests(self, *statuses: Status) -> list[Request]:
        store = self._office.ports.store
        with store.transaction():
            return store.list_requests(statuses=statuses or None, limit=100_000)

    def _conflicts(self, *, pending: bool) -> list[Conflict]:
        store = self._office.ports.store
        with store.transaction():
            return store.conflicts(pending=pending, limit=100_000)

    def _waiting(self) -> int:
        store = self._office.ports.store
        with store.transaction():
            return ledger(store.counters()).waiting

    # the story

    def _monday(self) -> None:
        """The line is fine: what the shop queues is at the central at once."""
        self._tell.heading("Monday: the line is fine")
        for code, price in _ITEMS.items():
            self._central.insert("Item", {"item_code": code, "item_name": code.title(), "price": price})
        for number, name in enumerate(_REGULARS):
            body = {"customer_name": name, "phone": f"555-01{number:02}", "credit_limit": 200}
            self._queue("POST", "/api/resource/Customer", body, unique=["customer_name"])
        self._run()
        self._customers = [document["name"] for document in self._central.documents("Customer")]
        self._queue("POST", "/api/resource/Address", {"customer": self._customers[0], "street": "Quay 1"})
        self._queue("POST", "/api/resource/Address", {"customer": self._customers[1], "street": "Old Road 9"})
        for customer in self._customers[:2]:
            self._sale(customer=customer, ago=0, docstatus=1)
        self._run()
        self._tell.line(
            f"{len(_REGULARS)} customers, 2 addresses and 2 sales were queued and are at the central already."
        )

    def _line_down(self) -> None:
        self._tell.heading("Tuesday: the line goes down, and the shop goes on selling")
        self._central.down()
        for day in range(_DAYS_AWAY):
            hours = 24.0 * (_DAYS_AWAY - day)
            self._day(day, hours)
            for _ in range(2):
                reason = self._run(force=True)
                self._runs_while_offline += 1
            self._attempts_while_offline = sum(request.retry_count for request in self._requests())
            self._tell.line(
                f"Day {day + 1}: {self._waiting()} requests wait; two runs found the central {reason}.",
                f"attempts used: {self._attempts_while_offline}",
            )
        self._office.close()
        self._office = self._open()
        self._tell.line("The till is switched off and on again: the outbox is a file, nothing is lost.")
        self._head_office()

    def _day(self, day: int, hours: float) -> None:
        """What one day at the till brings."""
        for newcomer in _NEWCOMERS[2 * day : 2 * day + 2]:
            name = f"till-1/{newcomer}"
            self._queue(
                "POST",
                "/api/resource/Customer",
                {"customer_name": newcomer},
                ago=hours,
                local_name=name,
                unique=["customer_name"],
            )
            self._customers.append(name)
        for number in range(_SALES_A_DAY):
            ago = hours - number / 4
            customer = self._customers[0] if number == 0 else self._random.choice(self._customers[5:])
            if number % 6 == 5:
                draft, _ = self._sale(customer=customer, ago=ago, remarks="to be collected")
                self._queue(
                    "PUT",
                    f"/api/resource/Sales Invoice/{draft}",
                    {"docstatus": 1},
                    ago=ago,
                    overwrite=True,
                )
            else:
                self._sale(customer=customer, ago=ago, docstatus=1)
        [self._first_of_a_day, self._mistakes, self._last_changes][day](hours)

    def _first_of_a_day(self, hours: float) -> None:
        """Changes of documents that the central has, each on the version that the shop saw on Monday."""
        for customer, values in (
            (self._customers[0], {"territory": "Harbour"}),
            (self._customers[1], {"phone": "555-0199"}),
            (self._customers[2], {"credit_limit": 500}),
            (self._customers[3], {"phone": "555-0333"}),
        ):
            self._change("Customer", customer, values, ago=hours)
        self._change("Customer", self._customers[0], {"phone": "555-0188"}, ago=hours - 1)
        self._change("Item", "CHEESE", {"price": 8.2}, ago=hours)
        self._change("Address", self._central_names("Address")[0], {"city": "Ostia"}, ago=hours)

    def _mistakes(self, hours: float) -> None:
        """Typed and taken back; sold and cancelled; and three that the central will refuse."""
        typed, _ = self._sale(customer=self._customers[0], ago=hours)
        self._queue("DELETE", f"/api/resource/Sales Invoice/{typed}", ago=hours)
        sold = self._central_names("Sales Invoice")[0]
        self._change("Sales Invoice", sold, {"docstatus": 2}, ago=hours)
        self._queue("DELETE", f"/api/resource/Address/{self._central_names('Address')[1]}", ago=hours)
        self._sale(customer=None, ago=hours, remarks="the customer was forgotten")
        self._sale(
            customer=self._customers[1],
            ago=hours,
            remarks="a voucher that nobody sells",
            items=[{"item_code": "VOUCHER", "qty": 1, "rate": 10}],
        )
        self._sale(
            customer=self._customers[1],
            ago=hours,
            remarks="a return, typed as a sale",
            items=[{"item_code": "TEA", "qty": -1, "rate": 4.5}],
        )

    def _last_changes(self, hours: float) -> None:
        """A customer gets another name, and a sale under it right away."""
        old, new = f"till-1/{_NEWCOMERS[0]}", "CAFE-LINDE"
        self._queue(
            "POST",
            "/api/method/frappe.client.rename_doc",
            {"doctype": "Customer", "old_name": old, "new_name": new},
            ago=hours,
        )
        self._customers[self._customers.index(old)] = new
        self._sale(customer=new, ago=hours, docstatus=1)

    def _change(self, doctype: str, name: str, values: Json, *, ago: float) -> None:
        """A PUT with the version that was seen before the line went down."""
        version = (self._central.document(doctype, name) or {})["modified"]
        self._queue("PUT", f"/api/resource/{doctype}/{name}", {**values, "modified": version}, ago=ago)

    def _central_names(self, doctype: str) -> list[str]:
        return [str(document["name"]) for document in self._central.documents(doctype)]

    def _head_office(self) -> None:
        """Meanwhile people at the central work on the same documents."""
        edit, customers = self._central.edit, self._customers
        self._shift = timedelta(days=-_DAYS_AWAY, hours=-2)
        edit("Customer", customers[0], {"phone": "555-0777"}, user="boss@central.example")
        self._shift = timedelta(hours=-1)
        edit("Customer", customers[1], {"phone": "555-0888"}, user="boss@central.example")
        edit("Customer", customers[2], {"credit_limit": 100}, user="boss@central.example")
        edit("Item", "CHEESE", {"price": 8.9}, user="boss@central.example")
        edit("Address", self._central_names("Address")[0], {"city": "Roma"}, user="boss@central.example")
        self._central.remove("Customer", customers[3])
        self._shift = timedelta(0)
        self._tell.line("Head office has changed five of the same documents, and deleted a customer.")

    def _line_up(self) -> None:
        self._tell.heading("Friday: the line is back")
        self._central.up()
        self._central.swallow(matches=_posts("Sales%20Invoice"))
        self._central.fail(
            417, "ValidationError", message="The customers are being counted", matches=_posts("Customer")
        )
        self._central.fail(500, "QueryDeadlockError", matches=_posts("Sales%20Invoice"))
        self._total = self._waiting()
        self._tell.line(
            f"{self._total} requests leave, in order. On the way one answer gets lost, one request is refused once, "
            "and one meets a deadlock."
        )
        self._run(force=True, budget=60, linger=2)
        self._total = 0
        self._tell.progress_done()
        retried = [request for request in self._requests(Status.SYNCED) if request.retry_count]
        found = [
            request
            for request in self._requests(Status.SYNCED)
            if any(attempt.event == "arrived before" for attempt in request.history)
        ]
        self._tell.line(
            f"{len(retried)} was retried and went through; {len(found)} had arrived although its answer was lost, "
            "and was not sent twice."
        )

    def _people(self) -> None:
        self._tell.heading("Where both sides changed the same document")
        for conflict in self._conflicts(pending=True):
            self._tell.line(
                f"{conflict.resource_type} {_named(conflict)}: waits for a person.", conflict.reason or ""
            )
            self._office.engine.resolutions.apply(
                conflict.id, Resolution.SKIP, by="ann", reason="head office knows the city"
            )
        for conflict in self._conflicts(pending=False):
            how = conflict.resolution.value if conflict.resolution else "open"
            self._tell.line(
                f"{conflict.resource_type} {_named(conflict)} ({conflict.conflict_type.value}): {how}",
                f"{conflict.resolved_by}: {conflict.reason}",
            )
        self._tell.heading("What the central refused")
        for request in self._requests(Status.NEEDS_ATTENTION):
            remarks = str(request.body.get("remarks"))
            self._tell.line(f"{request.body['receipt_no']}, {remarks}.", self._why(request))
            if "forgotten" in remarks:
                mended = {"customer": self._customers[0]}
                self._queue(
                    "PUT",
                    f"/api/resource/Sales Invoice/{request.id}",
                    mended,
                    overwrite=True,
                    links={"customer": "Customer"},
                )
                self._tell.line("  mended: its change goes into the sale, which is sent again.")
            elif "voucher" in remarks:
                actions.discard(self._office.ports, request.id, reason="typed twice at the till", by="ann")
                self._tell.line("  discarded by ann: typed twice at the till.")
            else:
                self._tell.line("  left as it is: it is held until somebody decides, however long.")
        self._run(force=True, linger=2)

    def _why(self, request: Request) -> str:
        store = self._office.ports.store
        with store.transaction():
            return actions.explain(store, request, store.now())

    # the ledger

    def _count(self) -> dict[str, int]:
        store = self._office.ports.store
        with store.transaction():
            kept = ledger(store.counters())
        columns = ("captured", "applied", "merged", "decided", "discarded", "held", "waiting")
        counted = {column: int(getattr(kept, column)) for column in columns}
        counted["conflicts"] = len(self._conflicts(pending=False))
        counted["duplicates_at_central"] = self._duplicates()
        counted["attempts_while_offline"] = self._attempts_while_offline
        return counted

    def _duplicates(self) -> int:
        """Documents at the central beyond the first under one receipt number, or one customer's name."""
        found = 0
        for doctype, field in (("Sales Invoice", "receipt_no"), ("Customer", "customer_name")):
            counts = Counter(document[field] for document in self._central.documents(doctype))
            found += sum(count - 1 for count in counts.values())
        return found

    def _tell_ledger(self, counted: Mapping[str, int]) -> None:
        self._tell.heading("The ledger")
        self._tell.table(
            "captured = applied + merged + decided + discarded + held + waiting",
            [(name.replace("_", " "), counted[name]) for name in LEDGER],
        )


def _posts(ending: str) -> Any:
    return lambda method, path: method == "POST" and path.endswith(f"/{ending}")


def _named(conflict: Conflict) -> str:
    """What people call it: the shop's own ids say nothing to a reader."""
    data = conflict.server_data or conflict.base_data or {}
    return str(data.get("customer_name") or data.get("name") or conflict.resource_id)

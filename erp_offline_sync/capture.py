"""Document events → rows of the outbox, inside the transaction that makes the change.

One row a save. A row only comes into being here: nothing is committed and no row that another save could touch
is changed. Doctypes without a policy cost one look at their Meta.

Order (semantics, "Order, identity, links"): a save inside the save of the same document is captured first, so
each row says what changed since the last one, whatever the order in which Frappe tells it. A document that
code makes, changes or deletes inside the save of another synced document is derived: the central's own code
does the same there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import frappe
from frappe import _
from frappe.model.workflow import get_workflow_name

from erp_offline_sync import wakeup
from erp_offline_sync.adapters.frappe_meta import (
    convert_values,
    is_applied,
    links_of,
    read,
    schema_of,
    unique_values,
)
from erp_offline_sync.adapters.frappe_store import (
    derived_among,
    forget_derived,
    insert_request,
    is_in_outbox,
    next_place,
    note_derived,
)
from erp_offline_sync.adapters.system_clock import SystemIds
from erp_offline_sync.engine.config import SETTINGS
from erp_offline_sync.engine.errors import InvalidRequest
from erp_offline_sync.engine.identity import canonical_json
from erp_offline_sync.engine.model import Link, Operation, Request
from erp_offline_sync.engine.paths import document_path
from erp_offline_sync.engine.sending.outgoing import document_body
from erp_offline_sync.engine.values import moved_fields
from erp_offline_sync.policies import policy_of
from erp_offline_sync.saves import Step, running
from erp_offline_sync.settings import MEGABYTE, effective, largest_body

RENAME_PATH = "/api/method/frappe.client.rename_doc"

_QUIET = ("in_install", "in_uninstall", "in_migrate", "in_patch", "in_fixtures", "in_offline_push")
_BEFORE = "offline_sync_before"
_SEEN = "offline_sync_seen"
_DB_BEFORE = "offline_sync_db_before"

_ids = SystemIds()


@dataclass(frozen=True, slots=True)
class _State:
    """A document as it was at a moment: its synced values and docstatus; `request` is the row that says so."""

    values: dict[str, Any]
    docstatus: int
    links: Callable[[], tuple[Link, ...]]
    request: str | None = None


# what Frappe calls


def before_save(doc, method=None):
    """Also before_submit, before_update_after_submit, before_cancel: keep what the document was."""
    if policy_of(doc.meta) is None:
        return
    own = [step for step in running() if step.is_about(doc.doctype, str(doc.name)) and step.kind != "db_set"]
    if len(own) == 1:
        # A save of the same object inside this one would load another "before save".
        doc.flags[_BEFORE] = doc.get_doc_before_save()
        doc.flags.pop(_SEEN, None)


def on_update(doc, method=None):
    # A submit comes here too, before on_submit.
    if doc.get("_action") == "save":
        _saved(doc)


def on_submit(doc, method=None):
    _saved(doc)


def on_update_after_submit(doc, method=None):
    _saved(doc)


def on_cancel(doc, method=None):
    _saved(doc)


def after_delete(doc, method=None):
    policy = policy_of(doc.meta)
    if policy is None or _is_quiet(doc.doctype, doc.name):
        return
    steps = running()
    mine = [step for step in steps if step.is_about(doc.doctype, str(doc.name))]
    if any(step.merge or step.reload for step in mine) or _is_import(steps):
        return
    if _is_derived(doc, steps, policy):
        forget_derived(doc.doctype, doc.name)
        return
    forget_derived(doc.doctype, doc.name)
    if "delete" not in policy.operations:
        return
    base = {**read(doc), "creation": str(doc.creation), "docstatus": int(doc.docstatus)}
    _write(doc, policy, Operation.DELETE, doc.name, {}, base=base, links=links_of(doc))


def after_rename(doc, method=None, old=None, new=None, merge=False):
    policy = policy_of(doc.meta)
    if policy is None or _is_quiet(doc.doctype, old) or _is_quiet(doc.doctype, new):
        return
    was_derived = forget_derived(doc.doctype, old)
    if was_derived and not merge:
        note_derived(doc.doctype, new)
    steps = running()
    if "rename" not in policy.operations or _is_import(steps) or _is_derived(doc, steps, policy, old):
        return
    links = links_of(doc)
    if merge:
        # It cannot be merged into what is not there yet.
        links = (Link(path="new_name", doctype=doc.doctype, name=new), *links)
    _write(doc, policy, Operation.RENAME, old, {"new_name": new, "merge": bool(merge)}, links=links)


def before_change(doc, method=None):
    """Before a db_set writes: remember what it will write over, where the policy names such fields."""
    policy = policy_of(doc.meta)
    if policy is None or not policy.captured_db_set_fields or _is_quiet(doc.doctype, doc.name):
        return
    doc.flags[_DB_BEFORE] = _in_database(doc, policy.captured_db_set_fields)


def on_change(doc, method=None):
    if doc.flags.get(_SEEN) is None and doc.flags.get(_DB_BEFORE) is None:
        return
    steps = running()
    within = [step for step in steps if step.is_about(doc.doctype, str(doc.name))]
    if within and within[0].kind in ("insert", "save"):
        if len(within) == 1:
            doc.flags.pop(_SEEN, None)
        return
    before = doc.flags.pop(_DB_BEFORE, None)
    if before is None or any(step.kind != "db_set" for step in within):
        # Inside its own save it is part of that save.
        return
    policy = policy_of(doc.meta)
    operation = "update_after_submit" if doc.docstatus == 1 else "update"
    if policy is None or operation not in policy.operations or _is_derived(doc, steps, policy):
        return
    after = _in_database(doc, policy.captured_db_set_fields)
    changed = moved_fields(before, after, None)
    if changed:
        body, base = ({field: values[field] for field in changed} for values in (after, before))
        _write(doc, policy, Operation.UPDATE, doc.name, body, base=base, links=links_of(doc))


# one save


def _saved(doc):
    policy = policy_of(doc.meta)
    if policy is None or _is_quiet(doc.doctype, doc.name):
        return
    steps = running()
    own = [
        step
        for step in steps
        if step.kind in ("insert", "save") and step.is_about(doc.doctype, str(doc.name))
    ]
    if not own or _is_import(steps):
        return
    if _is_derived(doc, steps, policy):
        if own[-1].kind == "insert":
            note_derived(doc.doctype, doc.name)
        return
    outer = own[-1]
    seen = _still_there(outer.doc.flags.get(_SEEN))
    if len(own) == 1 and seen is None:
        now, before = _state(doc), _former_state(doc.get_doc_before_save())
    else:
        # Saves of one document inside each other: what counts is what stands in the database.
        now = _state(frappe.get_doc(doc.doctype, doc.name))
        before = seen or _former_state(outer.doc.flags.get(_BEFORE) or outer.doc.get_doc_before_save())
    if before is None or (outer.kind == "insert" and seen is None):
        if outer.may_be_there and not _is_its_row(outer.doc):
            return
        request = _created(doc, policy, now)
    else:
        request = _changed(doc, policy, before, now)
    outer.doc.flags[_SEEN] = replace(now, request=request or (seen and seen.request))


def _created(doc, policy, now):
    if "insert" not in policy.operations:
        return None
    whole = {**now.values, "name": doc.name, "docstatus": now.docstatus}
    body, links = document_body(whole, schema_of(doc.doctype)), now.links()
    field, first = _workflow(doc.doctype)
    state = body.get(field)
    moved = not now.docstatus and state not in (None, "", first)
    if moved:
        # A workflow takes a new document in its first state alone; where this one stands now is a step of its own.
        body[field] = first
        links = tuple(replace(link, name=first) if link.path == field else link for link in links)
    request = _write(doc, policy, Operation.CREATE, doc.name, body, links=links, unique=unique_values(doc))
    if moved and "update" in policy.operations:
        step, base = {field: state}, {field: first}
        links = tuple(link for link in now.links() if link.path == field)
        request = _write(doc, policy, Operation.UPDATE, doc.name, step, base=base, links=links, apart=True)
    return request


_MOVES = {
    (0, 0): ("update", Operation.UPDATE),
    (0, 1): ("submit", Operation.SUBMIT),
    (1, 1): ("update_after_submit", Operation.UPDATE),
    (1, 2): ("cancel", Operation.CANCEL),
}


def _changed(doc, policy, before, now):
    named, operation = _MOVES.get((before.docstatus, now.docstatus), ("update", Operation.UPDATE))
    if named not in policy.operations:
        return None
    schema = schema_of(doc.doctype)
    fields = moved_fields(before.values, now.values, schema)
    fields += [
        table
        for table in schema.tables
        if table not in fields and _row_names(before, table) != _row_names(now, table)
    ]
    if not fields and operation is Operation.UPDATE:
        return None
    body, base = ({field: state.values[field] for field in fields} for state in (now, before))
    links = (*now.links(), *_former(before, now, schema, fields))
    # A workflow lets a document pass one transition at a time, and none while it is created.
    apart = operation is Operation.UPDATE and _workflow(doc.doctype)[0] in fields
    return _write(doc, policy, operation, doc.name, body, base=base, links=links, apart=apart)


def _workflow(doctype):
    """The field that holds a document's state and the first state of the active workflow; None and None where the
    doctype has none. Frappe keeps what it looks up here, and every save has asked for it already."""
    name = get_workflow_name(doctype)
    workflow = frappe.get_cached_doc("Workflow", name) if name else None
    return (workflow.workflow_state_field, workflow.states[0].state) if workflow else (None, None)


def _row_names(state, table):
    return [row["name"] for row in state.values[table]]


def _former(before, now, schema, fields):
    """What the changed fields linked to before. Their path is no field of a body: nothing is rewritten by them,
    but what deletes or renames such a document waits for this change."""
    if not any(field in kind for field in fields for kind in (schema.links, schema.dynamic, schema.tables)):
        return ()
    still = {(link.doctype, link.name) for link in now.links()}
    return tuple(
        Link(path=f"was:{link.path}", doctype=link.doctype, name=link.name)
        for link in before.links()
        if link.path.partition(".")[0] in fields and (link.doctype, link.name) not in still
    )


def _state(doc):
    """As it is now; it goes on changing."""
    links = links_of(doc)
    return _State(read(doc), int(doc.docstatus or 0), lambda: links)


def _former_state(doc):
    """Of a copy that Frappe keeps of what was. What it linked to is seldom wanted."""
    return doc and _State(read(doc), int(doc.docstatus or 0), partial(links_of, doc))


def _still_there(state):
    """None where the row that showed this state was rolled back to a save point."""
    if state is None or (state.request and not is_in_outbox(state.request)):
        return None
    return state


def _is_its_row(doc):
    """Whether this insert made the row, and did not pass over one that was there."""
    rows = frappe.db.sql(f"SELECT `creation` FROM `tab{doc.doctype}` WHERE `name` = %s", (doc.name,))  # noqa: S608
    return bool(rows) and str(rows[0][0]) == str(doc.creation)


# what is not captured


def _is_quiet(doctype, name):
    return any(frappe.flags.get(flag) for flag in _QUIET) or is_applied(doctype, name)


def _is_import(steps):
    """A document read from a file of an app or a fixture."""
    return any(step.kind == "import" for step in steps)


def _is_derived(doc, steps: list[Step], policy, name=None):
    """Whether it happens inside a save, delete or rename of another document that travels itself."""
    if policy.include_derived:
        return False
    name = str(name or doc.name)
    return any(
        step.kind not in ("db_set", "import")
        and not (step.doctype == doc.doctype and step.name in (name, str(doc.name)))
        and policy_of(frappe.get_meta(step.doctype)) is not None
        for step in steps
    )


def _in_database(doc, fields):
    """The named synced fields as the database holds them now."""
    columns = sorted(set(fields) & set(schema_of(doc.doctype).fields))
    if not columns:
        return {}
    quoted = ", ".join(f"`{column}`" for column in columns)
    rows = frappe.db.sql(
        f"SELECT {quoted} FROM `tab{doc.doctype}` WHERE `name` = %s",  # noqa: S608
        (doc.name,),
        as_dict=True,
    )
    return convert_values(doc.doctype, rows[0]) if rows else {}


# the row


def _write(doc, policy, operation, name, body, *, base=None, links=(), unique=None, apart=False):
    """Answers the row's id, or None where nothing is left to send. Refuses, before anything is stored, what can
    never travel."""
    place = next_place({(link.doctype, link.name) for link in links})
    if place.derived:
        body, links = _without_derived(body, links)
        if not body and operation is Operation.UPDATE:
            return None
    key = _ids.new_key()
    _refuse_large(doc, body)
    method, path = _call(operation, doc.doctype, str(name))
    insert_request(
        Request(
            id=key,
            key=key,
            seq=place.seq,
            operation=operation,
            resource_type=doc.doctype,
            resource_id=str(name),
            method=method,
            path=path,
            body=body,
            base=base,
            links=tuple(links),
            unique=unique or {},
            created_at=place.now,
            changed_at=place.now,
            priority=policy.priority,
            rank=policy.priority,
            order_group=policy.order_group,
            apart=apart,
        )
    )
    wakeup.after_commit()
    return key


def _without_derived(body, links):
    """Links to derived documents are left out: the central's code sets them to its own."""
    derived = derived_among({(link.doctype, link.name) for link in links})
    if not derived:
        return body, links
    body = dict(body)
    for link in links:
        table, _dot, rest = link.path.partition(".")
        if (link.doctype, link.name) not in derived or table not in body:
            continue
        if rest:
            position, _dot, field = rest.partition(".")
            rows = [dict(row) for row in body[table]]
            rows[int(position)].pop(field, None)
            body[table] = rows
        else:
            del body[table]
    return body, tuple(link for link in links if (link.doctype, link.name) not in derived)


def _refuse_large(doc, body):
    size = len(canonical_json(body).encode())
    if size <= SETTINGS["max_body_mb"].low * MEGABYTE:
        return
    allowed = largest_body(effective())
    if size > allowed:
        frappe.throw(
            _(
                "{0} {1} has {2} MB of content and cannot be sent to the central: {3} MB at most travel. "
                "Shorten it, or attach large texts as files."
            ).format(
                _(doc.doctype), doc.name, round(size / MEGABYTE, 1), f"{round(allowed / MEGABYTE, 1):g}"
            ),
            title=_("Too Large to Synchronise"),
        )


def _call(operation, doctype, name):
    """How the row is shown; what is sent is built when it is known under which name."""
    try:
        if operation is Operation.CREATE:
            return "POST", document_path(doctype)
        if operation is Operation.RENAME:
            return "POST", RENAME_PATH
        return "DELETE" if operation is Operation.DELETE else "PUT", document_path(doctype, name)
    except InvalidRequest as error:
        frappe.throw(_("{0} {1} cannot be sent to the central: {2}").format(_(doctype), name, error))

"""The companion: this app on the central, taking a branch's requests in batches, none of them twice.

The endpoints. Each checks the role on its first line and only shapes what comes in and goes out; what is agreed on
is engine.sending.push, what it promises stands in hooks-docs/companion.md.
"""

import time
from dataclasses import replace
from typing import Any

import frappe
from frappe import _
from frappe.utils import get_system_timezone, now

from erp_offline_sync import __version__
from erp_offline_sync.endpoints import needs_all_parameters
from erp_offline_sync.engine.errors import MessageTooLarge, UnreadableMessage
from erp_offline_sync.engine.errors import UnknownSchema as SchemaNotKnown
from erp_offline_sync.engine.sending.push import (
    LIMITS,
    RECEIPTS_AT_ONCE,
    REHEARSED_AT_ONCE,
    SCHEMA,
    Capabilities,
    PushAnswer,
    answer_body,
    capabilities_body,
    is_token,
    parse_push,
)
from erp_offline_sync.receiver import claims, origins
from erp_offline_sync.receiver.branches import ROLE
from erp_offline_sync.receiver.deliveries import receive
from erp_offline_sync.receiver.errors import PushTooLarge, UnknownSchema, UnreadablePush
from erp_offline_sync.receiver.locale import speaking
from erp_offline_sync.receiver.rehearsals import rehearsed

CONTENT_TYPE = "application/gzip"


def _branches_only():
    if ROLE not in frappe.get_roles():
        raise frappe.PermissionError(_("This needs the role {0}.").format(ROLE))


@frappe.whitelist()
def capabilities() -> dict[str, Any]:
    """What this companion speaks and how much it takes; with its clock and the caller's user."""
    _branches_only()
    return capabilities_body(
        Capabilities(
            schemas=(SCHEMA,),
            version=__version__,
            limits=LIMITS,
            time=now(),
            time_zone=get_system_timezone(),
            user=frappe.session.user,
            rehearse=True,
        )
    )


@frappe.whitelist(methods=["POST"])
def push() -> dict[str, Any]:
    """Apply the requests of a push: a body of type application/gzip, see hooks-docs/companion.md."""
    began = time.monotonic()
    _branches_only()
    read = _read()
    with speaking(read.language):
        low_water = origins.admit(read)
        outcomes = receive(read, low_water)
    return _answered(outcomes, took=time.monotonic() - began)


@frappe.whitelist(methods=["POST"])
def rehearse() -> dict[str, Any]:
    """What would be answered to a push, at most 5 requests, each by itself. Nothing of it stays."""
    _branches_only()
    read = _read(max_requests=REHEARSED_AT_ONCE)
    with speaking(read.language):
        origins.let_in(read)
        outcomes = rehearsed(read)
    return _answered(outcomes)


def _read(**less):
    """The push in the body. `less`: where fewer is allowed than LIMITS."""
    if (frappe.request.mimetype or "") != CONTENT_TYPE:
        frappe.throw(_("A push is sent as {0}.").format(CONTENT_TYPE), UnreadablePush)
    try:
        return parse_push(frappe.request.get_data(), replace(LIMITS, **less))
    except MessageTooLarge as error:
        frappe.throw(str(error), PushTooLarge)
    except SchemaNotKnown as error:
        frappe.throw(str(error), UnknownSchema)
    except UnreadableMessage as error:
        frappe.throw(str(error), UnreadablePush)


def _answered(outcomes, *, took=None):
    return answer_body(
        PushAnswer(time=now(), time_zone=get_system_timezone(), outcomes=tuple(outcomes), took=took)
    )


@frappe.whitelist(methods=["POST"])
@needs_all_parameters
def receipts(origin: str, ids: str | list) -> dict[str, Any]:
    """What became of these requests of the caller's own origin: applied, running, in_doubt or none."""
    _branches_only()
    ids = frappe.parse_json(ids) if isinstance(ids, str) else ids
    if not isinstance(ids, list) or not all(is_token(each) for each in (origin, *ids)):
        # Asked under no identity the answer would be "none", and the branch would send again.
        frappe.throw(_("The origin is a text, and the ids are a list of texts."), UnreadablePush)
    if len(ids) > RECEIPTS_AT_ONCE:
        frappe.throw(_("At most {0} ids at once.").format(RECEIPTS_AT_ONCE), PushTooLarge)
    origins.own(origin)
    return {"receipts": {each: claims.receipt(origin, each) for each in ids}}

"""Why a push is refused as a whole. The class is the answer's `exc_type`, by which a branch tells them apart.

PushRefused                400
├── UnreadablePush         400  not gzip, not JSON, or not as agreed on
├── UnknownSchema          400  the other side speaks another version
├── PushTooLarge           413  more bytes or requests than `capabilities` says
├── OriginOfAnother        403  the origin belongs to another user
├── LatePush               409  of a run that is over; nothing was looked at
└── OriginStopped          409  stopped by a manager, until one lets it go on
    ├── OriginCloned       409  two sites push under this identity
    └── OriginRestored     409  the branch was set back to an earlier state
"""

import frappe


class PushRefused(frappe.ValidationError):
    http_status_code = 400


class UnreadablePush(PushRefused):
    pass


class UnknownSchema(PushRefused):
    pass


class PushTooLarge(PushRefused):
    http_status_code = 413


class OriginOfAnother(PushRefused):
    http_status_code = 403


class LatePush(PushRefused):
    http_status_code = 409


class OriginStopped(PushRefused):
    http_status_code = 409


class OriginCloned(OriginStopped):
    pass


class OriginRestored(OriginStopped):
    pass

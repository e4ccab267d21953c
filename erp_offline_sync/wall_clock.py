"""Times for people: by the clock of the site, as its forms show them, with the zone beside them.

Programs get them as they are kept, ISO 8601 in UTC.
"""

import re
from datetime import datetime
from zoneinfo import ZoneInfo

from frappe.utils import get_system_timezone

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")


def by_the_sites_clock(sentence):
    """The sentence with each instant in it (ISO 8601 with an offset) as "2026-01-05 17:30:00 IST"."""
    zone = ZoneInfo(get_system_timezone())
    return _INSTANT.sub(
        lambda found: (
            datetime.fromisoformat(found[0].replace("Z", "+00:00"))
            .astimezone(zone)
            .strftime("%Y-%m-%d %H:%M:%S %Z")
        ),
        sentence,
    )

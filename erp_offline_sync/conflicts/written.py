"""What a person wrote into a result: whether it can be a value of the field that it is for.

What can be none is refused before anything is done, in words. What the document's own rules say of it (mandatory,
options, lengths, links) the preview tells, and the save decides. Tables come as lists of rows, cell by cell.
"""

import math
from datetime import date, datetime, time

from frappe import _


def nonsense(view, values):
    """Why these values cannot stand, in one sentence each."""
    found = []
    for key, value in cells_of(values):
        fieldtype = view.fieldtype_of_key(key)
        if fieldtype and not _fits(fieldtype, value):
            found.append(_("{0} cannot have this value.").format(view.label_of_key(key)))
    return found


def cells_of(values):
    """(key, value) of each single value; of a table under `table[].column`, where it has rows at all."""
    for key, value in values.items():
        if isinstance(value, list) and all(isinstance(row, dict) for row in value):
            for row in value:
                yield from ((f"{key}[].{column}", cell) for column, cell in row.items() if column != "name")
        else:
            yield key, value


def _fits(fieldtype, value):
    if value is None or value == "" or value == []:
        return True
    return _FITS.get(fieldtype, _is_text)(value)


def _is_text(value):
    return isinstance(value, (str, int, float))


def _is_check(value):
    return value in (0, 1, "0", "1")


def _is_number(value):
    try:
        return not isinstance(value, bool) and math.isfinite(float(value))
    except (TypeError, ValueError, OverflowError):
        return False


def _is_whole(value):
    return _is_number(value) and float(value).is_integer()


def _read_by(read):
    def reads(value):
        try:
            read(value)
        except (TypeError, ValueError):
            return False
        return True

    return reads


def _time(value):
    """Frappe spells the hour, and seconds with a fraction, with one digit or with two; Python before 3.11 takes
    three or six digits of a fraction."""
    parts, _point, fraction = value.partition(".")
    spelled = ":".join(part.rjust(2, "0") for part in parts.split(":"))
    return time.fromisoformat(f"{spelled}.{fraction[:6].ljust(6, '0')}" if fraction else spelled)


_FITS = {
    "Check": _is_check,
    "Currency": _is_number,
    "Date": _read_by(date.fromisoformat),
    "Datetime": _read_by(datetime.fromisoformat),
    "Duration": _is_number,
    "Float": _is_number,
    "Int": _is_whole,
    "JSON": lambda value: True,
    "Long Int": _is_whole,
    "Percent": _is_number,
    "Rating": _is_number,
    "Table": lambda value: isinstance(value, list),
    "Table MultiSelect": lambda value: isinstance(value, list),
    "Time": _read_by(_time),
}

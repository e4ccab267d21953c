"""The settings of the command without a bench: environment, then `.env`, then default.

The names are those of the environment; the engine's are the same in lower case. Nothing here shows a value: one
of them is the secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from erp_offline_sync.engine.config import SETTINGS
from erp_offline_sync.engine.errors import SettingsError

__all__ = ["DATABASE", "NAMES", "read_env_file", "read_settings"]

DATABASE = "OFFLINE_SYNC_DB"

NAMES: Mapping[str, str] = {
    "CENTRAL_URL": "central_url",
    "CENTRAL_API_KEY": "api_key",
    "CENTRAL_API_SECRET": "api_secret",
    "CENTRAL_CA_FILE": "ca_file",
    DATABASE: "database",
    **{name.upper(): name for name in (*SETTINGS, "default_strategy", "lww_uncertain", "merge_clashes")},
}
"""Environment name → name of the setting."""

_LONGEST = 100_000
_LINE = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?P<value>.*)")
_QUOTED = re.compile(
    r"""'(?P<plain>[^']*)'\s*(?:\#.*)?|"(?P<escaped>(?:[^"\\]|\\.)*)"\s*(?:\#.*)?""", re.VERBOSE
)
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\", "$": "$"}


def read_env_file(path: Path) -> dict[str, str]:
    """`NAME=value` lines; empty where there is no such file. Raises SettingsError with the number of a wrong line.

    `#` begins a comment at the start of a line or after a space; `'…'` is taken as it stands, in `"…"` backslashes
    escape; `export` before a name is passed over. Nothing is expanded.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"{path} cannot be read: {type(error).__name__}.") from None
    if len(text) > _LONGEST:
        raise SettingsError(f"{path} is too long to be a file of settings.")
    values: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(stripped)
        value = _value(match["value"]) if match else None
        if match is None or value is None:
            raise SettingsError(f"{path}, line {number}: write NAME=value (quotes must be closed).")
        values[match["name"]] = value
    return values


def _value(text: str) -> str | None:
    if text[:1] in ("'", '"'):
        match = _QUOTED.fullmatch(text)
        if match is None:
            return None
        if match["plain"] is not None:
            return match["plain"]
        return re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[0]), match["escaped"])
    return re.split(r"(?:^|\s)#", text, maxsplit=1)[0].strip()


def read_settings(environment: Mapping[str, str], directory: Path) -> dict[str, str]:
    """The settings that are given, by the engine's names. An empty value in the environment counts as not given."""
    from_file = read_env_file(directory / ".env")
    settings: dict[str, str] = {}
    for name, setting in NAMES.items():
        value = environment.get(name) or from_file.get(name)
        if value:
            settings[setting] = value
    return settings

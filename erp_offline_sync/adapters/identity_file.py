"""The note of a branch's identity: a small file in the site's folder, for the bench's user only."""

from __future__ import annotations

import os
from pathlib import Path

from erp_offline_sync.engine.errors import SettingsError

__all__ = ["IdentityFile"]

NAME = "offline_sync_identity.json"
_LONGEST = 10_000


class IdentityFile:
    """The OriginNote port. `folder` is the site's; the file stands in its part that is never served nor backed up
    with the database."""

    def __init__(self, site: str, folder: str | Path) -> None:
        self._site = site
        self._folder = Path(os.path.realpath(folder))
        self.file = self._folder / "private" / NAME

    @property
    def site(self) -> str:
        return self._site

    @property
    def path(self) -> str:
        return str(self._folder)

    def read(self) -> str | None:
        try:
            with self.file.open(encoding="utf-8") as file:
                return file.read(_LONGEST)
        except (OSError, ValueError):
            return None

    def write(self, text: str) -> None:
        beside = self.file.with_suffix(".new")
        try:
            self.file.parent.mkdir(exist_ok=True)
            opened = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(opened, "w", encoding="utf-8") as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, self.file)
            folder = os.open(self.file.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise SettingsError(
                f"The note of this branch's identity, {self.file}, cannot be written ({error.strerror}): nothing is "
                "sent without it."
            ) from error

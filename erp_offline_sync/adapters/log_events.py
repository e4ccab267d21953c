"""Events for the log: one line an outcome, with ids and classes only, never a document's values (G6)."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence

from erp_offline_sync.engine.events import OUTCOME
from erp_offline_sync.engine.model import Json
from erp_offline_sync.engine.ports import Events

__all__ = ["AllEvents", "CallEvents", "LogEvents"]


class LogEvents:
    """Writes outcomes as `key=value` pairs to a logger; everything else is left to others."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def publish(self, event: str, payload: Json) -> None:
        if event == OUTCOME and self._logger.isEnabledFor(logging.INFO):
            pairs = (f"{key}={_word(value)}" for key, value in payload.items() if value is not None)
            self._logger.info("%s", " ".join(pairs))


def _word(value: object) -> str:
    """As it is where it is one word; else in quotes, as JSON, so that the line falls apart into its pairs again."""
    text = str(value)
    is_word = text.isprintable() and not any(mark in text for mark in ' "=') and text != ""
    return text if is_word else json.dumps(text)


class CallEvents:
    """Hands every event to a function, such as a progress bar."""

    def __init__(self, call: Callable[[str, Json], None]) -> None:
        self._call = call

    def publish(self, event: str, payload: Json) -> None:
        self._call(event, payload)


class AllEvents:
    """Several receivers; one that raises does not keep the others, or the run, from going on."""

    def __init__(self, receivers: Sequence[Events], logger: logging.Logger) -> None:
        self._receivers = receivers
        self._logger = logger

    def publish(self, event: str, payload: Json) -> None:
        for receiver in self._receivers:
            try:
                receiver.publish(event, payload)
            except Exception as error:
                self._logger.warning(
                    "event=%s receiver=%s error=%s", event, type(receiver).__name__, type(error).__name__
                )

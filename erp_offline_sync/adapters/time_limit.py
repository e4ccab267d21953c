"""Calls a function that is not ours, and gives up on it after a time.

A worker of RQ has SIGALRM for itself, and what a hook asks Frappe for lies in its thread, so that it can neither be
interrupted by a signal nor be called in another thread. A second thread raises an exception inside it instead. That
one is delivered between two steps of Python: a call that blocks in C is waited for, and who dies in it is found by
the mark that was written before (`hook_resolvers`).
"""

from __future__ import annotations

import asyncio
import ctypes
import inspect
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

__all__ = ["TookTooLong", "within"]


_EARLIER = 0.9
"""A coroutine is cancelled in order before its thread would be interrupted."""
_MOMENT, _STEPS = 0.0002, 100


class TookTooLong(BaseException):
    """Not an Exception: what runs too long is not to catch it with everything else."""


def within(seconds: float, function: Callable[..., Any], *arguments: Any) -> Any:
    """What the function answers, awaited where it is a coroutine. Raises TookTooLong, or what the function raises."""
    with _Limit(seconds):
        answer = function(*arguments)
        if inspect.isawaitable(answer):
            answer = _wait_for(answer, _EARLIER * seconds)
    return answer


class _Limit:
    """Raises TookTooLong in the thread that entered it, once at most, and never after it was left.

    The interruption may come between any two steps, of leaving too: these are repeated then, and none of them holds
    a lock that would stay held.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._thread = threading.get_ident()
        self._sleeping = threading.Lock()
        self._sleeping.acquire()
        self._over = self._done = False

    def __enter__(self) -> None:
        threading.Thread(target=self._watch, daemon=True).start()

    def __exit__(self, *_raised: object) -> None:
        late: TookTooLong | None = None
        while True:
            try:
                self._over = True
                if self._sleeping.locked() and not self._done:
                    self._sleeping.release()
                while not self._done:
                    time.sleep(_MOMENT)
                # What was raised and not delivered yet arrives here, and not in what comes after. (Taking it back
                # is no way out: CPython 3.11 then looks for it for ever.)
                for _ in range(_STEPS):
                    pass
                break
            except TookTooLong as interruption:
                late = interruption
        if late is not None:
            raise late

    def _watch(self) -> None:
        woken = self._sleeping.acquire(timeout=self._seconds)
        if not woken and not self._over:
            thread = ctypes.c_ulong(self._thread)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(TookTooLong))
        self._done = True


def _wait_for(answer: Awaitable[Any], seconds: float) -> Any:
    async def awaited() -> Any:
        try:
            return await asyncio.wait_for(answer, seconds)
        except asyncio.TimeoutError:
            raise TookTooLong from None

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(awaited())
    # A loop runs in this thread already, as in a notebook, and cannot be entered twice.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(awaited())).result()

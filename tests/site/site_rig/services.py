"""The processes that a rig starts: each in a session of its own, ended by its own process ids, its output in a log.

Only the driver starts and ends them, so that none outlives it; tests ask for it over a socket (`serve_control`).
What a killed driver left behind is found by process id *and* start time at the next start, never by name.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


class ServiceFailed(Exception):
    """A service did not come up, or ended by itself; the message ends with the tail of its log."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def redis_command(port: int, *words: str) -> Any:
    """One command on a connection of its own; bulk and array replies as str and list. Raises OSError."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as line, line.makefile("rb") as reply:
        parts = [word.encode() for word in words]
        line.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))

        def read() -> Any:
            head = reply.readline().rstrip(b"\r\n")
            kind, rest = head[:1], head[1:]
            if kind == b"$":
                return None if rest == b"-1" else reply.read(int(rest) + 2)[:-2].decode()
            if kind == b"*":
                return [read() for _ in range(int(rest))]
            if kind == b"-":
                raise OSError(rest.decode())
            return int(rest) if kind == b":" else rest.decode()

        return read()


def answers_redis(port: int) -> bool:
    with contextlib.suppress(OSError):
        return bool(redis_command(port, "PING") == "PONG")
    return False


def answers_http(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def answers_tcp(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2):
        return True
    return False


def start_time(pid: int) -> str | None:
    """When the process began, in the kernel's ticks; None where it is gone, or on a system without /proc."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def descendants(pid: int) -> list[int]:
    """The process and everything below it, deepest last; just the process on a system without /proc."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(stat.parent.name))
    family = [pid]
    for member in family:
        family.extend(parents.get(member, []))
    return family


def pid_file(pids: Path, name: str) -> Path:
    return pids / f"{name}.pid.json"


def note_pid(file: Path, pid: int) -> None:
    """For `end_leftovers`: process ids are used again, a process id with its start time is not."""
    file.write_text(json.dumps({"pid": pid, "began": start_time(pid)}))


class Service:
    def __init__(
        self,
        name: str,
        argv: list[str],
        *,
        env: dict[str, str],
        cwd: Path,
        pids: Path,
        logs: Path,
        ready: Callable[[int], bool],
        patience: float = 60.0,
    ) -> None:
        self.name = name
        self._argv = argv
        self._env = env
        self._cwd = cwd
        self._log = logs / f"{name}.log"
        self._pid_file = pid_file(pids, name)
        self._ready = ready
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None
        self._paused: list[int] = []

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.poll() is None else None

    def launch(self) -> None:
        """Start it without waiting until it answers."""
        if self.pid:
            return
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv,
                env=self._env,
                cwd=self._cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        note_pid(self._pid_file, self._process.pid)

    def wait_until_ready(self) -> None:
        assert self._process
        deadline = time.monotonic() + self._patience
        while not self._ready(self._process.pid):
            if self._process.poll() is not None:
                raise ServiceFailed(f"{self.name} ended with {self._process.returncode}: {self.log_tail()}")
            if time.monotonic() > deadline:
                raise ServiceFailed(f"{self.name} did not answer in {self._patience} s: {self.log_tail()}")
            time.sleep(0.05)

    def start(self) -> None:
        self.launch()
        self.wait_until_ready()

    def stop(self, number: int = signal.SIGTERM, *, patience: float = 15.0) -> None:
        """Signal it, wait, and end what is left of it and its children by force. SIGKILL takes all at once."""
        if self._process is None:
            return
        self.resume()
        family = descendants(self._process.pid) if self.pid else []
        for pid in family if number == signal.SIGKILL else family[:1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            family = descendants(self._process.pid)
        for pid in family:
            if pid == self._process.pid and self._process.returncode is not None:
                continue
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(patience)
        self._process = None
        self._pid_file.unlink(missing_ok=True)

    def pause(self) -> None:
        """Stop it as a hung machine would: connections are accepted by the kernel and never answered."""
        if self.pid and not self._paused:
            self._paused = descendants(self.pid)
            for pid in self._paused:
                os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        for pid in self._paused:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self._paused = []

    def log_tail(self, lines: int = 15) -> str:
        try:
            return "\n" + "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""


def end_leftovers(pids: Path) -> list[str]:
    """End what an earlier, killed driver left running; answers the names."""
    ended = []
    for file in pids.glob("*.pid.json"):
        with contextlib.suppress(ValueError, KeyError, ProcessLookupError):
            left = json.loads(file.read_text())
            if left["began"] is not None and start_time(left["pid"]) == left["began"]:
                for pid in descendants(left["pid"]):
                    os.kill(pid, signal.SIGTERM)
                ended.append(file.name.partition(".")[0])
                deadline = time.monotonic() + 15
                while start_time(left["pid"]) == left["began"] and time.monotonic() < deadline:
                    time.sleep(0.1)
        file.unlink(missing_ok=True)
    return ended


class Services:
    """All of one rig, by name. Ends every one of them on leaving the context, last started first."""

    def __init__(self) -> None:
        self._by_name: dict[str, Service] = {}

    def __getitem__(self, name: str) -> Service:
        return self._by_name[name]

    def __enter__(self) -> Services:
        return self

    def __exit__(self, *_: object) -> None:
        for service in reversed(self._by_name.values()):
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                service.stop(patience=5.0)

    def add(self, service: Service) -> Service:
        self._by_name[service.name] = service
        return service

    def start(self, *names: str) -> None:
        """Together, then wait for each."""
        for name in names:
            self._by_name[name].launch()
        for name in names:
            self._by_name[name].wait_until_ready()

    def stop(self, *names: str) -> None:
        for name in names:
            self._by_name[name].stop()

    @contextlib.contextmanager
    def serve_control(self) -> Iterator[int]:
        """Answers `{"do": start|stop|pause|resume|pid, "service": name, "signal": number}` lines, one at a time, at
        the file descriptor that it yields (for `pass_fds`), until the other end is closed."""
        ours, theirs = socket.socketpair()

        def answer() -> None:
            with ours, ours.makefile("rw") as lines:
                for line in lines:
                    try:
                        reply = {"pid": self._obey(**json.loads(line))}
                    except Exception as error:
                        reply = {"error": f"{type(error).__name__}: {error}"}
                    lines.write(json.dumps(reply) + "\n")
                    lines.flush()

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        try:
            with theirs:
                yield theirs.fileno()
        finally:
            thread.join(5)

    def _obey(self, do: str, service: str, signal: int = signal.SIGTERM) -> int | None:
        target = self._by_name[service]
        if do == "stop":
            target.stop(signal)
        elif do in ("start", "pause", "resume"):
            getattr(target, do)()
        return target.pid

"""A till: an outbox file, its settings and the command, in front of a stand-in central."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from erp_offline_sync.cli import main
from erp_offline_sync.testing.fault_proxy import Hold
from erp_offline_sync.testing.stand_in import API_KEY, API_SECRET, StandInCentral

__all__ = ["ROOT", "KillingLab", "NthWrite", "Till", "runner"]

ROOT = Path(__file__).resolve().parents[2]


def runner() -> CliRunner:
    """Standard output and standard error apart, whatever the version of click."""
    try:
        return CliRunner(mix_stderr=False)
    except TypeError:
        return CliRunner()


class Till:
    """Each call of the command puts everything together anew, as another process would."""

    def __init__(self, folder: Path, central: StandInCentral) -> None:
        self.folder = folder
        self.central = central
        self.db = folder / "outbox.sqlite"
        self.env = {
            "CENTRAL_URL": central.url,
            "CENTRAL_API_KEY": API_KEY,
            "CENTRAL_API_SECRET": API_SECRET,
            "BASE_RETRY_DELAY": "100",
            "MAX_RETRY_DELAY": "1000",
            "PROCESSING_INTERVAL": "1000",
            "CENTRAL_REQUEST_TIMEOUT": "10",
        }

    def call(self, *args: str, input: str | bytes | None = None) -> Result:
        result = runner().invoke(main, ["--db", str(self.db), *args], env=self.env, input=input)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def __call__(self, *args: str, code: int = 0) -> str:
        """What the command prints; its exit code has to be this."""
        result = self.call(*args)
        assert result.exit_code == code, f"{args}: {result.exit_code}\n{result.stdout}\n{result.stderr}"
        return result.stdout

    def json(self, *args: str, code: int = 0) -> Any:
        return json.loads(self(*args, "--json", code=code))

    def enqueue(self, method: str, path: str, body: dict[str, Any] | None = None, *options: str) -> str:
        return self("enqueue", method, path, json.dumps(body or {}), *options).strip()

    def run(self, *options: str, code: int = 0) -> Any:
        return self.json("run", *options, code=code)

    def sale(self, number: int, *, customer: str = "Ada", **values: Any) -> str:
        """A sale whose remarks are its receipt number."""
        body = {
            "customer": customer,
            "remarks": f"R-{number}",
            "items": [{"item_code": "TEA", "qty": 1, "rate": 2.5}],
            **values,
        }
        options = ("--unique", "remarks", "--link", "customer=Customer", "--link", "items.0.item_code=Item")
        return self.enqueue("POST", "/api/resource/Sales Invoice", body, *options)

    def statuses(self) -> list[str]:
        return [row["status"] for row in self.json("list", "--all", "--limit", "100000")]

    def receipts(self) -> list[str]:
        """The receipts that the central holds, in the order of their making."""
        return [document["remarks"] for document in self.central.documents("Sales Invoice")]

    def process(self, *args: str) -> subprocess.Popen[str]:
        """The command in a process of its own."""
        command = [sys.executable, "-m", "erp_offline_sync", "--db", str(self.db), *args]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env={**os.environ, **self.env, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


class NthWrite:
    """Matches only the n-th request that is no look-up."""

    def __init__(self, nth: int) -> None:
        self._left = nth

    def __call__(self, method: str, path: str) -> bool:
        self._left -= method != "GET"
        return self._left == 0 and method != "GET"


class KillingLab:
    """Runs of the till's command in processes of their own that are killed (killing.py)."""

    def __init__(self, till: Till) -> None:
        self._args = ["--db", str(till.db), "run"]
        self._lab = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("killing.py"))],
            env={**os.environ, **till.env, "PYTHONPATH": str(ROOT)},
            cwd=till.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        for stream in (self._lab.stdin, self._lab.stdout):
            assert stream is not None
            stream.close()
        self._lab.wait(30)

    def run(self, point: str, nth: int, **env: str) -> bool:
        """Whether the run came to the point so often, and was killed there."""
        self._start(point, nth, env)
        return bool(self._told()["killed"])

    def run_until_held(self, hold: Hold, **env: str) -> bool:
        """Whether the run came to the point on the line, and was killed there."""
        pid = self._start("", 0, env)
        over = threading.Event()

        def kill() -> None:
            while not over.is_set():
                if hold.wait(0.02):
                    os.kill(pid, signal.SIGKILL)
                    return

        thread = threading.Thread(target=kill)
        thread.start()
        killed = bool(self._told()["killed"])
        over.set()
        thread.join()
        hold.release()
        return killed

    def _start(self, point: str, nth: int, env: Mapping[str, str]) -> int:
        order = {"point": point, "nth": nth, "args": self._args, "env": dict(env)}
        assert self._lab.stdin is not None
        self._lab.stdin.write(json.dumps(order) + "\n")
        self._lab.stdin.flush()
        return int(self._told()["pid"])

    def _told(self) -> Any:
        assert self._lab.stdout is not None
        return json.loads(self._lab.stdout.readline())

"""A shadow bench: the apps and environment of a real bench, with sites, services and logs of its own.

The real bench is only read: its apps are linked, its Python is used, compiled files go to a folder of the shadow.
This project's package is copied before each run, so that a build inside the shadow does not write into the
checkout, and an edit during a run does not change what is running. Sites are kept, and migrated where what they
were made from has changed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import services
from .services import Service, Services

APP = "erp_offline_sync"
TEST_APP = "eos_test_app"
_COPIED = (APP, "tests", "pyproject.toml", "README.md", "license.txt")
_NOT_COPIED = {"__pycache__", "node_modules", ".pytest_cache", ".hypothesis"}
_AXE = "axe-playwright-python==0.1.8"
_BUILT = "dist"  # public/dist is made in the copy and stays there
# Variables that would steer Frappe, Python or pytest from outside. With CI set, workers run as if in tests.
_FOREIGN = (
    "CI",
    "SITES_PATH",
    "VIRTUAL_ENV",
    "DEV_SERVER",
    "CENTRAL_URL",
    "CENTRAL_API_KEY",
    "CENTRAL_API_SECRET",
)
_FOREIGN_PREFIXES = ("FRAPPE_", "PYTHON", "PYTEST_", "SITE_RIG", "MYSQL_")


class RigFailed(Exception):
    """The rig could not be set up; the message says what to look at."""


@dataclass(frozen=True, kw_only=True)
class SitePlan:
    """One of the sites of a rig: what it is called, when it is, and what is installed on it."""

    role: str
    name: str
    time_zone: str
    apps: tuple[str, ...]


def plans(erpnext: bool, *, companion: bool) -> tuple[SitePlan, ...]:
    """The branch has the app; the central has not: it answers plain REST, as a central of strangers would. The
    companion is a second central, with the app; left out where nothing asks for it, as it takes time to migrate."""
    suffix, business = ("-erpnext", ("erpnext",)) if erpnext else ("", ())
    with_app = SitePlan(
        role="companion",
        name=f"companion{suffix}.localhost",
        time_zone="America/New_York",
        apps=(*business, TEST_APP, APP),
    )
    return (
        SitePlan(
            role="branch",
            name=f"branch{suffix}.localhost",
            time_zone="Asia/Kolkata",
            apps=(*business, TEST_APP, APP),
        ),
        SitePlan(
            role="central",
            name=f"central{suffix}.localhost",
            time_zone="America/New_York",
            apps=(*business, TEST_APP),
        ),
        *((with_app,) if companion else ()),
    )


@dataclass(frozen=True, kw_only=True)
class Bench:
    path: Path

    @property
    def id(self) -> str:
        return f"{self.path.name}-{hashlib.sha256(str(self.path).encode()).hexdigest()[:8]}"

    @property
    def python(self) -> Path:
        return self.path / "env" / "bin" / "python"

    @property
    def apps(self) -> list[str]:
        listed = (self.path / "sites" / "apps.txt").read_text().split()
        return [app for app in listed if (self.path / "apps" / app).is_dir()]

    @property
    def frappe(self) -> str:
        return self._version("frappe")

    @property
    def erpnext(self) -> str | None:
        """Its version; None where the bench has none."""
        return self._version("erpnext") if "erpnext" in self.apps else None

    def _version(self, app: str) -> str:
        text = (self.path / "apps" / app / app / "__init__.py").read_text()
        line = next(line for line in text.splitlines() if line.startswith("__version__"))
        return line.partition("=")[2].strip().strip("\"'")

    @property
    def database(self) -> str:
        sqlite = self.path / "apps" / "frappe" / "frappe" / "database" / "sqlite" / "database.py"
        return "sqlite" if sqlite.exists() else "mariadb"

    def problem(self) -> str | None:
        """Why this is no bench that can be used; None where it is one."""
        for needed in ("env/bin/python", "apps/frappe/frappe/__init__.py", "sites/apps.txt"):
            if not (self.path / needed).exists():
                return f"{self.path} is no bench: it has no {needed}"
        return None


def mirror(source: Path, target: Path) -> None:
    """Make the target equal to the source, writing only what differs; what a build made there stays."""
    if source.is_file():
        seen = target.stat() if target.exists() else None
        now = source.stat()
        if seen is None or (seen.st_size, seen.st_mtime_ns) != (now.st_size, now.st_mtime_ns):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
        return
    target.mkdir(parents=True, exist_ok=True)
    wanted = {child.name for child in source.iterdir()} - _NOT_COPIED
    for child in target.iterdir():
        built = child.name == _BUILT and target.name == "public"
        if child.name not in wanted and not built:
            shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
    for name in wanted:
        if not (name == _BUILT and target.name == "public"):
            mirror(source / name, target / name)


def copy_checkout(source: Path, target: Path) -> None:
    """What of this project runs inside a bench."""
    for name in _COPIED:
        if (source / name).exists():
            mirror(source / name, target / name)


def fingerprint(*folders: Path) -> str:
    """What a site is made from: every file below but the code that a migrate does not look at."""
    digest = hashlib.sha256()
    for folder in folders:
        for file in sorted(folder.rglob("*")):
            inside = file.relative_to(folder).parts
            if not file.is_file() or {"public", "engine", "adapters", "testing", "locale"} & set(inside[:1]):
                continue
            digest.update("/".join(inside).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


class Shadow:
    """One bench's shadow. `open()` locks it, refreshes it, starts its services, and ends them again."""

    def __init__(self, bench: Bench, checkout: Path, home: Path, say: Callable[[str], None]) -> None:
        self.bench = bench
        self.folder = home / bench.id
        self._checkout = checkout
        self._say = say
        self.copy = self.folder / "apps" / APP
        self.sites = self.folder / "sites"
        self.logs = self.folder / "logs"
        self.pids = self.folder / "pids"
        self._tools = self.folder / "pytest"
        self.env: dict[str, str] = {}
        self.services = Services()
        self.ports: dict[str, int] = {}
        self._state_file = self.folder / "state.json"
        self._one_writer = threading.Lock()
        self._one_dump = threading.Lock()
        self._database_mark = self.folder / "mariadb" / "password-is-set"

    @contextlib.contextmanager
    def open(self, *, fresh: bool) -> Iterator[Shadow]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._locked(), tempfile.TemporaryDirectory(prefix="eos-") as short, self.services:
            if self.pids.is_dir() and (ended := services.end_leftovers(self.pids)):
                self._say(f"ended what an earlier run had left: {', '.join(ended)}")
            if fresh or (self.bench.database == "mariadb" and not self._database_mark.exists()):
                self.forget_sites()
            self._lay_out()
            self._choose_ports()
            self._define_services(Path(short))
            self._start_databases(Path(short))
            yield self

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._say("waiting for another run on this bench to end")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def forget_sites(self) -> None:
        for name in ("sites", "mariadb"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        self._state_file.unlink(missing_ok=True)

    def _lay_out(self) -> None:
        for passing in (self.logs, self.folder / "scratch"):
            shutil.rmtree(passing, ignore_errors=True)
        for name in ("sites", "logs", "pids", "scratch", "config", "apps"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        _link(self.folder / "env", self.bench.path / "env")
        for app in self.bench.apps:
            if app not in (APP, TEST_APP):
                _link(self.folder / "apps" / app, self.bench.path / "apps" / app)
        copy_checkout(self._checkout, self.copy)
        test_app = self.copy / "tests" / "site" / "test_app"
        _link(self.folder / "apps" / TEST_APP, test_app)
        apps = [app for app in self.bench.apps if app not in (APP, TEST_APP)] + [TEST_APP]
        if self.has_app:
            apps.append(APP)
        (self.sites / "apps.txt").write_text("\n".join(apps) + "\n")
        assets = self.bench.path / "sites" / "assets"
        if assets.is_dir() and not (self.sites / "assets").exists():
            shutil.copytree(assets, self.sites / "assets", symlinks=True)
        kept = {
            k: v for k, v in os.environ.items() if k not in _FOREIGN and not k.startswith(_FOREIGN_PREFIXES)
        }
        self.env = {
            **kept,
            "PATH": f"{self.bench.path / 'env' / 'bin'}{os.pathsep}{kept.get('PATH', os.defpath)}",
            "PYTHONPATH": os.pathsep.join(map(str, (self.copy, test_app, self.copy / "tests" / "site"))),
            "PYTHONPYCACHEPREFIX": str(self.folder / "pycache"),
            "PYTHONUNBUFFERED": "1",
            "FRAPPE_BENCH_ROOT": str(self.folder),
        }

    def _state(self) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            return dict(json.loads(self._state_file.read_text()))
        return {"root_password": secrets.token_hex(16), "sites": {}}

    @property
    def has_app(self) -> bool:
        return (self.copy / APP / "hooks.py").exists()

    def _choose_ports(self) -> None:
        names = ["redis_cache", "redis_queue", "socketio", "chromedriver", "branch", "central", "companion"]
        names += ["mariadb"] if self.bench.database == "mariadb" else []
        while len(set(self.ports.values())) < len(names):
            self.ports = {name: services.free_port() for name in names}
        self.env |= {
            "FRAPPE_REDIS_CACHE": f"redis://127.0.0.1:{self.ports['redis_cache']}",
            "FRAPPE_REDIS_QUEUE": f"redis://127.0.0.1:{self.ports['redis_queue']}",
            "FRAPPE_SOCKETIO_PORT": str(self.ports["socketio"]),
        }
        if "mariadb" in self.ports:
            self.env |= {"FRAPPE_DB_HOST": "127.0.0.1", "FRAPPE_DB_PORT": str(self.ports["mariadb"])}
        state = self._state()
        _write_private(self._state_file, state)
        config = {
            "redis_cache": self.env["FRAPPE_REDIS_CACHE"],
            "redis_queue": self.env["FRAPPE_REDIS_QUEUE"],
            "redis_socketio": self.env["FRAPPE_REDIS_QUEUE"],
            "socketio_port": self.ports["socketio"],
            "webserver_port": self.ports["branch"],
            "background_workers": 1,
            "mute_emails": 1,
            "root_login": "root",
            "root_password": state["root_password"],
        }
        _write_private(self.sites / "common_site_config.json", config)

    def _define_services(self, short: Path) -> None:
        def add(name: str, argv: list[Any], ready: Callable[[int], bool], **more: Any) -> None:
            env = {**self.env, **more.pop("env", {})}
            self.services.add(
                Service(
                    name,
                    [str(a) for a in argv],
                    env=env,
                    cwd=self.sites,
                    pids=self.pids,
                    logs=self.logs,
                    ready=ready,
                    **more,
                )
            )

        for name in ("redis_cache", "redis_queue"):
            port = self.ports[name]
            argv = ["redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", short]
            add(
                name,
                [*argv, "--save", "", "--appendonly", "no"],
                lambda _, port=port: services.answers_redis(port),
            )
        if port := self.ports.get("mariadb"):
            data = self.folder / "mariadb"
            argv = ["mariadbd", "--no-defaults", f"--datadir={data}", "--bind-address=127.0.0.1"]
            argv += [f"--port={port}", f"--socket={short / 'my.sock'}", f"--pid-file={short / 'my.pid'}"]
            argv += [
                "--character-set-server=utf8mb4",
                "--collation-server=utf8mb4_unicode_ci",
                "--skip-log-bin",
            ]
            argv += [
                "--character-set-client-handshake=FALSE",
                "--innodb-flush-log-at-trx-commit=2",
                *_as_root(),
            ]
            add("mariadb", argv, lambda _, port=port: services.answers_tcp(port))

    def _define_site_services(self, plan: tuple[SitePlan, ...], web_workers: int, as_deployed: bool) -> None:
        """The web servers, one a site, the worker, the scheduler, and what a browser needs beside them.

        `as_deployed`: as bench's own configuration of a server starts them. A worker takes one connection at a time, and
        none while it is at work; and it is no developer's, which looks each document's class up anew.
        """
        developing = {} if as_deployed else {"DEV_SERVER": "1"}
        threads = [] if as_deployed else ["--threads", "4", "--worker-class", "gthread"]
        frappe = [str(self.bench.python), "-m", "frappe.utils.bench_helper", "frappe"]
        for site in plan:
            port = self.ports[site.role]
            argv = [str(self.bench.python), "-m", "gunicorn", "--bind", f"127.0.0.1:{port}"]
            argv += [
                "--workers",
                str(web_workers),
                *threads,
                "--timeout",
                "120",
                "site_rig.wsgi:application()",
            ]
            self.services.add(
                Service(
                    f"{site.role}_web",
                    argv,
                    env={**self.env, **developing, "SITE_RIG_SITE": site.name},
                    cwd=self.sites,
                    pids=self.pids,
                    logs=self.logs,
                    ready=lambda _, port=port: services.answers_http(port, "/api/method/ping"),
                )
            )
        for name, command in (
            ("worker", ["worker", "--queue", "default,short,long"]),
            ("scheduler", ["schedule"]),
        ):
            self.services.add(
                Service(
                    name,
                    [*frappe, *command],
                    env=self.env,
                    cwd=self.sites,
                    pids=self.pids,
                    logs=self.logs,
                    ready=self._worker_listens if name == "worker" else lambda _: True,
                )
            )

        self._define_desk_services(next(site for site in plan if site.role == "branch"))

    def _define_desk_services(self, site: SitePlan) -> None:
        """Frappe's realtime server for pages of one site, and the browser's driver."""
        preload = Path(__file__).parent / "loopback.js"
        realtime = ["node", "-r", str(preload), str(self.bench.path / "apps" / "frappe" / "socketio.js")]
        port = self.ports["chromedriver"]
        for name, argv, env, ready in (
            (
                "socketio",
                realtime,
                {"FRAPPE_SITE": site.name},
                lambda _: services.answers_tcp(self.ports["socketio"]),
            ),
            (
                "chromedriver",
                ["chromedriver", f"--port={port}"],
                {},
                lambda _: services.answers_http(port, "/status"),
            ),
        ):
            self.services.add(
                Service(
                    name,
                    argv,
                    env={**self.env, **env},
                    cwd=self.sites,
                    pids=self.pids,
                    logs=self.logs,
                    ready=ready,
                )
            )

    def _worker_listens(self, pid: int) -> bool:
        port = self.ports["redis_queue"]
        workers = services.redis_command(port, "SMEMBERS", "rq:workers")
        return str(pid) in (services.redis_command(port, "HGET", key, "pid") for key in workers)

    def _start_databases(self, short: Path) -> None:
        names = [name for name in ("redis_cache", "redis_queue", "mariadb") if name in self.ports]
        for program in ["redis-server", *(["mariadbd", "mariadb"] if "mariadb" in names else [])]:
            if shutil.which(program) is None:
                raise RigFailed(f"{program} is not installed; {self.bench.path} cannot be tested without it")
        new = "mariadb" in names and not self._database_mark.exists()
        if new:
            argv = [
                "mariadb-install-db",
                "--no-defaults",
                f"--datadir={self.folder / 'mariadb'}",
                *_as_root(),
            ]
            self._run(
                [*argv, "--skip-test-db", "--auth-root-authentication-method=normal"], log="mariadb-install"
            )
        self.services.start(*names)
        if new:
            password = self._state()["root_password"]
            statements = (
                f"ALTER USER root@localhost IDENTIFIED BY '{password}';"
                f"CREATE OR REPLACE USER root@'127.0.0.1' IDENTIFIED BY '{password}';"
                "GRANT ALL PRIVILEGES ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;"
                "DELETE FROM mysql.global_priv WHERE User='' OR"
                " (User='root' AND Host NOT IN ('localhost', '127.0.0.1')); FLUSH PRIVILEGES;"
            )
            argv = ["mariadb", "--no-defaults", f"--socket={short / 'my.sock'}", "--user=root"]
            self._run(argv, log="mariadb-install", text=statements)
            self._database_mark.touch()

    def ensure_sites(
        self, plan: tuple[SitePlan, ...], *, web_workers: int = 1, as_deployed: bool = False
    ) -> dict[str, Any]:
        """Make, complete or migrate the sites; answers what tests need to know of each, by role."""
        with ThreadPoolExecutor(len(plan)) as pool:
            records = list(pool.map(self._ensure_site, plan))
        services.redis_command(self.ports["redis_queue"], "FLUSHALL")
        self._define_site_services(plan, web_workers, as_deployed)
        return {
            site.role: {
                "name": site.name,
                "url": f"http://127.0.0.1:{self.ports[site.role]}",
                "time_zone": site.time_zone,
                "apps": record["apps"],
                **record["api"],
            }
            for site, record in zip(plan, records, strict=True)
        }

    def _ensure_site(self, site: SitePlan) -> dict[str, Any]:
        record = self._state()["sites"].get(site.name)
        wanted = [app for app in site.apps if app != APP or self.has_app]
        made_from = fingerprint(
            *(
                self.copy / APP if app == APP else self.copy / "tests" / "site" / "test_app"
                for app in wanted
                if app in (APP, TEST_APP)
            )
        )
        with_erpnext = "erpnext" in site.apps
        versions = f"{self.bench.frappe} {self.bench.erpnext}" if with_erpnext else self.bench.frappe
        made_from = f"{versions} {site.time_zone} {_provision_digest(with_erpnext)} {made_from}"
        if record and record["made_from"] == made_from and set(wanted) <= set(record["apps"]):
            return dict(record)
        began = time.monotonic()
        try:
            if record is None or not (self.sites / site.name / "site_config.json").exists():
                raise _Anew
            self._frappe(site.name, "migrate", "--skip-search-index")
            self._install(site.name, [app for app in wanted if app not in record["apps"]])
            done = "migrated"
        except (_Anew, RigFailed) as reason:
            if isinstance(reason, RigFailed):
                self._say(f"{site.name} could not be migrated and is made anew: {reason}")
            self._remember(site.name, None)
            there = self._make_with_erpnext(site) if with_erpnext else self._make(site.name)
            self._install(site.name, [app for app in wanted if app not in there])
            done = "made"
        api = self._provision(site)
        self._say(f"{site.name} {done} in {time.monotonic() - began:.0f} s")
        record = {"made_from": made_from, "apps": ["frappe", *wanted], "api": api}
        self._remember(site.name, record)
        return record

    def _remember(self, site: str, record: dict[str, Any] | None) -> None:
        with self._one_writer:
            state = self._state()
            state["sites"].pop(site, None)
            if record:
                state["sites"][site] = record
            _write_private(self._state_file, state)

    def _provision(self, site: SitePlan) -> dict[str, str]:
        argv = [str(self.bench.python), "-m", "site_rig.provision", site.name, site.time_zone]
        return dict(json.loads(self._run(argv, log=f"{site.name}.setup").splitlines()[-1]))

    def _make(self, site: str, *more: str) -> list[str]:
        """A new site; answers what is installed on it beside Frappe."""
        shutil.rmtree(self.sites / site, ignore_errors=True)
        options = ["--db-type", "sqlite"] if self.bench.database == "sqlite" else ["--force"]
        self._frappe(
            None, "new-site", site, *options, "--admin-password", "admin", *more, log=f"{site}.setup"
        )
        return []

    def _make_with_erpnext(self, site: SitePlan) -> list[str]:
        """ERPNext takes minutes to install: it is done once, and the other sites are made from that site's dump,
        as the site of a new branch is made from a backup of the central's."""
        dump = self.folder / f"erpnext-{self.bench.erpnext}-{_provision_digest(True)}.sql.gz"
        dumps = self.bench.database == "mariadb"
        with self._one_dump:
            if not (dumps and dump.exists()):
                self._make(site.name)
                self._install(site.name, ["erpnext"])
                self._provision(site)
                if dumps:
                    part = dump.with_name(f"part-of-{dump.name}")
                    self._frappe(site.name, "backup", "--ignore-backup-conf", "--backup-path-db", str(part))
                    part.replace(dump)
                return ["erpnext"]
        self._make(site.name, "--source-sql", str(dump))
        return ["erpnext"]

    def _install(self, site: str, apps: list[str]) -> None:
        for app in apps:
            self._frappe(site, "install-app", app)

    def _frappe(self, site: str | None, *words: str, log: str | None = None) -> None:
        argv = [str(self.bench.python), "-m", "frappe.utils.bench_helper", "frappe"]
        argv += [] if site is None else ["--site", site]
        self._run([*argv, *words], log=log or f"{site}.setup")

    def _run(self, argv: list[str], *, log: str, text: str = "") -> str:
        """Run it to its end, from inside the sites folder (Frappe's loggers want ../logs); answers its output."""
        path = self.logs / f"{log}.log"
        with path.open("a") as errors:
            done = subprocess.run(
                argv,
                input=text,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=self.env,
                cwd=self.sites,
                text=True,
            )
            errors.write(done.stdout)
        if done.returncode:
            tail = "\n".join(path.read_text(errors="replace").splitlines()[-12:])
            raise RigFailed(f"{' '.join(argv[1:6])} … ended with {done.returncode}; {path}:\n{tail}")
        return done.stdout

    # running tests

    def ensure_pytest(self) -> None:
        """The bench's own pytest where it has one; otherwise one in a folder of the shadow, behind all of the
        bench's packages."""
        probe = [str(self.bench.python), "-c", "import pytest; assert pytest.version_tuple >= (8,)"]
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": self.env}
        if subprocess.run(probe, **quiet).returncode == 0 or (self._tools / "pytest").is_dir():
            return
        argv = [str(self.bench.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        self._run([*argv, "--target", str(self._tools), "pytest>=8"], log="pytest-install")

    def ensure_axe(self) -> bool:
        """axe-core, which looks for what keeps people from using a page, from a package that bundles it. It is
        for the tests alone and stays in the shadow."""
        if self.axe.exists():
            return True
        argv = [str(self.bench.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        with contextlib.suppress(RigFailed):
            self._run([*argv, "--no-deps", "--target", str(self.axe.parents[1]), _AXE], log="axe-install")
        return self.axe.exists()

    @property
    def axe(self) -> Path:
        return self.folder / "axe" / "axe_playwright_python" / "axe.min.js"

    def run_tests(self, sites: Mapping[str, Any], arguments: list[str]) -> tuple[int, dict[str, Any]]:
        """pytest's exit code, and `{"outcomes": {node id: passed|failed|skipped}}`."""
        report = self.folder / "report.json"
        report.unlink(missing_ok=True)
        argv = ["site_rig.inside", f"--rootdir={self.copy}", "-c", str(self.copy / "pyproject.toml")]
        argv += ["-o", f"cache_dir={self.folder / 'pytest_cache'}", *arguments]
        code = self.run_module(sites, argv, report=report)
        outcomes = json.loads(report.read_text()) if report.exists() else {"outcomes": {}}
        return code, dict(outcomes)

    def run_module(self, sites: Mapping[str, Any], argv: list[str], *, report: Path) -> int:
        """A module and its arguments, run by the bench's Python with the rig at hand (`client.Rig`); its exit code."""
        facts = {
            "bench": str(self.bench.path),
            "frappe": self.bench.frappe,
            "database": self.bench.database,
            "python": str(self.bench.python),
            "folder": str(self.folder),
            "sites_path": str(self.sites),
            "logs": str(self.logs),
            "ports": self.ports,
            "sites": sites,
            "report": str(report),
            "tools": str(self._tools),
            "axe": str(self.axe),
        }
        rig = self.folder / "rig.json"
        _write_private(rig, facts)
        with self.services.serve_control() as control:
            child = subprocess.Popen(
                [str(self.bench.python), "-m", *argv],
                env={**self.env, "SITE_RIG": str(rig), "SITE_RIG_CONTROL": str(control)},
                cwd=self.sites,
                pass_fds=[control],
                stdin=subprocess.DEVNULL,
            )
            noted = services.pid_file(self.pids, "pytest")
            services.note_pid(noted, child.pid)
            try:
                return child.wait()
            except BaseException:
                child.terminate()
                try:
                    child.wait(10)
                except subprocess.TimeoutExpired:
                    child.kill()
                raise
            finally:
                noted.unlink(missing_ok=True)


class _Anew(Exception):
    pass


def _link(link: Path, target: Path) -> None:
    if not link.is_symlink() or Path(os.readlink(link)) != target:
        link.unlink(missing_ok=True)
        link.symlink_to(target)


def _write_private(path: Path, values: Any) -> None:
    """JSON that only its owner can read: it holds throw-away credentials."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(values, file, indent=1)


def _as_root() -> list[str]:
    return ["--user=root"] if os.geteuid() == 0 else []


def _provision_digest(with_erpnext: bool) -> str:
    names = ("provision.py", "erpnext_shop.py") if with_erpnext else ("provision.py",)
    files = (Path(__file__).parent / name for name in names)
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]

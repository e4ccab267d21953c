"""Fixtures of the site tier; see README.md beside this file.

Nothing here imports frappe or needs a bench when it is collected. Outside the rig these tests are deselected, not
skipped: the pure tiers skip nothing.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

_HERE = Path(__file__).resolve().parent


def pytest_collection_modifyitems(config, items):
    ours = [item for item in items if _HERE in Path(item.path).parents]
    for item in ours:
        item.add_marker(pytest.mark.site)
    if ours and "SITE_RIG" not in os.environ:
        config.hook.pytest_deselected(items=ours)
        items[:] = [item for item in items if item not in ours]


def _let_go():
    """A test's own open transaction would keep the other processes from cleaning up."""
    frappe = sys.modules.get("frappe")
    if frappe and getattr(frappe.local, "db", None):
        frappe.db.rollback()


@pytest.fixture(scope="session")
def rig():
    """The whole rig: the sites, Redis, and `service()` for what can be started and stopped."""
    from site_rig.client import Rig

    rig = Rig()
    yield rig
    rig.close()


@pytest.fixture(scope="session")
def branch(rig):
    """The branch as other processes see it."""
    return rig.branch


@pytest.fixture(scope="session")
def central(rig):
    """The central as other processes see it."""
    return rig.central


@pytest.fixture(scope="session")
def companion(rig):
    """A second central, with the app installed, as other processes see it."""
    return rig.companion


@pytest.fixture(autouse=True)
def _services_up_again(rig):
    """A test may leave a web server or a Redis down; the next one finds them up."""
    yield
    for name in ("redis_cache", "redis_queue", *(f"{site.role}_web" for site in rig.sites)):
        if rig.service("pid", name) is None:
            rig.service("start", name)


@pytest.fixture
def worker(rig):
    """The background worker, started; stopped after the test."""
    from site_rig.client import Worker

    worker = Worker(rig)
    worker.start()
    yield worker
    worker.stop()


@pytest.fixture
def redis_down(rig):
    """`with redis_down():` both Redis are gone; `redis_down("queue")` only that one."""
    return rig.redis_down


@pytest.fixture
def fresh_outbox(rig, request):
    """An empty outbox and no test document on either site, before the test and after it. Nothing is captured,
    unless the test asks for `settings` or `connected`."""
    _let_go()
    if "settings" not in request.fixturenames:
        rig.set_up_branch([], enabled=0)
    rig.empty()
    yield
    _let_go()
    rig.empty()


@pytest.fixture
def settings(rig, fresh_outbox):
    """`settings(policies=[…], **values)` makes the branch's settings: the defaults, this central, sensible
    policies, and what is said here."""
    return rig.set_up_branch


@pytest.fixture
def connected(settings):
    """The branch, set up to send the test doctypes to the central."""
    settings()


@pytest.fixture(scope="module")
def desk(rig):
    """A browser on the branch's Desk, for a module's tests."""
    from site_rig.desk import Desk

    desk = Desk(rig)
    yield desk
    desk.close()


@pytest.fixture
def browser(desk, settings, request):
    """The shopkeeper's browser on a Desk that is just loaded. After the test: nothing broke on its pages."""
    from site_rig.desk import SHOPKEEPER

    settings()
    desk.log_in(*SHOPKEEPER)
    desk.browser.errors()
    yield desk.browser
    desk.picture(f"last of {request.node.name}")
    assert desk.browser.dialog() is None
    # Frappe's own: it has no favicon, and its realtime server comes and goes here.
    errors = [line for line in desk.browser.errors() if "favicon" not in line and "socket.io" not in line]
    assert errors == []


@pytest.fixture
def site(rig):
    """frappe, connected to the branch in this process as Administrator. What is not committed is rolled back."""
    import frappe

    frappe.init(rig.branch.name, sites_path=rig.sites_path, force=True)
    frappe.connect()
    frappe.db.rollback()  # begins a transaction; Frappe on SQLite has none open on a new connection
    frappe.set_user("Administrator")
    try:
        yield frappe
    finally:
        frappe.db.rollback()
        frappe.destroy()

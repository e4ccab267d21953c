"""The Desk of the branch as a person sees it: our assets built by that Frappe, a browser, somebody logged in."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .browser import Browser, until
from .client import Rig

_PASSWORD = "a shop's own 7 words"  # of users that exist on throw-away sites only
SIZE = (1100, 720)
SHOPKEEPER = ("asha@shop.example", "Offline Sync Manager", "Shop User")
CASHIER = ("ravi@shop.example", "Offline Sync User", "Shop User")
# Frappe is there, none of its requests still runs, and nothing is frozen.
_SETTLED = """
    if (document.readyState !== "complete" || !window.frappe || !frappe.boot || !frappe.request) return false;
    return !frappe.request.ajax_count && !document.querySelector("#freeze") && !!window.offline_sync;
"""


def build_assets(rig: Rig) -> None:
    """`bench build --app erp_offline_sync` in the shadow, where the sources changed since it was last done."""
    package = rig.folder / "apps" / "erp_offline_sync" / "erp_offline_sync"
    sources = sorted(p for p in (package / "public").rglob("*") if p.is_file() and "dist" not in p.parts)
    digest = hashlib.sha256()
    for file in sources:
        digest.update(str(file.relative_to(package)).encode() + b"\0" + file.read_bytes() + b"\0")
    mark = rig.folder / "built"
    if mark.exists() and mark.read_text() == digest.hexdigest() and _built(rig):
        return
    mark.unlink(missing_ok=True)
    done = rig.branch.bench("build", "--app", "erp_offline_sync")
    if not _built(rig):
        raise RuntimeError(f"the build made no bundle:\n{done.stdout}\n{done.stderr}")
    mark.write_text(digest.hexdigest())


def _built(rig: Rig) -> bool:
    assets = Path(rig.sites_path) / "assets"
    listed = json.loads((assets / "assets.json").read_text()).get("offline_sync.bundle.js")
    return bool(listed) and (assets.parent / listed.lstrip("/")).exists()


class Desk:
    """A browser on the branch."""

    def __init__(self, rig: Rig, *, beside: Desk | None = None) -> None:
        """`beside`: another person's browser on the same Desk, closed before that one is."""
        self._rig = rig
        self._beside = beside
        if beside is None:
            build_assets(rig)
            rig.service("start", "socketio")
            rig.service("start", "chromedriver")
        self.pictures = Path(rig.facts["logs"]) / "desk"
        self._profile = TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        self.browser = Browser(rig.facts["ports"]["chromedriver"], Path(self._profile.name))
        self.browser.resize(*SIZE)
        self._user = ""

    def close(self) -> None:
        self.browser.quit()
        if self._beside is None:
            self._rig.service("stop", "chromedriver")
            self._rig.service("stop", "socketio")
        self._profile.cleanup()

    def log_in(self, email: str, *roles: str) -> None:
        """As a user with exactly these roles, on a Desk that is loaded anew."""
        self._rig.branch.run(forget_views, email)
        if self._user == email:
            self.load()
            return
        self._rig.branch.user(email, *roles)
        self._rig.branch.run(let_log_in, email, _PASSWORD)
        if self._beside is None:
            self._rig.redis("FLUSHALL")  # jobs about a new user, which a worker would do before ours
        self.browser.go(self._rig.branch.url + "/api/method/ping")
        self.browser.cdp("Network.clearBrowserCookies")
        answer = self.browser.run(
            """
            const body = new URLSearchParams({ usr: arguments[0], pwd: arguments[1] });
            return fetch("/api/method/login", { method: "POST", body }).then((r) => r.status);
            """,
            email,
            _PASSWORD,
        )
        assert answer == 200, f"log-in of {email} answered {answer}"
        self._user = email
        self.load()

    def load(self) -> None:
        """Load the Desk anew; on those that serve it elsewhere this address leads there."""
        self.browser.go(self._rig.branch.url + "/app/offline-sync")
        self.settle()
        # Frappe's workspace looks its page up by the route: on the way to another page it would find none.
        self.browser.wait("return !!document.querySelector('#editorjs .ce-block')", timeout=60)

    def load_with_events(self) -> None:
        """Load it so that it surely hears events. Where the last page of a site leaves just as the next one comes,
        socket.io may forget the room of both (4.7, cleanupEmptyChildNamespaces): here nobody is left over."""
        self.browser.go("about:blank")
        self._rig.service("stop", "socketio")
        self._rig.service("start", "socketio")
        self.load()
        self.browser.wait("return frappe.realtime.socket.connected")

    def hear(self) -> None:
        """Wait until this page hears events: the server may take a moment to let it into the room."""
        self.browser.run("window.heard = 0; offline_sync.on('sync-state-changed', () => (window.heard += 1))")

        def heard() -> bool:
            self._rig.branch.sync()
            return bool(self.browser.run("return window.heard"))

        until(heard, "events are heard")

    def settle(self) -> None:
        self.browser.wait(_SETTLED, timeout=60)

    def show(self, *route: str) -> None:
        """Go to a page of the Desk, without loading the Desk anew."""
        self.browser.run("return frappe.set_route(arguments[0])", list(route))
        self.settle()

    def list(self, doctype: str, **filters: Any) -> None:
        if self.browser.run("return frappe.get_route()[0]") == "List":
            self.workspace()  # a list that is shown already would not look at new filters
        self.browser.run("frappe.route_options = arguments[0]", filters)
        self.show("List", doctype, "List")
        self.browser.wait(
            "return window.cur_list && cur_list.doctype === arguments[0] && !!cur_list.data", doctype
        )
        self.settle()

    def form(self, doctype: str, name: str | None = None) -> None:
        self.show("Form", doctype, name or doctype)
        self.on_form(doctype, name or doctype)

    def on_form(self, doctype: str, name: str) -> None:
        """Wait until that form is shown."""
        self.browser.wait(
            "return window.cur_frm && cur_frm.doctype === arguments[0] && cur_frm.docname === arguments[1]"
            " && frappe.get_route()[0] === 'Form' && cur_frm.wrapper.getClientRects().length > 0",
            doctype,
            name,
        )
        self.settle()

    def workspace(self) -> None:
        """The workspace, made anew where it is shown already."""
        if self.browser.run("return frappe.get_route()[0]") == "Workspaces":
            self.load()
        else:
            self.show("Workspaces", "Offline Sync")

    def conflicts(self, name: str | None = None) -> None:
        """The page for conflicts, with this one open."""
        self.show("sync-conflicts", *([name] if name else []))
        self.browser.wait("return !!document.querySelector('.osc-items > li')")
        self.settle()

    def close_dialog(self, css: str = ".modal.show") -> None:
        """Close that dialog; while it still fades in, it does not listen."""

        def closed() -> bool:
            if not self.browser.texts(css):
                return True
            self.browser.click(f"{css} .btn-modal-close")
            return False

        until(closed, f"close {css}")

    def theme(self, name: str) -> None:
        """light or dark, for this page."""
        self.browser.run("document.documentElement.setAttribute('data-theme', arguments[0])", name)

    def tell(self, **measured: float) -> None:
        """Keep what was measured beside the pictures, and print it: nothing is asserted of it."""
        path = self.pictures / "measured.json"
        kept = json.loads(path.read_text()) if path.exists() else {}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**kept, **measured}, indent=1))
        print(json.dumps(measured))

    def wide_picture(self, name: str, css: str | None = None) -> None:
        """One for the documents: on a wide screen, with that element in the middle."""
        self.browser.resize(1320, 860)
        if css:
            self.browser.run("document.querySelector(arguments[0]).scrollIntoView({ block: 'center' })", css)
        self.browser.run("return new Promise((done) => setTimeout(done, 300))")
        self.picture(name)
        self.browser.resize(*SIZE)

    def picture(self, name: str) -> Path:
        path = self.pictures / f"{name}.png"
        self.browser.screenshot(path)
        return path


def let_log_in(email: str, password: str) -> None:
    """Runs on a site."""
    import frappe
    from frappe.utils.password import update_password

    user = frappe.get_doc("User", email)
    user.update({"first_name": email.split("@")[0].title(), "time_zone": "Asia/Kolkata"})
    user.save()
    update_password(email, password)


def forget_views(email: str) -> None:
    """Runs on a site: the filters that a user's lists had last are forgotten."""
    import frappe

    for doctype in ("Offline Request", "Sync Conflict", "Synced Document"):
        frappe.cache.hdel("_user_settings", f"{doctype}::{email}")
    frappe.db.sql("delete from `__UserSettings` where `user` = %s", (email,))

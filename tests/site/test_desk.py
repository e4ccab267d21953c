"""The Desk of the branch in a real browser: what a shopkeeper sees, reads and clicks."""

import contextlib
import json
import re

import pytest
from site_rig.browser import SEEN
from site_rig.client import wait_until
from site_rig.desk import CASHIER, SHOPKEEPER, SIZE
from site_rig.world import disagree, make_older, put, requests_of, save_note

COLOURS = {
    "Pending": "blue",
    "Waiting": "gray",
    "In Flight": "light-blue",
    "Retry Scheduled": "yellow",
    "In Doubt": "orange",
    "Conflict": "red",
    "Needs Attention": "red",
    "Synced": "green",
    "Merged": "gray",
    "Decided": "gray",
    "Discarded": "gray",
}
TAB = "\ue004"
PILLS = ".list-row .indicator-pill[data-filter^='status,']"
MESSAGE = ".form-message"
MODAL = ".modal.show"
PANEL = ".offline-sync-panel"
INDICATOR = ".offline-sync-indicator"
NOTE = ".offline-sync-note"
FIGURES = ".offline-sync-figures"
HOSTILE = (
    "<script>window.struck=1</script><img src=x onerror='window.struck=1'>\u202egnp.exe\u202c"
    "<a href='javascript:window.struck=1'>O'Brien</a> 50% %s \u0639\u0631\u0628\u064a"
)


def hold_an_item(branch):
    """A change of an item that the central does not have: the request that a person has to look at."""
    make_older(branch, {"doctype": "Shop Item", "item_code": "MILK"})
    branch.save("Shop Item", "MILK", item_name="Oat milk")
    branch.sync()  # or a worker is faster
    (held,) = wait_until(lambda: requests_of(branch, status="Needs Attention"))
    return held["name"]


def test_the_list_shows_each_state_in_its_colour_and_filters_by_it(branch, desk, browser):
    for state in COLOURS:
        save_note(branch, title=state)
    for row, state in zip(requests_of(branch), COLOURS, strict=True):
        branch.run(put, "Offline Request", row["name"], {"status": state})
    desk.list("Offline Request")
    browser.wait("return cur_list.data.length === arguments[0]", len(COLOURS))
    shown = browser.run(
        "return Object.fromEntries([...document.querySelectorAll(arguments[0])]"
        ".filter((e) => e.checkVisibility()).map((e) => [e.innerText.trim(), [...e.classList]]))",
        PILLS,
    )
    assert set(shown) == set(COLOURS)
    for state, colour in COLOURS.items():
        assert colour in shown[state], state
    desk.picture("list")
    browser.click(PILLS, "Needs Attention")
    browser.wait("return cur_list.data.length === 1 && cur_list.data[0].status === 'Needs Attention'")
    desk.list("Offline Request", status=["in", ["Synced", "Merged"]])
    browser.wait("return cur_list.data.length === 2")
    assert set(browser.texts(PILLS)) == {"Synced", "Merged"}


def test_a_request_that_waits_says_what_for_and_when_it_goes(branch, central, desk, browser):
    branch.insert({"doctype": "Shop Item", "item_code": "TEA"})
    branch.sync()
    with central.unreachable():
        customer = branch.insert({"doctype": "Shop Customer", "customer_name": "Asha"})["name"]
        save_note(branch, customer=customer)
        branch.sync()
        _, first, second = requests_of(branch)
        browser.resize(1320, 560)
        desk.list("Offline Request")
        browser.wait("return document.querySelectorAll(arguments[0]).length === 3", WHYS)
        wait_until(lambda: _all_said(browser))
        desk.picture("requests")
        browser.resize(*SIZE)
        desk.form("Offline Request", second["name"])
        said = browser.see(MESSAGE, f"Waits for Shop Customer {customer}, which it links to")
        assert first["name"] not in said
        desk.picture("waiting")
        browser.click("a", "Open that request")
        desk.on_form("Offline Request", first["name"])
        said = browser.see(MESSAGE, "cannot be used (offline); next try")
    # By the clock of the site, as all its forms show it, and not by UTC.
    assert re.search(r"next try \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.", said), said
    browser.see(".frappe-control[data-fieldname='standing_html']", "Not sent: no connection")


WHYS = ".list-row .offline-sync-why"


def test_the_list_says_of_each_request_why_it_waits_and_when_it_goes(branch, central, desk, browser):
    branch.insert({"doctype": "Shop Item", "item_code": "TEA"})
    branch.sync()
    save_note(branch, title=HOSTILE)
    with central.unreachable():
        customer = branch.insert({"doctype": "Shop Customer", "customer_name": "Asha"})["name"]
        save_note(branch, customer=customer)
        branch.sync()
        branch.run(hold_back, requests_of(branch)[1]["name"], f"refused: {HOSTILE}")
        desk.list("Offline Request")
        browser.wait("return document.querySelectorAll(arguments[0]).length === 4", WHYS)
        waits, offline, held, done = wait_until(lambda: _all_said(browser))
        assert waits == f"Waits for Shop Customer {customer}, which it links to."
        # By the clock of the site, as all its lists show it.
        assert re.fullmatch(
            r"The central cannot be used \(offline\); next try \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.", offline
        )
        assert held.startswith("Needs a person: refused: <script>window.struck=1</script>")
        assert "[U+202E]gnp.exe" in held
        assert not browser.run("return window.struck")
        assert re.match(r"Synced \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", done)
        desk.picture("why")
        heads = browser.texts(".list-header-subject > .list-row-col")
        assert [head for head in heads if head] == [
            "Document",
            "Status",
            "Why and When",
            "Document Type",
            "Operation",
        ]
        browser.resize(1920, 900)
        desk.list("Offline Request")
        wait_until(lambda: _all_said(browser))
        desk.picture("why wide")
        browser.resize(*SIZE)
    branch.call("erp_offline_sync.api.pause", "stock taking")
    desk.load()
    desk.list("Offline Request")
    said = wait_until(lambda: _all_said(browser))
    assert said[1] == "Sending is paused by Administrator (stock taking)."


def _all_said(browser):
    """What stands in the column, once each row has something."""
    said = browser.texts(WHYS)
    return said if said and all(said) else None


def hold_back(name, message):
    """Runs on a site: as if the central had refused it."""
    import frappe

    frappe.db.sql(
        "update `tabOffline Request` set status = 'Needs Attention', error_message = %s where name = %s",
        (message, name),
    )


def test_a_held_request_shows_its_error_and_attempts_and_goes_on_retry(
    branch, central, desk, browser, worker
):
    held = hold_an_item(branch)
    desk.load_with_events()
    desk.form("Offline Request", held)
    browser.see(MESSAGE, "Needs a person: Shop Item MILK is not at the central")
    browser.see(".frappe-control[data-fieldname='standing_html']", "Error", "is not at the central")
    desk.picture("held")
    browser.click(".form-tabs .nav-link", "Attempts")
    table = ".frappe-control[data-fieldname='history_html'] table"
    browser.see(table, "When", "What", "Refused")
    desk.picture("attempts")
    browser.click(".form-tabs .nav-link", "Request")
    central.insert({"doctype": "Shop Item", "item_code": "MILK"})
    browser.click(".page-actions button", "Retry")
    # The form follows the run by itself.
    browser.see(".page-head .indicator-pill", "Synced", timeout=40)
    desk.settle()
    assert central.get("Shop Item", "MILK")["item_name"] == "Oat milk"
    browser.click(".form-tabs .nav-link", "Attempts")
    browser.see(table, "Retried by a person", SHOPKEEPER[0])


def test_discarding_asks_for_a_reason_and_keeps_it_with_the_name(branch, central, desk, browser):
    held = hold_an_item(branch)
    desk.form("Offline Request", held)
    browser.click(".page-actions button", "Discard")
    browser.see(MODAL, "Discard this request", "This change will never reach the central.")
    browser.click(f"{MODAL} .btn-primary", "Discard")
    assert requests_of(branch)[0]["status"] == "Needs Attention"
    browser.see(f"{MODAL}:has(.msgprint)", "Missing", "Reason")
    desk.close_dialog(f"{MODAL}:has(.msgprint)")
    browser.type(f"{MODAL} textarea[data-fieldname='reason']", "typed twice")
    browser.click(f"{MODAL} .btn-primary", "Discard")
    browser.see(".page-head .indicator-pill", "Discarded")
    row = branch.get("Offline Request", held)
    assert (row["status"], row["reason"], row["closed_by"]) == ("Discarded", "typed twice", SHOPKEEPER[0])
    browser.see(MESSAGE, "Discarded", "typed twice")


def test_a_conflict_shows_its_three_sides_and_server_wins_decides_it(
    branch, central, desk, browser, settings
):
    settings(default_strategy="Manual")
    note, conflict = disagree(branch, central)
    desk.form("Sync Conflict", conflict)
    browser.see(MESSAGE, "changed on both sides", "until somebody decides")
    table = ".frappe-control[data-fieldname='comparison_html'] table"
    browser.see(table, "Category", "Title")
    rows = browser.run(
        "return [...document.querySelector(arguments[0]).rows].map((r) => [...r.cells].map((c) => c.innerText.trim()))",
        table,
    )
    assert rows[0] == ["Field", "Base (before)", "Local (here)", "Server (central)"]
    assert {row[0]: row[1:] for row in rows[1:]} == {
        "Category": ["A", "C", "B"],
        "Title": ["one", "two", "one"],
        "Weight": ["2.5", "2.5", "3"],
    }
    desk.picture("conflict")
    browser.click(".page-actions button", "Server Wins")
    browser.see(MODAL, "This document gets the central's values.")
    browser.click(f"{MODAL} .btn-primary", "Yes")
    browser.see(".page-head .indicator-pill", "Resolved")
    decided = branch.get("Sync Conflict", conflict)
    assert (decided["resolution"], decided["resolved_by"]) == ("server_wins", SHOPKEEPER[0])
    here = branch.get("Shop Note", note)
    assert (here["category"], here["title"], here["weight"]) == ("B", "one", 3)
    desk.list("Sync Conflict")
    browser.see(".list-row", "Resolved", "Shop Note")


def test_wrong_settings_are_refused_with_words_and_right_ones_kept(branch, desk, browser):
    desk.form("Offline Sync Settings")
    browser.type(".frappe-control[data-fieldname='central_url'] input", "ftp://erp.example.com")
    browser.click(".form-tabs .nav-link", "Pace")
    browser.type(".frappe-control[data-fieldname='processing_interval'] input", "5" + TAB)
    browser.click(".page-actions .primary-action", "Save")
    said = browser.see(f"{MODAL}:has(.msgprint)", "The settings cannot be used")
    assert "Processing Interval (ms) [processing_interval]" in said
    assert "1000" in said
    assert "https" in said
    desk.picture("refused")
    browser.errors()  # Frappe notes each refusal in the console
    kept = branch.get("Offline Sync Settings", "Offline Sync Settings")
    assert (kept["processing_interval"], kept["central_url"][:7]) == (1000, "http://")
    desk.close_dialog()
    browser.type(".frappe-control[data-fieldname='processing_interval'] input", "7000" + TAB)
    browser.click(".form-tabs .nav-link", "Central")
    browser.type(".frappe-control[data-fieldname='central_url'] input", kept["central_url"] + TAB)
    browser.click(".page-actions .primary-action", "Save")
    wait_until(
        lambda: branch.get("Offline Sync Settings", "Offline Sync Settings")["processing_interval"] == 7000
    )


def test_a_manager_adds_a_policy_by_hand(branch, desk, browser, settings):
    settings(policies=[{"document_type": "Shop Note"}])
    desk.load()
    desk.form("Offline Sync Settings")
    browser.click(".form-tabs .nav-link", "Documents")
    grid = ".frappe-control[data-fieldname='policies']"
    browser.click(f"{grid} .grid-add-row")
    browser.click(f"{grid} .grid-row[data-idx='2'] .grid-static-col[data-fieldname='document_type']")
    field = f"{grid} .grid-row[data-idx='2'] [data-fieldname='document_type'] input"
    browser.type(field, "Shop Cust")
    browser.click(".awesomplete [role='option']:has(p[title='Shop Customer'], strong)")
    browser.wait("return cur_frm.doc.policies[1].document_type === 'Shop Customer'")
    desk.picture("policies")
    browser.click(".page-actions .primary-action", "Save")

    def stated():
        rows = branch.get("Offline Sync Settings", "Offline Sync Settings")["policies"]
        return [(row["document_type"], row["enabled"]) for row in rows]

    wait_until(lambda: stated() == [("Shop Note", 1), ("Shop Customer", 1)])
    branch.insert({"doctype": "Shop Customer", "customer_name": "Asha"})
    assert [row["resource_type"] for row in requests_of(branch)] == ["Shop Customer"]


def test_the_connection_is_tested_and_told_in_a_table(central, desk, browser):
    desk.form("Offline Sync Settings")
    browser.click(".page-actions button", "Test Connection")
    said = browser.see(f"{MODAL} table", "connection", "Logged in as", "version of the central")
    assert "time zone" in said
    desk.picture("connection")
    desk.close_dialog()
    with central.unreachable():
        browser.click(".page-actions button", "Test Connection")
        browser.see(f"{MODAL} table", "connection", "problem")
    desk.close_dialog()


def test_the_workspace_says_whether_the_branch_is_in_sync(branch, central, desk, browser, worker):
    desk.workspace()
    browser.see(PANEL, "In sync", "Waiting: 0", "Held for a person: 0", "Conflicts: 0", "Last sync: ")
    held = hold_an_item(branch)
    with central.unreachable():
        save_note(branch, title="kept")
        branch.sync()
        desk.workspace()
        browser.see(PANEL, "The central cannot be reached", "Since 20", "Waiting: 1", "Held for a person: 1")
        desk.picture("workspace")
        assert "{" not in browser.text(PANEL)
    browser.click(f"{PANEL} button", "Held for a person: 1")
    browser.wait(
        "return window.cur_list && cur_list.doctype === 'Offline Request' && cur_list.data.length === 1"
    )
    assert browser.run("return cur_list.data[0].name") == held
    desk.load_with_events()
    browser.click(f"{PANEL} button", "Sync Now")
    # What the run in the worker tells over the socket is shown without a click.
    browser.see(PANEL, "1 change needs a person", "Waiting: 0", timeout=40)
    assert [note["title"] for note in central.documents("Shop Note")] == ["kept"]


def keep_a_week_of_runs():
    """On the branch: what runs of earlier days would have kept, one day without a line among them."""
    from datetime import timedelta

    from erp_offline_sync.engine.metrics import Metrics
    from erp_offline_sync.engine.transitions import Ledger
    from erp_offline_sync.tasks import own_store

    store, metrics, captured = own_store(), Metrics(), 0
    with store.transaction():
        now = store.now()
        for ago, arrived, waiting in ((6, 31, 2), (5, 44, 0), (4, 0, 38), (3, 79, 3), (2, 52, 1)):
            # An hour later, so that its hour begins on the same day in any zone.
            at = now - timedelta(days=ago) + timedelta(hours=1)
            for sale in range(arrived):
                metrics.applied(at, timedelta(seconds=86_400 if ago == 3 and sale < 38 else 2))
            for _ in range(ago % 3):
                metrics.conflicted(at)
                metrics.failed(at)
            captured += arrived
            ledger = Ledger(applied=captured, merged=0, decided=0, discarded=0, held=0, waiting=waiting)
            metrics.ended(at, ledger, reached=ago != 4)
        metrics.keep(store)
    return captured


def test_the_workspace_draws_what_was_sent(branch, central, desk, browser):
    sent = branch.run(keep_a_week_of_runs)
    desk.workspace()
    browser.see(
        FIGURES, "What was sent", f"{sent}\nArrived", "1 of 5\nRuns without the central", "1.0 d\nLongest"
    )
    # Figures stand in a block of a workspace, whose elements the page itself does not find.
    bars = SEEN + f"return seen('{FIGURES} svg g').length === arguments[0]"
    browser.wait(bars, 7)
    desk.picture("figures")
    browser.click(f"{FIGURES} summary", "As a table")
    browser.see(f"{FIGURES} table", "Not reached", "79")
    save_note(branch, title="now")
    branch.sync()
    browser.run(
        SEEN
        + """
        const [chooser] = seen(arguments[0] + " select");
        chooser.value = "1";
        chooser.dispatchEvent(new Event("change"));
        """,
        FIGURES,
    )
    browser.wait(bars, 24)
    browser.see(FIGURES, "1\nArrived")


def test_sending_is_paused_with_a_reason_shown_and_resumed(branch, desk, browser):
    desk.workspace()
    browser.see(PANEL, "In sync")
    browser.click(f"{PANEL} button", "Pause")
    browser.see(MODAL, "Pause sending", "People see the reason.")
    browser.type(f"{MODAL} textarea[data-fieldname='reason']", "stock taking")
    desk.picture("pause")
    browser.click(f"{MODAL} .btn-primary", "Pause")
    said = browser.see(PANEL, "Sending is paused", f"Paused by {SHOPKEEPER[0]} since 20", ": stock taking.")
    assert "Sync Now" not in said
    desk.picture("paused")
    assert branch.call("erp_offline_sync.api.get_sync_status")["paused"]["by"] == SHOPKEEPER[0]
    save_note(branch)
    assert branch.sync().startswith("paused by")
    # The same stands on top of the settings.
    desk.form("Offline Sync Settings")
    browser.see(PANEL, "Sending is paused", "stock taking")
    browser.click(f"{PANEL} button", "Resume")
    browser.see(PANEL, "1 change waits to be sent", "Sync Now")
    assert branch.call("erp_offline_sync.api.get_sync_status")["paused"] is None


def test_who_may_not_resume_is_told_who_paused(branch, desk, browser):
    branch.call("erp_offline_sync.api.pause", HOSTILE)
    desk.log_in(*CASHIER)
    desk.workspace()
    said = browser.see(PANEL, "Sending is paused", "Paused by Administrator since 20", "<script>")
    assert [word for word in ("Resume", "Sync Now", "Pause\n") if word in said] == []
    assert not browser.run("return window.struck")


def test_a_cashier_sees_the_state_and_the_lists_and_no_settings(branch, desk, browser):
    save_note(branch)
    desk.log_in(*CASHIER)
    desk.workspace()
    browser.see(PANEL, "1 change waits to be sent")
    assert "Offline Sync Settings" not in browser.text(".workspace, .layout-main-section")
    desk.list("Offline Request")
    browser.see(".list-row", "Pending", "Shop Note")


def test_scripts_of_the_desk_read_the_state_and_hear_a_run_of_the_worker(
    branch, central, desk, browser, worker
):
    desk.load_with_events()
    assert browser.run("return offline_sync.getSyncStatus()")["state"] == "idle"
    browser.run(
        """
        window.heard = [];
        offline_sync.on("sync-state-changed", (data) => window.heard.push(["state", data]));
        offline_sync.on("sync-progress", (data) => window.heard.push(["progress", data]));
        """
    )
    ended = "return window.heard.some(([event, data]) => event === 'state' && data.state === 'idle')"

    def hears_a_run():
        """The server may take a moment to let the page into the room."""
        browser.run("return offline_sync.forceSync()")
        with contextlib.suppress(TimeoutError):
            return browser.wait(ended, timeout=3)

    wait_until(hears_a_run)
    browser.run("window.heard.length = 0")
    save_note(branch)
    browser.wait(ended, timeout=30)
    heard = browser.run("return window.heard")
    assert heard[0][0] == "state"
    assert heard[0][1]["state"] == "syncing"
    assert any(event == "progress" and data["successCount"] == 1 for event, data in heard)
    assert heard[-1][1]["stats"]["successCount"] == 1
    assert "title" not in str(heard)
    assert central.count("Shop Note") == 1
    assert browser.run("return offline_sync.forceSync(['Shop Note'])")["pendingCount"] == 0
    assert browser.run("return offline_sync.clearOldRequests(0)") == 1
    assert branch.count("Offline Request") == 0


def test_scripts_of_the_desk_list_and_decide_conflicts(branch, central, desk, browser, settings):
    settings(default_strategy="Manual")
    _, conflict = disagree(branch, central)
    (pending,) = browser.run("return offline_sync.getPendingConflicts()")
    assert (pending["name"], pending["local_data"]["category"]) == (conflict, "C")
    decided = browser.run("return offline_sync.resolveConflict(arguments[0], 'skip')", conflict)
    assert (decided["resolution_status"], decided["resolution"]) == ("resolved", "skip")
    assert browser.run("return offline_sync.getPendingConflicts()") == []


def test_what_documents_and_the_central_say_is_text_everywhere(branch, central, desk, browser, settings):
    """Values that no form would let in: they come from elsewhere, and are written here past every check."""
    settings(default_strategy="Manual")
    _, conflict = disagree(branch, central)
    held = hold_an_item(branch)
    said = '{"title": ' + json.dumps(HOSTILE) + ', "rows": [{"item": ' + json.dumps(HOSTILE) + "}]}"
    texts = ("error_message", "error_type", "waits_why", "reason", "path", "resource_id", "resource_type")
    links = json.dumps([[HOSTILE, HOSTILE, HOSTILE, None]])
    values = {**dict.fromkeys(texts, HOSTILE[:139]), **dict.fromkeys(("error_message", "path"), HOSTILE)}
    values |= dict.fromkeys(("body", "base", "wire", "unique_values"), said) | {"links": links}
    values["resource_type"] = HOSTILE.split("50%")[0]
    values |= {"wire": json.dumps(["PUT", HOSTILE, {"title": HOSTILE}])}
    values |= {"differences": json.dumps({HOSTILE: [HOSTILE, HOSTILE]})}
    values |= {"history": json.dumps([["2026-11-22T10:00:00+00:00", HOSTILE, 417, HOSTILE, HOSTILE]])}
    branch.run(put, "Offline Request", held, values)
    sides = dict.fromkeys(("base_data", "server_data"), said) | {"local_data": said.replace("50%", "60%")}
    texts = ("reason", "resource_id", "server_version")
    branch.run(put, "Sync Conflict", conflict, {**sides, **dict.fromkeys(texts, HOSTILE[:139])})
    document = branch.run(put_synced_document, HOSTILE[:139], said)

    def struck():
        return browser.run(
            "return [window.struck, document.querySelectorAll('img[src=x], a[href^=javascript\\\\:window]').length]"
        )

    desk.form("Offline Request", held)
    browser.see(MESSAGE, "<script>window.struck=1</script>")
    browser.see(".frappe-control[data-fieldname='standing_html']", "<script>", "O'Brien")
    assert struck() == [None, 0]
    for tab, field in (("Content", "content_html"), ("Attempts", "history_html")):
        browser.click(".form-tabs .nav-link", tab)
        browser.see(f".frappe-control[data-fieldname='{field}']", "<script>", "O'Brien")
        desk.picture(f"hostile-{tab.lower()}")
    desk.form("Sync Conflict", conflict)
    browser.see(".frappe-control[data-fieldname='comparison_html']", "<script>", "60%", "[U+202E]gnp.exe")
    desk.picture("hostile-conflict")
    desk.form("Synced Document", document)
    browser.see(".frappe-control[data-fieldname='base_html']", "<script>", "50%")
    assert struck() == [None, 0]
    for doctype in ("Offline Request", "Sync Conflict", "Synced Document"):
        desk.list(doctype)
        browser.see(".list-row", "<script>")
        desk.picture(f"hostile-{doctype.lower().replace(' ', '-')}")
        assert struck() == [None, 0]
        desk.show("List", doctype, "Report")
        browser.see(".dt-cell__content", "<script>")
        assert struck() == [None, 0]


def put_synced_document(hostile, said):
    """Runs on a site."""
    import frappe

    name = frappe.get_all("Synced Document", pluck="name")[0]
    for field in ("central_name", "version"):
        frappe.db.sql(f"update `tabSynced Document` set `{field}` = %s where name = %s", (hostile, name))
    frappe.db.sql("update `tabSynced Document` set base = %s where name = %s", (said, name))
    return name


def test_every_page_says_how_the_sync_stands_and_leads_to_what_can_be_done(
    branch, central, desk, browser, settings, worker
):
    settings(default_strategy="Manual")
    desk.load_with_events()
    desk.list("Shop Note")
    browser.see(INDICATOR, "Online")
    desk.hear()
    _, conflict = disagree(branch, central)
    browser.see(INDICATOR, "1 conflict", timeout=10)
    with central.unreachable():
        save_note(branch, title="kept")
        branch.sync()
        browser.see(INDICATOR, "Offline since", "1 conflict", timeout=10)
        browser.click(f"{INDICATOR} > button")
        browser.see(
            f"{INDICATOR} .offline-sync-menu", "The central cannot be reached", "Conflicts: 1", "Sync Now"
        )
        desk.picture("indicator")
    browser.click(f"{INDICATOR} button", "Sync Now")
    wait_until(lambda: central.count("Shop Note") == 2, timeout=40)
    browser.see(INDICATOR, "1 conflict", timeout=20)
    if not browser.texts(f"{INDICATOR} .offline-sync-menu"):
        browser.click(f"{INDICATOR} > button")
    browser.click(f"{INDICATOR} button", "Conflicts: 1")
    browser.see(".osc-item", "Shop Note")
    assert browser.run("return frappe.get_route()[0]") == "sync-conflicts"
    assert branch.get("Sync Conflict", conflict)["resolution_status"] == "pending"


def test_where_there_is_no_navbar_the_state_stands_in_the_head_of_the_page(desk, browser):
    """As in versions of Frappe whose Desk has none."""
    browser.run("document.querySelector('header.navbar').remove()")
    desk.list("Shop Note")
    browser.see(f".page-head {INDICATOR}", "Online")
    desk.form("Offline Sync Settings")
    browser.wait("return cur_page.page.contains(document.querySelector(arguments[0]))", INDICATOR)
    desk.load()


def test_a_document_says_on_its_own_form_that_it_waits_or_is_in_conflict(
    branch, central, desk, browser, settings
):
    settings(default_strategy="Manual")
    waiting = save_note(branch, title="waits")
    desk.form("Shop Note", waiting)
    browser.see(NOTE, "1 change of this document waits to be sent")
    desk.picture("note-waiting")
    browser.click(f"{NOTE} a", "Why it waits")
    desk.on_form("Offline Request", requests_of(branch)[0]["name"])
    branch.sync()
    desk.form("Shop Note", waiting)
    browser.wait("return !document.querySelector(arguments[0])?.checkVisibility()", NOTE)
    note, conflict = disagree(branch, central)
    desk.form("Shop Note", note)
    browser.see(NOTE, "In conflict: changed on both sides")
    desk.picture("note-conflict")
    browser.click(f"{NOTE} a", "Decide")
    browser.see(".osc-detail .osc-head", note)
    desk.form("Sync Conflict", conflict)
    browser.click(".page-actions button", "Open in Sync Conflicts")
    browser.see(".osc-detail .osc-head", note)
    desk.workspace()
    browser.click(".link-item a, a.link-item", "Sync Conflicts")
    browser.see(".osc-item", "Shop Note")


# As brightness goes, of two colours that lie on each other: https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio
CONTRAST = """
    const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
    const bright = (rgb) => {
        const [r, g, b] = rgb.map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const below = (e) => {
        for (let at = e; at; at = at.parentElement || at.getRootNode().host) {
            const [r, g, b, a = 1] = numbers(getComputedStyle(at).backgroundColor);
            if (a > 0.9) return [r, g, b];
        }
        return [255, 255, 255];
    };
    return seen(arguments[0]).filter((e) => e.innerText.trim()).map((e) => {
        const two = [bright(numbers(getComputedStyle(e).color).slice(0, 3)), bright(below(e))];
        const ratio = (Math.max(...two) + 0.05) / (Math.min(...two) + 0.05);
        return [e.innerText.trim().slice(0, 40), Math.round(ratio * 10) / 10];
    });
"""


@pytest.mark.parametrize(("width", "theme"), [(360, "light"), (1100, "dark")])
def test_pages_can_be_used_on_a_telephone_and_read_in_the_dark(
    branch, central, desk, browser, settings, width, theme
):
    settings(default_strategy="Manual")
    _, conflict = disagree(branch, central)
    held = hold_an_item(branch)
    pages = {
        "workspace": (
            desk.workspace,
            (),
            ".offline-sync-title, .offline-sync-detail, .offline-sync-facts > *",
        ),
        "list": (desk.list, ("Offline Request",), ".list-row .list-subject, .list-row-activity"),
        "held": (desk.form, ("Offline Request", held), ".form-message div, dt, dd"),
        "conflict": (desk.form, ("Sync Conflict", conflict), ".form-message div, dt, dd, td, th"),
        "settings": (desk.form, ("Offline Sync Settings",), ".offline-sync-title, .offline-sync-detail"),
    }
    browser.resize(width, 720)
    try:
        for name, (show, where, readable) in pages.items():
            show(*where)
            desk.theme(theme)
            browser.see(readable)
            desk.picture(f"{theme}-{width}-{name}")
            wide = browser.run("return document.scrollingElement.scrollWidth")
            assert wide <= width, f"{name} is {wide} wide"
            cells = browser.run(
                "return [...document.querySelectorAll('.offline-sync-table td')]"
                ".filter((e) => e.checkVisibility()).map((e) => e.getBoundingClientRect())"
            )
            assert all(cell["left"] >= 0 and cell["right"] <= width for cell in cells), name
            if name == "conflict":
                assert cells[0]["top"] < 720, "what differs is seen without scrolling"
            faint = [(said, ratio) for said, ratio in browser.run(SEEN + CONTRAST, readable) if ratio < 4.4]
            assert faint == [], name
    finally:
        browser.resize(*SIZE)
        desk.theme("light")

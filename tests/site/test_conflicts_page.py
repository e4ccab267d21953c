"""The page that decides conflicts, in a real browser: what appears by itself, is chosen, accepted and undone."""

import json
import time
from pathlib import Path

import pytest
from site_rig.client import wait_until
from site_rig.desk import CASHIER, SHOPKEEPER, SIZE, Desk
from site_rig.world import disagree, put, requests_of, save_note

PAGE = ".osc"
ITEM = ".osc-item"
DETAIL = ".osc-detail"
MODAL = ".modal.show"
INDICATOR = ".offline-sync-indicator"
NOTE = ".offline-sync-note"
ACCEPT = f"{MODAL} .btn-primary"
SECOND = ("meera@shop.example", "Offline Sync Manager", "Shop User")
ARABIC = ("noura@shop.example", "Offline Sync Manager", "Shop User")
GERMAN = ("jutta@shop.example", "Offline Sync Manager", "Shop User")
HOSTILE = (
    "<script>window.struck=1</script><img src=x onerror='window.struck=1'>\u202egnp.exe\u202c"
    "<a href='javascript:window.struck=1'>O'Brien</a> 50% %s {0} \u0639\u0631\u0628\u064a"
)


@pytest.fixture
def manual(settings, browser):
    """Conflicts are left to people."""
    settings(default_strategy="Manual")


def row(field):
    return f"tr[data-path='{field}']"


def come_to(browser, css):
    """What is out of sight is not laid out, and has no text to see."""
    browser.run("document.querySelector(arguments[0]).scrollIntoView({ block: 'center' })", css)


def choose(browser, field, side):
    come_to(browser, row(field))
    browser.click(f"{row(field)} .osc-{side} input[type=radio]")


def result(browser, field):
    come_to(browser, row(field))
    return browser.text(f"{row(field)} .osc-result .osc-value")


def accept(browser):
    browser.click(".osc-accept")
    browser.see(MODAL, "Preview")
    press_enter(browser)


def press(browser, key, text=""):
    """A key as the keyboard gives it, to whatever has the focus."""
    for kind in ("keyDown", "keyUp"):
        browser.cdp(
            "Input.dispatchKeyEvent",
            type=kind,
            key=key,
            text=text if kind == "keyDown" else "",
            windowsVirtualKeyCode={"Enter": 13, "Tab": 9, "Escape": 27}.get(key, 0),
        )


def press_enter(browser):
    """Once the dialog has come into sight, and its button has the focus."""
    browser.wait("return document.activeElement?.matches('.modal.show .btn-primary:not(:disabled)')")
    press(browser, "Enter", "\r")


def conflicts_of(branch, **filters):
    return branch.documents("Sync Conflict", filters)


def resolved(branch, name):
    return wait_until(
        lambda: (doc := branch.get("Sync Conflict", name))["resolution_status"] == "resolved" and doc
    )


def test_a_conflict_appears_on_the_open_page_by_itself_and_leaves_it_when_decided(
    branch, central, desk, browser, manual
):
    desk.load_with_events()
    desk.conflicts()
    browser.see(DETAIL, "Choose a conflict")
    browser.see(".page-head", "Live")
    desk.hear()
    browser.run("window.same_page = true; window.asked = performance.getEntriesByType('resource').length")
    note, conflict = disagree(branch, central)
    began = time.monotonic()
    browser.see(ITEM, "Shop Note", "changed on both sides", timeout=2)
    browser.see(f"{DETAIL} .osc-head", note, timeout=2)
    desk.tell(appeared_after_s=round(time.monotonic() - began, 2))
    branch.call("erp_offline_sync.conflicts.decide", conflict, "server_wins")
    browser.see(f"{DETAIL} .osc-banner", "Already decided by Administrator", timeout=2)
    browser.see(".osc-items", "Nothing to decide", timeout=2)
    assert browser.run("return window.same_page")


def test_a_conflict_is_decided_field_by_field_and_both_sites_get_the_result(
    branch, central, desk, browser, manual
):
    note, conflict = disagree(branch, central)
    desk.conflicts(conflict)
    browser.see(f"{DETAIL} .osc-sentence", "changed it here", "at the central")
    browser.see(f"{DETAIL} .osc-cards", "Local (here)", "Administrator", "Server (central)", "127.0.0.1")
    heads = browser.texts(".osc-fields thead th")
    assert heads == ["Field", "Base (before)", "Local (here)", "Server (central)", "Result"]
    browser.see(row("category"), "Category", "both changed", "choose")
    assert (result(browser, "title"), result(browser, "weight")) == ("two", "3.000")
    assert "Body" not in browser.text(".osc-fields")
    assert browser.run("return document.querySelector('.osc-accept').disabled")
    desk.wide_picture("conflict-page")
    choose(browser, "category", "server")
    assert result(browser, "category") == "B"
    choose(browser, "title", "server")
    browser.see(".osc-progress", "Everything is chosen.")
    browser.click(".osc-accept")
    said = browser.see(MODAL, "Preview", "This branch's document", "The central's document", "Category")
    assert "50%" not in said
    press_enter(browser)
    browser.see(".osc-undo-bar", "Undo")
    decided = resolved(branch, conflict)
    assert (decided["resolution"], decided["resolved_by"]) == ("merge", SHOPKEEPER[0])
    branch.sync()
    (there,) = central.documents("Shop Note")
    here = branch.get("Shop Note", note)
    for site in (here, there):
        assert (site["title"], site["category"], site["weight"]) == ("one", "B", 3)
    assert {each["status"] for each in requests_of(branch)} <= {"Synced", "Merged", "Decided"}


def test_a_person_writes_a_result_of_their_own(branch, central, desk, browser, manual):
    note, conflict = disagree(branch, central)
    desk.conflicts(conflict)
    browser.click(f"{row('title')} .osc-edit")
    browser.type(f"{row('title')} .osc-editor", "what both meant")
    browser.click(f"{row('title')} .osc-done")
    browser.see(f"{row('title')} .osc-result", "what both meant", "Written by you")
    browser.click(f"{row('category')} .osc-edit")
    browser.run(
        "const s = document.querySelector(arguments[0]); s.value = 'A'; s.dispatchEvent(new Event('change'))",
        f"{row('category')} select.osc-editor",
    )
    browser.click(f"{row('category')} .osc-done")
    accept(browser)
    assert resolved(branch, conflict)["resolution"] == "manual"
    branch.sync()
    (there,) = central.documents("Shop Note")
    here = branch.get("Shop Note", note)
    for site in (here, there):
        assert (site["title"], site["category"], site["weight"]) == ("what both meant", "A", 3)


def sale_with_rows(branch, central):
    """Three rows: both sides changed the first, the central the second; (sale, name there, conflict)."""
    customer = branch.insert({"doctype": "Shop Customer", "customer_name": "Asha"})["name"]
    for code in ("MILK", "BREAD", "RICE"):
        branch.insert({"doctype": "Shop Item", "item_code": code})
    items = [{"item": code, "qty": 1, "rate": 10} for code in ("MILK", "BREAD", "RICE")]
    sale = branch.insert({"doctype": "Shop Sale", "customer": customer, "items": items})["name"]
    branch.sync()
    (there,) = central.documents("Shop Sale")
    rows_there = central.get("Shop Sale", there["name"])["items"]
    rows_there[0]["qty"], rows_there[1]["rate"] = 5, 12
    central.save("Shop Sale", there["name"], items=rows_there)
    rows_here = branch.get("Shop Sale", sale)["items"]
    rows_here[0]["qty"] = 7
    branch.save("Shop Sale", sale, items=rows_here)
    branch.sync()
    (conflict,) = conflicts_of(branch, resource_type="Shop Sale")
    return sale, there["name"], conflict["name"]


def test_rows_of_a_table_are_aligned_and_chosen_by_row_and_by_cell(branch, central, desk, browser, manual):
    sale, there, conflict = sale_with_rows(branch, central)
    desk.conflicts(conflict)
    group = ".osc-children tbody"
    browser.see(f"{group}.osc-state-clash", "Row 1", "MILK", "both changed", "choose")
    browser.see(f"{group}.osc-state-there", "Row 2", "BREAD", "changed there")
    assert "RICE" not in browser.text(".osc-children")
    browser.click(".osc-toggle", "Show 1 equal row")
    browser.see(".osc-children", "RICE")
    browser.click(f"{group}.osc-state-clash .osc-line-server .osc-choosable input")
    browser.see(f"{group}.osc-state-clash .osc-line-result td", "5.000")
    browser.click(f"{group}.osc-state-there .osc-row-choice:first-child input")
    accept(browser)
    resolved(branch, conflict)
    branch.sync()
    for document in (branch.get("Shop Sale", sale), central.get("Shop Sale", there)):
        assert [(each["qty"], each["rate"]) for each in document["items"]] == [(5, 10), (1, 10), (1, 10)]


def test_values_read_as_the_form_of_their_document_has_them(branch, central, desk, browser, manual):
    """Links by their titles, dates and money as this Desk writes them, check boxes in words."""
    branch.run(show_titles, "Shop Customer", True)
    try:
        asha, ravi = (
            branch.insert({"doctype": "Shop Customer", "customer_name": name})["name"]
            for name in ("Asha", "Ravi")
        )
        branch.insert({"doctype": "Shop Item", "item_code": "MILK"})
        items = [{"item": "MILK", "qty": 1, "rate": 1234.5}]
        sale = branch.insert({"doctype": "Shop Sale", "customer": asha, "items": items})["name"]
        branch.sync()
        (there,) = central.documents("Shop Sale")
        central.save("Shop Sale", there["name"], due_date="2030-11-03", print_receipt=0)
        items = branch.get("Shop Sale", sale)["items"]
        branch.save("Shop Sale", sale, customer=ravi, items=[{**items[0], "rate": 1300}])
        branch.sync()
        (conflict,) = conflicts_of(branch, resource_type="Shop Sale")
        desk.load()
        browser.run("frappe.boot.sysdefaults.date_format = 'dd.mm.yyyy'")
        desk.conflicts(conflict["name"])
        browser.see(row("customer"), "Customer", f"Asha ({asha})", f"Ravi ({ravi})")
        for place, words in (
            (row("due_date"), ("Due Date", "03.11.2030")),
            (row("print_receipt"), ("Yes", "No")),
            (".osc-children", ("Rate", "1,234.50", "1,300.00")),
        ):
            come_to(browser, place)
            browser.see(place, *words)
        assert browser.texts(".osc-rows .osc-toggles") == ["Show all columns"]
        desk.picture("conflict-formats")
    finally:
        branch.run(show_titles, "Shop Customer", False)


def show_titles(doctype, shown):
    """Runs on a site: links to it read as their title."""
    import frappe
    from frappe.custom.doctype.property_setter.property_setter import make_property_setter

    make_property_setter(doctype, None, "show_title_field_in_link", int(shown), "Check", for_doctype=True)
    frappe.clear_cache(doctype=doctype)


def test_cells_of_rows_are_written_by_hand(branch, central, desk, browser, manual):
    """With the mouse in one row, with the keyboard alone in another."""
    sale, there, conflict = sale_with_rows(branch, central)
    desk.conflicts(conflict)
    clash, changed = ".osc-children tbody.osc-state-clash", ".osc-children tbody.osc-state-there"
    browser.see(clash, "Row 1", "choose")
    browser.run("document.querySelector(arguments[0]).focus()", f"{clash} .osc-choosable input")
    press(browser, "e", "e")
    label = browser.wait(
        "return document.activeElement?.matches('input') && document.activeElement.ariaLabel"
    )
    assert label == "Row 1, Qty: Result"
    browser.run("document.activeElement.select()")
    press(browser, "4", "4")
    press(browser, "Enter", "\r")
    browser.see(f"{clash} .osc-line-result td", "4.000", "Written by you", "Take back")
    browser.see(".osc-progress", "Everything is chosen.")
    assert browser.run("return document.activeElement.matches('.osc-edit')")
    browser.click(f"{changed} .osc-line-result td[data-label='Rate']")
    browser.type(f"{changed} .osc-line-result td[data-label='Rate'] .osc-editor", "11.5")
    browser.click(f"{changed} .osc-done")
    browser.see(f"{changed} .osc-line-result td", "11.50", "Written by you")
    desk.wide_picture("conflict-rows", ".osc-rows")
    browser.click(f"{changed} .osc-note button", "Take back")
    browser.see(f"{changed} .osc-line-result td", "12.00")
    assert browser.run("return document.activeElement.matches('.osc-edit')")
    browser.click(f"{changed} .osc-edit")
    browser.type(f"{changed} .osc-line-result td[data-label='Rate'] .osc-editor", "11.5")
    press(browser, "Escape")
    browser.click(".osc-accept")
    browser.see(MODAL, "Preview", "Items, row 1: Qty", "Items, row 2: Rate")
    press_enter(browser)
    assert resolved(branch, conflict)["resolution"] == "manual"
    branch.sync()
    for document in (branch.get("Shop Sale", sale), central.get("Shop Sale", there)):
        assert [(each["qty"], each["rate"]) for each in document["items"]] == [(4, 10), (1, 11.5), (1, 10)]


def test_a_row_taken_from_a_side_gives_up_what_was_written_into_it(branch, central, desk, browser, manual):
    _, _, conflict = sale_with_rows(branch, central)
    desk.conflicts(conflict)
    clash = ".osc-children tbody.osc-state-clash"
    browser.click(f"{clash} .osc-edit")
    browser.type(f"{clash} .osc-line-result td[data-label='Qty'] .osc-editor", "4")
    browser.click(f"{clash} .osc-done")
    browser.see(f"{clash} .osc-line-result td", "4.000", "Written by you")
    browser.click(f"{clash} .osc-row-choice:last-child input")
    browser.see(f"{clash} .osc-line-result td", "5.000")
    assert "Written by you" not in browser.text(f"{clash} .osc-line-result td")
    browser.click(".osc-segment", "All local")
    assert browser.texts(f"{clash} .osc-note") == []


def test_several_are_decided_the_same_way_after_a_preview(branch, central, desk, browser, manual):
    names = [disagree(branch, central, title)[1] for title in ("first", "second", "third")]
    desk.conflicts()
    browser.see(".osc-list-head", "1–3 of 3")
    browser.click(".osc-list-head input")
    browser.see(".osc-bulk", "3 marked")
    browser.click(f"{ITEM}[data-name='{names[2]}'] input")
    browser.see(".osc-bulk", "2 marked")
    browser.click(".osc-bulk button", "All server")
    browser.see(MODAL, "All server for 2 conflicts.", "would be decided")
    desk.wide_picture("conflict-several")
    press_enter(browser)
    browser.see(".osc-undo-bar", "2 decided: server wins.")
    browser.see(".osc-list-head", "1–1 of 1")
    assert [resolved(branch, name)["resolution"] for name in names[:2]] == ["server_wins"] * 2
    assert branch.get("Sync Conflict", names[2])["resolution_status"] == "pending"
    browser.click(".osc-tab", "Decided")
    browser.see(ITEM, "server wins", "Asha")


def test_a_decision_is_undone_until_it_is_sent(branch, central, desk, browser, manual):
    _, conflict = disagree(branch, central)
    desk.conflicts(conflict)
    browser.click(".osc-segment", "All local")
    accept(browser)
    resolved(branch, conflict)
    browser.click(".osc-undo-last")
    browser.see(".osc-list-head", "1–1 of 1")
    wait_until(lambda: branch.get("Sync Conflict", conflict)["resolution_status"] == "pending")
    browser.see(f"{DETAIL} {row('category')}", "choose")
    browser.see(
        f"{DETAIL} .osc-reason", "asha@shop.example took back what asha@shop.example decided: this site wins."
    )


def test_what_was_sent_is_not_taken_back_and_the_page_says_why(branch, central, desk, browser, manual):
    _, conflict = disagree(branch, central)
    desk.conflicts(conflict)
    browser.click(".osc-segment", "All local")
    accept(browser)
    resolved(branch, conflict)
    branch.sync()
    browser.click(".osc-undo-last")
    browser.see(".osc-undo-bar", "Not undone: What was decided has been sent to the central.")
    desk.picture("conflict-not-undone")
    assert branch.get("Sync Conflict", conflict)["resolution_status"] == "resolved"


def test_of_two_people_the_second_is_told_what_the_first_did(rig, branch, central, desk, browser, manual):
    _, conflict = disagree(branch, central)
    desk.load_with_events()
    desk.conflicts(conflict)
    choose(browser, "category", "local")
    second = Desk(rig, beside=desk)
    try:
        second.log_in(*SECOND)
        second.conflicts(conflict)
        second.browser.click(".osc-segment", "All server")
        second.browser.click(".osc-accept")
        second.browser.see(MODAL, "Preview")
        accept(browser)
        browser.see(".osc-undo-bar", "Undo")
        press_enter(second.browser)
        second.browser.see(f"{DETAIL} .osc-banner", "decided", SHOPKEEPER[0])
        # What both had, and what became of it; nothing asks to be chosen any more.
        assert [result(second.browser, name) for name in ("title", "category", "weight")] == [
            "two",
            "C",
            "3.000",
        ]
        assert "choose" not in second.browser.text(DETAIL)
        second.picture("conflict-second")
    finally:
        second.close()
    decided = branch.get("Sync Conflict", conflict)
    assert (decided["resolution"], decided["resolved_by"]) == ("merge", SHOPKEEPER[0])


def test_choices_are_kept_where_the_server_moved_until_it_was_sent(branch, central, desk, browser, manual):
    _, conflict = disagree(branch, central)
    desk.conflicts(conflict)
    choose(browser, "category", "local")
    choose(browser, "weight", "local")
    (there,) = central.documents("Shop Note")
    central.save("Shop Note", there["name"], title="said there meanwhile")
    accept(browser)
    resolved(branch, conflict)
    # The central is asked when the result is sent: it comes back with the new document.
    branch.sync()
    again = wait_until(lambda: conflicts_of(branch, resolution_status="pending"))
    desk.conflicts(again[0]["name"])
    browser.see(DETAIL, "The central's document was changed again after asha@shop.example decided.")
    browser.see(row("title"), "said there meanwhile", "choose")
    browser.see(".osc-progress", "1 of 2 chosen")
    assert result(browser, "category") == "C"
    assert result(browser, "weight") == "2.500"
    desk.picture("conflict-again")


def test_choices_are_kept_where_the_server_moved_while_one_looked_at_it(
    branch, central, desk, browser, manual
):
    _, conflict = disagree(branch, central)
    desk.conflicts(conflict)
    choose(browser, "category", "local")
    server = json.loads(branch.get("Sync Conflict", conflict)["server_data"])
    server |= {"weight": 7, "modified": "2030-01-01 00:00:00.000000"}
    moved = {"server_data": json.dumps(server), "server_version": server["modified"]}
    branch.run(put, "Sync Conflict", conflict, moved)
    browser.click(".osc-accept")
    browser.see(MODAL, "Preview", "You will see its new values before anything is decided")
    desk.picture("conflict-preview-moved")
    press_enter(browser)
    browser.see(f"{DETAIL} .osc-banner", "changed at the central meanwhile", "your choices were kept")
    assert (result(browser, "category"), result(browser, "weight")) == ("C", "7.000")
    assert branch.get("Sync Conflict", conflict)["resolution_status"] == "pending"
    desk.picture("conflict-moved")


def test_the_list_is_filtered_searched_and_counted(branch, central, desk, browser, manual):
    branch.run(put_conflicts, 120)
    desk.conflicts()
    browser.see(".osc-tabs", "Pending 120")
    browser.see(".osc-list-head", "1–50 of 120")
    browser.see(".osc-counts", "Shop Customer", "40", "Shop Note", "80")
    browser.click(".osc-turn[aria-label='Next page']")
    browser.see(".osc-list-head", "51–100 of 120")
    browser.click(".osc-chip:nth-child(2)")
    browser.see(".osc-list-head", "1–40 of 40")
    assert set(browser.texts(".osc-item-kind")) == {"Shop Customer · changed on both sides"}
    browser.type(".osc-list input[type=search]", "number 117")
    browser.see(".osc-list-head", "1–1 of 1")
    browser.type(".osc-list input[type=search]", "nothing is called so")
    browser.see(".osc-items", "No conflict is like this.")
    browser.click(".osc-filters button", "Clear Filters")
    browser.see(".osc-list-head", "1–50 of 120")
    # Oldest first.
    assert browser.texts(".osc-item-title")[0] == "number 0"


def test_what_documents_hold_is_text_everywhere(branch, central, desk, browser, manual):
    """Values that no form would let in: they come from elsewhere, and are written here past every check."""
    note, conflict = disagree(branch, central)
    long = f"first {HOSTILE}\n" + ("x" * 99 + "\n") * 10_500
    branch.run(put, "Shop Note", note, {"title": HOSTILE[:139], "body": long})
    server = json.loads(branch.get("Sync Conflict", conflict)["server_data"])
    server |= {
        "title": f"{HOSTILE[:100]} there",
        "body": long.replace("first", "second"),
        "modified_by": HOSTILE[:139],
    }
    branch.run(
        put,
        "Sync Conflict",
        conflict,
        {
            "server_data": json.dumps(server),
            "reason": HOSTILE,
            "title": HOSTILE[:139],
            "changed_by": HOSTILE[:139],
            "server_changed_by": HOSTILE[:139],
        },
    )
    for show in (desk.conflicts, lambda: desk.conflicts(conflict)):
        show()
        browser.see(ITEM, "<script>window.struck=1</script>", "[U+202E]gnp.exe")
        browser.see(DETAIL, "<script>", "O'Brien")
    come_to(browser, row("title"))
    browser.see(row("title"), "onerror='window.struck=1'", "there")
    come_to(browser, ".osc-lines")
    browser.see(".osc-lines", "second <script>")
    assert len(browser.text(PAGE)) < 60_000
    desk.picture("conflict-hostile")
    choose(browser, "title", "local")
    choose(browser, "body", "server")
    choose(browser, "category", "server")
    browser.click(f"{row('body')} .osc-more")
    browser.see(f"{MODAL} .osc-whole", "<script>")
    desk.close_dialog()
    browser.click(".osc-accept")
    browser.see(MODAL, "Preview", "<script>")
    assert browser.run(
        "return [window.struck, document.querySelectorAll('img[src=x], a[href^=javascript\\\\:window]').length]"
    ) == [None, 0]
    desk.close_dialog()


def test_what_is_drawn_anew_under_ones_hands_leaves_focus_caret_and_place(
    branch, central, desk, browser, manual
):
    """Somebody else saves the document, or more of it is shown, while a person writes."""
    note, conflict = disagree(branch, central)
    desk.conflicts(conflict)
    browser.click(f"{row('title')} .osc-edit")
    browser.type(f"{row('title')} .osc-editor", "what both meant")
    browser.run("document.activeElement.setSelectionRange(5, 9)")
    before = place(browser)
    assert before[:4] == ["Result of Title", "what both meant", 5, 9]
    branch.save("Shop Note", note, body="said meanwhile")
    ask_again(browser)
    browser.see(row("body"), "said meanwhile")
    assert place(browser) == before
    press(browser, "x", "x")
    assert place(browser)[:4] == ["Result of Title", "what x meant", 6, 6]
    press(browser, "Enter", "\r")
    browser.see(f"{row('title')} .osc-result", "what x meant", "Written by you")
    assert browser.run("return document.activeElement.matches('.osc-edit')")
    # And where nothing is written: the choice that has the focus, the item of the list.
    choose(browser, "category", "server")
    before = place(browser)
    branch.save("Shop Note", note, body="and something more")
    ask_again(browser)
    browser.see(row("body"), "and something more")
    assert place(browser) == before
    assert browser.run("return document.activeElement.checked")
    browser.run("document.querySelector('.osc-open-item').focus()")
    ask_again(browser)
    assert browser.run("return document.activeElement.matches('.osc-open-item')")
    browser.click(".osc-list-head input")
    assert browser.run("return document.activeElement.matches('.osc-list-head input:checked')")


def test_cells_go_on_being_written_where_their_table_is_drawn_anew(branch, central, desk, browser, manual):
    sale, _, conflict = sale_with_rows(branch, central)
    desk.conflicts(conflict)
    cell = ".osc-children tbody.osc-state-there .osc-line-result td[data-label='Rate']"
    browser.click(".osc-toggle", "Show 1 equal row")
    browser.click(cell)
    browser.type(f"{cell} .osc-editor", "11.5")
    rows = branch.get("Shop Sale", sale)["items"]
    rows[2]["qty"] = 9
    branch.save("Shop Sale", sale, items=rows)
    ask_again(browser)
    browser.see(".osc-children", "9.000")
    assert place(browser)[:2] == ["Row 2, Rate: Result", "11.5"]
    browser.see(".osc-toggles", "Show all columns")
    browser.run(
        "[...document.querySelectorAll('.osc-toggle')].find((e) => e.innerText === 'Show all columns').click()"
    )
    browser.see(".osc-toggles", "Show columns that differ")
    assert place(browser)[:2] == ["Row 2, Rate: Result", "11.5"]
    browser.click(".osc-toggle", "Show columns that differ")
    assert browser.run("return document.activeElement.innerText") == "Show all columns"
    assert browser.run("return document.querySelector(arguments[0]).value", f"{cell} .osc-editor") == "11.5"


def place(browser):
    """Where the person is: what has the focus, what it holds, its caret, and where it stands on the screen."""
    return browser.run(
        """
        const at = document.activeElement;
        const label = at.ariaLabel || at.closest("[data-path]")?.dataset.path;
        const top = Math.round(at.getBoundingClientRect().top);
        return [label, at.value, at.selectionStart, at.selectionEnd, top];
        """
    )


def ask_again(browser):
    """As an event makes the page do."""
    browser.run(
        "return frappe.pages['sync-conflicts'].conflicts.then((page) => page.refresh(true)).then(() => true)"
    )


def test_everything_is_done_by_keyboard(branch, central, desk, browser, manual):
    first, second = (disagree(branch, central, title)[1] for title in ("first", "second"))
    desk.conflicts()
    browser.see(f"{ITEM}[aria-current=true]", "first")
    press(browser, "j", "j")
    browser.see(f"{ITEM}[aria-current=true]", "second")
    press(browser, "k", "k")
    browser.see(f"{ITEM}[aria-current=true]", "first")
    browser.see(row("category"), "choose")
    press(browser, "?", "?")
    browser.see(MODAL, "Keyboard Shortcuts", "Next conflict", "Preview, then accept with Enter")
    desk.picture("conflict-keys")

    def escaped():
        """A dialog that still fades in does not listen."""
        press(browser, "Escape")
        return browser.run("return !document.querySelector('.modal.show')")

    wait_until(escaped, every=0.3)
    press(browser, "l", "l")
    assert result(browser, "category") == "C"
    assert browser.run("return document.activeElement.closest('[data-path]').dataset.path") == "category"
    press(browser, "s", "s")
    assert result(browser, "category") == "B"
    press(browser, "a", "a")
    press_enter(browser)
    browser.see(f"{ITEM}[aria-current=true]", "second")
    browser.see(".osc-undo-bar", "Undo")
    assert resolved(branch, first)["resolution"] == "merge"
    browser.wait("return !document.querySelector('.modal.show')")
    press(browser, "u", "u")
    wait_until(lambda: branch.get("Sync Conflict", first)["resolution_status"] == "pending")
    assert branch.get("Sync Conflict", second)["resolution_status"] == "pending"


def faults_of(rig, browser, *places):
    """What axe-core finds serious in what these selectors name. https://github.com/dequelabs/axe-core"""
    if not browser.run("return !!window.axe"):
        browser.run(Path(rig.facts["axe"]).read_text())
    return browser.run(
        """
        const include = arguments[0].map((css) => [css]);
        return axe.run({ include }, { resultTypes: ["violations"] }).then(({ violations }) => violations
            .filter(({ impact }) => ["serious", "critical"].includes(impact))
            .flatMap(({ id, nodes }) => nodes.map((n) => `${id}: ${n.html.slice(0, 160)} ${n.any.map((a) => a.message)}`)));
        """,
        list(places),
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_serious_fault(rig, branch, central, desk, browser, manual, theme):
    """In what is ours, in each of its states: the page, its dialogs, the state in the navbar."""
    found = {}

    def look(state, *places):
        if faults := faults_of(rig, browser, *places):
            found[state] = faults

    def look_at_dialog(state):
        browser.wait(
            "return !!document.querySelector('.modal.show') && !document.querySelector('.modal.fade:not(.show)[style*=block]')"
        )
        look(state, f"{MODAL} .osc-dialog")
        desk.close_dialog()

    def start_with(name=None):
        desk.conflicts(name)
        desk.theme(theme)

    start_with()
    browser.see(".osc-items", "Nothing to decide")
    look("nothing to decide", PAGE)
    browser.click(".osc-tab", "Expected")
    browser.see(".osc-items", "No conflict is to be expected")
    look("nothing expected", PAGE)
    browser.click(".osc-tab", "Pending")

    _, conflict = disagree(branch, central)
    start_with(conflict)
    browser.see(row("category"), "choose")
    browser.click(".osc-toggles .osc-toggle")
    look("one conflict", PAGE, INDICATOR)
    choose(browser, "category", "local")
    browser.click(f"{row('title')} .osc-edit")
    look("a result is written", DETAIL)
    browser.click(f"{row('title')} .osc-done")
    browser.click(".osc-accept")
    browser.wait("return document.activeElement?.matches('.modal.show .btn-primary')")
    look_at_dialog("preview")
    press(browser, "?", "?")
    look_at_dialog("keys")
    browser.click(".osc-list-head input")
    look("marked", PAGE)
    browser.click(".osc-bulk button", "All local")
    look_at_dialog("preview of several")
    browser.click(".offline-sync-indicator > button")
    look("the indicator's menu", INDICATOR)
    browser.run("frappe.realtime.socket.disconnect()")
    browser.see(".osc-not-live", "Changes do not arrive by themselves now")
    look("not live", PAGE, ".page-head .indicator-pill")
    browser.run("frappe.realtime.socket.connect()")
    browser.see(".page-head .indicator-pill", "Live")
    branch.call("erp_offline_sync.conflicts.decide", conflict, "server_wins")
    browser.click(".page-head button", "Refresh")
    browser.see(f"{DETAIL} .osc-banner", "Already decided")
    look("decided by somebody else", PAGE)
    browser.click(".osc-tab", "Decided")
    browser.see(ITEM, "server wins")
    look("decided", PAGE)

    _, _, conflict = sale_with_rows(branch, central)
    start_with(conflict)
    group = ".osc-children tbody.osc-state-clash"
    browser.see(group, "choose")
    look("rows", DETAIL)
    browser.click(f"{group} .osc-edit")
    look("cells are written", DETAIL)
    press(browser, "Escape")

    note, conflict = disagree(branch, central, "a long one")
    branch.save("Shop Note", note, body="\n".join(f"line {n} {'x' * 200}" for n in range(40)))
    start_with(conflict)
    come_to(browser, row("body"))
    look("a long text", DETAIL)
    browser.click(f"{row('body')} .osc-more")
    browser.see(MODAL, "line 39")
    look("the whole text", f"{MODAL} .modal-body")
    desk.close_dialog()
    assert found == {}


@pytest.mark.parametrize(
    ("name", "width", "theme", "who"),
    [
        ("wide-dark", SIZE[0], "dark", SHOPKEEPER),
        ("telephone", 360, "light", SHOPKEEPER),
        ("twice-as-large", SIZE[0] // 2, "light", SHOPKEEPER),
        ("right-to-left", SIZE[0], "light", ARABIC),
        ("right-to-left-telephone", 360, "dark", ARABIC),
    ],
)
def test_the_page_fits(branch, central, desk, browser, manual, name, width, theme, who):
    _, conflict = disagree(branch, central)
    branch.run(put_conflicts, 3)
    desk.log_in(*who)
    if who is ARABIC:
        branch.run(speak, who[0], "ar")
    browser.resize(width, 800)
    try:
        desk.load()
        desk.theme(theme)
        assert browser.run("return document.documentElement.dir") == ("rtl" if who is ARABIC else "ltr")
        for shown, where in (("list", None), ("one", conflict)):
            desk.conflicts(where)
            if where:
                browser.see(row("category"), "B", "C")
            desk.picture(f"conflict-{name}-{shown}")
            wide = browser.run("return document.scrollingElement.scrollWidth")
            assert wide <= width, f"{shown} is {wide} wide"
            outside = browser.run(
                """
                const inside = document.documentElement.clientWidth;
                return [...document.querySelectorAll(".osc-detail button, .osc-detail input, .osc-list button")]
                    .filter((e) => e.checkVisibility() && e.getClientRects().length && !e.closest(".osc-scroll"))
                    .map((e) => [e.outerHTML.slice(0, 90), e.getBoundingClientRect()])
                    .filter(([, box]) => box.left < -1 || box.right > inside + 1).map(([html]) => html);
                """
            )
            assert outside == [], shown
    finally:
        browser.resize(*SIZE)
        desk.theme("light")
        if who is ARABIC:
            branch.run(speak, who[0], "en")


def test_the_page_speaks_the_persons_language(branch, central, desk, browser, manual):
    _, conflict = disagree(branch, central)
    desk.log_in(*GERMAN)
    branch.run(speak, GERMAN[0], "de")
    try:
        desk.load()
        desk.conflicts(conflict)
        browser.see(f"{DETAIL} .osc-sentence", "hat es hier geändert", "bei der Zentrale")
        heads = browser.texts(".osc-fields thead th")
        assert heads == ["Feld", "Davor", "Lokal (hier)", "Server (Zentrale)", "Ergebnis"]
        choose(browser, "category", "local")
        desk.picture("conflict-german")
        browser.click(".osc-accept")
        browser.see(MODAL, "Vorschau", "Vorher", "Nachher", "Annehmen")
        desk.close_dialog()
    finally:
        branch.run(speak, GERMAN[0], "en")


def speak(user, language):
    """Runs on a site."""
    import frappe

    frappe.db.set_value("User", user, "language", language)
    frappe.clear_cache(user=user)


def test_the_page_says_when_nothing_arrives_by_itself_and_catches_up(
    rig, branch, central, desk, browser, manual
):
    desk.load_with_events()
    desk.conflicts()
    browser.see(".page-head", "Live")
    browser.run(
        "window.asked = 0; const real = frappe.xcall; frappe.xcall = (m, ...rest) => "
        "{ if (m.endsWith('list_conflicts')) window.asked += 1; return real(m, ...rest); }"
    )
    time.sleep(1)
    assert browser.run("return window.asked") == 0, "it asks although events arrive"
    rig.service("stop", "socketio")
    browser.see(".osc-not-live", "Changes do not arrive by themselves now")
    browser.see(".page-head", "Not live")
    disagree(branch, central)
    browser.click(".osc-not-live button", "Ask Now")
    browser.see(ITEM, "Shop Note")
    rig.service("start", "socketio")
    browser.see(".page-head .indicator-pill", "Live", timeout=30)
    browser.wait("return !document.querySelector('.osc-not-live').innerText.trim()")


def test_conflicts_to_be_expected_are_shown_before_anything_is_sent(branch, central, desk, browser, manual):
    note = save_note(branch, category="A")
    branch.sync()
    (there,) = central.documents("Shop Note")
    central.save("Shop Note", there["name"], category="B")
    branch.save("Shop Note", note, category="C")
    desk.conflicts()
    browser.click(".osc-tab", "Expected")
    browser.see(ITEM, "Shop Note", "may become a conflict", "Open Request")
    assert requests_of(branch)[-1]["status"] == "Pending"
    browser.click(f"{ITEM} a", "Open Request")
    desk.on_form("Offline Request", requests_of(branch)[-1]["name"])


def test_someone_who_may_not_read_the_document_sees_nothing_of_its_conflict(
    branch, central, desk, browser, manual
):
    _, conflict = disagree(branch, central)
    desk.log_in("nobody@shop.example", "Offline Sync User")
    desk.conflicts()
    browser.see(".osc-items", "Nothing to decide")
    browser.see(".osc-tabs", "Pending 0")
    desk.show("sync-conflicts", conflict)
    browser.see(DETAIL, "This conflict cannot be shown.")
    browser.errors()  # Frappe notes each refusal in the console
    desk.close_dialog()
    assert "conflict" not in browser.text(INDICATOR)


def test_a_cashier_decides_about_what_he_may_change_only(branch, central, desk, browser, manual):
    note, conflict = disagree(branch, central)
    desk.log_in(*CASHIER)
    desk.conflicts(conflict)
    browser.see(row("category"), "choose")
    desk.log_in("reader@shop.example", "Offline Sync User")
    branch.call("frappe.share.add", "Shop Note", note, "reader@shop.example", read=1)
    desk.conflicts(conflict)
    browser.see(f"{DETAIL} .osc-actions", "may not")
    assert browser.texts(".osc-accept, .osc-radio") == []


# How long it takes: reported, not asserted


def put_conflicts(count, fields=0, rows=0):
    """Runs on a site: so many pending conflicts of documents that both sites changed, the oldest first."""
    from datetime import datetime, timedelta, timezone

    from erp_offline_sync import tasks
    from erp_offline_sync.engine.model import Conflict, ConflictType

    now = datetime.now(timezone.utc)
    store = tasks.own_store()
    with store.transaction():
        for number in range(count):
            doctype = "Shop Customer" if number % 3 == 0 else "Shop Note"
            called = "customer_name" if number % 3 == 0 else "title"
            base = {called: f"before {number}"}
            store.put_conflict(
                Conflict(
                    id=f"made-{number:05}",
                    resource_type=doctype,
                    resource_id=f"DOC-{number:05}",
                    line=f"line-{number:05}",
                    local_request_id=f"request-{number:05}",
                    conflict_type=ConflictType.UPDATE_UPDATE,
                    base_data=base,
                    local_data={called: f"number {number}", "modified_by": "asha@shop.example"},
                    server_data={called: f"there {number}", "modified_by": "head@central.example"},
                    server_version="2026-11-22 10:00:00.000000",
                    local_changed_at=now - timedelta(hours=2000 - number),
                    created_at=now - timedelta(hours=2000 - number),
                )
            )


def test_a_thousand_conflicts_and_five_hundred_fields_are_timed(branch, desk, browser, manual):
    branch.run(put_conflicts, 1000)
    big = branch.run(put_big_conflict, 500, 200)
    try:
        desk.load()
        began = time.monotonic()
        desk.conflicts()
        browser.see(".osc-list-head", "1–50 of 1,001")
        list_ready = time.monotonic() - began
        began = time.monotonic()
        browser.run("return frappe.set_route('sync-conflicts', arguments[0])", big)
        browser.wait("return !!document.querySelector('.osc-detail .osc-accept')")
        one_ready = time.monotonic() - began
        browser.wait("return document.querySelectorAll('.osc-fields .osc-row').length === 500")
        browser.wait("return document.querySelectorAll('.osc-children .osc-group').length === 200")
        one_whole = time.monotonic() - began
        inside = browser.run(
            """
            const took = (what) => {
                const began = performance.now();
                what();
                document.body.getBoundingClientRect();
                return Math.round(performance.now() - began);
            };
            const asked = performance.getEntriesByType("resource");
            const answered = (method) => {
                const { responseStart, requestStart } = asked.filter((e) => e.name.includes(method)).at(-1);
                return Math.round(responseStart - requestStart);
            };
            return frappe.pages["sync-conflicts"].conflicts.then(({ detail, list }) => ({
                draw_one_ms: took(() => detail.show(detail.conflict)),
                draw_the_rest_ms: took(() => detail.complete()),
                choose_all_ms: took(() => detail.all("server_wins")),
                draw_list_ms: took(() => list.draw_items()),
                server_one_ms: answered("get_conflict"),
                server_list_ms: answered("list_conflicts"),
            }));
            """
        )
        desk.tell(
            list_of_1000_ready_s=round(list_ready, 2),
            one_of_500_fields_ready_s=round(one_ready, 2),
            one_of_500_fields_whole_s=round(one_whole, 2),
            **inside,
        )
        desk.picture("conflict-big")
    finally:
        branch.run(forget_big_conflict)


def put_big_conflict(fields, rows):
    """Runs on a site: a document type of so many fields, and a conflict in which each of them differs."""
    from datetime import datetime, timezone

    import frappe

    from erp_offline_sync import tasks
    from erp_offline_sync.engine.model import Conflict, ConflictType

    rights = [{"role": "Shop User", "read": 1, "write": 1, "create": 1}]
    row = {"doctype": "DocType", "name": "Shop Big Row", "module": "Test Shop", "custom": 1, "istable": 1}
    row["fields"] = [{"fieldname": f"c{n}", "fieldtype": "Data", "label": f"Column {n}"} for n in range(5)]
    big = {
        "doctype": "DocType",
        "name": "Shop Big",
        "module": "Test Shop",
        "custom": 1,
        "permissions": rights,
    }
    # MariaDB has no room for so many texts in one row.
    is_text = [n % 5 == 0 for n in range(fields)]
    types = ["Small Text" if text else "Int" for text in is_text]
    big["fields"] = [
        *({"fieldname": f"f{n}", "fieldtype": kind, "label": f"Field {n}"} for n, kind in enumerate(types)),
        {"fieldname": "items", "fieldtype": "Table", "options": "Shop Big Row", "label": "Rows"},
    ]
    for made in (row, big):
        if not frappe.db.exists("DocType", made["name"]):
            frappe.get_doc(made).insert()

    def document(words):
        lines = [{"name": f"row{n}", **{f"c{c}": f"{words} {n}" for c in range(5)}} for n in range(rows)]
        number = {"before": 0, "here": 1000, "there": 2000}[words]
        values = {f"f{n}": f"{words} {n}" if is_text[n] else number + n for n in range(fields)}
        return {**values, "items": lines}

    now = datetime.now(timezone.utc)
    store = tasks.own_store()
    with store.transaction():
        store.put_conflict(
            Conflict(
                id="made-big",
                resource_type="Shop Big",
                resource_id="BIG-1",
                line="line-big",
                local_request_id="request-big",
                conflict_type=ConflictType.UPDATE_UPDATE,
                base_data=document("before"),
                local_data=document("here"),
                server_data=document("there"),
                server_version="2026-11-22 10:00:00.000000",
                local_changed_at=now,
                created_at=now,
            )
        )
    return "made-big"


def forget_big_conflict():
    """Runs on a site."""
    import frappe

    for name in ("Shop Big", "Shop Big Row"):
        if frappe.db.exists("DocType", name):
            frappe.delete_doc("DocType", name, force=True)

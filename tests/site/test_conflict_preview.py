"""The preview of a decision in a real browser, where the central has the companion: what it would answer is plain to
see, in the reader's language, on a telephone and in the dark, however long it is and whoever worded it."""

import pytest
from site_rig.client import make_user
from site_rig.desk import SIZE
from site_rig.world import disagree, requests_of
from test_conflicts_page import (
    DETAIL,
    GERMAN,
    MODAL,
    choose,
    come_to,
    faults_of,
    press_enter,
    resolved,
    row,
    speak,
)
from test_receiver import BRANCH_ROLE, NOTE

SAYS = f"{MODAL} .osc-central"


@pytest.fixture
def conflict(settings, browser, branch, companion):
    """Both sides changed a note, people decide, and the central can tell what it would answer."""
    key, secret = companion.run(make_user, "till@shop.example", [BRANCH_ROLE, "Shop User"])
    settings(default_strategy="Manual", central_url=companion.url, api_key=key, api_secret=secret)
    _, conflict = disagree(branch, companion)
    return conflict


def write(browser, field, words):
    come_to(browser, row(field))
    browser.click(f"{row(field)} .osc-edit")
    browser.run(
        """
        const [field, words] = arguments;
        const input = document.querySelector(field);
        input.value = words;
        input.dispatchEvent(new Event("input", { bubbles: true }));
        """,
        f"{row(field)} .osc-editor",
        words,
    )
    browser.click(f"{row(field)} .osc-done")


def ask(browser):
    """The preview; what it says of the central."""
    browser.click(".osc-accept")
    browser.wait("return document.activeElement?.matches('.modal.show .btn-primary:not(:disabled)')")
    return browser.text(SAYS)


def test_the_central_would_accept_it_and_does(branch, companion, desk, browser, conflict):
    desk.conflicts(conflict)
    choose(browser, "category", "local")
    before = companion.documents(NOTE), requests_of(branch)
    assert ask(browser) == "The central was asked: it would accept this."
    assert (companion.documents(NOTE), requests_of(branch)) == before
    desk.wide_picture("conflict-preview")
    press_enter(browser)
    assert resolved(branch, conflict)["resolution"] == "merge"
    branch.sync()
    (there,) = companion.documents(NOTE)
    assert (there["category"], there["title"], there["weight"]) == ("C", "two", 3)


def test_a_refusal_stands_first_and_is_accepted_by_another_button(desk, browser, conflict):
    desk.conflicts(conflict)
    choose(browser, "category", "local")
    write(browser, "title", "refuses pushes")
    assert ask(browser).split("\n") == [
        "The central was asked: it would refuse this, with these words:",
        "The central takes no such note.",
    ]
    assert browser.text(f"{MODAL} .btn-primary") == "Accept Anyway"
    assert browser.run(
        """
        const [says, table] = [...arguments].map((css) => document.querySelector(css).getBoundingClientRect());
        return says.bottom <= table.top;
        """,
        SAYS,
        f"{MODAL} .osc-table",
    )
    desk.wide_picture("conflict-preview-refused")
    desk.close_dialog()


def test_a_document_that_moved_there_meanwhile_would_be_a_conflict_again(companion, desk, browser, conflict):
    desk.conflicts(conflict)
    choose(browser, "category", "local")
    (there,) = companion.documents(NOTE)
    companion.save(NOTE, there["name"], category="A")
    said = ask(browser)
    assert said.startswith("The central was asked: the document was changed there again.")
    assert "Error" not in said
    desk.picture("conflict-preview-again")
    desk.close_dialog()


def test_what_the_central_cannot_tell_beforehand_is_said_so(desk, browser, conflict):
    desk.conflicts(conflict)
    choose(browser, "category", "local")
    write(browser, "title", "commits")
    said = ask(browser)
    assert said.startswith("The central was asked, but cannot tell beforehand.")
    assert "Code of the central commits in the middle of it." in said
    assert browser.text(f"{MODAL} .btn-primary") == "Accept"
    desk.close_dialog()


def test_a_central_that_is_gone_keeps_nobody_from_deciding(rig, branch, desk, browser, conflict):
    desk.conflicts(conflict)
    choose(browser, "category", "local")
    rig.service("stop", "companion_web")
    assert ask(browser).startswith("The central cannot be asked now.")
    desk.picture("conflict-preview-gone")
    press_enter(browser)
    assert resolved(branch, conflict)["resolution"] == "merge"


def test_while_sending_is_paused_it_is_not_asked(branch, desk, browser, conflict):
    branch.rest.post("/api/method/erp_offline_sync.api.pause", json={"reason": "stock taking"})
    desk.conflicts(conflict)
    choose(browser, "category", "local")
    assert ask(browser) == "Checked by this branch's own rules. The central is asked when it is sent."
    desk.close_dialog()
    branch.rest.post("/api/method/erp_offline_sync.api.resume")


def test_the_central_answers_in_the_language_of_who_asks(branch, desk, browser, conflict):
    desk.log_in(*GERMAN)
    branch.run(speak, GERMAN[0], "de")
    try:
        desk.load()
        desk.conflicts(conflict)
        choose(browser, "category", "local")
        write(browser, "title", "commits")
        said = ask(browser)
        assert said.startswith("Die Zentrale wurde gefragt")
        assert "Programmcode der Zentrale schließt mittendrin ab." in said
        desk.picture("conflict-preview-german")
        desk.close_dialog()
    finally:
        branch.run(speak, GERMAN[0], "en")


@pytest.mark.parametrize(("name", "width", "theme"), [("dark", SIZE[0], "dark"), ("telephone", 360, "dark")])
def test_long_words_of_the_central_are_text_and_fit(branch, desk, browser, conflict, name, width, theme):
    """A refusal may hold what documents hold, and be as long as its author liked."""
    browser.resize(width, 800)
    try:
        desk.load()
        desk.conflicts(conflict)
        desk.theme(theme)
        choose(browser, "category", "local")
        write(browser, "title", "refuses at length")
        said = ask(browser)
        assert "window.struck=1" in said
        assert "<" not in said
        assert len(said) > 400
        assert browser.run("return window.struck") is None
        wide = browser.run("return document.querySelector('.modal.show .modal-body').scrollWidth")
        assert wide <= browser.run("return document.querySelector('.modal.show .modal-body').clientWidth")
        desk.picture(f"conflict-preview-{name}")
        reached = "const box = document.querySelector('.modal.show .btn-primary').getBoundingClientRect();"
        assert browser.run(f"{reached} return box.bottom <= innerHeight && box.right <= innerWidth")
        press_enter(browser)
    finally:
        browser.resize(*SIZE)
        desk.theme("light")
    assert resolved(branch, conflict)["resolution"] == "manual"
    # What was foretold comes true.
    branch.sync()
    assert any("window.struck" in (each["error_message"] or "") for each in requests_of(branch))
    browser.see(DETAIL, "Nothing else waits here")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_serious_fault_in_what_the_central_says(
    rig, branch, companion, desk, browser, conflict, theme
):
    desk.conflicts(conflict)
    desk.theme(theme)
    choose(browser, "category", "local")
    found = {}
    for title in ("two", "commits", "refuses pushes", "refuses at length"):
        write(browser, "title", title)
        ask(browser)
        found |= {title: faults} if (faults := faults_of(rig, browser, f"{MODAL} .osc-dialog")) else {}
        desk.close_dialog()
    rig.service("stop", "companion_web")
    ask(browser)
    found |= {"gone": faults} if (faults := faults_of(rig, browser, f"{MODAL} .osc-dialog")) else {}
    desk.close_dialog()
    assert found == {}

"""The command itself: input, output, exit codes, settings, and that nothing shows a secret."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from till import ROOT, Till, runner

from erp_offline_sync.adapters.sole_run import SoleRunStore
from erp_offline_sync.cli import main
from erp_offline_sync.engine.config import SETTINGS
from erp_offline_sync.testing.shop import SHOP
from erp_offline_sync.testing.stand_in import API_KEY, API_SECRET, Fault, StandInCentral

TODO = "/api/resource/ToDo"


@pytest.fixture
def central() -> Iterator[StandInCentral]:
    with StandInCentral(SHOP) as central:
        yield central


@pytest.fixture
def till(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, central: StandInCentral) -> Till:
    monkeypatch.chdir(tmp_path)
    return Till(tmp_path, central)


def until(condition: Callable[[], Any], seconds: float = 8.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)


# Help


def commands() -> list[str]:
    return main.list_commands(click.Context(main))


def test_the_commands_are_those_promised() -> None:
    promised = (
        "enqueue run status list show conflicts resolve undo retry discard pause resume purge metrics "
        "doctor demo"
    )
    assert sorted(commands()) == sorted(promised.split())


@pytest.mark.parametrize("command", ["", *commands()])
def test_every_command_and_every_option_explains_itself(command: str) -> None:
    result = runner().invoke(main, [command, "--help"] if command else ["--help"])
    assert result.exit_code == 0
    assert "Usage: " in result.stdout
    for parameter in (main.commands[command] if command else main).params:
        if isinstance(parameter, click.Option):
            assert parameter.help or parameter.name == "limit", parameter.name


def test_help_and_version_need_no_settings_and_name_the_exit_codes(till: Till) -> None:
    till.env = {}
    helped = till("--help")
    for code in range(5):
        assert re.search(rf"^ +{code}  ", helped, re.MULTILINE)
    assert till("--version").startswith("erp-offline-sync, version ")
    assert till.call("-h").exit_code == 0


# Bad input


BAD = [
    (["enqueue", "POST", TODO, "{"], 1, "not JSON"),
    (["enqueue", "POST", TODO, "[1, 2]"], 1, "a list"),
    (["enqueue", "POST", TODO, '{"x": NaN}'], 1, "cannot be written"),
    (["enqueue", "POST", "/app/todo", "{}"], 1, "/api/"),
    (["enqueue", "POST", "/api/resource/../login", "{}"], 1, ".."),
    (["enqueue", "POST", "https://other.example/api/resource/ToDo", "{}"], 1, "path alone"),
    (["enqueue", "GET", TODO], 1, "nothing to queue"),
    (["enqueue", "BREW", TODO], 1, "POST, PUT, DELETE"),
    (["enqueue", "POST", TODO, "{}", "--priority", "10"], 1, "0"),
    (["enqueue", "POST", TODO, "{}", "--priority", "high"], 2, "priority"),
    (["enqueue", "PUT", f"{TODO}/1", '{"status": "Closed"}'], 1, "modified"),
    (["enqueue", "POST", TODO, "{}", "--link", "customer"], 2, "FIELD=DOCTYPE"),
    (["enqueue", "POST", TODO, "{}", "--link", "role=Role"], 1, "'role'"),
    (["enqueue", "POST", TODO, "{}", "--unique", "description"], 1, "'description'"),
    (["enqueue", "DELETE", f"{TODO}/1", "--local-name", "x"], 1, "creates"),
    (["enqueue", "POST", TODO, "@not-there.json"], 2, "not-there.json"),
    (["enqueue", "POST"], 2, "PATH"),
    (["show", "nothing"], 1, "There is no request nothing"),
    (["show", "99"], 1, "There is no request 99"),
    (["retry"], 2, "--all"),
    (["retry", "1", "--all"], 2, "--all"),
    (["retry", "nothing"], 1, "There is no request"),
    (["discard", "nothing", "--reason", "x"], 1, "There is no request"),
    (["discard", "nothing"], 2, "--reason"),
    (["resolve", "nothing", "skip"], 1, "There is no conflict"),
    (["resolve", "nothing", "perhaps"], 2, "local_wins"),
    (["conflicts", "nothing"], 1, "There is no conflict"),
    (["list", "--status", "Lost"], 2, "Needs Attention"),
    (["list", "--limit", "0"], 2, "limit"),
    (["purge", "--days", "-1"], 2, "days"),
    (["run", "--wait", "soon"], 2, "wait"),
    (["run", "--forever", "--if-due"], 2, "--forever"),
    (["run", "--hooks", "no_such_module_anywhere"], 1, "cannot be imported"),
    (["fly"], 2, "fly"),
]


@pytest.mark.parametrize(("args", "code", "words"), BAD, ids=[" ".join(args)[:60] for args, _, _ in BAD])
def test_bad_input_gets_a_clear_error_and_stores_nothing(
    till: Till, args: list[str], code: int, words: str
) -> None:
    result = till.call(*args)
    assert result.exit_code == code
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert not till.db.exists()


def test_a_body_over_the_limit_is_refused(till: Till) -> None:
    till.env["MAX_BODY_MB"] = "1"
    body = till.folder / "body.json"
    body.write_text(json.dumps({"x": "a" * 1_100_000}))
    result = till.call("enqueue", "POST", TODO, f"@{body}")
    assert (result.exit_code, till.db.exists()) == (1, False)
    assert "1,048,576 bytes" in result.stderr


def test_errors_are_json_too_where_json_was_asked_for(till: Till) -> None:
    result = till.call("show", "nothing", "--json")
    told = json.loads(result.stdout)["error"]
    assert (result.exit_code, told["type"]) == (1, "NotFound")
    assert "There is no request nothing." in told["message"]
    assert "list --all" in told["todo"]


# Queueing


def test_a_body_comes_as_text_from_a_file_or_from_standard_input(till: Till, tmp_path: Path) -> None:
    (tmp_path / "body.json").write_text('{"description": "from a file"}')
    till("enqueue", "POST", TODO, '{"description": "as text"}')
    till("enqueue", "POST", TODO, "@body.json")
    result = till.call("enqueue", "POST", TODO, "-", input='{"description": "from é input"}')
    assert result.exit_code == 0
    found = [till.json("show", str(number))["body"]["description"] for number in (1, 2, 3)]
    assert found == ["as text", "from a file", "from é input"]


def test_what_is_queued_is_told_as_one_row(till: Till) -> None:
    row = till.json("enqueue", "POST", TODO, '{"description": "x"}', "--priority", "0")
    assert (row["seq"], row["status"], row["operation"], row["priority"]) == (1, "Pending", "create", 0)
    assert (row["resource_type"], row["why"]) == ("ToDo", "Goes with the next run.")
    assert till("enqueue", "DELETE", f"{TODO}/1").strip() == till.json("show", "2")["name"]


def test_queueing_needs_no_central(till: Till) -> None:
    till.env = {}
    till.enqueue("POST", TODO, {"description": "x"})
    assert till.json("status")["pendingCount"] == 1


# Looking


KEYS = {
    "state",
    "stats",
    "lastSyncTime",
    "pendingCount",
    "conflictCount",
    "oldestAge",
    "daysOffline",
    "reason",
    "paused",
    "line",
    "identity",
    "totals",
}


def test_the_status_has_the_keys_of_the_events(till: Till) -> None:
    till.enqueue("POST", TODO, {"description": "x"})
    told = till.json("status")
    assert set(told) == KEYS
    assert set(told["stats"]) == {"successCount", "failureCount", "conflictCount", "lastSyncDuration"}
    assert sum(count for name, count in told["totals"].items() if name != "captured") == 1
    ran = till.run()
    assert set(ran) == KEYS | {"ended", "run"}
    assert ran["run"]["successCount"] == 1
    assert "captured 1, applied 1" in till("status")


def test_the_metrics_tell_what_the_runs_sent(till: Till) -> None:
    till.enqueue("POST", TODO, {"description": "x"})
    till.run()
    told = till.json("metrics", "--days", "1")
    assert (told["days"], told["total"]["applied"], told["total"]["runs"]) == (1, 1, 1)
    assert [hour["applied"] for hour in told["hours"]] == [1]
    head, *_, together = till("metrics").strip().splitlines()
    assert head.split()[:2] == ["day", "applied"]
    assert together.split()[:2] == ["together", "1"]


def test_an_outbox_that_is_not_there_is_an_empty_one_and_none_is_made(till: Till) -> None:
    result = till.call("status", "--json")
    assert json.loads(result.stdout)["totals"]["captured"] == 0
    assert "There is no outbox at" in result.stderr
    assert till.json("list") == till.json("conflicts") == []
    assert not till.db.exists()


def test_the_list_says_why_each_request_waits_and_shows_no_values(till: Till) -> None:
    till.enqueue("POST", TODO, {"description": "canary"}, "--local-name", "t")
    till.enqueue("PUT", f"{TODO}/t", {"status": "Closed"}, "--overwrite")
    till.central.down()
    till.run(code=4)
    printed = till("list")
    assert "The central cannot be used (offline); next try" in printed
    assert "canary" not in printed + json.dumps(till.json("list"))
    assert "canary" in till("show", "1")
    assert "canary" in till("show", "#1")


def test_the_list_goes_by_state_doctype_and_page(till: Till) -> None:
    for number in range(3):
        till.enqueue("POST", TODO, {"description": str(number)})
    till.enqueue("POST", "/api/resource/Customer", {"customer_name": "Ada"})
    till("discard", "1", "--reason", "x")
    assert [row["seq"] for row in till.json("list")] == [2, 3, 4]
    assert [row["seq"] for row in till.json("list", "--doctype", "Customer")] == [4]
    assert [row["seq"] for row in till.json("list", "--status", "discarded")] == [1]
    assert [row["seq"] for row in till.json("list", "--all", "--limit", "2", "--after", "1")] == [2, 3]
    assert "--after 3" in till("list", "--limit", "2")


def test_texts_of_others_cannot_play_with_the_terminal(till: Till) -> None:
    till.enqueue("POST", TODO, {"description": "\x1b[2J\x07red"}, "--local-name", "a\x1b[31mb")
    assert "\x1b" not in till("list") + till("show", "1")
    assert till.json("show", "1")["body"]["description"] == "\x1b[2J\x07red"


def test_a_conflict_is_shown_field_by_field(till: Till) -> None:
    till.env["DEFAULT_STRATEGY"] = "Manual"
    name = till.central.insert("ToDo", {"description": "before"})["name"]
    seen = str((till.central.document("ToDo", name) or {})["modified"])
    till.central.edit("ToDo", name, {"description": "there"})
    request = till.enqueue("PUT", f"{TODO}/{name}", {"description": "here", "modified": seen})
    assert "waiting, 1 need a person" in till("run", code=3)
    printed = till("conflicts", code=3)
    assert 'description: here "here", there "there"' in printed
    assert "both changed description" in printed
    assert "local_wins | server_wins | merge | manual | skip" in printed
    (conflict,) = till.json("conflicts", code=3)
    assert (conflict["conflict_type"], conflict["resolution_status"]) == ("update_update", "pending")
    assert till.json("conflicts", request, code=3) == [conflict]
    assert "somebody has to decide" in till("list")
    till("status", code=3)
    till("resolve", request, "skip")
    assert "skip, by" in till("conflicts", "--all")
    result = till.call("resolve", conflict["name"], "local_wins")
    assert result.exit_code == 1
    assert "already decided" in result.stderr


def both_changed(till: Till) -> tuple[str, str]:
    """The central's name of a document that both sides changed, and the conflict's."""
    till.env["DEFAULT_STRATEGY"] = "Manual"
    name = till.central.insert("ToDo", {"description": "before", "priority": "Low"})["name"]
    seen = str((till.central.document("ToDo", name) or {})["modified"])
    till.central.edit("ToDo", name, {"description": "there", "priority": "High"})
    till.enqueue("PUT", f"{TODO}/{name}", {"description": "here", "modified": seen})
    till("run", code=3)
    return name, till.json("conflicts", code=3)[0]["name"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["merge", "--choice", "description=local"], "here"),
        (["merge", "--choice", "description=server"], "there"),
        (["manual", "--values", '{"description": "both"}'], "both"),
    ],
)
def test_a_conflict_is_merged_with_choices_and_values(till: Till, given: list[str], expected: str) -> None:
    name, conflict = both_changed(till)
    till("resolve", conflict, *given)
    till("run")
    document = till.central.document("ToDo", name) or {}
    assert (document["description"], document["priority"]) == (expected, "High")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (["merge"], "no side was chosen: description"),
        (["merge", "--choice", "description"], "KEY=local or KEY=server"),
        (["manual"], "needs the values"),
        (["manual", "--values", "both"], "JSON object"),
    ],
)
def test_a_merge_that_leaves_something_open_is_refused(till: Till, given: list[str], why: str) -> None:
    _name, conflict = both_changed(till)
    result = till.call("resolve", conflict, *given)
    assert result.exit_code in (1, 2)
    assert why in result.stderr


def test_a_decision_is_taken_back(till: Till) -> None:
    _name, conflict = both_changed(till)
    till("resolve", conflict, "local_wins")
    assert "waits for a decision again" in till("undo", conflict, "--by", "ann")
    assert "ann took back what" in till("conflicts", code=3)
    till("resolve", conflict, "local_wins")
    till("run")
    result = till.call("undo", conflict)
    assert result.exit_code == 1
    assert "has been sent" in result.stderr


# What people do


def test_discarding_shows_what_it_would_take_along(till: Till) -> None:
    """Later requests of the same document go with it only when somebody said so."""
    till.enqueue("POST", TODO, {"description": "x"}, "--local-name", "t")
    later = till.enqueue("PUT", f"{TODO}/t", {"docstatus": 1}, "--overwrite")
    till.central.down()
    till.run(code=4)
    result = till.call("discard", "1", "--reason", "typed twice")
    assert result.exit_code == 1
    assert later in result.stderr
    assert "--take-along" in result.stderr
    gone = till.json("discard", "1", "--reason", "typed twice", "--by", "ann", "--take-along")["discarded"]
    assert gone[1:] == [later]
    shown = till.json("show", "1")
    assert (shown["status"], shown["closed_by"], shown["reason"]) == ("Discarded", "ann", "typed twice")


def test_a_pause_holds_back_runs_and_not_the_queue(till: Till) -> None:
    till("pause", "--reason", "stock taking", "--by", "ann")
    till.enqueue("POST", TODO, {"description": "x"})
    assert "Sending is paused by ann (stock taking)." in till("list")
    result = till.call("run")
    assert result.exit_code == 1
    assert "resume" in result.stderr
    till("run", "--if-due", code=1)
    assert not till.central.calls
    assert till("resume").strip() == "Resumed."
    assert till("resume").strip() == "It was not paused."
    assert till.run()["totals"]["applied"] == 1


def test_purging_leaves_what_waits_or_is_held(till: Till) -> None:
    till.enqueue("POST", TODO, {"description": "x"})
    till.enqueue("POST", TODO, {})
    till.run(code=3)
    till.enqueue("POST", TODO, {"description": "waits"})
    assert till.json("purge") == {"deleted": 0}
    assert till.json("purge", "--days", "0") == {"deleted": 1}
    assert till.statuses() == ["Needs Attention", "Pending"]
    assert till.json("status", code=3)["totals"]["captured"] == 3


def test_all_that_needs_attention_can_be_retried_at_once(till: Till) -> None:
    till.central.denied.add("ToDo")
    for number in range(3):
        till.enqueue("POST", TODO, {"description": str(number)})
    assert till.run(code=3)["totals"]["held"] == 3
    assert till("status", code=3)
    till.central.denied.clear()
    assert len(till.json("retry", "--all")) == 3
    assert till.run()["totals"]["applied"] == 3
    assert till("retry", "--all").strip() == "None needs attention."


# Settings


def test_settings_come_from_the_environment_then_from_the_file(till: Till) -> None:
    (till.folder / ".env").write_text(
        f"# the till\nexport CENTRAL_URL={till.central.url} # loopback\nCENTRAL_API_KEY='{API_KEY}'\n"
        f'CENTRAL_API_SECRET="{API_SECRET}"\nOFFLINE_SYNC_DB=from-file.sqlite\n',
        encoding="utf-8",
    )
    result = runner().invoke(main, ["enqueue", "POST", TODO, '{"description": "x"}'])
    assert result.exit_code == 0
    assert (till.folder / "from-file.sqlite").exists()
    assert runner().invoke(main, ["run"]).exit_code == 0
    other = runner().invoke(main, ["status"], env={"OFFLINE_SYNC_DB": "other.sqlite"})
    assert "other.sqlite" in other.stderr


@pytest.mark.parametrize("line", ["CENTRAL_URL", "=x", "9X=1", "X='open", 'X="open', 'X="a" b'])
def test_a_wrong_line_of_the_file_is_named_and_not_shown(till: Till, line: str) -> None:
    (till.folder / ".env").write_text(f"\n{line}\n")
    result = till.call("status")
    assert result.exit_code == 1
    assert "line 2" in result.stderr
    assert "open" not in result.stderr


def test_a_number_out_of_range_is_refused_with_its_name_and_range(till: Till) -> None:
    for name, setting in SETTINGS.items():
        till.env[name.upper()] = str(setting.high + 1)
        result = till.call("run")
        assert result.exit_code == 1
        assert f"{name.upper()} must lie between {setting.low} and {setting.high}" in result.stderr
        del till.env[name.upper()]
    assert not till.db.exists()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("CENTRAL_URL", "", "URL of the central is missing"),
        ("CENTRAL_URL", "http://central.example", "https://"),
        ("CENTRAL_URL", "https://user:pass@central.example", "user or password"),
        ("CENTRAL_API_SECRET", "", "secret"),
        ("CENTRAL_CA_FILE", "/not/there.pem", "CA file"),
    ],
)
def test_a_run_without_proper_settings_says_which(till: Till, name: str, value: str, words: str) -> None:
    till.env[name] = value
    result = till.call("run")
    assert result.exit_code == 1
    assert words in result.stderr
    assert "doctor" in result.stderr


def test_files_that_are_no_outbox_are_refused_and_left_alone(till: Till) -> None:
    till.db.write_text("a shopping list, long enough to be read as the head of a file" * 10)
    before = till.db.read_bytes()
    for args in (["status"], ["enqueue", "POST", TODO, "{}"], ["run"]):
        result = till.call(*args)
        assert result.exit_code == 1
        assert "cannot be used" in result.stderr
    assert till.db.read_bytes() == before
    till.db = till.folder / "no" / "such" / "folder.sqlite"
    result = till.call("enqueue", "POST", TODO, "{}")
    assert result.exit_code == 1
    assert "folder.sqlite" in result.stderr


def test_an_outbox_of_a_later_version_is_left_alone(till: Till) -> None:
    till.enqueue("POST", TODO, {})
    connection = sqlite3.connect(till.db)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    result = till.call("status")
    assert result.exit_code == 1
    assert "upgrade" in result.stderr


# The doctor


def states(till: Till, code: int) -> dict[str, str]:
    told = till.json("doctor", code=code)
    assert told["ok"] is (code == 0)
    for check in told["checks"]:
        assert bool(check["todo"]) or check["state"] == "ok", check
    return {check["name"]: check["state"] for check in told["checks"]}


def test_the_doctor_finds_nothing_wrong_where_all_is_well(till: Till) -> None:
    till.enqueue("POST", TODO, {"description": "x"})
    till.run()
    found = states(till, 0)
    assert set(found.values()) == {"ok"}
    assert {"settings", "url", "connection", "clock", "time zone", "version of the central", "outbox"} <= set(
        found
    )
    assert "Logged in as" in till("doctor")


def test_the_doctor_names_what_is_missing(till: Till) -> None:
    till.env = {"PROCESSING_INTERVAL": "1"}
    result = till.call("doctor")
    assert result.exit_code == 1
    assert "CENTRAL_URL, CENTRAL_API_KEY, CENTRAL_API_SECRET" in result.stdout
    assert "PROCESSING_INTERVAL must lie between" in result.stdout


@pytest.mark.parametrize(
    ("name", "value", "check"),
    [
        ("CENTRAL_URL", "ftp://central.example", "url"),
        ("CENTRAL_API_SECRET", "wrong", "credentials"),
        ("CENTRAL_CA_FILE", "/not/there.pem", "settings"),
    ],
)
def test_the_doctor_names_the_setting_that_is_wrong(till: Till, name: str, value: str, check: str) -> None:
    till.env[name] = value
    assert states(till, 1)[check] == "problem"


def test_the_doctor_tells_a_line_that_is_down_from_a_mistake(till: Till) -> None:
    till.central.down()
    assert states(till, 4)["connection"] == "offline"


def test_the_doctor_knows_a_page_from_a_central(till: Till) -> None:
    till.central.fail(200, page="<h1>Our free network</h1>", times=2, matches=lambda method, path: True)
    assert states(till, 4)["connection"] == "offline"
    assert "log in" in till.call("doctor").stdout


def test_the_doctor_looks_at_clocks_zones_users_and_people(till: Till, central: StandInCentral) -> None:
    central.clock_offset = timedelta(minutes=7)
    central.user = "Administrator"
    central.zone = "Mars/Olympus"
    till.enqueue("POST", TODO, {})
    till.env["CENTRAL_API_KEY"] = API_KEY
    till("pause", "--reason", "x", "--by", "ann")
    (till.folder / ".env").write_text("X=1\n")
    (till.folder / ".env").chmod(0o644)
    found = states(till, 0)
    for name in ("clock", "time zone", "user", "pause", "run", ".env"):
        assert found[name] == "warning", name
    assert "ahead of" in till("doctor")


# Secrets


def test_no_command_prints_the_secret(till: Till) -> None:
    till.env |= {"CENTRAL_API_KEY": "canary-key-1", "CENTRAL_API_SECRET": "canary-secret-2"}
    till.central.api_key, till.central.api_secret = "canary-key-1", "canary-secret-2"
    till.enqueue("POST", TODO, {"description": "x"})
    till.central.fail(417, "ValidationError", message="no")
    told = ""
    for args in (["run", "-v"], ["list"], ["show", "1"], ["doctor"], ["status"], ["conflicts"]):
        for more in ([], ["--json"]):
            result = till.call(*args, *more)
            told += result.stdout + result.stderr
    till.env["CENTRAL_API_SECRET"] = "canary-secret-2 with a space"
    result = till.call("doctor")
    told += result.stdout + result.stderr
    assert "canary-secret" not in told
    assert "canary-secret" not in till.db.read_bytes().decode("latin-1")


# A process of its own


def test_a_process_sends_and_ends_with_the_code_that_it_says(till: Till) -> None:
    till.enqueue("POST", TODO, {"description": "x"})
    process = till.process("run", "--json")
    printed, _ = process.communicate(timeout=20)
    assert (process.returncode, json.loads(printed)["totals"]["applied"]) == (0, 1)
    till.central.down()
    till.enqueue("POST", TODO, {"description": "x"})
    process = till.process("run")
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (4, "")


@pytest.mark.skipif(os.name != "posix", reason="ends by SIGTERM")
def test_a_run_that_stays_sends_what_comes_and_ends_when_it_is_told(till: Till) -> None:
    process = till.process("run", "--forever")
    try:
        until(till.db.exists)
        till.enqueue("POST", TODO, {"description": "one"})
        until(lambda: len(till.central.documents("ToDo")) == 1)
        till.central.down()
        till.enqueue("POST", TODO, {"description": "two"})
        until(lambda: till.json("status")["line"] == "open")
        till.central.up()
        until(lambda: len(till.central.documents("ToDo")) == 2)
    finally:
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert time.monotonic() - began < 10
    assert "result=success" in errors
    assert "Traceback" not in errors
    assert till.json("status")["state"] == "idle"


@pytest.mark.skipif(os.name != "posix", reason="ends by SIGTERM")
def test_a_run_is_not_kept_by_an_answer_that_does_not_come(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is cut off, and the next run finds out what became of the request."""
    till.central.fault(Fault(applies=True, delay=60))
    till.enqueue("POST", TODO, {"description": "one"})
    code = "import sys; from erp_offline_sync import cli; cli.STOP_SECONDS = 0.5; cli.main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "--db", str(till.db), "run"],
        env={**os.environ, **till.env, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: till.json("show", "1")["sends"] == 1)
    process.terminate()
    _, errors = process.communicate(timeout=8)
    assert "the next run looks up" in errors
    till.central.heal()


@pytest.mark.skipif(os.name != "posix", reason="ends by SIGTERM")
def test_between_the_starts_of_two_runs_lies_the_interval(till: Till) -> None:
    """Seen through the outbox, where each run notes when it began."""
    till.env["PROCESSING_INTERVAL"] = "1500"
    till.enqueue("POST", TODO, {"description": "0"})
    process = till.process("run", "--forever")
    started: list[str] = []

    def looked() -> bool:
        told = till.json("status")
        with SoleRunStore(till.db) as store, store.transaction():
            noted = store.get_meta("run_started")
        if noted and noted not in started and told["state"] == "idle" and not told["pendingCount"]:
            started.append(noted)
            till.enqueue("POST", TODO, {"description": noted})
        return len(started) == 3

    try:
        until(looked, 20)
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=20)
    times = [datetime.fromisoformat(text) for text in started]
    apart = [(after - before).total_seconds() for before, after in itertools.pairwise(times)]
    assert min(apart) >= 1, errors  # a run is noted a little after it began, one later than another

"""`offline-sync connect`: a site becomes a branch where everything was looked at, and stays as it is otherwise."""

import json
import os

import pytest
from site_rig.client import POLICIES
from site_rig.world import make_older

DONE, REFUSED, WRONG_USAGE, NEEDS_PERSON, OFFLINE = 0, 1, 2, 3, 4


def kept():
    """Runs on the branch."""
    import frappe
    from frappe.utils.password import get_decrypted_password

    name = "Offline Sync Settings"
    values = frappe.db.get_singles_dict(name)
    secret = get_decrypted_password(name, name, "api_secret", raise_exception=False)
    return [int(values.get("enabled") or 0), values.get("central_url"), values.get("api_key"), secret]


@pytest.fixture
def connect(branch, central, settings):
    """`connect(url, …)`: its exit code and what it prints; the branch is none before."""
    settings(policies=list(POLICIES), enabled=0, central_url="", api_key="", api_secret="")
    secret = branch.scratch("secret")
    secret.write_text(f"{central.api_secret}\n")

    def call(*words, url=central.url, key=central.api_key, secret_file=secret):
        given = ["--key", key, "--secret-file", str(secret_file)] if key else []
        done = branch.bench("offline-sync", "connect", url, *given, *words, check=False)
        assert central.api_secret not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr

    return call


def states(told):
    return {check["name"]: check["state"] for check in told["checks"]}


def test_it_looks_saves_and_the_next_save_arrives(branch, central, connect):
    code, out, _err = connect("--json")
    told = json.loads(out)
    assert (code, told["saved"]) == (DONE, True), told
    assert {"connection", "clock", "time zone", "version of the central", "companion"} <= set(states(told))
    assert branch.run(kept) == [1, central.url, central.api_key, central.api_secret]
    branch.insert({"doctype": "Shop Note", "title": "first"})
    assert branch.sync() == "done"
    assert central.count("Shop Note") == 1


def test_a_dry_run_tells_the_same_and_saves_nothing(branch, central, connect):
    code, out, _err = connect("--dry-run")
    assert code == DONE
    assert "Logged in as" in out
    assert "Nothing was saved." in out
    assert branch.run(kept)[0] == 0


def test_a_wrong_key_a_wrong_address_and_a_site_that_is_away_are_told_and_nothing_is_saved(
    branch, central, connect, tmp_path
):
    code, out, _err = connect(key="nonsense")
    assert code == OFFLINE
    assert "NO  connection" in out
    code, _out, err = connect(url="ftp://erp.example.com")
    assert code == REFUSED
    assert err.strip()
    with central.unreachable():
        code, out, _err = connect()
        assert (code, "NO  connection" in out) == (OFFLINE, True)
    assert branch.run(kept)[0] == 0


def test_without_a_key_and_nobody_to_ask_it_says_what_is_missing(branch, connect):
    os.environ.pop("CENTRAL_API_KEY", None)
    code, _out, err = connect(key=None)
    assert (code, "--secret-file" in err) == (WRONG_USAGE, True)


def test_documents_that_both_sites_have_are_linked_and_others_of_their_name_told(branch, central, connect):
    same, differs = "2026-01-05 10:00:00", "2026-01-06 10:00:00"
    for site in (branch, central):
        for code in ("TEA", "MILK"):
            make_older(site, {"doctype": "Shop Item", "item_code": code})
    make_older(branch, {"doctype": "Shop Item", "item_code": "ONLY"})
    for site, milk in ((branch, same), (central, differs)):
        site.run(made_at, "TEA", same)
        site.run(made_at, "MILK", milk)
    code, out, _err = connect("--link", "Shop Item", "--json")
    assert code == DONE
    found = json.loads(out)["linked"]["Shop Item"]
    assert found == {"linked": 1, "known": 0, "differ": 1, "differing": ["MILK"], "absent": 1}
    (known,) = branch.documents("Synced Document", fields=["local_name", "central_name"])
    assert (known["local_name"], known["central_name"]) == ("TEA", "TEA")
    branch.save("Shop Item", "TEA", item_name="Green tea")
    branch.sync()
    assert central.get("Shop Item", "TEA")["item_name"] == "Green tea"
    code, out, _err = connect("--link", "Shop Item", "--json")
    assert json.loads(out)["linked"]["Shop Item"]["known"] == 1


def made_at(name, moment):
    import frappe

    frappe.db.sql("update `tabShop Item` set creation = %s where name = %s", (moment, name))


def test_a_linked_document_that_somebody_changed_there_is_a_conflict_and_its_rows_are_known(
    branch, central, connect
):
    customer = {"doctype": "Shop Customer", "customer_name": "Asha"}
    for site in (branch, central):
        make_older(site, {"doctype": "Shop Item", "item_code": "TEA"})
        name = make_older(site, customer)["name"]
        rows = [{"item": "TEA", "qty": 1, "rate": 1}, {"item": "TEA", "qty": 2, "rate": 1}]
        sale = {"doctype": "Shop Sale", "customer": name, "items": rows}
        site.run(insert_as, sale, "SALE-OLD")
    assert connect("--link", "Shop Sale", "--link", "Shop Item")[0] == DONE
    branch.run(change_row, "SALE-OLD", 5)
    branch.sync()
    items = central.get("Shop Sale", "SALE-OLD")["items"]
    assert [row["qty"] for row in items] in ([5, 2], [1, 2]), "changed, or held; never doubled"


def insert_as(document, name):
    """Runs on a site: as if both were copies of one."""
    import frappe

    frappe.flags.in_patch = True
    try:
        doc = frappe.get_doc(document)
        doc.insert(set_name=name)
        frappe.db.sql("update `tabShop Sale` set creation = '2026-01-05 10:00:00' where name = %s", (name,))
    finally:
        frappe.flags.in_patch = False


def change_row(name, qty):
    import frappe

    doc = frappe.get_doc("Shop Sale", name)
    doc.items[0].qty = qty
    doc.save()


def test_another_central_is_refused_once_something_was_sent(branch, central, connect):
    assert connect()[0] == DONE
    branch.insert({"doctype": "Shop Note", "title": "sent"})
    branch.sync()
    elsewhere = central.url.replace("127.0.0.1", "localhost")
    if elsewhere == central.url:
        elsewhere = central.url.replace("localhost", "127.0.0.1")
    code, _out, err = connect(url=elsewhere)
    assert code == REFUSED
    assert "--moved" in err
    assert branch.run(kept)[1] == central.url


def test_what_cannot_be_linked_is_refused(branch, connect):
    for doctype in ("User", "Shop Sale Item", "Nothing"):
        code, _out, err = connect("--link", doctype)
        assert (code, bool(err.strip())) == (REFUSED, True)

"""Documents under a workflow: created in its first state at the central, then moved one transition at a time."""

import pytest
from site_rig.world import requests_of, statuses

WORKFLOW = "Shop Note Approval"


def make_workflow(name):
    """Runs on either site."""
    import frappe

    for state in ("Draft", "Checked", "Approved"):
        if not frappe.db.exists("Workflow State", state):
            frappe.get_doc({"doctype": "Workflow State", "workflow_state_name": state}).insert()
    for action in ("Check", "Approve"):
        if not frappe.db.exists("Workflow Action Master", action):
            frappe.get_doc({"doctype": "Workflow Action Master", "workflow_action_name": action}).insert()
    steps = [("Draft", "Check", "Checked"), ("Checked", "Approve", "Approved")]
    # Whatever role the branch's user has there: what is tested is the order of the steps.
    frappe.get_doc(
        {
            "doctype": "Workflow",
            "workflow_name": name,
            "document_type": "Shop Note",
            "is_active": 1,
            "workflow_state_field": "workflow_state",
            "send_email_alert": 0,
            "states": [
                {"state": state, "doc_status": "0", "allow_edit": "All"}
                for state in ("Draft", "Checked", "Approved")
            ],
            "transitions": [
                {"state": state, "action": action, "next_state": after, "allowed": "All"}
                for state, action, after in steps
            ],
        }
    ).insert()
    frappe.db.commit()


def remove_workflow(name):
    import frappe

    frappe.db.rollback()
    frappe.delete_doc("Workflow", name, force=True, ignore_missing=True)
    custom = frappe.get_all("Custom Field", {"dt": "Shop Note", "fieldname": "workflow_state"}, pluck="name")
    for field in custom:
        frappe.delete_doc("Custom Field", field, force=True)
    frappe.db.commit()
    frappe.clear_cache()


@pytest.fixture
def approval(branch, central, connected):
    """An active workflow on Shop Note at both sites: Draft, Checked, Approved."""
    for site in (branch, central):
        site.run(make_workflow, WORKFLOW)
    yield
    for site in (branch, central):
        site.run(remove_workflow, WORKFLOW)


def move(name, *actions):
    import frappe
    from frappe.model.workflow import apply_workflow

    for action in actions:
        apply_workflow(frappe.get_doc("Shop Note", name), action)
    frappe.db.commit()


def test_what_was_made_and_approved_offline_arrives_step_by_step(branch, central, approval):
    note = branch.insert({"doctype": "Shop Note", "title": "one"})["name"]
    branch.save("Shop Note", note, body="before it is checked")
    branch.run(move, note, "Check", "Approve")
    branch.save("Shop Note", note, body="after it is approved")
    assert branch.sync() == "done"
    assert statuses(branch) == [
        ("create", "Synced"),
        ("update", "Merged"),
        ("update", "Synced"),
        ("update", "Synced"),
        ("update", "Synced"),
    ], [row["error_message"] for row in requests_of(branch)]
    (there,) = central.documents("Shop Note", fields=["workflow_state", "body"])
    assert there == {"workflow_state": "Approved", "body": "after it is approved"}


def insert_and_move_within(title):
    """Code that approves a document while it is inserted: one save in another."""
    import frappe
    from frappe.model.workflow import apply_workflow

    doc = frappe.get_doc({"doctype": "Shop Note", "title": title})
    doc.after_insert = lambda: apply_workflow(frappe.get_doc("Shop Note", doc.name), "Check")
    doc.insert()
    frappe.db.commit()
    return frappe.db.get_value("Shop Note", doc.name, "workflow_state")


def test_what_is_moved_while_it_is_inserted_is_created_in_the_first_state(branch, central, approval):
    assert branch.run(insert_and_move_within, "at once") == "Checked"
    assert statuses(branch) == [("create", "Pending"), ("update", "Pending")]
    assert branch.sync() == "done"
    assert {status for _, status in statuses(branch)} == {"Synced"}, requests_of(branch)
    (here,) = branch.documents("Shop Note", fields=["workflow_state"])
    assert central.documents("Shop Note", fields=["workflow_state"]) == [here]


def give_to(role):
    """Runs on the branch: the last step is for that role."""
    import frappe

    if not frappe.db.exists("Role", role):
        frappe.get_doc({"doctype": "Role", "role_name": role, "desk_access": 1}).insert()
    workflow = frappe.get_doc("Workflow", "Shop Note Approval")
    workflow.transitions[-1].allowed = role
    workflow.save()
    frappe.db.commit()


def test_doctor_tells_of_a_workflow_and_which_of_its_roles_the_branchs_user_lacks(
    branch, central, connected, approval
):
    def told():
        found = branch.call("erp_offline_sync.api.doctor")
        return {check["name"]: check for check in found if check["name"].startswith("workflow of")}

    (check,) = told().values()
    assert (check["name"], check["state"]) == ("workflow of Shop Note", "ok")
    assert check["message"].startswith(f"{WORKFLOW}: a document travels in its first state")
    branch.run(give_to, "Note Approver")
    (check,) = told().values()
    assert check["state"] == "warning"
    assert "At the central the branch's user lacks: Note Approver." in check["message"]
    assert "waits for a person" in check["todo"]

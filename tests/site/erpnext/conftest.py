"""Fixtures of the cases with ERPNext; see README.md of the site tier."""

from __future__ import annotations

import pytest


class Trade:
    """A branch and the central that it sends to."""

    def __init__(self, branch, there, settings):
        self.branch = branch
        self.there = there
        self._settings = settings

    def connect(self, url=None, and_policies=(), **values):
        """With the policies that are proposed, but for those given here."""
        there = {"api_key": self.there.api_key, "api_secret": self.there.api_secret}
        given = {row["document_type"] for row in and_policies}
        proposed = self.branch.call("erp_offline_sync.erpnext_policies.proposed_rows")
        policies = [row for row in proposed if row["document_type"] not in given]
        self._settings(
            policies=[*policies, *and_policies], central_url=url or self.there.url, **there, **values
        )

    def name_there(self, doctype, name):
        (known,) = self.branch.documents(
            "Synced Document", {"reference_doctype": doctype, "local_name": name}
        )
        return known["central_name"]

    def at_the_central(self, doctype, name):
        return self.there.get(doctype, self.name_there(doctype, name))

    def requests(self):
        fields = [
            "operation",
            "resource_type",
            "resource_id",
            "status",
            "error_message",
            "waits_why",
            "sends",
        ]
        return self.branch.documents("Offline Request", fields=fields, order_by="seq asc")

    def told(self):
        """(operation, doctype, status) of each request, in the order of capture."""
        return [(row["operation"], row["resource_type"], row["status"]) for row in self.requests()]

    def drain(self, **how):
        """Everything is sent, and nothing needs a person. A companion that could not be asked what it can do is
        asked again a minute later; until then requests go to it one by one. What the central refuses for a moment
        comes again: of two that make the first stock balance of an item side by side, ERPNext refuses one."""
        for _ in range(3):
            self.branch.sync(**{"force": True, "later": 70, **how})
            if all(row["status"] != "Retry Scheduled" for row in self.requests()):
                break
        for row in self.requests():
            assert row["status"] in ("Synced", "Merged"), f"{row}"
        assert self.there.role == "central" or self.there.count("Sync Receipt")


@pytest.fixture(scope="session")
def opened(rig):
    """Shops with stock, and centrals that count ahead of the branch."""
    from site_rig.erpnext_world import open_the_shop

    for site in rig.sites:
        open_the_shop(site)
    rig.companion.run(let_push, rig.companion.api_user)


def let_push(user):
    """Runs on the companion: what the branch's user sends goes in pushes."""
    import frappe

    frappe.get_doc("User", user).add_roles("Offline Sync Branch")


@pytest.fixture(params=["plain REST", "companion"])
def trade(request, branch, central, companion, opened, settings):
    """A branch that is connected, once by plain REST, once with the companion."""
    trade = Trade(branch, central if request.param == "plain REST" else companion, settings)
    trade.connect()
    return trade

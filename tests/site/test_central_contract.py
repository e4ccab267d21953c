"""The stand-in central and a real site answer the same list of requests in the same way."""

from __future__ import annotations

import json
from typing import Any

import pytest


def calling(site: Any) -> Any:
    """One request to the site; see `CallCentral`."""

    def call(method: str, path: str, body: Any = None, *, token: str = "good") -> tuple[int, Any]:
        headers = {"Content-Type": "application/json"}
        if token == "bad":
            headers["Authorization"] = f"token {site.api_key}:not-the-secret"
        session = site.guest if token == "none" else site.rest
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body)
        answer = session.request(method, path, data=data, headers=headers)
        try:
            return answer.status_code, answer.json()
        except ValueError:
            return answer.status_code, None

    return call


def give_doctypes(documents: list[dict[str, Any]]) -> None:
    import frappe

    for document in documents:
        if not frappe.db.exists("DocType", document["name"]):
            frappe.get_doc(document).insert()
            frappe.db.commit()


@pytest.fixture(scope="module")
def seen(central) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the stand-in and the site were seen to answer."""
    import requests

    from erp_offline_sync.testing.central_contract import RULES, doctype_documents, observe
    from erp_offline_sync.testing.stand_in import API_KEY, API_SECRET, StandInCentral

    central.run(give_doctypes, doctype_documents())
    with StandInCentral(RULES) as stand_in, requests.Session() as session:

        def call(method: str, path: str, body: Any = None, *, token: str = "good") -> tuple[int, Any]:
            secret = API_SECRET if token == "good" else "not-the-secret"
            headers = {} if token == "none" else {"Authorization": f"token {API_KEY}:{secret}"}
            data = body if isinstance(body, bytes) else None if body is None else json.dumps(body)
            answer = session.request(method, stand_in.url + path, data=data, headers=headers)
            try:
                return answer.status_code, answer.json()
            except ValueError:
                return answer.status_code, None

        return observe(call), observe(calling(central))


def test_the_stand_in_answers_as_a_real_site_does(seen: tuple[dict[str, Any], dict[str, Any]]) -> None:
    stand_in, site = seen
    differing = [
        f"{case}: {stand_in[case]} but {site[case]}" for case in site if stand_in[case] != site[case]
    ]
    assert not differing, "\n".join(differing)

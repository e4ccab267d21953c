"""What the engine gets where there is no bench: hooks of this process, plain policies, no documents."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from erp_offline_sync.adapters.standalone import (
    NoCentral,
    NoDocuments,
    PlainPolicies,
    RegisteredHooks,
    StopFlag,
)
from erp_offline_sync.engine.errors import LocalRefused
from erp_offline_sync.engine.model import Conflict, ConflictType, Gap, Policy, Resolution, Schema, Wire
from erp_offline_sync.engine.registry import HookRegistry
from erp_offline_sync.testing.clock import START

CONFLICT = Conflict(
    id="c1",
    resource_type="Sales Invoice",
    resource_id="S-1",
    line="l1",
    local_request_id="r1",
    conflict_type=ConflictType.UPDATE_UPDATE,
    local_data={"total": 5},
    base_data={"total": 1},
    server_data={"total": 7},
    server_version="v1",
    local_changed_at=START,
    created_at=START,
)


def decide(*hooks: Any, doctype: str = "Sales Invoice") -> Any:
    registry = HookRegistry()
    for hook in hooks:
        registry.register(doctype, hook)
    return RegisteredHooks(registry).decide(CONFLICT, None)


def answers(value: Any) -> Any:
    def hook(conflict_id: str, data: Any) -> Any:
        return value

    return hook


# hooks


def test_without_a_hook_nobody_decides() -> None:
    assert decide() is None
    assert decide(answers({"resolution": "skip"}), doctype="Customer") is None


@pytest.mark.parametrize("resolution", Resolution)
def test_what_a_hook_answers_is_handed_on_with_its_name(resolution: Resolution) -> None:
    decision = decide(answers({"resolution": resolution.value}))
    assert decision["resolution"] == resolution.value
    assert "answers" in decision["by"]


def test_a_hook_sees_the_conflict_with_both_sides_and_the_base() -> None:
    seen: list[Any] = []
    decide(lambda conflict_id, data: seen.append((conflict_id, data)))
    ((conflict_id, data),) = seen
    assert conflict_id == "c1"
    assert (data["base_data"], data["local_data"], data["server_data"]) == (
        {"total": 1},
        {"total": 5},
        {"total": 7},
    )


def test_a_hook_that_passes_leaves_it_to_the_next_one() -> None:
    decision = decide(answers(None), answers({"resolution": "skip"}), answers({"resolution": "merge"}))
    assert decision["resolution"] == "skip"


async def waits(conflict_id: str, data: Any) -> Any:
    await asyncio.sleep(0)
    return {"resolution": "server_wins"}


def test_a_coroutine_is_awaited() -> None:
    assert decide(waits) == {"resolution": "server_wins", "values": {}, "by": "waits"}


def test_a_coroutine_is_awaited_inside_a_running_loop_too() -> None:
    """As in a notebook."""

    async def program() -> Any:
        return decide(waits)

    assert asyncio.run(program()) == {"resolution": "server_wins", "values": {}, "by": "waits"}


def raises(conflict_id: str, data: Any) -> Any:
    raise LookupError("total 5 of customer Ann")


async def raises_later(conflict_id: str, data: Any) -> Any:
    raise LookupError("total 5 of customer Ann")


@pytest.mark.parametrize("hook", [raises, raises_later])
def test_a_hook_that_raises_is_named_and_decides_nothing_nor_lets_others_decide(hook: Any) -> None:
    """Its message may hold a document's values."""
    assert decide(hook, answers({"resolution": "local_wins"})) == {
        "error": "LookupError",
        "by": hook.__name__,
    }


@pytest.mark.parametrize("nonsense", ["server_wins", {"resolution": "hope"}, {}, 7])
def test_a_hook_that_answers_nonsense_is_told_what_to_answer(nonsense: Any) -> None:
    decision = decide(answers(nonsense), answers({"resolution": "local_wins"}))
    assert "must answer" in decision["error"]
    assert "resolution" not in decision


def test_a_hook_that_runs_too_long_decides_nothing() -> None:
    def runs(conflict_id: str, data: Any) -> None:
        while True:
            pass

    registry = HookRegistry()
    registry.register("*", runs)
    decision = RegisteredHooks(registry, seconds=0.05).decide(CONFLICT, None)
    assert decision is not None
    assert "longer than 0.05 seconds" in decision["error"]


def test_what_a_hook_does_to_its_data_no_other_hook_sees() -> None:
    def spoils(conflict_id: str, data: Any) -> None:
        data["local_data"].clear()

    seen: list[Any] = []
    decide(spoils, lambda conflict_id, data: seen.append(data["local_data"]))
    assert seen == [{"total": 5}]
    assert CONFLICT.local_data == {"total": 5}


def test_a_hook_may_merge_with_values() -> None:
    decision = decide(answers({"resolution": "merge", "values": {"total": 12}}))
    assert (decision["resolution"], decision["values"]) == ("merge", {"total": 12})


def test_an_object_can_be_a_hook() -> None:
    class Decider:
        def __call__(self, conflict_id: str, data: Any) -> Any:
            return {"resolution": "skip"}

    assert decide(Decider()) == {"resolution": "skip", "values": {}, "by": "Decider"}


# the rest


def test_without_a_policy_names_are_the_same_on_both_sites() -> None:
    """Whoever queues calls writes the central's names."""
    policies = PlainPolicies({"Item": Policy()}, {"Item": Schema(fields={})})
    assert policies.policy("Customer").same_names
    assert not policies.policy("Item").same_names
    assert policies.schema("Customer") is None
    assert policies.schema("Item") == Schema(fields={})


def test_without_documents_there_is_nothing_to_write_and_nothing_to_move() -> None:
    documents = NoDocuments()
    assert documents.current("Sale", "S-1") is None
    documents.write("Sale", "S-1", {})
    documents.restore("Sale", "S-1", {})
    documents.delete("Sale", "S-1")
    with pytest.raises(LocalRefused):
        documents.set_docstatus("Sale", "S-1", 1)


def test_without_a_central_everything_is_certainly_unsent() -> None:
    central = NoCentral()
    for reply in (
        central.deliver(Wire(method="POST", path="/api/method/x", body=None), key="k"),
        central.fetch("Sale", "S-1"),
        central.find("Sale", {}),
        central.find_created_since("Sale", START),
        central.probe(),
        central.rehearse(b""),
    ):
        assert (reply.status, reply.gap) == (None, Gap.NOT_SENT)
    assert central.instant("2026-01-05 10:00:00") is None
    assert central.deadline > 0


def test_a_stop_is_heard_with_its_reason_from_another_thread() -> None:
    flag = StopFlag()
    assert flag.stop_reason() is None
    thread = threading.Thread(target=flag.stop, args=("maintenance",))
    thread.start()
    thread.join()
    assert flag.stop_reason() == "maintenance"

"""The doctypes against the engine's values, the settings' table and the names people were promised."""

from __future__ import annotations

import ast
import json
from dataclasses import fields
from enum import Enum
from pathlib import Path

import pytest

from erp_offline_sync.adapters import rows
from erp_offline_sync.engine.config import SETTINGS
from erp_offline_sync.engine.model import (
    Conflict,
    ConflictType,
    Document,
    Operation,
    Request,
    Resolution,
    Status,
    Strategy,
)

PACKAGE = Path(rows.__file__).parents[1]
DOCTYPES = {
    spec["name"]: spec
    for path in sorted((PACKAGE / "erp_offline_sync" / "doctype").glob("*/*.json"))
    for spec in [json.loads(path.read_text(encoding="utf-8"))]
}
WRITTEN_AS_ROWS = [
    "Offline Request",
    "Offline Request Link",
    "Synced Document",
    "Sync Conflict",
    "Sync Metadata",
    "Sync Receipt",
]
INDEXED = [*WRITTEN_AS_ROWS, "Sync Origin"]
LAYOUT = {"Section Break", "Column Break", "Tab Break", "HTML"}
STANDARD = {"name", "owner", "creation", "modified", "modified_by", "docstatus", "idx"}

PROMISED = {
    "Offline Request": "next_retry_at resource_id resource_type resource_version method path body operation "
    "priority status retry_count error_message",
    "Sync Conflict": "resource_id resource_type local_request_id local_data server_data server_version "
    "conflict_type resolution_status resolved_at creation base_data resolution resolved_by reason choices result",
    "Sync Metadata": "key value updated_at",
    "Offline Sync Settings": "enabled role central_url api_key api_secret ca_file processing_interval "
    "max_retries base_retry_delay max_retry_delay sync_batch_size sync_lanes sync_on_save default_strategy lww_uncertain merge_clashes "
    "central_request_timeout max_body_mb queue retention_days allowed_paths sync_window_start sync_window_end "
    "policies",
    "Offline Sync Policy": "document_type enabled operations priority order_group same_names excluded_fields "
    "also_send_fields naming marked captured_db_set_fields set_values include_derived strategy merge_clashes",
    "Synced Document": "reference_doctype local_name central_name version base child_rows touched_at deleted",
    "Offline Request Link": "request seq line open",
    "Sync Receipt": "origin request_id number fingerprint outcome operation reference_doctype reference_name "
    "version document_docstatus",
    "Sync Origin": "branch_name user site run low_water last_seen stopped stopped_because stopped_reason "
    "stopped_at",
}
"""The names that documents, reports and scripts of users may rely on."""

RENAMED = {
    Request: {"id": "name", "key": "idempotency_key", "unique": "unique_values", "rank": "queue_rank"},
    Document: {"id": "name", "doctype": "reference_doctype", "rows": "child_rows"},
    Conflict: {"id": "name", "created_at": "creation", "values": "result"},
}
HOLDS = {"Offline Request": Request, "Synced Document": Document, "Sync Conflict": Conflict}


def columns(doctype: str) -> dict[str, dict[str, object]]:
    return {
        field["fieldname"]: field for field in DOCTYPES[doctype]["fields"] if field["fieldtype"] not in LAYOUT
    }


def test_every_doctype_is_there() -> None:
    assert set(DOCTYPES) == set(PROMISED)


@pytest.mark.parametrize("doctype", PROMISED)
def test_promised_names_are_columns(doctype: str) -> None:
    promised = set(PROMISED[doctype].split())
    assert promised - STANDARD <= set(columns(doctype))


@pytest.mark.parametrize("doctype", HOLDS)
def test_every_field_of_the_engines_value_has_a_column(doctype: str) -> None:
    """A field added to the engine and not to the doctype would be lost at the first write."""
    value = HOLDS[doctype]
    wanted = {RENAMED[value].get(field.name, field.name) for field in fields(value)}
    assert wanted - STANDARD <= set(columns(doctype))


def test_a_receipt_says_what_the_claims_say() -> None:
    written = ast.literal_eval(constant("receiver/claims", "OUTCOMES"))
    assert columns("Sync Receipt")["outcome"]["options"] == "\n".join(written)


@pytest.mark.parametrize(
    ("doctype", "written"),
    [
        ("Offline Request", rows.REQUEST_COLUMNS),
        ("Synced Document", rows.DOCUMENT_COLUMNS),
        ("Sync Conflict", rows.CONFLICT_COLUMNS),
    ],
)
def test_every_column_of_the_codec_is_in_the_doctype(doctype: str, written: tuple[str, ...]) -> None:
    assert set(written) - STANDARD <= set(columns(doctype))


@pytest.mark.parametrize(
    ("doctype", "field", "enum"),
    [
        ("Offline Request", "status", Status),
        ("Offline Request", "operation", Operation),
        ("Sync Conflict", "conflict_type", ConflictType),
        ("Sync Conflict", "resolution", Resolution),
        ("Offline Sync Settings", "default_strategy", Strategy),
        ("Offline Sync Policy", "strategy", Strategy),
    ],
)
def test_choices_are_those_of_the_engine(doctype: str, field: str, enum: type[Enum]) -> None:
    options = str(columns(doctype)[field]["options"]).split("\n")
    assert [option for option in options if option] == [member.value for member in enum]


def test_settings_have_the_engines_defaults() -> None:
    stated = columns("Offline Sync Settings")
    assert {name: stated[name].get("default") for name in SETTINGS} == {
        name: str(setting.default) for name, setting in SETTINGS.items()
    }
    assert stated["default_strategy"]["default"] == Strategy.LAST_WRITE_WINS.value
    assert stated["lww_uncertain"]["default"] == Resolution.SERVER_WINS.value
    assert stated["sync_on_save"]["default"] == "1"
    assert stated["enabled"]["default"] == "0"


def test_the_secret_is_a_password_field() -> None:
    assert columns("Offline Sync Settings")["api_secret"]["fieldtype"] == "Password"


@pytest.mark.parametrize("doctype", sorted(DOCTYPES))
def test_every_doctype_says_who_may_use_it(doctype: str) -> None:
    spec = DOCTYPES[doctype]
    if spec.get("istable"):
        assert spec["permissions"] == []
        return
    assert spec["permissions"]
    for rule in spec["permissions"]:
        assert rule["read"] == 1
        assert rule["role"] in {"System Manager", "Offline Sync Manager", "Offline Sync User"}
        assert "share" not in rule, "a shared row would be read past the permission on its document"


@pytest.mark.parametrize("doctype", WRITTEN_AS_ROWS)
def test_people_cannot_write_rows(doctype: str) -> None:
    spec = DOCTYPES[doctype]
    for rule in spec["permissions"]:
        assert not {"write", "create", "delete", "import", "submit"} & set(rule)
    assert spec["in_create"] == 1
    assert all(field.get("read_only") for field in columns(doctype).values())
    assert not spec.get("track_changes")
    assert not spec.get("allow_rename")


def test_of_a_branch_people_change_only_whether_it_may_push() -> None:
    writable = {name for name, field in columns("Sync Origin").items() if not field.get("read_only")}
    assert writable == {"stopped"}
    for rule in DOCTYPES["Sync Origin"]["permissions"]:
        assert not {"create", "delete", "import", "submit"} & set(rule)


@pytest.mark.parametrize("doctype", INDEXED)
def test_nothing_makes_sqlite_rebuild_or_mariadb_drop_an_index(doctype: str) -> None:
    """Indexes are made by erp_offline_sync.indexes alone: a field's own index, unique key or default makes a
    migrate rebuild the table on SQLite, and an index on `modified` has the same name there for every doctype."""
    assert DOCTYPES[doctype]["sort_field"] != "modified"
    for field in columns(doctype).values():
        assert not {"unique", "search_index", "default"} & set(field), field["fieldname"]


@pytest.mark.parametrize("doctype", INDEXED)
def test_no_link_of_ours_can_hold_a_business_document(doctype: str) -> None:
    kinds = {field["fieldtype"] for field in columns(doctype).values()}
    assert "Dynamic Link" not in kinds
    targets = {field.get("options") for field in columns(doctype).values() if field["fieldtype"] == "Link"}
    assert targets <= set(DOCTYPES)


@pytest.mark.parametrize("doctype", sorted(DOCTYPES))
def test_no_time_field_is_filled_in_by_frappe(doctype: str) -> None:
    """Frappe gives a new document the time of day in every Time field: a sync window of no length."""
    assert "Time" not in {field["fieldtype"] for field in columns(doctype).values()}


@pytest.mark.parametrize("doctype", sorted(DOCTYPES))
def test_the_json_is_whole(doctype: str) -> None:
    spec = DOCTYPES[doctype]
    names = [field["fieldname"] for field in spec["fields"]]
    assert spec["field_order"] == names
    assert len(names) == len(set(names))
    assert spec["module"] == "ERP Offline Sync"
    slug = doctype.lower().replace(" ", "_")
    folder = PACKAGE / "erp_offline_sync" / "doctype" / slug
    for name in (f"{slug}.json", f"{slug}.py", "__init__.py"):
        assert (folder / name).is_file()


def test_the_workspace_counts_no_rows() -> None:
    """A shortcut or number card of a doctype counts its rows each time the page is opened."""
    spec = json.loads(
        (PACKAGE / "erp_offline_sync/workspace/offline_sync/offline_sync.json").read_text(encoding="utf-8")
    )
    assert spec["shortcuts"] == spec["number_cards"] == []
    links = [link for link in spec["links"] if link["type"] == "Link"]
    assert {link["link_to"] for link in links if link["link_type"] == "DocType"} <= set(DOCTYPES)
    for page in (link["link_to"].replace("-", "_") for link in links if link["link_type"] == "Page"):
        assert (PACKAGE / f"erp_offline_sync/page/{page}/{page}.json").exists()


def constant(module: str, name: str) -> ast.expr:
    """The value that a module of the package gives a name at its top; read without running it."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == name for target in node.targets
        ):
            return node.value
    raise AssertionError(f"{module}.py has no {name}")


def index_table() -> dict[str, list[tuple[str, tuple[str, ...]]]]:
    table = constant("indexes", "INDEXES")
    assert isinstance(table, ast.Dict)
    found: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    for key, value in zip(table.keys, table.values, strict=True):
        assert isinstance(key, ast.Constant)
        assert isinstance(value, ast.List)
        found[str(key.value)] = [
            (ast.literal_eval(entry.elts[0]), ast.literal_eval(entry.elts[1]))
            for entry in value.elts
            if isinstance(entry, ast.Tuple)
        ]
    return found


def test_indexes_name_columns_that_exist() -> None:
    assert set(index_table()) == set(INDEXED)
    for doctype, indexes in index_table().items():
        for name, indexed in indexes:
            assert set(indexed) <= set(columns(doctype)) | STANDARD, name


def test_indexes_survive_a_migrate() -> None:
    """At least two columns, or MariaDB's migrate drops it; a name of its own, or SQLite never makes it."""
    every = [index for indexes in index_table().values() for index in indexes]
    assert all(len(indexed) >= 2 for _name, indexed in every)
    assert all(name.startswith("eos_") for name, _indexed in every)
    assert len({name for name, _indexed in every}) == len(every)


def hook_paths() -> set[str]:
    """Every text in hooks.py that is a dotted path of ours."""
    tree = ast.parse((PACKAGE / "hooks.py").read_text(encoding="utf-8"))
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.startswith("erp_offline_sync.")
    }


@pytest.mark.parametrize("path", sorted(hook_paths()))
def test_every_hook_is_a_function(path: str) -> None:
    _package, *parts, function = path.split(".")
    tree = ast.parse(PACKAGE.joinpath(*parts).with_suffix(".py").read_text(encoding="utf-8"))
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_deleting_a_business_document_is_never_blocked_by_ours() -> None:
    ignored = ast.literal_eval(constant("hooks", "ignore_links_on_delete"))
    assert set(ignored) == set(DOCTYPES)


def test_rows_about_documents_are_guarded_in_forms_and_lists() -> None:
    about = set(ast.literal_eval(constant("permissions", "ABOUT")))
    assert about == {*HOLDS, "Sync Receipt"}
    for hook in ("has_permission", "permission_query_conditions"):
        assert set(ast.literal_eval(constant("hooks", hook))) == {*about, "Sync Origin"}


def test_values_of_documents_stand_in_no_list_and_pass_the_readers_levels_alone() -> None:
    """Each field that holds some has a level that no role has, and is one of those that `field_levels` reads."""
    tree = ast.parse((PACKAGE / "field_levels.py").read_text(encoding="utf-8"))
    (stated,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "VALUES"
    )
    assert isinstance(stated, ast.Dict)
    read = {
        ast.literal_eval(doctype): {ast.literal_eval(field) for field in inner.keys}
        for doctype, inner in zip(stated.keys, stated.values, strict=True)
        if isinstance(inner, ast.Dict)
    }
    above = {
        doctype: {name for name, field in columns(doctype).items() if field.get("permlevel")}
        for doctype in HOLDS
    }
    assert read == above
    assert not [
        doctype for doctype in HOLDS for role in DOCTYPES[doctype]["permissions"] if role.get("permlevel")
    ]
    for doctype in HOLDS:
        folder = doctype.lower().replace(" ", "_")
        source = (PACKAGE / f"erp_offline_sync/doctype/{folder}/{folder}.py").read_text(encoding="utf-8")
        assert "(ReadByLevel, Document)" in source


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.glob("erp_offline_sync/doctype/*/*.py")), ids=lambda p: p.stem
)
def test_controllers_keep_frappes_type_checks(path: Path) -> None:
    """Postponed annotations turn off Frappe's checks of whitelisted arguments."""
    assert "from __future__ import annotations" not in path.read_text(encoding="utf-8")


def test_forms_show_values_as_text_only() -> None:
    """Values come from other sites and other people: no template of HTML is made of them."""
    for path in sorted(PACKAGE.rglob("*.js")):
        if "node_modules" in path.parts or "dist" in path.parts:
            continue
        source = path.read_text(encoding="utf-8")
        for forbidden in ("innerHTML", "insertAdjacentHTML", ".html(", "eval(", "document.write"):
            assert forbidden not in source, f"{path.name}: {forbidden}"

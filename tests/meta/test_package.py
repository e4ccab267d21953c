"""What is shipped, and what importing it costs: bench imports `erp_offline_sync.commands` on every call."""

from __future__ import annotations

import ast
import json
import runpy
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:  # the parser came with 3.11
    tomllib = None

ROOT = Path(__file__).resolve().parents[2]
APP = ROOT / "erp_offline_sync"
SOURCES = sorted(APP.rglob("*.py"))
HAVE_FLIT = find_spec("flit_core") is not None
NEVER_AT_IMPORT = ("frappe", "requests", "urllib3", "erp_offline_sync.engine", "erp_offline_sync.adapters")


def project() -> dict[str, Any]:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    if tomllib is not None:
        return tomllib.loads(text)
    # Enough for the few lists that are read here.
    lists: dict[str, Any] = {}
    section, name = "", ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line.endswith("= ["):
            name = line.split(" = ")[0]
            lists.setdefault(section, {})[name] = []
        elif line.startswith("    ") and name:
            lists[section][name].append(line.strip().strip(",").strip('"'))
        elif line == "]":
            name = ""
        elif " = " in line:
            key, value = line.split(" = ", 1)
            lists.setdefault(section, {})[key] = value.strip('"')
    return {
        "project": lists["project"],
        "tool": {
            "flit": {"module": lists["tool.flit.module"]},
            "bench": {"frappe-dependencies": lists["tool.bench.frappe-dependencies"]},
        },
    }


# The wheel


def test_only_the_package_is_named_as_what_is_built() -> None:
    """Flit takes one module, whole; tests and documents stand beside it."""
    assert project()["tool"]["flit"]["module"] == {"name": "erp_offline_sync"}
    assert not [path for path in APP.rglob("test_*.py") if "doctype" not in path.parts]


if HAVE_FLIT:  # pip builds with a Flit of its own, so that it need not be installed here

    def test_the_wheel_holds_the_package_and_not_the_tests(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from flit_core import buildapi

        monkeypatch.chdir(ROOT)
        with zipfile.ZipFile(tmp_path / buildapi.build_wheel(str(tmp_path))) as wheel:
            names = set(wheel.namelist())
            (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
            told = wheel.read(metadata).decode()
        tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
        assert tops == {"erp_offline_sync"}
        kept = {path.relative_to(ROOT).as_posix() for path in APP.rglob("*") if path.is_file()}
        assert {name for name in kept if "__pycache__" not in name} <= names
        assert "Requires-Dist: requests" in told
        assert "Requires-Dist: frappe" not in told


def test_frappe_is_no_dependency_of_pip() -> None:
    """On PyPI that name is an empty placeholder; bench reads the range of its own table."""
    stated = project()
    assert {name.split(">=")[0] for name in stated["project"]["dependencies"]} == {"requests", "click"}
    assert stated["tool"]["bench"]["frappe-dependencies"]["frappe"] == ">=15.40.0,<17.0.0-dev"


def test_the_licence_is_there() -> None:
    assert "MIT License" in (ROOT / "license.txt").read_text(encoding="utf-8")


# Imports


@pytest.mark.parametrize(
    "module", ["erp_offline_sync", "erp_offline_sync.commands", "erp_offline_sync.hooks"]
)
def test_what_bench_imports_on_every_call_is_cheap(module: str) -> None:
    """In a fresh interpreter: neither frappe nor HTTP nor the engine is loaded."""
    program = f"import {module}, sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = json.loads(done.stdout)
    assert not [name for name in loaded if name.startswith(NEVER_AT_IMPORT)]


def test_the_demo_and_the_command_need_no_frappe() -> None:
    program = (
        "import erp_offline_sync.cli, erp_offline_sync.bootstrap, sys; sys.exit('frappe' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def whitelisted(tree: ast.Module) -> list[ast.FunctionDef]:
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(decorator).startswith("frappe.whitelist") for decorator in node.decorator_list)
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(APP).as_posix())
def test_annotations_are_real_where_frappe_reads_them_and_postponed_in_the_pure_parts(path: Path) -> None:
    """`from __future__ import annotations` silently turns off Frappe's checks of arguments' types."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)
    inside = path.relative_to(APP).parts
    if whitelisted(tree) or inside[0] in ("erp_offline_sync", "api.py"):
        assert not imported
    if inside[0] in ("engine", "adapters", "testing") and path.name != "__init__.py":
        assert imported


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(APP).as_posix())
def test_a_whitelisted_function_with_required_parameters_refuses_a_call_without_them(path: Path) -> None:
    """Frappe would answer 500; tests/site calls each of them without."""
    for function in whitelisted(ast.parse(path.read_text(encoding="utf-8"))):
        decorators = [ast.unparse(decorator) for decorator in function.decorator_list]
        if len(function.args.args) > len(function.args.defaults):
            assert decorators[-1].endswith("needs_all_parameters"), function.name


# Hooks


def paths_in(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value] if value.startswith("erp_offline_sync.") else []
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [path for each in inner for path in paths_in(each)]


HOOKED = sorted(
    {
        path
        for name, value in runpy.run_path(str(APP / "hooks.py")).items()
        if not name.startswith("_")
        for path in paths_in(value)
    }
)


@pytest.mark.parametrize("dotted", HOOKED)
def test_each_hook_leads_to_a_function(dotted: str) -> None:
    """Read from the source, as the modules import frappe."""
    module, _, function = dotted.rpartition(".")
    source = ROOT / Path(*module.split(".")).with_suffix(".py")
    assert source.is_file()
    tree = ast.parse(source.read_text(encoding="utf-8"))
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_each_bundle_that_the_desk_loads_is_there() -> None:
    for bundle in runpy.run_path(str(APP / "hooks.py"))["app_include_js"]:
        assert (APP / "public/js" / bundle).is_file()

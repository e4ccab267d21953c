"""How a file of settings is read, line by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from erp_offline_sync.adapters.environment import read_env_file, read_settings
from erp_offline_sync.engine.errors import SettingsError


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("X=1", "1"),
        ("  X = 1  ", "1"),
        ("export X=1", "1"),
        ("X=", ""),
        ("X=a b", "a b"),
        ("X=a # a comment", "a"),
        ("X=a#b", "a#b"),
        ("X=# a comment", ""),
        ("X=a=b", "a=b"),
        ("X='a # b' # a comment", "a # b"),
        ("X='a\\n'", "a\\n"),
        ('X="a\\"b\\n\\t\\\\ \\x"', 'a"b\n\t\\ \\x'),
        ("X=$HOME", "$HOME"),
    ],
)
def test_a_line_gives_a_value(tmp_path: Path, line: str, value: str) -> None:
    path = tmp_path / ".env"
    path.write_text(f"\ufeff# settings\n\n{line}\n", encoding="utf-8")
    assert read_env_file(path) == {"X": value}


@pytest.mark.parametrize("line", ["X", "=1", "X Y=1", "X='a", 'X="a', "X='a' b", "1X=a", "X-Y=a"])
def test_a_line_that_is_none_is_named_by_its_number_without_its_text(tmp_path: Path, line: str) -> None:
    path = tmp_path / ".env"
    path.write_text(f"A=1\n{line} canary\n" if "'" not in line and '"' not in line else f"A=1\n{line}\n")
    with pytest.raises(SettingsError, match="line 2") as wrong:
        read_env_file(path)
    assert "canary" not in str(wrong.value)


def test_no_file_is_no_settings(tmp_path: Path) -> None:
    assert read_env_file(tmp_path / ".env") == {}


@pytest.mark.parametrize("content", [b"X=\xff\xfe\xfa", b"X=1\n" * 50_000])
def test_what_is_no_file_of_settings_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / ".env"
    path.write_bytes(content)
    with pytest.raises(SettingsError):
        read_env_file(path)


def test_a_directory_in_its_place_is_told(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    with pytest.raises(SettingsError, match="cannot be read"):
        read_env_file(tmp_path / ".env")


def test_the_environment_wins_and_what_is_empty_is_not_given(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("CENTRAL_URL=file\nMAX_RETRIES=5\nSYNC_BATCH_SIZE=\nOTHER=1\n")
    given = read_settings({"CENTRAL_URL": "environment", "MAX_RETRIES": "", "PATH": "x"}, tmp_path)
    assert given == {"central_url": "environment", "max_retries": "5"}

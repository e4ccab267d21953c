"""One branch a test."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("support")

from support import Branch, a_branch  # noqa: E402  the rewriting has to be asked for first


@pytest.fixture
def branch() -> Branch:
    return a_branch()

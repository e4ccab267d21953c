"""The suites live in the package, where pytest would not explain a failed assertion by itself."""

import pytest

pytest.register_assert_rewrite("erp_offline_sync.testing.store_contract")

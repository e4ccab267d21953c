"""`python -m erp_offline_sync` is the command `erp-offline-sync`."""

from __future__ import annotations

from erp_offline_sync.cli import main

main(prog_name="erp-offline-sync")

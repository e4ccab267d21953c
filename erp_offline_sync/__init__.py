"""erp_offline_sync: keeps a branch-office Frappe bench working offline. Importing this never imports frappe."""

__version__ = "0.1.0"

"""The only place that imports a driver: HTTP, SQLite, Frappe."""

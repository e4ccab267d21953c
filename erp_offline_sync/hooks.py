"""What Frappe asks of this app. Each path is a function of the module it names (tests/meta checks that)."""

app_name = "erp_offline_sync"
app_title = "ERP Offline Sync"
app_publisher = "erp_offline_sync contributors"
app_description = "Keeps a branch-office bench working offline and its outbox draining to the central site"
app_email = "maintainers@erp-offline-sync.example"
app_license = "MIT"

app_include_js = ["offline_sync.bundle.js"]
app_include_css = ["offline_sync.bundle.css"]

after_install = "erp_offline_sync.install.after_install"
before_migrate = "erp_offline_sync.install.before_migrate"
after_migrate = "erp_offline_sync.install.after_migrate"
before_uninstall = "erp_offline_sync.uninstall.before_uninstall"
after_uninstall = "erp_offline_sync.uninstall.after_uninstall"

doc_events = {
    "*": {
        "before_save": "erp_offline_sync.capture.before_save",
        "before_submit": "erp_offline_sync.capture.before_save",
        "before_update_after_submit": "erp_offline_sync.capture.before_save",
        "before_cancel": "erp_offline_sync.capture.before_save",
        "before_change": "erp_offline_sync.capture.before_change",
        "on_update": "erp_offline_sync.capture.on_update",
        "on_submit": "erp_offline_sync.capture.on_submit",
        "on_update_after_submit": "erp_offline_sync.capture.on_update_after_submit",
        "on_cancel": "erp_offline_sync.capture.on_cancel",
        "on_change": "erp_offline_sync.capture.on_change",
        "after_delete": "erp_offline_sync.capture.after_delete",
        "after_rename": "erp_offline_sync.capture.after_rename",
    },
    "Custom Field": {"on_update": "erp_offline_sync.indexes.after_custom_field"},
}

before_request = [
    "erp_offline_sync.transactions.begin",
    "erp_offline_sync.adapters.sqlite_turns.begin_request",
]
after_request = ["erp_offline_sync.adapters.sqlite_turns.end_request"]
before_job = ["erp_offline_sync.transactions.begin"]

scheduler_events = {
    "cron": {"* * * * *": ["erp_offline_sync.tasks.run_offline_sync"]},
    "daily": [
        "erp_offline_sync.tasks.purge_old_requests",
        "erp_offline_sync.receiver.claims.purge_old_receipts",
    ],
}

has_permission = {
    "Offline Request": "erp_offline_sync.permissions.has_permission",
    "Synced Document": "erp_offline_sync.permissions.has_permission",
    "Sync Conflict": "erp_offline_sync.permissions.has_permission",
    "Sync Receipt": "erp_offline_sync.permissions.has_permission",
    "Sync Origin": "erp_offline_sync.permissions.may_see_origin",
}

permission_query_conditions = {
    "Offline Request": "erp_offline_sync.permissions.query_conditions",
    "Synced Document": "erp_offline_sync.permissions.query_conditions",
    "Sync Conflict": "erp_offline_sync.permissions.query_conditions",
    "Sync Receipt": "erp_offline_sync.permissions.query_conditions",
    "Sync Origin": "erp_offline_sync.permissions.origin_conditions",
}

override_whitelisted_methods = {"frappe.client.get_count": "erp_offline_sync.permissions.get_count"}

default_log_clearing_doctypes = {"Offline Request": 7}

ignore_links_on_delete = [
    "Offline Request",
    "Offline Request Link",
    "Synced Document",
    "Sync Conflict",
    "Sync Metadata",
    "Sync Receipt",
    "Sync Origin",
    "Offline Sync Settings",
    "Offline Sync Policy",
]

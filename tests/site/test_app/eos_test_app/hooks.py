app_name = "eos_test_app"
app_title = "Test Shop"
app_publisher = "erp_offline_sync contributors"
app_description = "Doctypes for the site tests of erp_offline_sync; never shipped."
app_email = "maintainers@erp-offline-sync.example"
app_license = "mit"

offline_sync_conflict_hooks = {
    "Shop Note": "eos_test_app.conflict_hooks.by_title",
    "*": ["eos_test_app.conflict_hooks.for_all"],
}

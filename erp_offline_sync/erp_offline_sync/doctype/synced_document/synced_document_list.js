offline_sync.text.escape_columns("Synced Document");

frappe.listview_settings["Synced Document"] = {
	hide_name_column: true,
	hide_name_filter: true,
};

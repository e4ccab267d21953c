offline_sync.text.escape_columns("Sync Receipt");

frappe.listview_settings["Sync Receipt"] = {
	hide_name_column: true,
	hide_name_filter: true,
};

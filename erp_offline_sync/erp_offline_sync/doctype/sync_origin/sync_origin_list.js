offline_sync.text.escape_columns("Sync Origin");

frappe.listview_settings["Sync Origin"] = {
	hide_name_column: true,
	hide_name_filter: true,
};

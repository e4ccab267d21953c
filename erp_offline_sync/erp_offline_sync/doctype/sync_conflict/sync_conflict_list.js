frappe.listview_settings["Sync Conflict"] = {
	add_fields: ["resolution_status", "conflict_type", "resource_type"],
	hide_name_column: true,

	onload() {
		offline_sync.text.escape_columns("Sync Conflict", ["reason"]);
	},

	get_indicator(doc) {
		const colour = doc.resolution_status === "pending" ? "red" : "green";
		return [__(doc.resolution_status), colour, `resolution_status,=,${doc.resolution_status}`];
	},
};

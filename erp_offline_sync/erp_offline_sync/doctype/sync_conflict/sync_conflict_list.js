offline_sync.text.escape_columns("Sync Conflict");

frappe.listview_settings["Sync Conflict"] = {
	add_fields: ["resolution_status", "conflict_type", "resource_type"],
	hide_name_column: true,
	hide_name_filter: true,

	formatters: {
		conflict_type: (type) => frappe.utils.escape_html(offline_sync.status.conflict(type)),
	},

	onload(list) {
		offline_sync.follow(list.$result.get(0), () => list.refresh(), { pause: 2000 });
	},

	get_indicator(doc) {
		const open = doc.resolution_status === "pending";
		return [
			open ? __("Pending") : __("Resolved"),
			open ? "red" : "green",
			`resolution_status,=,${doc.resolution_status}`,
		];
	},
};

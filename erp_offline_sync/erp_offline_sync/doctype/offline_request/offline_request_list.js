frappe.listview_settings["Offline Request"] = {
	add_fields: ["status", "operation", "resource_type", "next_retry_at"],
	hide_name_column: true,

	onload(list) {
		offline_sync.text.escape_columns("Offline Request", [
			"error_message",
			"waits_why",
			"reason",
			"path",
		]);
		list.page.add_inner_button(__("Sync Now"), () =>
			offline_sync.forceSync().then((answer) => {
				frappe.show_alert(frappe.utils.escape_html(offline_sync.status.sentence(answer)));
				list.refresh();
			})
		);
	},

	get_indicator(doc) {
		return [__(doc.status), offline_sync.status.colour(doc.status), `status,=,${doc.status}`];
	},
};

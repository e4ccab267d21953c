offline_sync.text.escape_columns("Offline Request");

frappe.listview_settings["Offline Request"] = {
	add_fields: ["status", "operation", "resource_type", "next_retry_at"],
	hide_name_column: true,
	hide_name_filter: true,

	onload(list) {
		list.page.add_inner_button(__("Sync Now"), () =>
			offline_sync.forceSync().then((answer) => {
				frappe.show_alert(frappe.utils.escape_html(offline_sync.status.sentence(answer)));
				list.refresh();
			})
		);
		offline_sync.follow(list.$result.get(0), () => list.refresh(), { pause: 2000 });
	},

	get_indicator(doc) {
		return [__(doc.status), offline_sync.status.colour(doc.status), `status,=,${doc.status}`];
	},
};

frappe.ui.form.on("Offline Sync Settings", {
	setup(frm) {
		frm.set_query("document_type", "policies", () => ({
			filters: { istable: 0, issingle: 0, is_virtual: 0 },
		}));
	},

	refresh(frm) {
		frm.add_custom_button(__("Test Connection"), () => test_connection(frm));
		frm.add_custom_button(__("Sync Now"), () =>
			offline_sync.forceSync().then(() => show_status(frm))
		);
		show_status(frm);
	},
});

function show_status(frm) {
	offline_sync.getSyncStatus().then((answer) => {
		const sentence = frappe.utils.escape_html(offline_sync.status.sentence(answer));
		frm.dashboard.clear_headline();
		frm.dashboard.set_headline_alert(sentence, offline_sync.status.run_colour(answer.state));
	});
}

function test_connection(frm) {
	if (frm.is_dirty()) {
		frappe.msgprint(__("Save first: what is saved is tested."));
		return;
	}
	frappe.dom.freeze(__("Testing the connection"));
	frappe
		.xcall("erp_offline_sync.api.test_connection")
		.then((checks) => {
			const dialog = new frappe.ui.Dialog({ title: __("Connection"), size: "large" });
			offline_sync.text.table(
				offline_sync.text.place(dialog.body),
				[__("What"), __("State"), __("Result"), __("What to do")],
				checks.map((check) => [check.name, __(check.state), check.message, check.todo]),
				(row) => row[3]
			);
			dialog.show();
		})
		.finally(() => frappe.dom.unfreeze());
}

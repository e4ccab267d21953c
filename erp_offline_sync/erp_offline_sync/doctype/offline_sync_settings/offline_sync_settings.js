// Frappe 16 takes a form's fields out of what the browser has kept, but not those of its tables: the policies would
// show no column from the second visit on. So this form is not kept.
delete localStorage["_doctype:Offline Sync Settings"];

const COLOURS = { ok: "green", warning: "orange", problem: "red" };

frappe.ui.form.on("Offline Sync Settings", {
	setup(frm) {
		frm.set_query("document_type", "policies", () => ({
			filters: { istable: 0, issingle: 0, is_virtual: 0 },
		}));
	},

	refresh(frm) {
		frm.add_custom_button(__("Test Connection"), () => test_connection(frm));
		frm.add_custom_button(__("Add Rows for ERPNext"), () => add_proposed_rows(frm));
		offline_sync.panel(frm.fields_dict.status_html.$wrapper.get(0));
	},
});

// Rows of the table of policies, to look through before they are saved.
function add_proposed_rows(frm) {
	frappe.xcall("erp_offline_sync.api.get_proposed_policies").then((rows) => {
		const stated = new Set((frm.doc.policies || []).map((row) => row.document_type));
		const added = rows.filter((row) => !stated.has(row.document_type));
		added.forEach((row) => frm.add_child("policies", row));
		if (added.length) {
			frm.refresh_field("policies");
			frm.dirty();
		}
		frappe.show_alert({
			message: added.length
				? __("Rows added: {0}. Look them through, then save.", [added.length])
				: __("Nothing to add."),
			indicator: added.length ? "green" : "blue",
		});
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
		.then(show_checks)
		.finally(() => frappe.dom.unfreeze());
}

function show_checks(checks) {
	const { text } = offline_sync;
	const dialog = new frappe.ui.Dialog({ title: __("Connection"), size: "large" });
	text.table(
		text.place(dialog.body),
		[__("What"), __("State", null, "Check"), __("Result"), __("What to do")],
		checks.map((check) => [
			check.name,
			text.pill(__(check.state), COLOURS[check.state] || "gray"),
			check.message,
			check.todo,
		])
	);
	dialog.show();
}

// What is known of one document on both sides; values are shown as text only.

frappe.ui.form.on("Synced Document", {
	refresh(frm) {
		frm.disable_save();
		if (frm.is_new()) return;
		const { text } = offline_sync;
		const host = text.place(frm.fields_dict.base_html);
		text.block(host, __("As the central last answered it"), frm.doc.base);
		text.block(host, __("Names of rows: here and at the central"), frm.doc.child_rows);
	},
});

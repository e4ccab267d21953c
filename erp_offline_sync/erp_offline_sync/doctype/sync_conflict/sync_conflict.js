// A conflict: base, local and server side by side, as text only, and who decides.

frappe.ui.form.on("Sync Conflict", {
	refresh(frm) {
		frm.disable_save();
		if (frm.is_new()) return;
		show_sides(frm);
		if (frm.doc.resolution_status !== "pending") return;
		frm.set_intro(
			__("Both sites changed this document. Nothing about it is sent until somebody decides."),
			"red"
		);
		add_decision(
			frm,
			"local_wins",
			__("Local Wins"),
			__("What was changed here goes to the central.")
		);
		add_decision(
			frm,
			"server_wins",
			__("Server Wins"),
			__("This document gets the central's values.")
		);
		add_decision(
			frm,
			"skip",
			__("Skip"),
			__("Nothing is written on either side; they stay different.")
		);
	},
});

function add_decision(frm, resolution, label, consequence) {
	frm.add_custom_button(label, () =>
		frappe.confirm(consequence, () =>
			offline_sync.resolveConflict(frm.doc.name, resolution).then(() => frm.reload_doc())
		)
	);
}

function show_sides(frm) {
	const { text } = offline_sync;
	const host = text.place(frm.fields_dict.comparison_html);
	text.pairs(host, [[__("Reason"), frm.doc.reason]]);
	const sides = ["base_data", "local_data", "server_data"].map((name) =>
		text.parse(frm.doc[name])
	);
	if (sides[1] === null) text.note(host, __("The document is deleted here."));
	if (sides[2] === null) text.note(host, __("The document is gone at the central."));
	const names = new Set(sides.flatMap((side) => Object.keys(side || {})));
	const rows = [...names].sort().map((name) => [name, ...sides.map((side) => (side || {})[name])]);
	const moved = ([, base, local, server]) =>
		new Set([base, local, server].map(text.shown)).size > 1;
	text.table(
		host,
		[__("Field"), __("Base"), __("Local"), __("Server")],
		[...rows.filter(moved), ...rows.filter((row) => !moved(row))],
		moved
	);
}

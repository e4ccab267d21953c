// A conflict: base, local and server side by side, as text only, and who decides.

frappe.ui.form.on("Sync Conflict", {
	refresh(frm) {
		frm.disable_save();
		if (frm.is_new()) return;
		show_sides(frm);
		frm.add_custom_button(__("Open in Sync Conflicts"), () =>
			frappe.set_route("sync-conflicts", frm.doc.name)
		);
		const { resource_type, resource_id, resolution_status } = frm.doc;
		if (resolution_status === "pending") ask(frm);
		if (resource_type && resource_id) {
			frm.add_custom_button(__("Open Document"), () =>
				frappe.set_route("Form", resource_type, resource_id)
			);
		}
	},
});

function ask(frm) {
	const kind = offline_sync.status.conflict(frm.doc.conflict_type);
	const intro = __("This document was {0}. Nothing about it is sent until somebody decides.", [kind]);
	frm.dashboard.clear_headline();
	frm.set_intro(frappe.utils.escape_html(intro), "red");
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
		__("This document gets the central's values. What was changed here is given up.")
	);
	add_decision(
		frm,
		"skip",
		__("Skip"),
		__("Nothing is written on either side; they stay different.")
	);
}

function add_decision(frm, resolution, label, consequence) {
	frm.add_custom_button(label, () =>
		frappe.confirm(consequence, () =>
			offline_sync.resolveConflict(frm.doc.name, resolution).then(() => frm.reload_doc())
		)
	);
}

// The labels are read with the document type; where that may not be read, its fields' names do.
function show_sides(frm) {
	const { name, resource_type } = frm.doc;
	draw_sides(frm, (field) => field);
	if (!resource_type || !frappe.model.can_read(resource_type)) return;
	frappe.model.with_doctype(resource_type, () => {
		if (frm.doc.name === name) {
			draw_sides(frm, (field) => __(frappe.meta.get_label(resource_type, field)) || field);
		}
	});
}

function draw_sides(frm, label) {
	const { text } = offline_sync;
	const host = text.place(frm.fields_dict.comparison_html);
	const sides = ["base_data", "local_data", "server_data"].map((name) =>
		text.parse(frm.doc[name])
	);
	text.pairs(host, [
		[__("Reason"), frm.doc.reason],
		[__("Changed at the central by"), sides[2]?.modified_by],
	]);
	if (sides[1] === null) text.note(host, __("The document is deleted here."));
	if (sides[2] === null) text.note(host, __("The document is gone at the central."));

	const fields = new Set(sides.flatMap((side) => Object.keys(side || {})).filter(text.is_own));
	const has = (side, field) => Boolean(side) && field in side;
	const value = (side, field) => (has(side, field) ? text.said(side[field]) : "–");
	// What a side changed since the base stands out.
	const cell = (side, field) =>
		has(sides[0], field) && value(side, field) !== value(sides[0], field)
			? text.element("strong", "", value(side, field))
			: value(side, field);
	const row = (field) => [label(field), ...sides.map((side) => cell(side, field))];
	// A side that says nothing of a field does not differ in it.
	const differs = (field) =>
		new Set(sides.filter((side) => has(side, field)).map((side) => text.said(side[field]))).size > 1;

	const heads = [__("Field"), __("Base (before)"), __("Local (here)"), __("Server (central)")];
	const names = [...fields].sort();
	const moved = names.filter(differs);
	const alike = names.filter(
		(field) => !differs(field) && sides.some((side) => text.said((side || {})[field]))
	);
	if (moved.length) text.table(host, heads, moved.map(row));
	else text.note(host, __("No field differs."));
	if (alike.length) {
		const count = __("{0} fields are the same on all sides", [alike.length]);
		text.table(text.fold(host, count), heads, alike.map(row));
	}
}

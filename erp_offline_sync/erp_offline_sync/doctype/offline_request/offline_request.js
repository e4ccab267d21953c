// One request: where it stands, what it carries, what happened to it. Values are shown as text only.

frappe.ui.form.on("Offline Request", {
	refresh(frm) {
		frm.disable_save();
		if (frm.is_new()) return;
		show_why(frm);
		show_standing(frm);
		show_content(frm);
		show_history(frm);
		add_buttons(frm);
	},
});

function show_why(frm) {
	const colour = offline_sync.status.colour(frm.doc.status);
	frappe.xcall("erp_offline_sync.api.explain", { name: frm.doc.name }).then((why) => {
		frm.dashboard.clear_headline();
		frm.set_intro(frappe.utils.escape_html(why), colour);
	});
}

function show_standing(frm) {
	const { text } = offline_sync;
	const host = text.place(frm.fields_dict.standing_html);
	const any = text.pairs(host, [
		[__("Waits because"), frm.doc.waits_why],
		[__("Waits for request"), frm.doc.waits_for],
		[__("Kind of error"), frm.doc.error_type],
		[__("Error"), frm.doc.error_message],
		[__("Refused by the central"), frm.doc.refused ? __("Yes: it had no effect there") : ""],
		[__("Reason"), frm.doc.reason],
	]);
	const differences = Object.entries(text.parse(frm.doc.differences) || {});
	if (differences.length) {
		text.note(host, __("The central answered these fields otherwise than sent:"));
		text.table(
			host,
			[__("Field"), __("Sent"), __("Answered")],
			differences.map(([field, values]) => [field, ...[].concat(values)])
		);
	}
	if (!any && !differences.length) text.note(host, __("Nothing stands in its way."));
}

function show_content(frm) {
	const { text } = offline_sync;
	const host = text.place(frm.fields_dict.content_html);
	text.pairs(host, [[__("Path"), frm.doc.path]]);
	text.block(host, __("Body"), frm.doc.body);
	text.block(host, __("Before the change"), frm.doc.base);
	text.block(host, __("Links"), frm.doc.links);
	text.block(host, __("Unique values"), frm.doc.unique_values);
	text.block(host, __("As sent"), frm.doc.wire);
}

function show_history(frm) {
	const { text } = offline_sync;
	const host = text.place(frm.fields_dict.history_html);
	const attempts = text.parse(frm.doc.history) || [];
	if (!attempts.length) {
		text.note(host, __("Nothing happened to it yet."));
		return;
	}
	text.table(
		host,
		[__("When"), __("What"), __("HTTP"), __("Exception"), __("Note")],
		attempts
			.slice()
			.reverse()
			.map(([at, event, status, exc_type, note]) => [
				new Date(at).toLocaleString(),
				event,
				status,
				exc_type,
				note,
			])
	);
}

function add_buttons(frm) {
	const { status, resource_type, resource_id } = frm.doc;
	if (resource_type && resource_id) {
		frm.add_custom_button(__("Open Document"), () =>
			frappe.set_route("Form", resource_type, resource_id)
		);
	}
	if (["Needs Attention", "Retry Scheduled"].includes(status)) {
		frm.add_custom_button(__("Retry"), () => act(frm, "retry"));
	}
	if (status === "Needs Attention" && frm.doc.operation === "update") {
		frm.add_custom_button(__("Send Whole"), () =>
			frappe.confirm(__("Create the document at the central as it stands here?"), () =>
				act(frm, "send_whole")
			)
		);
	}
	if (["Needs Attention", "Retry Scheduled", "Pending", "Waiting", "Conflict"].includes(status)) {
		frm.add_custom_button(__("Discard"), () => ask_discard(frm));
	}
}

function ask_discard(frm) {
	frappe.prompt(
		[
			{
				fieldname: "reason",
				fieldtype: "Small Text",
				label: __("Reason"),
				reqd: 1,
				description: __("This change will never reach the central."),
			},
			{
				fieldname: "take_along",
				fieldtype: "Check",
				label: __("Discard later requests of this document too"),
			},
		],
		(values) => act(frm, "discard", values),
		__("Discard this request"),
		__("Discard")
	);
}

function act(frm, method, values) {
	return frappe
		.xcall(`erp_offline_sync.api.${method}`, { name: frm.doc.name, ...values })
		.then(() => frm.reload_doc());
}

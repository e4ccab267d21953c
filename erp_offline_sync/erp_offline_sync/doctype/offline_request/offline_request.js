// One request: where it stands, what it carries, what happened to it. Values are shown as text only.

const EVENTS = {
	applied: () => __("Accepted"),
	"arrived before": () => __("Had arrived before"),
	"gone already": () => __("Was gone at the central already"),
	stale: () => __("The document had changed at the central"),
	missing: () => __("The central does not have the document"),
	taken: () => __("The name or a unique value is taken at the central"),
	"wrong state": () => __("The document's state forbids it"),
	"link missing": () => __("A link leads nowhere at the central"),
	conflict: () => __("Conflict"),
	refused: () => __("Refused"),
	"refused at once": () => __("Refused"),
	"not now": () => __("The central asked to wait"),
	contention: () => __("The central's transactions stood in each other's way"),
	"server error": () => __("The central failed"),
	"not sent": () => __("Not sent: no connection"),
	unanswered: () => __("Sent, but not answered"),
	credentials: () => __("The API key was not accepted"),
	configuration: () => __("The address or certificate is not right"),
	retry: () => __("Retried by a person"),
	discard: () => __("Discarded by a person"),
	"send whole": () => __("Sent whole by a person"),
};

frappe.ui.form.on("Offline Request", {
	onload(frm) {
		if (frm.offline_sync_followed) return;
		frm.offline_sync_followed = true;
		offline_sync.follow(frm.wrapper, () => keep_up(frm), { every: 20000 });
	},

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

// Read anew what a run may have changed, until the request has ended. While a form is loaded anew it has no document.
function keep_up(frm) {
	if (!frm.doc || frm.is_new() || offline_sync.status.ended(frm.doc.status)) return;
	frappe.db.get_value("Offline Request", frm.doc.name, "modified").then(({ message }) => {
		if (message?.modified && message.modified !== frm.doc?.modified) frm.reload_doc();
		else if (frm.doc) show_why(frm);
	});
}

function show_why(frm) {
	const { status, text } = offline_sync;
	const { name } = frm.doc;
	frappe.xcall("erp_offline_sync.api.explain", { name }).then((why) => {
		if (frm.doc?.name !== name) return;
		frm.dashboard.clear_headline();
		// The way to the request it waits for stands below; its id says nothing to people.
		const said = text.with_times(why).replace(` (request ${frm.doc.waits_for})`, "");
		frm.set_intro(text.escaped(said), status.colour(frm.doc.status));
	});
}

function show_standing(frm) {
	const { text } = offline_sync;
	const { doc } = frm;
	const host = text.place(frm.fields_dict.standing_html);
	const any = text.pairs(host, [
		[__("Waits because of"), doc.waits_why],
		[
			__("Waits for"),
			doc.waits_for && text.way(__("Open that request"), "Offline Request", doc.waits_for),
		],
		[__("Error"), doc.error_message],
		[__("Kind of error"), doc.error_type],
		[__("Refused by the central"), doc.refused ? __("Yes: it had no effect there") : ""],
		[__("Reason"), doc.reason],
	]);
	const differences = Object.entries(text.parse(doc.differences) || {});
	if (differences.length) {
		text.note(host, __("The central answered these fields otherwise than sent:"));
		text.table(
			host,
			[__("Field"), __("Sent"), __("Answered")],
			differences.map(([field, values]) => [field, ...[].concat(values).map(text.said)])
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
			.map(([at, event, http, exc_type, note]) => [
				text.time(at),
				(EVENTS[event] || (() => event))(),
				http,
				exc_type,
				note,
			])
	);
}

function add_buttons(frm) {
	const { status, resource_type, resource_id } = frm.doc;
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
	if (status === "Conflict") {
		frm.add_custom_button(__("Open Conflict"), () => open_conflict(frm));
	}
	if (["Needs Attention", "Retry Scheduled", "Pending", "Waiting", "Conflict"].includes(status)) {
		frm.add_custom_button(__("Discard"), () => ask_discard(frm));
	}
	if (resource_type && resource_id) {
		frm.add_custom_button(__("Open Document"), () =>
			frappe.set_route("Form", resource_type, resource_id)
		);
	}
}

function open_conflict(frm) {
	// A conflict names the first request of its document; the others stand behind it.
	const about = { resource_type: frm.doc.resource_type, resource_id: frm.doc.resource_id };
	frappe.db
		.get_list("Sync Conflict", { filters: { ...about, resolution_status: "pending" }, limit: 1 })
		.then(([conflict]) => {
			if (conflict) offline_sync.ways.to_conflict(conflict.name);
			else frappe.set_route("List", "Sync Conflict", about);
		});
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

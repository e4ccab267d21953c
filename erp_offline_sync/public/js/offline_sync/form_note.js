// On a document's own form: that a change of it waits, is held or is in conflict, with the way there.

import { caller } from "./caller";
import { is_reader } from "./indicator";
import { status } from "./status";
import { text } from "./text";
import { ways } from "./ways";

const SOON = 1000; // ms: events come in bursts
const OPEN = [...status.WAITING, ...status.HELD];

export function form_notes() {
	let planned = null;
	$(document).on("form-refresh", (event, frm) => note(frm));
	const soon = () => {
		clearTimeout(planned);
		planned = setTimeout(
			() => window.cur_frm?.doc && in_sight(window.cur_frm) && note(window.cur_frm),
			SOON
		);
	};
	// A form that was shown before comes back as it was.
	$(document).on("page-change", soon);
	for (const event of ["sync-state-changed", "sync-progress", "sync-conflicts-changed"])
		caller.on(event, soon);
}

const in_sight = (frm) => frm.wrapper.getClientRects().length > 0;

// What travels is published with the document type.
function travels(doctype) {
	const stated = text.parse(frappe.get_meta(doctype)?.offline_sync);
	return Boolean(stated) && stated.captured !== false;
}

async function note(frm) {
	const { doctype, docname } = frm;
	if (!frm.doc || frm.is_new() || !is_reader() || !travels(doctype)) return show(frm, null);
	const about = { resource_type: doctype, resource_id: docname };
	const [[conflict], requests] = await Promise.all([
		frappe.db.get_list("Sync Conflict", {
			filters: { ...about, resolution_status: "pending" },
			fields: ["name", "conflict_type"],
			limit: 1,
		}),
		frappe.db.get_list("Offline Request", {
			filters: { ...about, status: ["in", OPEN] },
			fields: ["name", "status"],
			order_by: "seq asc",
			limit: 50,
		}),
	]);
	if (frm.docname !== docname) return undefined;
	return show(
		frm,
		conflict ? in_conflict(conflict) : requests.length ? waiting(requests) : null
	);
}

function in_conflict({ name, conflict_type }) {
	const way = text.element("a", "", __("Decide"));
	way.href = "#";
	way.addEventListener("click", (event) => {
		event.preventDefault();
		ways.to_conflict(name);
	});
	const kind = status.conflict(conflict_type);
	return {
		colour: "red",
		words: __("In conflict: {0}. Nothing of it is sent until somebody decides.", [kind]),
		way,
	};
}

function waiting(requests) {
	const held = requests.find((request) => request.status === "Needs Attention");
	const [first] = requests;
	const way = text.way(
		held ? __("What to do") : __("Why it waits"),
		"Offline Request",
		(held || first).name
	);
	if (held)
		return {
			colour: "red",
			words: __("A change of this document needs a person before it can go to the central."),
			way,
		};
	const words =
		requests.length === 1
			? __("1 change of this document waits to be sent to the central.")
			: __("{0} changes of this document wait to be sent to the central.", [
					requests.length,
			  ]);
	return { colour: "blue", words, way };
}

function show(frm, told) {
	frm.wrapper.querySelector(".offline-sync-note")?.remove();
	const host = frm.layout?.wrapper?.get(0);
	if (!told || !host) return;
	const made = text.element("div", "offline-sync-note");
	made.setAttribute("role", "status");
	const dot = text.element("span", "offline-sync-dot");
	dot.style.backgroundColor = `var(--${told.colour}-500)`;
	made.append(dot, text.element("span", "offline-sync-words", told.words), told.way);
	host.prepend(made);
}

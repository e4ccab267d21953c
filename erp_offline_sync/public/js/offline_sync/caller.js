// The server's endpoints and the two events.
//
// Events come over a socket that gives up after a few attempts: whoever shows what they tell asks
// getSyncStatus() again when the page is shown, and does not rely on hearing everything.

const API = "erp_offline_sync.api.";
const ROOM = "Sync Conflict";

let subscribed = false;

function call(method, args) {
	return frappe.xcall(API + method, args);
}

function subscribe() {
	if (subscribed) return;
	subscribed = true;
	frappe.realtime.doctype_subscribe(ROOM);
	// A room is left when the socket is lost.
	frappe.realtime.on("connect", () => frappe.realtime.doctype_subscribe(ROOM));
}

export const caller = {
	getSyncStatus: () => call("get_sync_status"),
	getMetrics: (days) => call("get_metrics", { days }),
	forceSync: (doctypes) => call("force_sync", doctypes ? { doctypes } : {}),
	pause: (reason) => call("pause", { reason }),
	resume: () => call("resume"),
	getPendingConflicts: () => call("get_pending_conflicts"),
	resolveConflict: (id, resolution, values, choices) =>
		call("resolve_conflict", {
			conflict_id: id,
			resolution,
			values: values || null,
			choices: choices || null,
		}),
	undoConflict: (id) => call("undo_conflict", { conflict_id: id }),
	clearOldRequests: (days) => call("clear_old_requests", { days }),

	// event: "sync-state-changed" or "sync-progress"
	on(event, fn) {
		subscribe();
		frappe.realtime.on(event, fn);
	},
	off(event, fn) {
		frappe.realtime.off(event, fn);
	},
};

// The server's side of the page. What it refuses is shown by Frappe, and rejects.

const MODULE = "erp_offline_sync.conflicts.";

// Without what is null: on its way it would become an empty text.
function ask(method, args) {
	const said = Object.entries(args).filter(([, value]) => value !== null && value !== undefined);
	return frappe.xcall(MODULE + method, Object.fromEntries(said));
}

export const remote = {
	list: (filters, start, limit) => ask("list_conflicts", { filters, start, limit }),
	get: (name) => ask("get_conflict", { name }),
	expected: (start, limit) => ask("expected", { start, limit }),
	preview: (name, decision, server_version) =>
		ask("preview", { name, ...decision, server_version }),
	decide: (name, decision, server_version) =>
		ask("decide", { name, ...decision, server_version }),
	preview_many: (names, resolution) => ask("preview_many", { names, resolution }),
	decide_many: (names, resolution) => ask("decide_many", { names, resolution }),
	undo: (name) => ask("undo", { name }),
};

// Where conflicts are decided: one of them, or all.

export const ways = {
	to_conflict: (name) => frappe.set_route("sync-conflicts", name),
	to_conflicts: () => frappe.set_route("sync-conflicts"),
};

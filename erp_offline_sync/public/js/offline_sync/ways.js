// Where conflicts are decided: one of them, or all.

export const ways = {
	to_conflict: (name) => frappe.set_route("Form", "Sync Conflict", name),
	to_conflicts() {
		frappe.route_options = { resolution_status: "pending" };
		return frappe.set_route("List", "Sync Conflict");
	},
};

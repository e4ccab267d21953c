// What of the list is looked at, and how that is asked of the server. Pure.

export const PAGE = 50;
export const AT_ONCE = 200; // decided together
export const TYPES = [
	"update_update",
	"update_delete",
	"delete_update",
	"create_create",
	"state",
	"call",
];
export const AGES = [1, 7, 30];

export function begin() {
	return {
		status: "pending",
		doctype: "",
		conflict_type: "",
		older_than_days: "",
		changed_by: "",
		search: "",
	};
}

// Without what is not filtered by.
export function query(filters) {
	const asked = {};
	for (const [name, value] of Object.entries(filters)) {
		const said = typeof value === "string" ? value.trim() : value;
		if (said) asked[name] = name === "older_than_days" ? Number(said) : said;
	}
	return asked;
}

export function narrowed(filters) {
	return Object.keys(query(filters)).some((name) => name !== "status");
}

// The filters with one of them changed. Other documents are meant then: the list begins anew.
export function change(filters, name, value) {
	return { ...filters, [name]: value };
}

// What `frappe.route_options` of a link to the page ask for.
export function from_route(options) {
	const filters = begin();
	for (const name of Object.keys(filters)) {
		if (typeof options?.[name] === "string") filters[name] = options[name];
	}
	return filters;
}

// "1–50 of 1,000": { first, last, total }, and whether there is a page before and after.
export function span(start, shown, total) {
	return {
		first: shown ? start + 1 : 0,
		last: start + shown,
		total,
		before: start > 0,
		after: start + shown < total,
	};
}

// Shows values of documents and answers of the central. Everything goes in as text, nothing as HTML.

const INSTANT = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)/g;
// What Frappe keeps beside a document's own fields; never what two people disagree about.
const FRAMEWORK = new Set(
	"name owner creation modified modified_by idx doctype parent parentfield parenttype".split(" ")
);

// Characters that turn the order of a text around: they are shown, and do nothing.
const TURNING = /[\u202a-\u202e\u2066-\u2069]/g;

// On a telephone a row stands as a list: the first cell as its title, the others below with their head before them.
const STACKED = `@media (max-width: 575px) {
	.offline-sync-table thead { display: none; }
	.offline-sync-table tr, .offline-sync-table td { display: block; }
	.offline-sync-table td:first-child { font-weight: 600; }
	.offline-sync-table td + td::before { content: attr(data-head); display: block; font-size: var(--text-sm, 12px);
		color: var(--text-muted); }
}`;

function element(tag, className, content) {
	const made = document.createElement(tag);
	if (className) made.className = className;
	if (content !== undefined && content !== null) made.textContent = plain(String(content));
	return made;
}

function parse(json) {
	if (json === undefined || json === null || json === "") return null;
	if (typeof json !== "string") return json;
	try {
		return JSON.parse(json);
	} catch {
		return json;
	}
}

function plain(words) {
	return words.replace(TURNING, (c) => `[U+${c.charCodeAt(0).toString(16).toUpperCase()}]`);
}

function shown(value) {
	if (value === undefined || value === null || value === "") return "";
	return typeof value === "object" ? JSON.stringify(value, null, 2) : String(value);
}

function is_own(fieldname) {
	return !FRAMEWORK.has(fieldname) && !fieldname.startsWith("_");
}

// A field's value as people read it: a table as one line a row, without what Frappe keeps beside it.
function said(value) {
	const is_table = Array.isArray(value) && value.every((row) => row && typeof row === "object");
	if (!is_table) return shown(value);
	return value
		.map((row, index) => {
			const fields = Object.entries(row).filter(
				([name, inner]) => is_own(name) && name !== "docstatus" && shown(inner) !== ""
			);
			return `${index + 1}: ${fields
				.map(([name, inner]) => `${name} ${shown(inner)}`)
				.join(", ")}`;
		})
		.join("\n");
}

// Content may be text or an element that is made already.
function put(host, content) {
	if (content instanceof Node) host.appendChild(content);
	else host.textContent = plain(shown(content));
	host.style.whiteSpace = "pre-wrap";
	host.style.overflowWrap = "anywhere";
	return host;
}

export const text = {
	element,
	plain,
	parse,
	shown,
	said,
	is_own,

	// Words for where Frappe wants HTML.
	escaped: (words) => frappe.utils.escape_html(plain(words)),

	// An instant (ISO 8601) in the time zone and the format that this person's forms have.
	time(iso) {
		if (!iso) return "";
		const zone =
			frappe.boot.time_zone?.user || frappe.boot.time_zone?.system || moment.tz.guess();
		const date = frappe.datetime.get_user_date_fmt().toUpperCase();
		return moment(iso).tz(zone).format(`${date} ${frappe.datetime.get_user_time_fmt()}`);
	},

	// The same in short: of today only the hour.
	clock(iso) {
		const zone =
			frappe.boot.time_zone?.user || frappe.boot.time_zone?.system || moment.tz.guess();
		const then = moment(iso).tz(zone);
		return then.isSame(moment().tz(zone), "day")
			? then.format("HH:mm")
			: then.format("D MMM HH:mm");
	},

	instants: (sentence) => String(sentence || "").match(INSTANT) || [],

	// A sentence of the server's, its instants as above.
	with_times: (sentence) => String(sentence || "").replace(INSTANT, (iso) => text.time(iso)),

	// `where` is an HTML field of a form or any element; answers an empty element in it.
	place(where) {
		const host = where.$wrapper ? where.$wrapper.get(0) : where;
		host.replaceChildren();
		return host;
	},

	// A table of `heads` over `rows`, each row a list of values or elements.
	table(host, heads, rows) {
		const frame = element("div", "table-responsive");
		frame.appendChild(element("style", "", STACKED));
		const table = element("table", "table table-bordered table-sm offline-sync-table");
		const head = table.createTHead().insertRow();
		heads.forEach((name) => head.appendChild(element("th", "", name)));
		const body = table.createTBody();
		rows.forEach((row) => {
			const line = body.insertRow();
			row.forEach((value, column) => {
				const cell = put(line.insertCell(), value);
				cell.dataset.head = heads[column];
				cell.style.minWidth = column ? "7em" : "9em";
			});
		});
		frame.appendChild(table);
		host.appendChild(frame);
		return table;
	},

	// What is seldom looked at, behind a line that opens it; answers where its content goes.
	fold(host, label) {
		const details = element("details", "mt-2");
		const summary = element("summary", "text-muted", label);
		summary.style.cursor = "pointer";
		details.appendChild(summary);
		host.appendChild(details);
		return details;
	},

	// A heading and the value below it, JSON indented; nothing where there is no value.
	block(host, label, value) {
		const parsed = parse(value);
		if (parsed === null || shown(parsed) === "{}" || shown(parsed) === "[]") return;
		host.appendChild(element("h6", "mt-3", label));
		host.appendChild(put(element("pre", "offline-sync-json"), shown(parsed)));
	},

	// Pairs of a label and a value; those without a value are left out.
	pairs(host, pairs) {
		const list = element("dl", "row mb-0");
		pairs
			.filter(([, value]) => value instanceof Node || shown(value) !== "")
			.forEach(([label, value]) => {
				list.appendChild(element("dt", "col-sm-3", label));
				list.appendChild(put(element("dd", "col-sm-9"), value));
			});
		host.appendChild(list);
		return list.childElementCount > 0;
	},

	// Words that lead to a document.
	way(label, doctype, name) {
		const link = element("a", "", label);
		link.style.textDecoration = "underline";
		link.href = "#";
		link.addEventListener("click", (event) => {
			event.preventDefault();
			frappe.set_route("Form", doctype, name);
		});
		return link;
	},

	note(host, content) {
		host.appendChild(element("p", "text-muted", content));
	},

	pill(label, colour) {
		const pill = element("span", `indicator-pill no-indicator-dot ${colour}`, label);
		pill.style.whiteSpace = "nowrap";
		return pill;
	},

	// The text columns of a doctype in lists and reports, which Frappe would show as HTML. What a form shows goes
	// through the same formatter, from a copy of the field and escaped already.
	escape_columns(doctype) {
		frappe.meta
			.get_docfields(doctype)
			.filter((field) => ["Data", "Small Text", "Long Text"].includes(field.fieldtype))
			.forEach((field) => {
				field.formatter = (value, shown_as) => {
					const on_form = window.cur_frm?.fields_dict?.[field.fieldname]?.df;
					const escaped =
						field.fieldtype === "Data" && shown_as === on_form && shown_as !== field;
					return escaped ? value : text.escaped(shown(value));
				};
			});
	},
};

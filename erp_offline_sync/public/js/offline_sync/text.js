// Shows values of documents and answers of the central. Everything goes in as text, nothing as HTML.

function element(tag, className, content) {
	const made = document.createElement(tag);
	if (className) made.className = className;
	if (content !== undefined && content !== null) made.textContent = String(content);
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

function shown(value) {
	if (value === undefined || value === null || value === "") return "";
	return typeof value === "object" ? JSON.stringify(value, null, 2) : String(value);
}

export const text = {
	parse,
	shown,

	// `where` is an HTML field of a form or any element; answers an empty element in it.
	place(where) {
		const host = where.$wrapper ? where.$wrapper.get(0) : where;
		host.replaceChildren();
		return host;
	},

	// A table of `heads` over `rows`, each row a list of values; `marked(row)` tells which rows stand out.
	table(host, heads, rows, marked) {
		const table = element("table", "table table-bordered table-sm offline-sync-table");
		const head = table.createTHead().insertRow();
		heads.forEach((name) => head.appendChild(element("th", "", name)));
		const body = table.createTBody();
		rows.forEach((row) => {
			const line = body.insertRow();
			if (marked && marked(row)) line.className = "table-warning";
			row.forEach((value) => {
				const cell = line.insertCell();
				cell.style.whiteSpace = "pre-wrap";
				cell.style.overflowWrap = "anywhere";
				cell.textContent = shown(value);
			});
		});
		host.appendChild(table);
		return table;
	},

	// A heading and the value below it, JSON indented; nothing where there is no value.
	block(host, label, value) {
		const parsed = parse(value);
		if (parsed === null || shown(parsed) === "{}" || shown(parsed) === "[]") return;
		host.appendChild(element("h6", "mt-3", label));
		const pre = element("pre", "offline-sync-json", shown(parsed));
		pre.style.whiteSpace = "pre-wrap";
		host.appendChild(pre);
	},

	// Pairs of a label and a value; those without a value are left out.
	pairs(host, pairs) {
		const list = element("dl", "row mb-0");
		pairs
			.filter(([, value]) => shown(value) !== "")
			.forEach(([label, value]) => {
				list.appendChild(element("dt", "col-sm-3", label));
				const said = element("dd", "col-sm-9", shown(value));
				said.style.whiteSpace = "pre-wrap";
				said.style.overflowWrap = "anywhere";
				list.appendChild(said);
			});
		host.appendChild(list);
		return list.childElementCount > 0;
	},

	note(host, content) {
		host.appendChild(element("p", "text-muted", content));
	},

	// The text columns of a list or report, which Frappe 15 would show as HTML.
	escape_columns(doctype, fieldnames) {
		fieldnames.forEach((fieldname) => {
			const field = frappe.meta.get_docfield(doctype, fieldname);
			if (field) field.formatter = (value) => frappe.utils.escape_html(shown(value));
		});
	},
};

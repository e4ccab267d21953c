// What a decision changes, in words: rows by their number and their columns, values as their forms format them.

import { is_empty, said } from "./format";

const PLACE = /^(?<table>[^[\].]+)\[(?<row>[^\]]*)\](?:\.(?<column>[^[\].]+))?$/;
const DOCSTATUS = [() => __("Draft"), () => __("Submitted"), () => __("Cancelled")];

// Of one of the server's { path, label, from, to }: { label, from, to } as they are read.
export function difference(conflict, { path, label, from, to }) {
	const { table: name, row, column } = PLACE.exec(path)?.groups || {};
	const table = conflict.tables.find((each) => each.path === (name || path));
	const number = table ? number_of(table, row) : 0;
	const words = words_of(conflict, path, table, row, column);
	if (!number) return { label: label || path, from: words(from), to: words(to) };
	const place = __("{0}, row {1}", [table.label || table.path, number]);
	return {
		label: column ? `${place}: ${column_of(table, column).label || column}` : place,
		from: words(from),
		to: words(to),
	};
}

const number_of = (table, row) => table.rows.findIndex((each) => each.row === row) + 1;

const column_of = (table, name) =>
	table.columns.find((each) => each.fieldname === name) || { label: name };

function words_of(conflict, path, table, row, column) {
	const titles = conflict.link_titles;
	const doc = Object.fromEntries(
		conflict.fields.map((field) => [field.path, field.local ?? field.server])
	);
	if (path === "*") return (is_there) => (is_there ? __("there") : __("not there"));
	if (path === "docstatus") return (state) => (DOCSTATUS[state] || String)(state);
	if (!table) {
		const field = conflict.fields.find((each) => each.path === path) || {};
		return (raw) => said(raw, field, doc, titles);
	}
	if (column) return (raw) => said(raw, column_of(table, column), doc, titles);
	// The order of its rows: as they are numbered on the page.
	if (row === "")
		return (names) => (names || []).map((each) => number_of(table, each) || "+").join(", ");
	const columns = (values) =>
		Object.entries(values)
			.filter(([name, raw]) => name !== "name" && !is_empty(raw))
			.map(([name, raw]) => {
				const { label = name } = column_of(table, name);
				return `${label}: ${said(raw, column_of(table, name), values, titles)}`;
			})
			.join(", ");
	return (raw) => [raw || []].flat().map(columns).join("\n");
}

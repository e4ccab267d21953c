// The field in which a person writes a result: the browser's own inputs, so that nothing of it is read as HTML.

import { button, h } from "./dom";
import { is_empty, is_long, is_number, one_spelling } from "./format";

const KINDS = { Date: "date", Datetime: "datetime-local", Time: "time" };
let lists = 0;

// Answers { element, input }: what goes onto the page, and in it what has the focus; `path` is what it writes, and
// `written(value)` is called with each value that the person writes.
export function editor(field, value, { path, label, written }) {
	const element = made(field, value, label, written);
	const input = element.matches("input, select, textarea")
		? element
		: element.querySelector("input");
	input.dataset.writes = path;
	return { element, input };
}

// A line break belongs to a text of several lines.
export const ends_writing = ({ key, target }) =>
	key === "Escape" || (key === "Enter" && target.tagName !== "TEXTAREA");

export const written_note = (take_back) =>
	h(
		"span",
		{ class: "osc-note" },
		__("Written by you."),
		" ",
		button(__("Take back"), "btn-link", take_back)
	);

function made(field, value, label, written) {
	const given = { class: "form-control input-sm osc-editor", "aria-label": label, dir: "auto" };
	const { fieldtype } = field;
	if (fieldtype === "Check") {
		const box = h("input", { type: "checkbox", "aria-label": label });
		box.checked = Boolean(cint(value));
		box.addEventListener("change", () => written(box.checked ? 1 : 0));
		return box;
	}
	if (fieldtype === "Select") {
		const options = String(field.options || "").split("\n");
		const select = h(
			"select",
			given,
			[...new Set([...options, value ?? ""])].map((option) =>
				h("option", { value: option }, option && __(option))
			)
		);
		select.value = value ?? "";
		select.addEventListener("change", () => written(select.value));
		return select;
	}
	if (is_long(field, value)) {
		const area = h("textarea", { ...given, rows: 6 });
		area.value = value ?? "";
		area.addEventListener("input", () => written(area.value));
		return area;
	}
	const input = h("input", {
		...given,
		type: KINDS[fieldtype] || (is_number(field) ? "number" : "text"),
	});
	if (is_number(field)) input.step = fieldtype === "Int" ? "1" : "any";
	if (fieldtype === "Datetime" || fieldtype === "Time") input.step = "1";
	input.value = to_input(field, value);
	input.addEventListener("input", () => written(from_input(field, input.value)));
	return fieldtype === "Link" ? with_proposals(input, field.options) : input;
}

// Datetimes are written in the person's time zone, as forms show them, and kept in the site's.
function to_input(field, value) {
	if (is_empty(value)) return "";
	if (field.fieldtype === "Datetime") {
		return frappe.datetime.convert_to_user_tz(String(value).split(".")[0]).replace(" ", "T");
	}
	if (field.fieldtype === "Time") return one_spelling(value).split(".")[0];
	return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function from_input(field, words) {
	if (is_number(field)) return words === "" ? null : Number(words);
	if (words === "") return field.fieldtype in KINDS ? null : "";
	if (field.fieldtype !== "Datetime") return words;
	return frappe.datetime.convert_to_system_tz(moment(words).format("YYYY-MM-DD HH:mm:ss"));
}

function with_proposals(input, doctype) {
	const list = h("datalist", { id: `osc-proposals-${++lists}` });
	input.setAttribute("list", list.id);
	let asked = 0;
	input.addEventListener("input", () => {
		const mine = ++asked;
		frappe
			.xcall("frappe.desk.search.search_link", {
				doctype,
				txt: input.value,
				page_length: 10,
			})
			.then((found) => {
				if (mine !== asked) return;
				list.replaceChildren(
					...(found || []).map((each) =>
						h("option", { value: each.value, label: each.label || each.description })
					)
				);
			})
			.catch(() => {});
	});
	return h("span", null, input, list);
}

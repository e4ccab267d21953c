// The fields of one conflict: base, local, server and result beside each other, with a choice for each.

import { field_result, is_clash } from "./choices";
import { button, fill, h, icon } from "./dom";
import { editor, ends_writing, written_note } from "./editor";
import { said, said_apart } from "./format";
import { bit_by_bit } from "./lazy";
import { line_diff } from "./lines";
import { new_group, radio } from "./radio";
import { lacks_said, SIDE_LABELS, SIDES, state_pill } from "./states";
import { value } from "./value";

const AT_FIRST = 60; // more than a screen shows

// `view`: { conflict, draft, may_choose, may_write, take(path, side), write(path, value), unwrite(path) }.
// Answers { element, update(), complete(), stop() }; update shows what `view.draft` says now, the others are those of
// what is drawn bit by bit.
export function fields_table(view, fields, { caption, plain = false }) {
	const prefix = new_group();
	const heads = ["field", ...SIDES, "result"];
	const labels = { field: () => __("Field"), ...SIDE_LABELS };
	const head = h(
		"tr",
		{ role: "row" },
		heads.map((name) =>
			h(
				"th",
				{
					scope: "col",
					role: "columnheader",
					id: `${prefix}-${name}`,
					class: `osc-col-${name}`,
				},
				labels[name]()
			)
		)
	);
	const body = h("tbody", { role: "rowgroup" });
	const rows = [];
	const draw = (field, index) => {
		const row = field_row(view, field, `${prefix}-${index}`, prefix, plain);
		rows.push(row);
		body.append(...row.elements);
	};
	const table = h(
		"table",
		{ class: "osc-table osc-fields", role: "table" },
		h("caption", { class: "sr-only" }, caption),
		h("thead", { role: "rowgroup" }, head),
		body
	);
	return {
		element: table,
		update: () => rows.forEach((row) => row.update()),
		...bit_by_bit(fields, draw, AT_FIRST),
	};
}

function field_row(view, field, id, prefix, plain) {
	const { conflict } = view;
	const clash = is_clash(conflict, field.path);
	const differs = !plain && ["here", "there", "clash"].includes(field.state);
	const words = said_apart(
		SIDES.map((side) => field[side]),
		field,
		view.doc,
		conflict.link_titles
	);
	const label = field.label || field.path;
	const name = h(
		"th",
		{ scope: "row", role: "rowheader", id, class: "osc-name" },
		h("span", { class: "osc-label" }, label),
		!plain && state_pill(clash ? "clash" : field.state)
	);
	const as_lines = !plain && field.lines?.some((each) => each.op !== "same");
	const lines = as_lines ? 2 : undefined;
	const radios = {};
	const cells = SIDES.map((side, index) => {
		const changed = side !== "base" && words[index] !== words[0] && !plain && !as_lines;
		const shown = value(words[index], {
			label,
			lines,
			className: changed ? "osc-changed" : "",
		});
		const choosable = differs && side !== "base" && view.may_choose;
		const cell = h("td", {
			role: "cell",
			class: `osc-side osc-${side}`,
			"data-label": SIDE_LABELS[side](),
		});
		if (!choosable) return fill(cell, shown);
		shown.id = `${id}-${side}`;
		radios[side] = radio(`${id}-side`, side, {
			labelledby: `${id} ${prefix}-${side} ${shown.id}`,
			chosen: (chosen) => view.take(field.path, chosen),
		});
		cell.addEventListener("click", (event) => {
			if (event.target.closest("button, input, a") || String(getSelection())) return;
			radios[side].click();
		});
		cell.classList.add("osc-choosable");
		return fill(cell, h("span", { class: "osc-choice" }, radios[side], shown));
	});
	const result = h("td", {
		role: "cell",
		class: "osc-result",
		"data-label": SIDE_LABELS.result(),
	});
	const row = h(
		"tr",
		{ role: "row", class: `osc-row osc-state-${field.state}`, "data-path": field.path },
		name,
		cells,
		result
	);
	const elements = [row];
	if (as_lines) elements.push(lines_row(field));
	let writing = false;
	let last = {};

	const shown_result = (redraw) => {
		const { value: outcome, side, written, open } = field_result(view.draft, field, clash);
		// Of hundreds of fields one choice moves one.
		const as_drawn =
			last.outcome === outcome &&
			last.side === side &&
			last.written === written &&
			last.open === open;
		if (as_drawn && !redraw) return;
		last = { outcome, side, written, open };
		for (const [of, each] of Object.entries(radios)) each.checked = side === of && !written;
		cells[1].classList.toggle("osc-taken", side === "local" && !written);
		cells[2].classList.toggle("osc-taken", side === "server" && !written);
		if (writing) return;
		const may_write = view.may_write && field.editable && !plain;
		const write_it = __("Write the result of {0}", [label]);
		fill(
			result,
			h(
				"div",
				{ class: "osc-outcome" },
				open
					? h("span", { class: "osc-todo" }, lacks_said(view.draft))
					: value(result_words(outcome, field, words, view), { label, lines }),
				may_write &&
					button(icon("edit"), "osc-edit", start, {
						title: write_it,
						"aria-label": write_it,
					})
			),
			written &&
				written_note(() => {
					view.unwrite(field.path);
					result.querySelector(".osc-edit")?.focus();
				})
		);
	};
	const start = () => {
		const { value: outcome } = field_result(view.draft, field, clash);
		writing = true;
		const { element, input } = editor(field, outcome ?? field.local, {
			path: field.path,
			label: __("Result of {0}", [label]),
			written: (value) => view.write(field.path, value),
		});
		const done = () => {
			writing = false;
			shown_result(true);
			result.querySelector(".osc-edit")?.focus();
		};
		fill(result, element, button(__("Done"), "btn-default osc-done", done));
		input.focus();
		result.onkeydown = (event) => {
			if (event.target !== input || !ends_writing(event)) return;
			event.preventDefault();
			event.stopPropagation();
			done();
		};
	};
	if (view.may_write && field.editable && !plain) row.osc_write = start;
	shown_result(true);
	return { elements, update: () => shown_result(false) };
}

// A result that is one of the sides' values reads as that side does.
function result_words(outcome, field, words, view) {
	const same = SIDES.findIndex(
		(side) => JSON.stringify(field[side]) === JSON.stringify(outcome)
	);
	return same < 0 ? said(outcome, field, view.doc, view.conflict.link_titles) : words[same];
}

function lines_row(field) {
	return h(
		"tr",
		{ role: "row", class: "osc-lines-row" },
		h("td", { role: "cell", colspan: 5 }, line_diff(field.lines))
	);
}

// A child table of one conflict: its rows of both sides aligned, changes marked in the cells, a choice for each row
// and for each cell that clashes. What comes out can be written by hand, cell by cell.

import { cell_path, is_clash, row_result, side_of } from "./choices";
import { button, fill, h, icon } from "./dom";
import { editor, ends_writing, written_note } from "./editor";
import { is_empty, said, said_apart } from "./format";
import { bit_by_bit } from "./lazy";
import { keeping_place } from "./place";
import { new_group, radio } from "./radio";
import { lacks_said, SIDE_LABELS, SIDES, state_pill } from "./states";
import { value } from "./value";

const KNOWN_BY = 3; // columns that are shown anyway, to know a row by
const AT_FIRST = 20; // more than a screen shows
const LABEL = 140; // characters of a value that are read aloud with its choice

// `view` and the answer as for fields_table.
export function rows_section(view, table) {
	const changed = table.rows.filter((row) => row.state !== "same");
	const equal = table.rows.filter((row) => row.state === "same");
	const host = h("section", { class: "osc-rows" });
	const heading = h("h5", { class: "osc-heading", id: new_group() }, table.label || table.path);
	host.setAttribute("aria-labelledby", heading.id);
	let drawn = [];
	let drawing = null;
	const opened = (of) => view.opened.has(`${table.path}:${of}`);

	const draw = () => {
		const all_columns = opened("columns");
		const all_rows = opened("rows");
		const columns = table.columns.filter(
			(column, index) =>
				all_columns ||
				index < KNOWN_BY ||
				changed.some((row) => differs(row, column.fieldname))
		);
		const rows = all_rows ? table.rows : changed;
		drawing?.stop();
		drawn = [];
		const heads = [
			h("th", { scope: "col", role: "columnheader" }, __("Row")),
			h("th", { scope: "col", role: "columnheader" }, __("Side")),
		];
		columns.forEach((column) =>
			heads.push(
				h(
					"th",
					{ scope: "col", role: "columnheader", class: number_class(column) },
					column.label || column.fieldname
				)
			)
		);
		const grid = h(
			"table",
			{
				class: "osc-table osc-children",
				role: "table",
				style: `--osc-columns: ${columns.length}`,
			},
			h("caption", { class: "sr-only" }, __("Rows of {0}", [table.label || table.path])),
			h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads))
		);
		fill(
			host,
			heading,
			h(
				"div",
				{
					class: "osc-scroll",
					tabindex: "0",
					role: "group",
					"aria-labelledby": heading.id,
				},
				grid
			),
			h(
				"div",
				{ class: "osc-toggles" },
				toggle(
					"columns",
					columns.length < table.columns.length || all_columns,
					__("Show all columns"),
					__("Show columns that differ")
				),
				toggle(
					"rows",
					equal.length > 0,
					equal.length === 1
						? __("Show 1 equal row")
						: __("Show {0} equal rows", [equal.length]),
					__("Hide equal rows")
				)
			)
		);
		const draw_row = (row) => {
			const made = row_group(view, table, row, columns);
			drawn.push(made);
			grid.appendChild(made.element);
		};
		drawing = bit_by_bit(rows, draw_row, AT_FIRST);
	};
	const toggle = (of, wanted, show, hide) =>
		wanted &&
		button(
			opened(of) ? hide : show,
			`btn-link osc-toggle osc-toggle-${of}`,
			() => {
				view.turn(`${table.path}:${of}`);
				keeping_place(host, draw, () => drawing.complete());
			},
			{ "aria-expanded": String(opened(of)) }
		);

	draw();
	return {
		element: host,
		update: () => drawn.forEach((each) => each.update()),
		complete: () => drawing.complete(),
		stop: () => drawing.stop(),
	};
}

const number_class = (column) =>
	["Int", "Float", "Currency", "Percent"].includes(column.fieldtype) ? "osc-number" : "";

// Between the sides that have the row: one that was added or removed differs in everything.
function differs(row, name) {
	const there = SIDES.map((side) => row[side]).filter(Boolean);
	const values = there.map((side) => (is_empty(side[name]) ? null : side[name]));
	return new Set(values.map((value) => JSON.stringify(value))).size > 1;
}

function row_group(view, table, row, columns) {
	const { conflict } = view;
	const clash = row.state === "clash" || is_clash(conflict, row.path) || row.clashes.length > 0;
	// A table whose rows cannot be told apart is chosen as one.
	const choosable = view.may_choose && !table.whole && !["same", "both"].includes(row.state);
	const number = table.rows.indexOf(row) + 1;
	const id = new_group();
	const may_write = view.may_write && table.editable && row.named && row.state !== "same";
	const writable = may_write ? columns.filter((column) => column.editable) : [];
	const sides = clash ? [...SIDES, "result"] : ["result"];
	const words = new Map(
		columns.map((column) => [
			column.fieldname,
			said_apart(
				SIDES.map((side) => row[side]?.[column.fieldname]),
				column,
				row.local || row.server || row.base || {},
				conflict.link_titles
			),
		])
	);
	const radios = {};
	const cell_radios = [];
	const option = (side) => {
		radios[side] = radio(`${id}-row`, side, {
			label: __("Row {0}: {1}", [number, SIDE_LABELS[side]()]),
			chosen: (chosen) => view.take(row.path, chosen),
		});
		return h(
			"label",
			{ class: "osc-row-choice" },
			radios[side],
			side === "local" ? __("Local") : __("Server")
		);
	};
	const name = h(
		"th",
		{ scope: "rowgroup", role: "rowheader", rowspan: sides.length, class: "osc-name" },
		h("span", { class: "osc-label" }, __("Row {0}", [number])),
		state_pill(clash ? "clash" : row.state),
		choosable && h("span", { class: "osc-row-choices" }, ["local", "server"].map(option))
	);
	const write_it = __("Write the result of row {0}", [number]);
	const edit =
		writable.length > 0 &&
		button(icon("edit"), "osc-edit", () => start(), {
			title: write_it,
			"aria-label": write_it,
		});
	if (edit) name.firstChild.after(edit);
	const result_cells = new Map();
	const group = h("tbody", {
		role: "rowgroup",
		class: `osc-group osc-state-${row.state} ${clash ? "osc-aligned" : ""}`,
		"data-path": table.whole ? null : row.path,
	});
	sides.forEach((side, index) => {
		const line = h(
			"tr",
			{ role: "row", class: `osc-line-${side}` },
			index === 0 && name,
			h(
				"th",
				{ scope: "row", role: "rowheader", class: "osc-side-name" },
				SIDE_LABELS[side]()
			)
		);
		if (side !== "result" && !row[side]) {
			line.appendChild(
				h(
					"td",
					{ role: "cell", colspan: columns.length, class: "osc-absent" },
					side === "base" ? __("not there yet") : __("not there")
				)
			);
		} else {
			columns.forEach((column) => line.appendChild(cell(side, column)));
		}
		group.appendChild(line);
	});

	function cell(side, column) {
		const place = h("td", {
			role: "cell",
			class: `osc-${side} ${number_class(column)}`,
			"data-label": column.label || column.fieldname,
		});
		if (side === "result") {
			result_cells.set(column.fieldname, place);
			if (writable.includes(column)) {
				place.classList.add("osc-writable");
				place.addEventListener("click", (event) => {
					if (event.target.closest("button, input, select, textarea, a")) return;
					if (!writing && !String(getSelection())) start(column);
				});
			}
			return place;
		}
		const [base, ...others] = words.get(column.fieldname);
		const mine = side === "base" ? base : others[side === "local" ? 0 : 1];
		const shown = value(mine, {
			label: column.label,
			className: side !== "base" && mine !== base ? "osc-changed" : "",
		});
		const path = cell_path(row, column.fieldname);
		if (side === "base" || !view.may_choose || !row.clashes.includes(column.fieldname))
			return fill(place, shown);
		const made = radio(`${id}-${column.fieldname}`, side, {
			label: __("Row {0}, {1}: {2}", [
				number,
				column.label || column.fieldname,
				`${SIDE_LABELS[side]()}, ${mine.slice(0, LABEL) || __("empty", null, "Value")}`,
			]),
			chosen: (chosen) => view.take(path, chosen),
		});
		cell_radios.push({ radio: made, path, side, place });
		place.dataset.path = path;
		place.classList.add("osc-choosable");
		place.addEventListener(
			"click",
			(event) => event.target.closest("button, input, a") || made.click()
		);
		return fill(place, h("span", { class: "osc-choice" }, made, shown));
	}

	let last = "";
	let writing = false;
	const update = (redraw) => {
		const { value: outcome, side, open, written } = row_result(view.draft, conflict, row);
		const now = JSON.stringify([outcome, side, open, written]);
		if (now === last && !redraw) return;
		last = now;
		for (const [of, each] of Object.entries(radios))
			each.checked = side === of && !written.length;
		for (const each of cell_radios) {
			const chosen = side_of(view.draft, { path: each.path, within: row.path, clash: true });
			const taken = chosen === each.side && !(each.path in view.draft.values);
			each.radio.checked = taken;
			each.place.classList.toggle("osc-taken", taken);
		}
		if (edit) edit.hidden = writing || !outcome;
		if (writing) return;
		for (const column of columns) {
			const place = result_cells.get(column.fieldname);
			if (open.includes("") || open.includes(column.fieldname)) {
				fill(place, h("span", { class: "osc-todo" }, lacks_said(view.draft)));
			} else draw_result(place, column, outcome);
			if (written.includes(column.fieldname))
				place.appendChild(written_note(() => take_back(column)));
		}
	};

	function take_back(column) {
		view.unwrite(cell_path(row, column.fieldname));
		if (edit) edit.focus();
	}

	// The cells of the result become inputs; Enter and Escape end that, as the button behind the last one does.
	function start(at) {
		const { value: outcome } = row_result(view.draft, conflict, row);
		if (!outcome) return;
		writing = true;
		if (edit) edit.hidden = true;
		const inputs = writable.map((column) => {
			const { fieldname } = column;
			const label = column.label || fieldname;
			const now = outcome[fieldname] ?? row.local?.[fieldname] ?? row.server?.[fieldname];
			const { element, input } = editor(column, now, {
				path: cell_path(row, fieldname),
				label: __("Row {0}, {1}: {2}", [number, label, SIDE_LABELS.result()]),
				written: (value) => view.write(cell_path(row, fieldname), value),
			});
			fill(result_cells.get(fieldname), element);
			return input;
		});
		const done = () => {
			writing = false;
			group.onkeydown = null;
			update(true);
			edit.focus();
		};
		result_cells
			.get(writable.at(-1).fieldname)
			.appendChild(button(__("Done"), "btn-default osc-done", done));
		inputs[Math.max(0, writable.indexOf(at))].focus();
		group.onkeydown = (event) => {
			if (!inputs.includes(event.target) || !ends_writing(event)) return;
			event.preventDefault();
			event.stopPropagation();
			done();
		};
	}
	if (edit) {
		group.osc_write = (path) =>
			start(writable.find((column) => cell_path(row, column.fieldname) === path));
	}

	// A row without a clash has one line: what it was stands struck before what it becomes.
	function draw_result(place, column, outcome) {
		const [base] = words.get(column.fieldname);
		const now = outcome ? words_of(outcome, column) : "";
		const before = row.base ? base : "";
		const shown = outcome
			? value(now, {
					label: column.label,
					className: now !== before && !clash ? "osc-changed" : "",
			  })
			: null;
		const struck =
			!clash &&
			before !== now &&
			before !== "" &&
			h("del", { class: "osc-before" }, value(before, { label: column.label }));
		fill(place, struck, struck && shown && " ", shown || (!struck && "–"));
	}

	function words_of(outcome, column) {
		const raw = outcome[column.fieldname];
		const same = SIDES.findIndex(
			(side) =>
				row[side] && JSON.stringify(row[side][column.fieldname]) === JSON.stringify(raw)
		);
		return same < 0
			? said(raw, column, outcome, conflict.link_titles)
			: words.get(column.fieldname)[same];
	}

	update();
	return { element: group, update: () => update() };
}

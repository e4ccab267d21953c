// What a person has chosen so far of one conflict, a draft, and what comes out of it. Pure.
//
// A draft is { mode, choices, values }. "local_wins" and "server_wins" take one side as a whole; "merge" takes what
// one side alone changed and leaves what clashes to `choices`; `values` are written by the person and come before all.
// Of a conflict that is decided the mode is "decided", and the results are the server's; `apart` where there are none.

// The server names what can be chosen by a path: a field, a row, a cell of a row, the order of a table's rows, and
// "*" for the document as a whole.
const WHOLE = "*";
const WHOLE_SIDE = { local_wins: "local", server_wins: "server" };

export const cell_path = (row, column) => `${row.path}.${column}`;
const is_within = (path, row) => path.startsWith(`${row}.`);
export const is_clash = (conflict, path) =>
	conflict.clashes.includes(path) || conflict.clashes.includes(WHOLE);

// With what was chosen before the central's document moved again.
export function begin(conflict) {
	const { resolutions, resolution_status, resolution } = conflict;
	if (resolution_status !== "pending")
		return { ...take_all("decided"), apart: resolution === "skip" };
	if (!resolutions.includes("merge")) return take_all("");
	const there = paths_of(conflict);
	const choices = pick(conflict.choices || {}, (path) => there.has(path));
	return { mode: "merge", choices, values: {} };
}

// The conflict's clashes, and what else may be chosen, each under the path that the server knows it by. What is
// part of something wider (a cell of a row) names that as `within`.
export function paths_of(conflict) {
	const clashing = new Set(conflict.clashes);
	const found = new Map();
	const add = (path, within) =>
		found.has(path) || found.set(path, { path, within, clash: clashing.has(path) });
	conflict.fields.filter((field) => field.state !== "same").forEach((field) => add(field.path));
	for (const table of conflict.tables) {
		for (const row of table.rows.filter((each) => each.state !== "same")) {
			add(row.path);
			for (const column of row.clashes) add(cell_path(row, column), row.path);
		}
	}
	clashing.forEach((path) => add(path));
	return found;
}

export function side_of(draft, { path, within, clash }) {
	if (draft.mode === "server_wins") return "server";
	if (draft.mode === "local_wins") return clash ? "local" : undefined;
	return (within && draft.choices[within]) || draft.choices[path];
}

// What still has to be chosen, in the order of the page.
export function missing(draft, conflict) {
	if (draft.mode !== "merge") return [];
	return [...paths_of(conflict).values()]
		.filter((each) => each.clash && !(each.path in draft.values) && !side_of(draft, each))
		.map((each) => each.path);
}

// The draft with this field, row or cell taken from one side.
export function take(draft, conflict, path, side) {
	const opened = as_merge(draft, conflict);
	const choices = { ...opened.choices, [path]: side };
	// A row that is taken whole says nothing of its cells any more, and the other way round.
	for (const each of paths_of(conflict).values()) {
		if (each.within === path) delete choices[each.path];
		if (each.path === path && each.within) {
			if (choices[each.within]) spread(choices, conflict, each.within);
			delete choices[each.within];
			choices[path] = side;
		}
	}
	// Nor is there anything written by hand in what is taken from a side.
	const values = without(opened.values, (each) => each === path || is_within(each, path));
	return { mode: "merge", choices, values };
}

function spread(choices, conflict, within) {
	for (const each of paths_of(conflict).values()) {
		if (each.within === within) choices[each.path] = choices[within];
	}
}

// The draft with everything from one side, or merged again with nothing chosen.
export function take_all(mode) {
	return { mode, choices: {}, values: {} };
}

export function write(draft, conflict, path, value) {
	const opened = as_merge(draft, conflict);
	return { ...opened, values: { ...opened.values, [path]: value } };
}

export function unwrite(draft, path) {
	return { ...draft, values: without(draft.values, (each) => each === path) };
}

const pick = (from, has) => Object.fromEntries(Object.entries(from).filter(([path]) => has(path)));
const without = (values, gone) => pick(values, (path) => !gone(path));

// A side taken as a whole, said choice by choice, so that one of them can differ.
function as_merge(draft, conflict) {
	const side = WHOLE_SIDE[draft.mode];
	if (!side) return { ...draft, mode: "merge" };
	const choices = {};
	for (const each of paths_of(conflict).values()) {
		if (each.clash || (side === "server" && !each.within)) choices[each.path] = side;
	}
	return { mode: "merge", choices, values: {} };
}

// { value }, with `side` where one was taken, `written` where the person wrote it, `open` where nobody chose yet.
export function field_result(draft, field, clash) {
	if (draft.mode === "decided") return { value: field.result, open: draft.apart };
	if (field.path in draft.values) return { value: draft.values[field.path], written: true };
	const side = side_of(draft, { path: field.path, clash });
	if (side) return { value: field[side], side };
	return clash ? { open: true } : { value: field.result };
}

// The row that comes out: null where it is removed; `open` names the columns that nobody chose yet, or "" for the
// row as a whole; `written` those that the person wrote.
export function row_result(draft, conflict, row) {
	if (draft.mode === "decided")
		return { value: row.result, open: draft.apart ? [""] : [], written: [] };
	const clash = is_clash(conflict, row.path);
	const side = side_of(draft, { path: row.path, clash });
	const whole = side ? row[side] : clash ? null : row.result;
	if (clash && !side) return { value: null, open: [""], written: [] };
	if (!whole) return { value: null, side, open: [], written: [] };
	const value = { ...whole };
	let open = [];
	for (const column of side ? [] : row.clashes) {
		const chosen = side_of(draft, {
			path: cell_path(row, column),
			within: row.path,
			clash: true,
		});
		if (chosen) value[column] = row[chosen]?.[column];
		else open.push(column);
	}
	const written = [];
	for (const [path, own] of Object.entries(draft.values)) {
		if (!is_within(path, row.path)) continue;
		const column = path.slice(row.path.length + 1);
		value[column] = own;
		written.push(column);
	}
	open = open.filter((column) => !written.includes(column));
	return { value, side, open, written };
}

// What is asked of the server: { resolution, choices, values }; null while something has to be chosen.
export function decision(draft, conflict) {
	if (!draft.mode || missing(draft, conflict).length) return null;
	const written = Object.keys(draft.values);
	if (!written.length) {
		const choices = Object.keys(draft.choices).length ? draft.choices : null;
		return { resolution: draft.mode, choices, values: null };
	}
	const choices = { ...draft.choices };
	// What is written comes before its choice, but a clash has to have one.
	for (const path of written) if (conflict.clashes.includes(path)) choices[path] ||= "local";
	return { resolution: "manual", choices, values: draft.values };
}

// The draft for a conflict that came back with another document of the server: what is still there is kept.
export function keep(draft, conflict) {
	const there = paths_of(conflict);
	const writable = new Set(conflict.fields.map((field) => field.path));
	for (const table of conflict.tables) {
		// A row that is gone now takes what was written into it along.
		for (const row of table.rows.filter((each) => row_result(draft, conflict, each).value))
			table.columns.forEach(({ fieldname }) => writable.add(cell_path(row, fieldname)));
	}
	const fresh = begin(conflict);
	const possible = !draft.mode || conflict.resolutions.includes(draft.mode);
	if (!possible || fresh.mode === "decided") return fresh;
	return {
		mode: draft.mode,
		choices: pick(draft.choices, (path) => there.has(path)),
		values: pick(draft.values, (path) => writable.has(path)),
	};
}

export const touched = (draft, conflict) =>
	JSON.stringify(draft) !== JSON.stringify(begin(conflict));

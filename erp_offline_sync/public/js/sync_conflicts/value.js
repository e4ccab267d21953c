// A value in a cell: short as it is, long ones cut with a way to all of it.

import { button, h } from "./dom";

const SHOWN = 280;
const LINES = 8;

// `lines`: as many of it at most.
export function value(words, { label, className = "", lines: at_most = LINES } = {}) {
	if (words === "")
		return h(
			"span",
			{ class: "osc-empty" },
			h("span", { class: "sr-only" }, __("empty", null, "Value")),
			"–"
		);
	const lines = words.split("\n", at_most + 1);
	if (words.length <= SHOWN && lines.length <= at_most) {
		// "€ 75,000.00" stays on one line.
		const figure = words.length < 20 && /^[^a-z]*\d[^a-z]*$/i.test(words) ? "osc-figure" : "";
		return h("span", { class: `osc-value ${className} ${figure}`, dir: "auto" }, words);
	}
	const cut = lines.slice(0, at_most).join("\n").slice(0, SHOWN);
	return h(
		"span",
		{ class: `osc-value ${className}`, dir: "auto" },
		`${cut}… `,
		button(
			__("Show all {0} characters", [format_number(words.length, null, 0)]),
			"btn-link osc-more",
			(event) => {
				event.preventDefault();
				show_all(words, label);
			}
		)
	);
}

function show_all(words, label) {
	const dialog = new frappe.ui.Dialog({ title: __("Whole Text"), size: "large" });
	dialog.body.replaceChildren(
		h("div", { class: "text-muted mb-2" }, label),
		h("pre", { class: "osc-whole", dir: "auto", tabindex: "0" }, words)
	);
	dialog.show();
}

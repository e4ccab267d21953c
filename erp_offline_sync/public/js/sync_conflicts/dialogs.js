// What is asked and shown before something is decided, and the help.

import { difference } from "./differences";
import { h, pill } from "./dom";
import { KEYS } from "./keys";
import { value } from "./value";

// A dialog around elements; its primary button has the focus, so that Enter accepts.
function dialog({ title, content, accept, act, look = "btn-primary" }) {
	const made = new frappe.ui.Dialog({
		title,
		size: "large",
		primary_action_label: accept,
		primary_action:
			act &&
			(() => {
				made.disable_primary_action();
				Promise.resolve(act(made)).then(
					() => made.hide(),
					() => made.enable_primary_action()
				);
			}),
	});
	made.body.replaceChildren(h("div", { class: "osc-dialog" }, content));
	made.$wrapper.attr("aria-modal", "true").attr("role", "dialog").attr("aria-label", title);
	made.$wrapper.one(
		"shown.bs.modal",
		() => act && made.get_primary_btn().addClass(look).trigger("focus")
	);
	made.show();
	return made;
}

export function ask_decision({ preview, what, conflict, accept }) {
	const content = [
		h("p", { class: "osc-what" }, what),
		preview.server_moved &&
			h(
				"p",
				{ class: "osc-banner osc-warn", role: "alert" },
				__(
					"The document changed at the central meanwhile. You will see its new values before anything is decided."
				)
			),
		problems(preview.problems),
		central_says(preview.central),
		changes(__("This branch's document"), preview.here, conflict),
		changes(__("The central's document"), preview.there, conflict),
		h("p", { class: "text-muted" }, can_be_undone()),
	];
	const refused = preview.problems?.length || preview.central?.verdict === "refused";
	const label = preview.server_moved
		? __("Show the New Values")
		: refused
		? __("Accept Anyway")
		: __("Accept");
	return dialog({ title: __("Preview"), content, accept: label, act: accept });
}

const can_be_undone = () => __("It can be undone until it is sent.");

const FORETOLD = {
	accepted: {
		said: () => __("The central was asked: it would accept this."),
		look: "osc-banner osc-info",
	},
	refused: {
		said: () => __("The central was asked: it would refuse this, with these words:"),
		look: "osc-banner osc-bad",
	},
	conflict: {
		said: () =>
			__(
				"The central was asked: the document was changed there again. This would come back as a conflict, with your choices kept."
			),
		look: "osc-banner osc-warn",
	},
	unknown: {
		said: () => __("The central was asked, but cannot tell beforehand."),
		look: "osc-banner osc-plain",
	},
	unreached: {
		said: () => __("The central cannot be asked now. It is asked when this is sent."),
		look: "osc-banner osc-plain",
	},
	not_asked: {
		said: () =>
			__("Checked by this branch's own rules. The central is asked when it is sent."),
		look: "text-muted",
	},
};

// What the central would answer: one sentence of ours, and its own words as they came.
function central_says(central) {
	const { said, look } = FORETOLD[central?.asked ? central.verdict : "not_asked"];
	const words =
		central?.message &&
		h(
			"blockquote",
			{ class: "osc-central-words", dir: "auto", tabindex: "0" },
			central.message
		);
	return h("div", { class: `${look} osc-central` }, h("span", null, said()), words);
}

function problems(found) {
	if (!found?.length) return null;
	return h(
		"div",
		{ class: "osc-banner osc-bad", role: "alert" },
		h("strong", null, __("This would be refused:")),
		h(
			"ul",
			null,
			found.map((each) =>
				h(
					"li",
					null,
					each.label || each.field ? `${each.label || each.field}: ` : "",
					each.message
				)
			)
		)
	);
}

function changes(title, rows, conflict) {
	const heading = h("h5", { class: "osc-heading" }, title);
	if (!rows?.length) return [heading, h("p", { class: "text-muted" }, __("Nothing changes."))];
	return [
		heading,
		h(
			"div",
			{ class: "osc-scroll" },
			h(
				"table",
				{ class: "osc-table osc-changes" },
				h(
					"thead",
					null,
					h(
						"tr",
						null,
						[__("Field"), __("From", null, "Value"), __("To", null, "Value")].map(
							(name) => h("th", { scope: "col" }, name)
						)
					)
				),
				h(
					"tbody",
					null,
					rows.map((each) => {
						const { label, from, to } = difference(conflict, each);
						return h(
							"tr",
							null,
							h("th", { scope: "row" }, label),
							h("td", null, value(from, { label })),
							h("td", null, value(to, { label, className: "osc-changed" }))
						);
					})
				)
			)
		),
	];
}

// Several at once: what would become of each, and then what became of it.
export function ask_many({ answer, titles, what, told, accept }) {
	const results = answer.results || [];
	const possible = results.filter((each) => each.ok).length;
	const content = [
		h("p", { class: "osc-what" }, what, " ", told),
		possible < results.length &&
			h(
				"p",
				{ class: "osc-banner osc-warn" },
				__("{0} of {1} cannot be decided this way and stay as they are.", [
					results.length - possible,
					results.length,
				])
			),
		outcomes(results, titles, __("would be decided")),
		h("p", { class: "text-muted" }, FORETOLD.not_asked.said(), " ", can_be_undone()),
	];
	return dialog({
		title: __("Preview"),
		content,
		accept: possible ? __("Accept {0}", [possible]) : undefined,
		act: possible
			? () => accept(results.filter((each) => each.ok).map((each) => each.name))
			: undefined,
	});
}

export function tell_many({ answer, titles }) {
	return dialog({
		title: __("Not All Were Decided"),
		content: outcomes(answer.results, titles, __("decided")),
	});
}

function outcomes(results, titles, good) {
	return h(
		"div",
		{ class: "osc-scroll osc-outcomes", tabindex: "0" },
		h(
			"table",
			{ class: "osc-table" },
			h(
				"thead",
				null,
				h(
					"tr",
					null,
					[__("Conflict"), __("Result")].map((name) => h("th", { scope: "col" }, name))
				)
			),
			h(
				"tbody",
				null,
				results.map((each) =>
					h(
						"tr",
						null,
						h("th", { scope: "row" }, titles.get(each.name) || each.name),
						h(
							"td",
							null,
							each.ok ? pill(good, "green") : pill(__("stays"), "orange"),
							" ",
							each.message
						)
					)
				)
			)
		)
	);
}

export function help() {
	const keys = (names) =>
		names.flatMap((name, index) => [
			index ? ` ${__("or")} ` : "",
			h("kbd", null, key_said(name)),
		]);
	return dialog({
		title: __("Keyboard Shortcuts"),
		content: h(
			"table",
			{ class: "osc-table osc-keys" },
			h(
				"thead",
				null,
				h(
					"tr",
					null,
					[__("Key", null, "Keyboard"), __("What it does")].map((name) =>
						h("th", { scope: "col" }, name)
					)
				)
			),
			h(
				"tbody",
				null,
				KEYS.map((each) =>
					h("tr", null, h("td", null, keys(each.keys)), h("td", null, each.said()))
				)
			)
		),
	});
}

const key_said = (name) =>
	({ ArrowDown: "↓", ArrowUp: "↑" }[name] || name.replace("Shift+", "⇧ "));

// One conflict: what happened, who, both sides and the result, a choice for everything, and what to do about it.

import * as choices from "./choices";
import { ask_decision } from "./dialogs";
import { button, fill, h, icon, pill } from "./dom";
import { fields_table } from "./fields";
import { ago, person } from "./format";
import { keeping_place } from "./place";
import { new_group, radio } from "./radio";
import { remote } from "./remote";
import { rows_section } from "./rows";
import { CHOICES, MODES, resolution_said } from "./states";

// `told`: { decided(row), undo(name), back(), say(words), step(by) }.
export class ConflictDetail {
	constructor(host, told) {
		this.host = host;
		this.told = told;
		this.drafts = new Map(); // what was chosen of conflicts that were left undecided
		this.conflict = null;
		this.opened = new Set(); // what of it is shown that is hidden at first
		this.asked = 0;
		this.show_nothing();
	}

	// What is shown goes: nothing of it is drawn any more.
	leave() {
		(this.parts || []).forEach((part) => part.stop?.());
		this.parts = [];
	}

	show_nothing(words) {
		this.leave();
		this.conflict = null;
		this.name = "";
		fill(
			this.host,
			h("div", { class: "osc-blank" }, words || __("Choose a conflict to see both sides."))
		);
	}

	open(name) {
		this.name = name;
		this.keep_draft();
		const mine = ++this.asked;
		this.host.setAttribute("aria-busy", "true");
		return remote
			.get(name)
			.then((conflict) => {
				if (mine !== this.asked) return;
				this.notice = null;
				this.opened.clear();
				this.show(conflict, this.drafts.get(name));
				this.to_top();
			})
			.catch(
				() =>
					mine === this.asked && this.show_nothing(__("This conflict cannot be shown."))
			)
			.finally(() => mine === this.asked && this.host.removeAttribute("aria-busy"));
	}

	// What is shown, asked for again: drawn anew only where something moved. Choices are kept.
	refresh() {
		const { conflict, name } = this;
		if (!conflict || this.host.getAttribute("aria-busy")) return Promise.resolve();
		return remote.get(name).then((now) => {
			if (this.conflict !== conflict || same(conflict, now)) return;
			if (conflict.resolution_status === "pending" && now.resolution_status !== "pending") {
				this.notice = already(now);
			} else if (conflict.server_version !== now.server_version) this.notice = moved();
			this.redraw(now, this.draft);
			if (this.notice) this.told.say(this.notice.words);
		});
	}

	redraw(conflict, draft) {
		keeping_place(
			this.host,
			() => this.show(conflict, draft),
			() => this.complete()
		);
	}

	keep_draft() {
		if (!this.conflict) return;
		const { name } = this.conflict;
		if (choices.touched(this.draft, this.conflict)) this.drafts.set(name, this.draft);
		else this.drafts.delete(name);
	}

	forget(name) {
		this.drafts.delete(name);
	}

	show(conflict, draft) {
		this.conflict = conflict;
		this.draft = draft ? choices.keep(draft, conflict) : choices.begin(conflict);
		this.accept_button = this.mode_radios = null;
		const pending = conflict.resolution_status === "pending";
		const may = pending && conflict.may_decide;
		this.view = {
			conflict,
			draft: this.draft,
			doc: Object.fromEntries(
				conflict.fields.map((field) => [field.path, field.local ?? field.server])
			),
			may_choose: may && conflict.resolutions.includes("merge"),
			may_write: may && conflict.resolutions.includes("manual"),
			take: (path, side) => this.use(choices.take(this.draft, conflict, path, side)),
			write: (path, value) => this.use(choices.write(this.draft, conflict, path, value)),
			unwrite: (path) => this.use(choices.unwrite(this.draft, path)),
			opened: this.opened,
			turn: (what) => this.opened.delete(what) || this.opened.add(what),
		};
		const differing = conflict.fields.filter((field) => field.state !== "same");
		const equal = conflict.fields.filter((field) => field.state === "same");
		const tables = conflict.tables.filter((table) =>
			table.rows.some((row) => row.state !== "same")
		);
		this.leave();
		const part = (made) => {
			this.parts.push(made);
			return made.element;
		};
		this.banner = h("div", { class: "osc-notice" });
		this.draw_notice();
		fill(
			this.host,
			this.head(),
			this.banner,
			this.told_about(),
			may && this.modes(),
			differing.length > 0 &&
				h(
					"section",
					{ class: "osc-scroll", tabindex: "0", "aria-label": __("Fields that differ") },
					part(fields_table(this.view, differing, { caption: __("Fields that differ") }))
				),
			tables.map((table) => part(rows_section(this.view, table))),
			this.loose_clashes(),
			!differing.length &&
				!tables.length &&
				h("p", { class: "osc-blank" }, __("No field differs.")),
			equal.length > 0 && this.equal(equal),
			may ? this.actions() : this.outcome()
		);
		this.update();
	}

	head() {
		const { conflict } = this;
		const title = conflict.title || conflict.resource_id || conflict.name;
		return h(
			"header",
			{ class: "osc-head" },
			button("‹", "btn-default osc-back", () => this.told.back(), {
				"aria-label": __("Back to the list"),
				title: __("Back to the list"),
			}),
			h(
				"div",
				{ class: "osc-head-words" },
				h("h4", { class: "osc-title", tabindex: "-1", dir: "auto" }, title),
				h(
					"div",
					{ class: "osc-kind" },
					pill(__(conflict.resource_type || ""), "gray"),
					" ",
					pill(
						offline_sync.status.conflict(conflict.conflict_type),
						conflict.resolution_status === "pending" ? "orange" : "gray"
					),
					" ",
					conflict.resource_id !== title &&
						h("span", { class: "text-muted", dir: "auto" }, conflict.resource_id)
				)
			),
			h(
				"div",
				{ class: "osc-head-ways" },
				conflict.resource_type &&
					conflict.resource_id &&
					offline_sync.text.way(
						__("Open Document"),
						conflict.resource_type,
						conflict.resource_id
					),
				button("‹", "btn-default", () => this.told.step(-1), {
					"aria-label": __("Previous conflict"),
					title: __("Previous conflict"),
				}),
				button("›", "btn-default", () => this.told.step(1), {
					"aria-label": __("Next conflict"),
					title: __("Next conflict"),
				})
			)
		);
	}

	told_about() {
		const { conflict } = this;
		const card = (side, label, colour) => {
			const { user, at, site } = conflict.sides?.[side] || {};
			return h(
				"div",
				{ class: `osc-card osc-card-${colour}` },
				h("div", { class: "osc-card-label" }, label),
				h(
					"div",
					{ class: "osc-card-who", dir: "auto" },
					user ? person(user) : __("not known")
				),
				h(
					"div",
					{ class: "text-muted" },
					at && h("span", { title: at }, when(at)),
					at && site && " · ",
					site && h("span", { dir: "auto" }, site)
				)
			);
		};
		return [
			h("p", { class: "osc-sentence", dir: "auto" }, conflict.sentence),
			conflict.deleted_here &&
				h("p", { class: "osc-banner osc-info" }, __("The document is deleted here.")),
			conflict.deleted_there &&
				h(
					"p",
					{ class: "osc-banner osc-info" },
					__("The document is gone at the central.")
				),
			h("p", { class: "osc-reason text-muted", dir: "auto" }, this.reason()),
			h(
				"div",
				{ class: "osc-cards" },
				card("local", __("Local (here)"), "blue"),
				card("server", __("Server (central)"), "purple")
			),
		];
	}

	// A hook that hangs keeps nobody from deciding.
	reason() {
		const { reason, resolution_status } = this.conflict;
		if (reason) return sentence(reason);
		return resolution_status === "pending"
			? __(
					"The rules and hooks of this site have not answered yet. It can be decided all the same."
			  )
			: "";
	}

	modes() {
		const group = new_group();
		this.mode_radios = {};
		const possible = MODES.filter((mode) => this.conflict.resolutions.includes(mode));
		this.mode_told = h("span", { class: "osc-mode-told text-muted" });
		return h(
			"fieldset",
			{ class: "osc-modes" },
			h("legend", { class: "sr-only" }, __("What is taken")),
			h(
				"div",
				{ class: "osc-segments" },
				possible.map((mode) => {
					const made = radio(group, mode, {
						chosen: () => this.use(choices.take_all(mode)),
					});
					this.mode_radios[mode] = made;
					return h(
						"label",
						{ class: "osc-segment" },
						made,
						h("span", null, CHOICES[mode].said())
					);
				})
			),
			this.mode_told
		);
	}

	// What clashes and is neither a field nor a cell of a row: the order of rows, the document as a whole.
	loose_clashes() {
		const { conflict, view } = this;
		if (!view.may_choose) return null;
		const drawn = new Set(conflict.fields.map((field) => field.path));
		for (const table of conflict.tables) {
			for (const row of table.rows) {
				if (!table.whole) drawn.add(row.path);
				row.clashes.forEach((column) => drawn.add(choices.cell_path(row, column)));
			}
		}
		const loose = conflict.clashes.filter((path) => !drawn.has(path));
		if (!loose.length) return null;
		const rows = loose.map((path) => this.loose(path));
		this.parts.push({ update: () => rows.forEach((row) => row.update()) });
		return h(
			"section",
			{ class: "osc-loose" },
			rows.map((row) => row.element)
		);
	}

	loose(path) {
		const table = this.conflict.tables.find((each) => path === `${each.path}[]`);
		const whole = this.conflict.tables.find((each) => each.path === path);
		const said = table
			? __("Order of the rows: {0}", [table.label || table.path])
			: whole
			? __("{0} as a whole", [whole.label || whole.path])
			: path === "*"
			? __("The document as a whole")
			: path;
		const group = new_group();
		const radios = ["local", "server"].map((side) =>
			radio(group, side, { chosen: (chosen) => this.view.take(path, chosen) })
		);
		const element = h(
			"fieldset",
			{ class: "osc-loose-choice", "data-path": path },
			h("legend", null, said),
			radios.map((made) =>
				h(
					"label",
					{ class: "osc-row-choice" },
					made,
					made.value === "local" ? __("Local") : __("Server")
				)
			)
		);
		const update = () => {
			const chosen = choices.side_of(this.draft, { path, clash: true });
			radios.forEach((made) => (made.checked = made.value === chosen));
		};
		return { element, update };
	}

	// Built when it is opened: there may be hundreds.
	equal(fields) {
		const host = h("div", {
			class: "osc-scroll",
			tabindex: "0",
			role: "group",
			"aria-label": __("Equal fields"),
		});
		const show =
			fields.length === 1
				? __("Show 1 equal field")
				: __("Show {0} equal fields", [fields.length]);
		const draw = () => {
			const opened = this.opened.has("equal");
			if (opened && !host.childElementCount) {
				const made = fields_table(this.view, fields, {
					caption: __("Equal fields"),
					plain: true,
				});
				this.parts.push(made);
				host.appendChild(made.element);
			}
			host.hidden = !opened;
			turn.textContent = opened ? __("Hide equal fields") : show;
			turn.setAttribute("aria-expanded", String(opened));
		};
		const turn = button(show, "btn-link osc-toggle", () => {
			this.view.turn("equal");
			draw();
		});
		draw();
		return h("div", { class: "osc-toggles" }, turn, host);
	}

	actions() {
		const skip = this.conflict.resolutions.includes("skip");
		this.progress = h("span", { class: "osc-progress", role: "status" });
		this.accept_button = button(__("Preview and Accept"), "btn-primary osc-accept", () =>
			this.preview()
		);
		return h(
			"footer",
			{ class: "osc-actions" },
			this.progress,
			skip &&
				button(
					__("Skip"),
					"btn-default osc-skip",
					() => this.preview({ resolution: "skip", choices: null, values: null }),
					{ title: CHOICES.skip.told() }
				),
			this.accept_button
		);
	}

	outcome() {
		const { conflict } = this;
		if (conflict.resolution_status === "pending") {
			return h(
				"footer",
				{ class: "osc-actions" },
				h(
					"span",
					{ class: "text-muted" },
					conflict.why_not || __("You may read this document, but not decide about it.")
				)
			);
		}
		return h(
			"footer",
			{ class: "osc-actions" },
			h("span", { class: "osc-progress" }, decided_said(conflict)),
			conflict.may_undo &&
				button(__("Undo"), "btn-default osc-undo", () => this.told.undo(conflict.name))
		);
	}

	use(draft) {
		this.draft = draft;
		this.view.draft = draft;
		this.update();
	}

	update() {
		const { conflict, draft } = this;
		this.parts.forEach((part) => part.update());
		for (const [mode, made] of Object.entries(this.mode_radios || {}))
			made.checked = mode === draft.mode;
		if (!this.accept_button) return;
		this.mode_told.textContent = draft.mode
			? CHOICES[draft.mode].told()
			: __("Choose what is taken.");
		const left = choices.missing(draft, conflict).length;
		this.accept_button.disabled = !choices.decision(draft, conflict);
		const total = conflict.clashes.length;
		fill(
			this.progress,
			left
				? __("{0} of {1} chosen", [total - left, total])
				: draft.mode
				? [icon("tick"), " ", __("Everything is chosen.")]
				: ""
		);
	}

	draw_notice() {
		this.banner.replaceChildren();
		if (this.notice) {
			this.banner.appendChild(
				h(
					"div",
					{ class: `osc-banner ${this.notice.look}`, role: "alert" },
					this.notice.words
				)
			);
		}
	}

	// Ask what it would do, and decide it on a yes.
	preview(asked) {
		const { conflict } = this;
		if (!conflict || conflict.resolution_status !== "pending" || !conflict.may_decide)
			return Promise.resolve();
		const decision = asked || choices.decision(this.draft, conflict);
		if (!decision) {
			this.next_choice(1);
			this.told.say(__("Something is still to be chosen."));
			return Promise.resolve();
		}
		return remote.preview(conflict.name, decision, conflict.server_version).then((preview) => {
			if (this.conflict !== conflict) return;
			ask_decision({
				preview,
				conflict,
				what: what_is_done(decision),
				accept: () => this.decide(conflict, decision),
			});
		});
	}

	decide(conflict, decision) {
		return remote.decide(conflict.name, decision, conflict.server_version).then((answer) => {
			const draft = this.draft;
			if (answer.status === "decided") {
				this.drafts.delete(conflict.name);
				this.draft = choices.begin(conflict);
				// What follows is no reason to keep the dialog open.
				this.told.decided(answer.conflict || conflict);
				return undefined;
			}
			this.notice =
				answer.status === "already_decided"
					? already(answer.conflict || {}, answer.message)
					: answer.status === "server_moved"
					? moved()
					: { words: answer.message || __("It was refused."), look: "osc-bad" };
			this.told.say(this.notice.words);
			if (answer.status === "refused") return this.draw_notice();
			return remote
				.get(conflict.name)
				.then((now) => this.name === conflict.name && this.redraw(now, draft));
		});
	}

	// By keyboard: what the focus or the last choice was at, else the first that is still open.
	choose(side) {
		if (!this.view?.may_choose) return;
		const path = this.path_in_focus() || choices.missing(this.draft, this.conflict)[0];
		if (!path) return this.told.say(__("Everything is chosen."));
		this.view.take(path, side);
		const [next] = choices.missing(this.draft, this.conflict);
		this.go_to(next || path);
		if (!next) this.told.say(__("Everything is chosen."));
	}

	all(mode) {
		if (this.mode_radios?.[mode] && this.conflict.resolution_status === "pending")
			this.use(choices.take_all(mode));
	}

	edit() {
		if (!this.view?.may_write) return;
		const path = this.path_in_focus() || choices.missing(this.draft, this.conflict)[0];
		let place = this.place_of(path);
		// A cell is written in its row.
		while (place && !place.osc_write) place = place.parentElement;
		place?.osc_write(path);
	}

	// The element that is about something, which need not be drawn yet.
	place_of(path) {
		if (!path) return null;
		const css = `[data-path="${CSS.escape(path)}"]`;
		if (!this.host.querySelector(css)) this.complete();
		return this.host.querySelector(css);
	}

	complete() {
		this.parts.forEach((part) => part.complete?.());
	}

	path_in_focus() {
		const at = document.activeElement?.closest?.("[data-path]");
		return at && this.host.contains(at) ? at.dataset.path : "";
	}

	next_choice(step) {
		if (!this.conflict) return;
		this.complete();
		const places = [...this.host.querySelectorAll("[data-path]")].filter((place) =>
			place.querySelector(".osc-radio")
		);
		const paths = [...new Set(places.map((place) => place.dataset.path))];
		if (!paths.length) return;
		const at = paths.indexOf(this.path_in_focus());
		this.go_to(paths.at(at < 0 ? (step > 0 ? 0 : -1) : (at + step) % paths.length));
	}

	go_to(path) {
		const place = this.place_of(path);
		const radios = place ? [...place.querySelectorAll(".osc-radio")] : [];
		const target = radios.find((each) => each.checked) || radios[0];
		target?.focus();
		target?.scrollIntoView({ block: "nearest" });
	}

	// Whichever of the Desk's elements scrolls: it is another one in each version of Frappe.
	to_top() {
		for (let place = this.host; place; place = place.parentElement) place.scrollTop = 0;
	}

	focus_title() {
		this.host.querySelector(".osc-title")?.focus();
	}
}

function sentence(reason) {
	const said = offline_sync.text.with_times(reason).replace(/\.$/, "");
	// A name or an address at its beginning stays as it is.
	const first = /^\p{Ll}+(?![\p{L}\d.@_-])/u.test(said)
		? said.charAt(0).toUpperCase()
		: said.charAt(0);
	return `${first}${said.slice(1)}.`;
}

// An instant in the person's zone; the central's wall clock, which says no zone, as it is.
function when(at) {
	const instant = /(Z|[+-]\d\d:?\d\d)$/.test(at);
	return instant
		? `${offline_sync.text.time(at)} · ${ago(at)}`
		: __("{0} by its clock", [at.split(".")[0]]);
}

const what_is_done = ({ resolution }) =>
	["merge", "manual"].includes(resolution)
		? __("Both sides get the result.")
		: CHOICES[resolution].told();

const same = (before, now) =>
	before.resolution_status === now.resolution_status &&
	before.server_version === now.server_version &&
	before.may_decide === now.may_decide &&
	JSON.stringify([before.fields, before.tables]) === JSON.stringify([now.fields, now.tables]);

function decided_said(conflict) {
	return __("Decided by {0}, {1}: {2}.", [
		person(conflict.resolved_by),
		ago(conflict.resolved_at),
		resolution_said(conflict.resolution),
	]);
}

function already(conflict, message) {
	const words =
		message ||
		__("Already decided by {0}: {1}.", [
			person(conflict.resolved_by),
			resolution_said(conflict.resolution),
		]);
	return { words, look: "osc-info" };
}

function moved() {
	return {
		words: __(
			"The document changed at the central meanwhile. Its new values are shown; your choices were kept."
		),
		look: "osc-warn",
	};
}

// The page: the list beside one conflict, what the keyboard does, what arrives while it is open.

import { ask_many, help, tell_many } from "./dialogs";
import { ConflictDetail } from "./detail";
import { button, fill, h, later } from "./dom";
import { from_route } from "./filters";
import { action } from "./keys";
import { ConflictList } from "./list";
import { remote } from "./remote";
import { CHOICES, resolution_said } from "./states";

const ROUTE = "sync-conflicts";
const POLL = 20000; // ms, only while nothing arrives by itself
const NARROW = "(max-width: 991px)"; // as in the style sheet: the list or one conflict, not both
const SOON = 250; // ms: events come in bursts

export class ConflictsPage {
	constructor(wrapper) {
		this.page = frappe.ui.make_app_page({
			parent: wrapper,
			title: __("Sync Conflicts"),
			single_column: true,
		});
		this.undoable = [];
		this.make();
		this.listen();
	}

	make() {
		this.root = h("div", { class: "osc" });
		this.said = h("div", { class: "sr-only", role: "status", "aria-live": "polite" });
		this.offline = h("div", { class: "osc-not-live", role: "status" });
		this.undo_bar = h("div", { class: "osc-undo-bar", role: "status" });
		const list = h("section", { class: "osc-list", "aria-label": __("Conflicts") });
		const detail = h("section", { class: "osc-detail", "aria-label": __("One conflict") });
		fill(
			this.root,
			this.said,
			this.offline,
			this.undo_bar,
			h("div", { class: "osc-panes" }, list, detail)
		);
		this.page.main.get(0).replaceChildren(this.root);
		this.list = new ConflictList(list, {
			open: (name) => this.go(name),
			many: (names, resolution, titles) => this.many(names, resolution, titles),
			say: (words) => this.say(words),
		});
		this.detail = new ConflictDetail(detail, {
			decided: (row) => this.decided(row),
			undo: (name) => this.undo([name]),
			back: () => this.go(""),
			say: (words) => this.say(words),
			step: (by) => this.step(by),
		});
		this.page.add_inner_button(__("Shortcuts"), () => void help());
		this.page.add_inner_button(__("Refresh"), () => this.refresh());
	}

	listen() {
		this.soon = later(() => this.shown() && this.refresh(true), SOON);
		for (const event of ["sync-conflicts-changed", "sync-progress", "sync-state-changed"]) {
			offline_sync.on(event, this.soon);
		}
		offline_sync.watch_line((live) => this.line(live));
		document.addEventListener("visibilitychange", this.soon);
		document.addEventListener("keydown", (event) => this.key(event), true);
	}

	// Says when nothing arrives by itself; only then the page asks now and then.
	line(live) {
		const was = this.live;
		this.live = live;
		clearInterval(this.poll);
		if (!live) this.poll = setInterval(this.soon, POLL);
		if (live && was === false) this.soon();
		this.page.set_indicator(live ? __("Live") : __("Not live"), live ? "green" : "orange");
		fill(
			this.offline,
			!live && [
				__(
					"Changes do not arrive by themselves now. This page asks for them every {0} seconds.",
					[POLL / 1000]
				),
				" ",
				button(__("Ask Now"), "btn-link osc-toggle", () => this.refresh()),
			]
		);
	}

	shown() {
		return frappe.get_route()[0] === ROUTE && document.visibilityState === "visible";
	}

	// Each time the page comes into sight, and when another conflict is asked for by its address.
	show() {
		const options = frappe.route_options;
		frappe.route_options = null;
		const name = frappe.get_route()[1] || "";
		const listed = options ? this.list.use(from_route(options)) : this.list.refresh();
		this.root.classList.toggle("osc-one", Boolean(name));
		if (name && name !== this.detail.name) this.detail.open(name);
		else if (name) this.detail.refresh();
		else if (!this.narrow())
			listed.then(
				(rows) =>
					!this.detail.name &&
					rows?.[0]?.name &&
					!frappe.get_route()[1] &&
					this.pick(rows[0].name)
			);
		listed.then(() => this.list.show_current(this.detail.name));
		return listed;
	}

	narrow() {
		return matchMedia(NARROW).matches;
	}

	// Shown beside the list without an address of its own: the first one, and the one after a decision.
	pick(name) {
		this.list.show_current(name);
		return this.detail.open(name);
	}

	go(name) {
		if (name === (frappe.get_route()[1] || "")) return name && this.pick(name);
		return frappe.set_route(name ? [ROUTE, name] : [ROUTE]).then(() => {
			this.list.show_current(name);
			if (name && this.narrow()) this.detail.focus_title();
		});
	}

	// What is to be expected is asked of the central, and so only when a person wants it.
	refresh(by_itself = false) {
		const asked =
			by_itself && this.list.shows_expected
				? Promise.resolve(this.list.rows)
				: this.list.refresh();
		return Promise.all([
			asked.then((rows) => {
				this.list.show_current(this.detail.name);
				if (!this.detail.name && !this.narrow() && rows?.[0]?.name)
					this.pick(rows[0].name);
			}),
			this.detail.refresh(),
		]);
	}

	say(words) {
		this.said.textContent = "";
		setTimeout(() => (this.said.textContent = words), 50);
	}

	async step(by) {
		const name = await this.list.beside(this.detail.name, by);
		if (name) return this.go(name);
		return this.say(
			by > 0 ? __("This is the last conflict.") : __("This is the first conflict.")
		);
	}

	async decided(row) {
		const next = await this.list.beside(row.name, 1);
		this.show_undo(
			[row.name],
			__("{0}: {1}.", [row.title || row.resource_id, resolution_said(row.resolution)])
		);
		await this.list.refresh();
		const name = this.list.rows.some((each) => each.name === next)
			? next
			: this.list.rows[0]?.name;
		if (name && this.list.filters.status === "pending") await this.go(name);
		else {
			this.detail.show_nothing(__("Decided. Nothing else waits here."));
			await this.go("");
		}
	}

	// With no name it says why there is nothing to undo; without words it goes.
	show_undo(names, words = "") {
		this.undoable = names;
		this.undo_bar.classList.toggle("osc-warn", !names.length);
		fill(
			this.undo_bar,
			words && [
				h("span", { dir: "auto" }, words),
				names.length > 0 &&
					button(__("Undo"), "btn-default btn-xs osc-undo-last", () =>
						this.undo(this.undoable)
					),
				button("×", "btn-link btn-xs", () => this.show_undo([]), {
					"aria-label": __("Close"),
				}),
			]
		);
	}

	async undo(names) {
		const refused = [];
		for (const name of names) {
			const answer = await remote.undo(name);
			if (answer.status !== "undone") refused.push(answer.message);
			this.detail.forget(name);
		}
		const why = [...new Set(refused)].join(" ");
		this.show_undo([], why && __("Not undone: {0}", [why]));
		this.say(why || __("Undone."));
		await this.list.refresh();
		const [name] = names;
		if (name === this.detail.name) await this.detail.refresh();
		else await this.go(name);
	}

	many(names, resolution, marked) {
		const titles = new Map(marked);
		const { said, told } = CHOICES[resolution];
		return remote.preview_many(names, resolution).then((answer) => {
			ask_many({
				answer,
				titles,
				what:
					names.length === 1
						? __("{0} for 1 conflict.", [said()])
						: __("{0} for {1} conflicts.", [said(), names.length]),
				told: told(),
				accept: async (possible) => {
					const done = await remote.decide_many(possible, resolution);
					const decided = done.results
						.filter((each) => each.ok)
						.map((each) => each.name);
					decided.forEach((name) => this.list.marked.delete(name));
					this.list.draw_head();
					const words = __("{0} decided: {1}.", [
						decided.length,
						resolution_said(resolution),
					]);
					this.show_undo(decided, decided.length ? words : "");
					await this.list.refresh();
					if (decided.includes(this.detail.name)) await this.detail.refresh();
					if (decided.length < possible.length) tell_many({ answer: done, titles });
				},
			});
		});
	}

	key(event) {
		if (!this.shown() || document.querySelector(".modal.show")) return;
		const does = action(event);
		if (!does) return;
		const { detail, list } = this;
		const acts = {
			next: () => this.step(1),
			previous: () => this.step(-1),
			next_choice: () => detail.next_choice(1),
			previous_choice: () => detail.next_choice(-1),
			local: () => detail.choose("local"),
			server: () => detail.choose("server"),
			all_local: () => detail.all("local_wins"),
			all_server: () => detail.all("server_wins"),
			merged: () => detail.all("merge"),
			edit: () => detail.edit(),
			accept: () => detail.preview(),
			undo: () => this.undoable.length && this.undo(this.undoable),
			mark: () => list.toggle_mark(detail.name),
			search: () => list.search.focus(),
			help: () => void help(),
		};
		event.preventDefault();
		event.stopPropagation();
		acts[does]();
	}
}

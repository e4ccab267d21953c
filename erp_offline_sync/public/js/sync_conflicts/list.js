// The conflicts to choose from: counts, filters, search, marks for several at once, a page at a time.

import { begin, change, narrowed, query, span, AGES, AT_ONCE, PAGE, TYPES } from "./filters";
import { button, fill, h, later, pill } from "./dom";
import { ago, person } from "./format";
import { keeping_place } from "./place";
import { remote } from "./remote";
import { resolution_said } from "./states";

const TABS = {
	pending: () => __("Pending"),
	expected: () => __("Expected"),
	resolved: () => __("Decided"),
};
const TYPING = 300; // ms

// `told`: { open(name), many(names, resolution), say(words) }.
export class ConflictList {
	constructor(host, told) {
		this.told = told;
		this.filters = begin();
		this.start = 0;
		this.rows = [];
		this.total = 0;
		this.marked = new Map(); // name → title, over all pages
		this.current = "";
		this.asked = 0;
		this.people = new Set();
		this.make(host);
	}

	make(host) {
		this.host = host;
		this.tabs = h("div", {
			class: "osc-tabs",
			role: "group",
			"aria-label": __("Which conflicts"),
		});
		this.counts = h("div", {
			class: "osc-counts",
			role: "group",
			"aria-label": __("Document types"),
		});
		this.search = h("input", {
			type: "search",
			class: "form-control input-sm",
			placeholder: __("Search"),
			"aria-label": __("Search conflicts"),
		});
		this.search.addEventListener(
			"input",
			later(() => this.narrow("search", this.search.value), TYPING)
		);
		this.who = h("input", {
			type: "text",
			class: "form-control input-xs",
			list: "osc-people",
			placeholder: __("Changed by"),
			"aria-label": __("Changed by"),
		});
		this.who.addEventListener("change", () => this.narrow("changed_by", this.who.value));
		this.proposals = h("datalist", { id: "osc-people" });
		this.type = this.select(
			"conflict_type",
			__("Kind"),
			TYPES.map((type) => [type, offline_sync.status.conflict(type)])
		);
		this.age = this.select(
			"older_than_days",
			__("Age"),
			AGES.map((days) => [
				String(days),
				days === 1 ? __("older than a day") : __("older than {0} days", [days]),
			])
		);
		this.clear = button(__("Clear Filters"), "btn-link osc-toggle", () => this.reset());
		this.head = h("div", { class: "osc-list-head" });
		this.bulk = h("div", {
			class: "osc-bulk",
			role: "group",
			"aria-label": __("Marked conflicts"),
		});
		this.items = h("ul", { class: "osc-items", "aria-label": __("Conflicts") });
		this.filter_bar = h(
			"div",
			{ class: "osc-filters" },
			this.who,
			this.proposals,
			this.type,
			this.age,
			this.clear
		);
		fill(
			host,
			this.tabs,
			this.search,
			this.counts,
			this.filter_bar,
			this.bulk,
			this.head,
			this.items
		);
		this.draw_frame();
	}

	select(name, label, options) {
		const made = h(
			"select",
			{ class: "form-control input-xs", "aria-label": label },
			h("option", { value: "" }, __("{0}: any", [label])),
			options.map(([each, said]) => h("option", { value: each }, said))
		);
		made.addEventListener("change", () => this.narrow(name, made.value));
		return made;
	}

	narrow(name, wanted) {
		if (this.filters[name] === wanted) return;
		this.use(change(this.filters, name, wanted));
	}

	reset() {
		this.use({ ...begin(), status: this.filters.status });
	}

	use(filters) {
		this.filters = filters;
		this.start = 0;
		this.marked.clear();
		this.search.value = filters.search;
		this.who.value = filters.changed_by;
		this.type.value = filters.conflict_type;
		this.age.value = filters.older_than_days;
		keeping_place(this.host, () => this.draw_frame());
		return this.refresh();
	}

	get shows_expected() {
		return this.filters.status === "expected";
	}

	// Ask again and show it; what is shown stays until then.
	refresh() {
		const mine = ++this.asked;
		this.items.setAttribute("aria-busy", "true");
		const answer = this.shows_expected
			? remote.expected(this.start, PAGE)
			: remote.list(query(this.filters), this.start, PAGE);
		return answer
			.then((found) => {
				if (mine !== this.asked) return this.rows;
				this.take(found);
				return this.rows;
			})
			.finally(() => mine === this.asked && this.items.removeAttribute("aria-busy"));
	}

	take(found) {
		this.rows = found.rows;
		this.answer = found;
		this.total = found.total ?? this.start + found.rows.length;
		// The last of a page may be decided by now.
		if (!this.rows.length && this.start > 0) {
			this.start = Math.max(0, this.start - PAGE);
			return this.refresh();
		}
		for (const row of this.rows) {
			if (row.changed_by) this.people.add(row.changed_by);
			if (this.marked.has(row.name)) this.marked.set(row.name, title_of(row));
		}
		fill(
			this.proposals,
			[...this.people].sort().map((user) => h("option", { value: user }))
		);
		keeping_place(this.host, () => {
			this.draw_frame();
			this.draw_items();
		});
		return undefined;
	}

	draw_frame() {
		const pending = this.answer && this.filters.status === "pending" ? this.total : null;
		fill(
			this.tabs,
			Object.entries(TABS).map(([status, said]) => {
				const count =
					status === "pending" && pending !== null
						? ` ${format_number(pending, null, 0)}`
						: "";
				return button(
					said() + count,
					"btn-default osc-tab",
					() => this.narrow("status", status),
					{ "aria-pressed": String(this.filters.status === status) }
				);
			})
		);
		const counts = Object.entries(this.answer?.counts || {});
		fill(
			this.counts,
			!this.shows_expected &&
				(counts.length > 1 || this.filters.doctype) && [
					chip(__("All"), null, !this.filters.doctype, () => this.narrow("doctype", "")),
					counts.map(([doctype, count]) =>
						chip(__(doctype), count, this.filters.doctype === doctype, () =>
							this.narrow("doctype", doctype)
						)
					),
				]
		);
		this.search.hidden = this.filter_bar.hidden = this.shows_expected;
		this.clear.hidden = !narrowed(this.filters);
		this.draw_head();
	}

	draw_head() {
		const { first, last, total, before, after } = span(
			this.start,
			this.rows.length,
			this.total
		);
		const may_mark =
			this.filters.status === "pending" && this.rows.some((row) => row.may_decide);
		const all = this.rows.filter((row) => row.may_decide);
		const box = h("input", { type: "checkbox", "aria-label": __("Mark all on this page") });
		box.checked = all.length > 0 && all.every((row) => this.marked.has(row.name));
		box.indeterminate = !box.checked && all.some((row) => this.marked.has(row.name));
		box.addEventListener("change", () => {
			all.forEach((row) => (box.checked ? this.mark(row) : this.marked.delete(row.name)));
			this.draw_marks();
		});
		const words = this.shows_expected
			? this.expected_said()
			: __(
					"{0}–{1} of {2}",
					[first, last, total].map((n) => format_number(n, null, 0))
			  );
		const turn = (label, sign, on, by) =>
			button(sign, "btn-default btn-xs osc-turn", () => this.turn(by), {
				"aria-label": label,
				title: label,
				disabled: !on,
			});
		fill(
			this.head,
			may_mark && box,
			h("span", { class: "osc-span" }, this.rows.length || this.shows_expected ? words : ""),
			(before || after) && [
				turn(__("Previous page"), "‹", before, -PAGE),
				turn(__("Next page"), "›", after, PAGE),
			]
		);
		this.draw_bulk();
	}

	expected_said() {
		const { reachable, asked_at, message } = this.answer || {};
		if (reachable === false) return message || __("The central cannot be asked now.");
		return asked_at ? __("Asked at {0}", [offline_sync.text.time(asked_at)]) : "";
	}

	draw_bulk() {
		const count = this.marked.size;
		this.bulk.hidden = !count;
		if (!count) return fill(this.bulk);
		const decide = (label, resolution) =>
			button(label, "btn-default btn-xs", () =>
				this.told.many([...this.marked.keys()], resolution, this.marked)
			);
		return fill(
			this.bulk,
			h(
				"span",
				{ class: "osc-marked" },
				count === 1 ? __("1 marked") : __("{0} marked", [count])
			),
			decide(__("All local"), "local_wins"),
			decide(__("All server"), "server_wins"),
			decide(__("Merge"), "merge"),
			decide(__("Skip"), "skip"),
			button(__("Clear", null, "Marks"), "btn-link btn-xs", () => {
				this.marked.clear();
				this.draw_marks();
			})
		);
	}

	draw_items() {
		if (!this.rows.length) return fill(this.items, this.nothing());
		return fill(
			this.items,
			this.rows.map((row) => (this.shows_expected ? expected_item(row) : this.item(row)))
		);
	}

	nothing() {
		const words = this.shows_expected
			? this.answer?.reachable === false
				? __("It is asked again when the line is back.")
				: __("No conflict is to be expected of what waits.")
			: narrowed(this.filters)
			? __("No conflict is like this.")
			: this.filters.status === "pending"
			? __("Nothing to decide. Conflicts appear here by themselves.")
			: __("Nothing was decided yet.");
		return h("li", { class: "osc-nothing" }, words);
	}

	item(row) {
		const id = `osc-item-${row.name}`;
		const decided = row.resolution_status === "resolved";
		const box =
			!decided &&
			row.may_decide &&
			h("input", { type: "checkbox", "aria-label": __("Mark {0}", [title_of(row)]) });
		if (box) {
			box.checked = this.marked.has(row.name);
			box.addEventListener("change", () => {
				box.checked ? this.mark(row) : this.marked.delete(row.name);
				this.draw_marks();
			});
		}
		const when = decided ? row.resolved_at : row.created_at;
		return h(
			"li",
			{
				class: "osc-item",
				"data-name": row.name,
				"aria-current": row.name === this.current ? "true" : null,
			},
			h("span", { class: "osc-box" }, box),
			h(
				"button",
				{
					type: "button",
					class: "osc-open-item",
					id,
					onclick: () => this.told.open(row.name),
				},
				h(
					"span",
					{ class: "osc-item-top" },
					h("span", { class: "osc-item-title", dir: "auto" }, title_of(row)),
					h(
						"time",
						{
							class: "osc-item-time",
							datetime: when,
							title: offline_sync.text.time(when),
						},
						ago(when)
					)
				),
				h(
					"span",
					{ class: "osc-item-kind" },
					`${__(row.resource_type || "")} · ${offline_sync.status.conflict(
						row.conflict_type
					)}`
				),
				h(
					"span",
					{ class: "osc-item-by" },
					decided
						? [
								pill(resolution_said(row.resolution), "green"),
								" ",
								person(row.resolved_by),
						  ]
						: row.changed_by && __("here by {0}", [person(row.changed_by)])
				)
			)
		);
	}

	mark(row) {
		if (this.marked.size >= AT_ONCE)
			return this.told.say(__("At most {0} at once.", [AT_ONCE]));
		return this.marked.set(row.name, title_of(row));
	}

	draw_marks() {
		for (const item of this.items.querySelectorAll(".osc-item")) {
			const box = item.querySelector("input[type=checkbox]");
			if (box) box.checked = this.marked.has(item.dataset.name);
		}
		keeping_place(this.host, () => this.draw_head());
	}

	toggle_mark(name) {
		const row = this.rows.find((each) => each.name === name);
		if (!row?.may_decide || row.resolution_status !== "pending") return;
		this.marked.has(name) ? this.marked.delete(name) : this.mark(row);
		this.draw_marks();
	}

	turn(by) {
		this.start = Math.max(0, this.start + by);
		return this.refresh();
	}

	show_current(name) {
		this.current = name;
		for (const item of this.items.querySelectorAll(".osc-item")) {
			if (item.dataset.name === name) {
				item.setAttribute("aria-current", "true");
				item.scrollIntoView({ block: "nearest" });
			} else item.removeAttribute("aria-current");
		}
	}

	// The name of the conflict so many after (or before) this one, over the pages; "" where there is none.
	async beside(name, step) {
		const index = this.rows.findIndex((row) => row.name === name);
		const next = index < 0 ? (step > 0 ? 0 : this.rows.length - 1) : index + step;
		if (this.rows[next]) return this.rows[next].name;
		const { before, after } = span(this.start, this.rows.length, this.total);
		if (index < 0 || (step > 0 ? !after : !before)) return "";
		const rows = await this.turn(step * PAGE);
		return rows.at(step > 0 ? 0 : -1)?.name || "";
	}
}

const title_of = (row) => row.title || row.resource_id || row.name;

function chip(label, count, pressed, act) {
	return h(
		"button",
		{ type: "button", class: "osc-chip", "aria-pressed": String(pressed), onclick: act },
		label,
		count !== null && h("span", { class: "osc-count" }, format_number(count, null, 0))
	);
}

function expected_item(row) {
	return h(
		"li",
		{ class: "osc-item" },
		h("span", { class: "osc-box" }),
		h(
			"div",
			{ class: "osc-open-item" },
			h(
				"span",
				{ class: "osc-item-top" },
				h("span", { class: "osc-item-title", dir: "auto" }, title_of(row))
			),
			h("span", { class: "osc-item-kind" }, __(row.resource_type)),
			h("span", { class: "osc-item-by", dir: "auto" }, row.sentence),
			h(
				"span",
				{ class: "osc-ways" },
				offline_sync.text.way(__("Open Document"), row.resource_type, row.resource_id),
				" ",
				offline_sync.text.way(__("Open Request"), "Offline Request", row.request)
			)
		)
	);
}

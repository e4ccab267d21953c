// The state on every page: in the navbar, and where there is none in the page's head. It opens what can be done.

import { caller } from "./caller";
import { is_live, watch_line } from "./live";
import { button, deeds } from "./panel";
import { status } from "./status";
import { text } from "./text";
import { ways } from "./ways";

const SOON = 1000; // ms: events come in bursts
const POLL = 60000; // ms, only while no event arrives
const HEADS = [0, 300, 1500]; // ms after which a new page has its head
const READERS = ["Offline Sync Manager", "Offline Sync User", "System Manager"];

export const is_reader = () => READERS.some((role) => frappe.user.has_role(role));

export function indicator() {
	const item = text.element("li", "nav-item offline-sync-indicator");
	const opener = text.element("button", "");
	const dot = text.element("span", "offline-sync-dot");
	const label = text.element("span", "offline-sync-label");
	const menu = text.element("div", "dropdown-menu offline-sync-menu");
	opener.type = "button";
	opener.setAttribute("aria-expanded", "false");
	opener.append(dot, label);
	item.append(opener, menu);
	item.hidden = true;
	let answer = null;
	let progress = null;
	let conflicts = 0;
	let planned = null;

	const draw = () => {
		const { words, colour, urgent } = status.brief(answer, progress, conflicts);
		item.hidden = !words;
		dot.style.backgroundColor = `var(--${colour}-500)`;
		label.textContent = words;
		label.classList.toggle("offline-sync-urgent", urgent);
		opener.setAttribute("aria-label", __("Offline sync: {0}", [words]));
		opener.title = words;
		if (menu.classList.contains("show")) draw_menu();
	};
	const draw_menu = () => {
		const { title, detail, paused, unset } = status.headline(answer);
		const row = text.element("div", "offline-sync-deeds");
		const open = button(
			__("Conflicts: {0}", [conflicts]),
			conflicts ? "btn-primary" : "btn-default",
			() => ways.to_conflicts()
		);
		const outbox = button(__("Outbox"), "btn-default", () =>
			frappe.set_route("List", "Offline Request")
		);
		row.append(open, ...deeds({ paused, unset }, refresh), outbox);
		menu.replaceChildren(
			text.element("div", "offline-sync-title", title),
			text.element("div", "offline-sync-detail", detail),
			row
		);
	};
	// Conflicts are counted as this person may see them.
	const refresh = () =>
		caller
			.getSyncStatus()
			.then((told) => {
				answer = told;
				if (told.state !== "syncing") progress = null;
				return told.conflictCount
					? frappe.db.count("Sync Conflict", {
							filters: { resolution_status: "pending" },
					  })
					: 0;
			})
			.then((count) => {
				conflicts = count;
				draw();
			})
			.catch(() => {});
	const soon = () => {
		if (planned === null && document.visibilityState === "visible") {
			planned = setTimeout(() => {
				planned = null;
				refresh();
			}, SOON);
		}
	};
	const toggle = (show) => {
		if (show) draw_menu();
		menu.classList.toggle("show", show);
		opener.setAttribute("aria-expanded", String(show));
	};

	opener.addEventListener("click", () => toggle(!menu.classList.contains("show")));
	item.addEventListener("keydown", (event) => {
		if (event.key !== "Escape" || !menu.classList.contains("show")) return;
		event.stopPropagation();
		toggle(false);
		opener.focus();
	});
	document.addEventListener("click", (event) => item.contains(event.target) || toggle(false));
	caller.on("sync-progress", (data) => {
		progress = data;
		if (answer) draw();
		soon();
	});
	caller.on("sync-state-changed", soon);
	caller.on("sync-conflicts-changed", soon);
	document.addEventListener("visibilitychange", soon);
	watch_line((live) => live && soon());
	setInterval(() => is_live() || soon(), POLL);
	$(document).on("toolbar_setup page-change", () => {
		toggle(false);
		HEADS.forEach((after) => setTimeout(() => place(item), after));
	});
	place(item);
	return refresh();
}

function place(item) {
	const bar = document.querySelector(
		"header.navbar .navbar-collapse > .navbar-nav, header .navbar-nav:last-child"
	);
	const host = bar || window.cur_page?.page?.querySelector?.(".page-head .page-actions");
	if (host && item.parentElement !== host) host.prepend(item);
}

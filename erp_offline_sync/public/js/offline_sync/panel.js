// "Is my branch in sync?": one state in plain words, what waits, who has to act, and the button that sends.

import { caller } from "./caller";
import { follow } from "./follow";
import { status } from "./status";
import { text } from "./text";
import { ways } from "./ways";

const STYLE = `
	.offline-sync-panel { display: flex; flex-wrap: wrap; gap: 8px 16px; align-items: center;
		padding: 14px 16px; margin-bottom: 8px; border: 1px solid var(--border-color); border-radius: var(--border-radius-lg, 10px);
		background: var(--card-bg); color: var(--text-color); font-size: var(--text-md, 13px); }
	.offline-sync-words { flex: 1 1 260px; min-width: 0; overflow-wrap: anywhere; }
	.offline-sync-title { font-size: var(--text-xl, 16px); font-weight: 600; }
	.offline-sync-dot { display: inline-block; width: 9px; height: 9px; border-radius: 50%; margin-right: 8px;
		vertical-align: 1px; }
	.offline-sync-detail { color: var(--text-muted); margin-top: 2px; }
	.offline-sync-facts { flex: 1 1 100%; display: flex; flex-wrap: wrap; gap: 6px 8px; align-items: center; }
`;

// Fills `host`, an element of a page, a form or a workspace's block, and keeps it up to date.
export function panel(host) {
	let asked = 0;
	const show = (answer) => host.replaceChildren(...parts(answer, refresh));
	const refresh = () => {
		const mine = ++asked;
		return caller.getSyncStatus().then((answer) => mine === asked && show(answer));
	};
	if (!host.dataset.followed) {
		host.dataset.followed = "yes";
		follow(host, refresh, { every: 30000 });
	}
	return refresh();
}

function parts(answer, refresh) {
	const style = document.createElement("style");
	style.textContent = STYLE;
	const { title, detail, colour, paused, unset } = status.headline(answer);
	const frame = text.element("div", "offline-sync-panel");
	const words = text.element("div", "offline-sync-words");
	const dot = text.element("span", "offline-sync-dot");
	dot.style.backgroundColor = `var(--${colour}-500)`;
	const headed = text.element("div", "offline-sync-title", title);
	headed.prepend(dot);
	words.append(headed, text.element("div", "offline-sync-detail", detail));
	frame.append(words, ...deeds({ paused, unset }, refresh), facts(answer));
	return [style, frame];
}

// What may be done about it, as buttons. Who may not resume is told so by the words alone.
export function deeds({ paused, unset }, refresh) {
	const manages = frappe.user.has_role(["Offline Sync Manager", "System Manager"]);
	if (unset) {
		const open = () => frappe.set_route("Form", "Offline Sync Settings");
		return [button(__("Open Settings"), "btn-default", open)];
	}
	if (paused) {
		const resume = () => caller.resume().then(refresh);
		return manages ? [button(__("Resume"), "btn-primary", resume)] : [];
	}
	const send = button(__("Sync Now"), "btn-primary", () => caller.forceSync().then(refresh));
	return manages ? [button(__("Pause"), "btn-default", () => ask_pause(refresh)), send] : [send];
}

function ask_pause(refresh) {
	frappe.prompt(
		{
			fieldname: "reason",
			fieldtype: "Small Text",
			label: __("Reason"),
			reqd: 1,
			description: __(
				"Nothing is sent until somebody resumes; what is saved meanwhile is kept here. People see the reason."
			),
		},
		({ reason }) => caller.pause(reason).then(refresh),
		__("Pause sending"),
		__("Pause")
	);
}

function facts(answer) {
	const row = text.element("div", "offline-sync-facts");
	const list = (label, doctype, filters) =>
		row.appendChild(
			button(label, "btn-default btn-xs", () => {
				frappe.route_options = filters;
				frappe.set_route("List", doctype);
			})
		);
	list(__("Waiting: {0}", [answer.pendingCount]), "Offline Request", {
		status: ["in", status.WAITING],
	});
	list(__("Held for a person: {0}", [answer.totals.held]), "Offline Request", {
		status: ["in", status.HELD],
	});
	row.appendChild(
		button(__("Conflicts: {0}", [answer.conflictCount]), "btn-default btn-xs", () =>
			ways.to_conflicts()
		)
	);
	const last = answer.lastSyncTime ? text.time(answer.lastSyncTime) : __("never");
	row.appendChild(text.element("span", "text-muted", __("Last sync: {0}", [last])));
	return row;
}

export function button(label, look, act) {
	const made = text.element(
		"button",
		`btn ${look.includes("btn-xs") ? "" : "btn-sm"} ${look}`,
		label
	);
	made.type = "button";
	made.addEventListener("click", () => {
		made.disabled = true;
		Promise.resolve(act()).finally(() => (made.disabled = false));
	});
	return made;
}

// "How does it go?": what arrived, what failed and what waited, as a picture and as a table.

import { caller } from "./caller";
import { follow } from "./follow";
import { text } from "./text";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 720;
const HEIGHT = 150;
const FOOT = 18;
// Words are translated when they are shown: this file is read before the translations are.
const spans = () => ({ 1: __("24 hours"), 7: __("7 days"), 30: __("30 days"), 90: __("90 days") });
const series = () => [
	{ key: "applied", label: __("Arrived"), colour: "var(--green-500, #28a745)" },
	{ key: "conflicts", label: __("Conflicts"), colour: "var(--orange-500, #e86c13)" },
	{ key: "failures", label: __("Failed attempts"), colour: "var(--red-500, #e03636)" },
];
const STYLE = `
	.offline-sync-figures { padding: 14px 16px; margin-bottom: 8px; border: 1px solid var(--border-color);
		border-radius: var(--border-radius-lg, 10px); background: var(--card-bg); color: var(--text-color);
		font-size: var(--text-md, 13px); }
	.offline-sync-figures-head { display: flex; flex-wrap: wrap; gap: 8px 16px; align-items: center; }
	.offline-sync-figures-head select { margin-inline-start: auto; width: auto; }
	.offline-sync-figures-title { font-size: var(--text-lg, 15px); font-weight: 600; }
	.offline-sync-figures-sums { display: flex; flex-wrap: wrap; gap: 6px 28px; margin: 10px 0 6px; }
	.offline-sync-figures-sum b { display: block; font-size: var(--text-xl, 17px); font-weight: 600; }
	.offline-sync-figures-sum span, .offline-sync-figures-note { color: var(--text-muted); }
	.offline-sync-figures svg { display: block; width: 100%; height: auto; direction: ltr; }
	.offline-sync-figures svg text { fill: var(--text-muted); font-size: 11px; }
	.offline-sync-figures-key { display: inline-flex; gap: 6px; align-items: center; margin-inline-end: 16px; }
	.offline-sync-figures-key i { width: 10px; height: 10px; border-radius: 2px; }
`;

// Fills `host` and keeps it up to date.
export function figures(host) {
	let days = 7;
	let asked = 0;
	const refresh = () => {
		const mine = ++asked;
		return caller.getMetrics(days).then((answer) => {
			if (mine === asked) host.replaceChildren(...parts(answer, choose));
		});
	};
	const choose = (chosen) => {
		days = chosen;
		refresh().then(() => host.querySelector("select")?.focus());
	};
	if (!host.dataset.followed) {
		host.dataset.followed = "yes";
		follow(host, refresh, { pause: 5000 });
	}
	return refresh();
}

function parts(answer, choose) {
	const style = document.createElement("style");
	style.textContent = STYLE;
	const frame = text.element("section", "offline-sync-figures");
	const head = text.element("div", "offline-sync-figures-head");
	head.append(
		text.element("div", "offline-sync-figures-title", __("What was sent")),
		span_chooser(answer.days, choose)
	);
	frame.append(head);
	if (!answer.hours.length) {
		frame.append(text.element("p", "offline-sync-figures-note mt-3", __("No run ended in this time.")));
		return [style, frame];
	}
	const slots = grouped(answer);
	frame.append(sums(slots.flatMap((slot) => slot.hours)), chart(slots), legend());
	tabled(text.fold(frame, __("As a table")), slots);
	return [style, frame];
}

function span_chooser(days, choose) {
	const select = text.element("select", "form-control input-xs");
	select.setAttribute("aria-label", __("Time"));
	Object.entries(spans()).forEach(([value, label]) => {
		const option = text.element("option", "", label);
		option.value = value;
		option.selected = Number(value) === days;
		select.append(option);
	});
	select.addEventListener("change", () => choose(Number(select.value)));
	return select;
}

// Of the hours that the chart shows, not of the part of an hour before them.
function sums(hours) {
	const all = (key) => hours.reduce((total, hour) => total + hour[key], 0);
	const applied = all("applied");
	const row = text.element("div", "offline-sync-figures-sums");
	const sum = (label, value) => {
		const cell = text.element("div", "offline-sync-figures-sum");
		cell.append(text.element("b", "", value), text.element("span", "", label));
		row.append(cell);
	};
	sum(__("Arrived"), applied);
	sum(__("Conflicts"), all("conflicts"));
	sum(__("Failed attempts"), all("failures"));
	sum(__("Mean time until there"), applied ? span(all("lag_seconds") / applied) : "–");
	sum(__("Longest"), applied ? span(Math.max(...hours.map((hour) => hour.lag_longest))) : "–");
	sum(__("Runs without the central"), __("{0} of {1}", [all("unreached"), all("runs")]));
	return row;
}

// One slot an hour for a day, else one a day; those in which no run ended are empty ones.
function grouped({ days, hours }) {
	const zone = frappe.boot.time_zone?.user || frappe.boot.time_zone?.system || moment.tz.guess();
	const unit = days === 1 ? "hour" : "day";
	const format = days === 1 ? "HH:mm" : frappe.datetime.get_user_date_fmt().toUpperCase();
	const begin = moment().tz(zone).startOf(unit).subtract(days === 1 ? 23 : days - 1, unit);
	const count = days === 1 ? 24 : days;
	const slots = Array.from({ length: count }, (_, index) => {
		const at = begin.clone().add(index, unit);
		return { key: at.format("YYYYMMDDHH"), label: at.format(format), hours: [] };
	});
	const by_key = new Map(slots.map((slot) => [slot.key, slot]));
	hours.forEach((hour) => {
		by_key.get(moment(hour.at).tz(zone).startOf(unit).format("YYYYMMDDHH"))?.hours.push(hour);
	});
	return slots.map((slot) => {
		const total = (key) => slot.hours.reduce((sum, hour) => sum + hour[key], 0);
		const last = slot.hours.filter((hour) => hour.runs).pop();
		return {
			...slot,
			applied: total("applied"),
			conflicts: total("conflicts"),
			failures: total("failures"),
			runs: total("runs"),
			unreached: total("unreached"),
			waiting: last ? last.waiting : null,
		};
	});
}

function chart(slots) {
	const drawn = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT + FOOT}`, role: "img" });
	drawn.setAttribute("aria-label", __("What arrived, conflicts, failed attempts and what waited"));
	const heights = slots.map((slot) => series().reduce((sum, { key }) => sum + slot[key], 0));
	const top = Math.max(1, ...heights, ...slots.map((slot) => slot.waiting || 0));
	const step = (WIDTH - 40) / slots.length;
	const up = (value) => ((HEIGHT - 12) * value) / top;
	drawn.append(
		svg("line", { x1: 36, x2: WIDTH, y1: HEIGHT, y2: HEIGHT, stroke: "var(--border-color)" }),
		svg("text", { x: 30, y: 16, "text-anchor": "end" }, top),
		svg("text", { x: 30, y: HEIGHT, "text-anchor": "end" }, 0)
	);
	const every = Math.ceil(slots.length / (slots.length > 24 ? 6 : 8));
	slots.forEach((slot, index) => {
		const left = 38 + index * step;
		const bar = svg("g", {});
		const told = series().map(({ key, label }) => `${label}: ${slot[key]}`);
		if (slot.waiting !== null) told.push(__("Waiting at the end: {0}", [slot.waiting]));
		bar.append(svg("title", {}, `${slot.label} – ${told.join(", ")}`));
		bar.append(svg("rect", { x: left, y: 0, width: step, height: HEIGHT, fill: "transparent" }));
		if (slot.unreached) {
			const away = { x: left, y: 0, width: step, height: HEIGHT, fill: "var(--gray-400, #999)", opacity: 0.18 };
			bar.append(svg("rect", away));
		}
		let foot = HEIGHT;
		series().forEach(({ key, colour }) => {
			const height = up(slot[key]);
			if (!height) return;
			foot -= height;
			const gap = Math.min(4, step * 0.15);
			bar.append(svg("rect", { x: left + gap, y: foot, width: step - 2 * gap, height, rx: 1.5, fill: colour }));
		});
		drawn.append(bar);
		if (index % every === 0) {
			drawn.append(svg("text", { x: left, y: HEIGHT + FOOT - 4 }, slot.label));
		}
	});
	const known = slots.map((slot, index) => [38 + (index + 0.5) * step, slot.waiting]);
	const points = known.filter(([, waiting]) => waiting !== null);
	const line = points.map(([x, waiting]) => `${x},${HEIGHT - up(waiting)}`).join(" ");
	drawn.append(
		svg("polyline", { points: line, fill: "none", stroke: "var(--blue-500, #2490ef)", "stroke-width": 2 })
	);
	return drawn;
}

function legend() {
	const row = text.element("div", "offline-sync-figures-note");
	const entry = (label, colour, opacity = 1) => {
		const key = text.element("span", "offline-sync-figures-key");
		const mark = document.createElement("i");
		mark.style.background = colour;
		mark.style.opacity = opacity;
		key.append(mark, document.createTextNode(label));
		row.append(key);
	};
	series().forEach(({ label, colour }) => entry(label, colour));
	entry(__("Waiting"), "var(--blue-500, #2490ef)");
	entry(__("The central was not reached"), "var(--gray-400, #999)", 0.4);
	return row;
}

function tabled(host, slots) {
	const heads = [__("Time"), ...series().map(({ label }) => label), __("Waiting"), __("Runs"), __("Not reached")];
	const rows = slots
		.filter((slot) => slot.hours.length)
		.map((slot) => [
			slot.label,
			...series().map(({ key }) => slot[key]),
			slot.waiting === null ? "" : slot.waiting,
			slot.runs,
			slot.unreached,
		]);
	text.table(host, heads, rows);
}

function span(seconds) {
	const [size, unit] = [
		[86400, __("d")],
		[3600, __("h")],
		[60, __("min")],
		[1, __("s")],
	].find(([size]) => seconds >= size || size === 1);
	return `${(seconds / size).toFixed(1)} ${unit}`;
}

function svg(tag, attributes, content) {
	const made = document.createElementNS(SVG, tag);
	Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value));
	if (content !== undefined) made.textContent = content;
	return made;
}

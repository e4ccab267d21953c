// Where a person is in what is drawn anew under their hands: the focus, the caret, what is being written, and how far
// it is scrolled stay.

const ABOUT = "[data-path], [data-name]"; // what a part of the page is about

// Calls `draw`, which fills `host` anew, and `complete`, which draws what is left for later, where it may be needed.
export function keeping_place(host, draw, complete = () => {}) {
	const kept = place_in(host);
	draw();
	if (kept.focus || kept.seen || kept.writing.length) complete();
	for (const path of kept.writing) go_on_writing(host, path);
	kept.scrolled.forEach(([left, top], index) => {
		const scroller = scrollers_in(host)[index];
		if (scroller) [scroller.scrollLeft, scroller.scrollTop] = [left, top];
	});
	if (kept.focus) put_focus(host, kept.focus);
	else if (kept.seen) stay_at(host, host.querySelector(kept.seen.about), kept.seen);
}

function place_in(host) {
	const at = host.contains(document.activeElement) ? document.activeElement : null;
	return {
		writing: inputs_in(host).map((input) => input.dataset.writes),
		scrolled: scrollers_in(host).map((each) => [each.scrollLeft, each.scrollTop]),
		focus: at && { ...described(host, at), top: top_of(at), text: text_in(at) },
		seen: at ? null : first_in_sight(host),
	};
}

const top_of = (element) => element.getBoundingClientRect().top;

// What is out of sight has its height only once it was laid out, which takes a frame.
function stay_at(host, element, { top }) {
	const stay = () => element?.isConnected && scroll_by(host, top_of(element) - top);
	stay();
	requestAnimationFrame(() => requestAnimationFrame(stay));
}

// Of what is scrolled: the first thing that is still on the screen.
function first_in_sight(host) {
	if (top_of(host) >= 0) return null;
	const element = [...host.querySelectorAll(ABOUT)].find((each) => top_of(each) >= 0);
	return element ? { about: about(element), top: top_of(element) } : null;
}

const inputs_in = (host) => [...host.querySelectorAll("[data-writes]")];
const scrollers_in = (host) => [...host.querySelectorAll(".osc-scroll")];

// A row of a table is written as one: its other inputs come with the first.
function go_on_writing(host, path) {
	if (inputs_in(host).some((input) => input.dataset.writes === path)) return;
	const place = [...host.querySelectorAll("[data-path]")].find(
		(each) => each.osc_write && `${path}.`.startsWith(`${each.dataset.path}.`)
	);
	place?.osc_write(path);
}

// How to find an element again that is made anew: what it is about, and which of those of its kind it is.
function described(host, element) {
	const { writes } = element.dataset;
	if (writes) return { css: `[data-writes="${CSS.escape(writes)}"]`, about: "", index: 0 };
	const around = element.closest(ABOUT);
	const part = around && host.contains(around) ? around : host;
	const css = [element.localName, ...[...element.classList].map(CSS.escape)].join(".");
	return {
		about: part === host ? "" : about(part),
		css: element.matches("[type=radio]") ? `${css}[value="${element.value}"]` : css,
		index: [...part.querySelectorAll(css)].indexOf(element),
	};
}

const about = ({ dataset }) =>
	dataset.path === undefined
		? `[data-name="${CSS.escape(dataset.name)}"]`
		: `[data-path="${CSS.escape(dataset.path)}"]`;

function put_focus(host, kept) {
	const { about: part, css, index, text } = kept;
	const around = part ? host.querySelector(part) : host;
	const found = around?.querySelectorAll(css) || [];
	const element = found[index] || found[0];
	if (!element) return host.querySelector(".osc-title")?.focus();
	element.focus({ preventScroll: true });
	if (text) write_on(element, text);
	stay_at(host, element, kept);
}

// Of a text field: where the caret is, and how far the text is scrolled.
function text_in(element) {
	if (!element.matches("input, textarea")) return null;
	const { selectionStart, selectionEnd, selectionDirection, scrollTop, scrollLeft } = element;
	return { selectionStart, selectionEnd, selectionDirection, scrollTop, scrollLeft };
}

function write_on(element, text) {
	// Inputs for numbers and dates keep it to themselves.
	if (text.selectionStart !== null && element.setSelectionRange)
		element.setSelectionRange(text.selectionStart, text.selectionEnd, text.selectionDirection);
	[element.scrollTop, element.scrollLeft] = [text.scrollTop, text.scrollLeft];
}

// Whichever of the Desk's elements scrolls: it is another one in each version of Frappe.
function scroll_by(host, distance) {
	let left = distance;
	for (let place = host; place && Math.abs(left) >= 1; place = place.parentElement) {
		const before = place.scrollTop;
		place.scrollTop += left;
		left -= place.scrollTop - before;
	}
}

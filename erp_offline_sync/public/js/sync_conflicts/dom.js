// Elements of the page. Children that are no elements go in as text, with characters that turn a text around shown.

const SVG = "http://www.w3.org/2000/svg";

// h("button", { class: "btn", onclick: fn, "aria-label": … }, "text", element, null)
export function h(tag, given, ...children) {
	const made = document.createElement(tag);
	for (const [name, value] of Object.entries(given || {})) {
		if (value === undefined || value === null || value === false) continue;
		if (typeof value === "function") made.addEventListener(name.slice(2), value);
		else made.setAttribute(name, value === true ? "" : offline_sync.text.plain(String(value)));
	}
	put(made, children);
	return made;
}

function put(host, children) {
	for (const child of children.flat(Infinity)) {
		if (child === undefined || child === null || child === false) continue;
		if (child instanceof Node) host.appendChild(child);
		else host.appendChild(document.createTextNode(offline_sync.text.plain(String(child))));
	}
}

export function fill(host, ...children) {
	host.replaceChildren();
	put(host, children);
	return host;
}

export function icon(name) {
	const drawing = document.createElementNS(SVG, "svg");
	drawing.setAttribute("class", "icon icon-sm");
	drawing.setAttribute("aria-hidden", "true");
	const use = document.createElementNS(SVG, "use");
	use.setAttribute("href", `#icon-${name}`);
	drawing.appendChild(use);
	return drawing;
}

// A button that cannot be pressed again while what it does is under way.
export function button(label, look, act, given) {
	const made = h("button", { type: "button", class: `btn btn-sm ${look}`, ...given }, label);
	made.addEventListener("click", (event) => {
		const done = act(event);
		if (!done?.finally) return;
		made.disabled = true;
		done.finally(() => (made.disabled = false)).catch(() => {});
	});
	return made;
}

export function pill(label, colour) {
	return h("span", { class: `indicator-pill no-indicator-dot ${colour} osc-pill` }, label);
}

// Calls `fn` once, `pause` ms after the last call.
export function later(fn, pause) {
	let timer = null;
	return (...args) => {
		clearTimeout(timer);
		timer = setTimeout(() => fn(...args), pause);
	};
}

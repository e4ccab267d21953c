// A long text as a line diff: what each side took out, put in, and where both did otherwise.

import { h } from "./dom";

const AROUND = 2; // equal lines shown beside a change
const AT_MOST = 400; // lines drawn
const WIDTH = 2000; // characters of a line drawn

const MARKS = {
	same: { sign: " ", said: () => "" },
	gone: { sign: "−", said: () => __("before") },
	local: { sign: "+", said: () => __("here") },
	server: { sign: "+", said: () => __("central") },
	both: { sign: "+", said: () => __("both") },
};

// [{ mark, text, skipped }] of the server's [{ op, base, local, server }].
export function drawn_lines(ops) {
	const drawn = [];
	const put = (mark, lines) => (lines || []).forEach((text) => drawn.push({ mark, text }));
	ops.forEach(({ op, base, local, server }, index) => {
		if (op === "same") {
			const lines = base?.length ? base : local || [];
			const head = index === 0 ? 0 : AROUND;
			const tail = index === ops.length - 1 ? 0 : AROUND;
			if (lines.length <= head + tail + 1) return put("same", lines);
			put("same", lines.slice(0, head));
			drawn.push({ mark: "skip", skipped: lines.length - head - tail });
			return put("same", tail ? lines.slice(-tail) : []);
		}
		put("gone", base);
		if (op === "both") put("both", local);
		if (op === "local" || op === "clash") put("local", local);
		if (op === "server" || op === "clash") put("server", server);
	});
	return drawn;
}

export function line_diff(ops) {
	const drawn = drawn_lines(ops);
	const host = h("div", { class: "osc-lines", dir: "auto", tabindex: "0", role: "group" });
	host.setAttribute("aria-label", __("Changed lines"));
	drawn.slice(0, AT_MOST).forEach((line) => host.appendChild(draw(line)));
	if (drawn.length > AT_MOST) {
		host.appendChild(
			h(
				"div",
				{ class: "osc-line osc-line-skip" },
				__("{0} more lines", [drawn.length - AT_MOST])
			)
		);
	}
	return host;
}

function draw({ mark, text, skipped }) {
	if (mark === "skip") {
		return h("div", { class: "osc-line osc-line-skip" }, __("{0} equal lines", [skipped]));
	}
	const { sign, said } = MARKS[mark];
	const cut = text.length > WIDTH ? `${text.slice(0, WIDTH)}…` : text;
	return h(
		"div",
		{ class: `osc-line osc-line-${mark}` },
		h(
			"span",
			{ class: "osc-line-mark" },
			sign,
			said() && h("span", { class: "osc-line-side" }, said())
		),
		h(mark === "gone" ? "del" : "span", { class: "osc-line-text", dir: "auto" }, cut)
	);
}

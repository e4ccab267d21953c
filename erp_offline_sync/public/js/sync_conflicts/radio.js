// One of two or three that exclude each other. Named by what stands beside it, for those who do not see it.

import { h } from "./dom";

let groups = 0;

export const new_group = () => `osc-choice-${++groups}`;

// `labelledby`: ids of what says what is chosen, and from which side.
export function radio(group, side, { labelledby, label, chosen }) {
	const made = h("input", {
		type: "radio",
		name: group,
		value: side,
		class: "osc-radio",
		"aria-labelledby": labelledby,
		"aria-label": label,
	});
	made.addEventListener("change", () => chosen(side));
	return made;
}

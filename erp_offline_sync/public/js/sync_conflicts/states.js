// What a side did, in words and colours: the same for fields and rows.

import { pill } from "./dom";

const STATES = {
	same: [() => __("equal"), "gray"],
	here: [() => __("changed here"), "blue"],
	there: [() => __("changed there"), "purple"],
	both: [() => __("same change"), "gray"],
	clash: [() => __("both changed"), "orange"],
	added_here: [() => __("added here"), "blue"],
	added_there: [() => __("added there"), "purple"],
	removed_here: [() => __("removed here"), "blue"],
	removed_there: [() => __("removed there"), "purple"],
};

export const SIDE_LABELS = {
	base: () => __("Base (before)"),
	local: () => __("Local (here)"),
	server: () => __("Server (central)"),
	result: () => __("Result"),
};

const RESOLUTIONS = {
	local_wins: () => __("local wins"),
	server_wins: () => __("server wins"),
	merge: () => __("merged"),
	manual: () => __("chosen by a person"),
	skip: () => __("left as they are"),
};

export const state_pill = (state) => {
	const [said, colour] = STATES[state] || [() => state, "gray"];
	return pill(said(), colour);
};

export const resolution_said = (resolution) => (RESOLUTIONS[resolution] || (() => resolution))();

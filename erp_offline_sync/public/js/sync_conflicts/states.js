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

export const SIDES = ["base", "local", "server"];

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

// What can be taken, and what that does.
export const CHOICES = {
	merge: {
		said: () => __("Merged"),
		told: () => __("Takes what one side alone changed; you choose the rest."),
	},
	local_wins: {
		said: () => __("All local"),
		told: () => __("What was changed here goes to the central; its other changes come here."),
	},
	server_wins: {
		said: () => __("All server"),
		told: () =>
			__(
				"This branch's document gets the central's values. What was changed here is given up."
			),
	},
	skip: {
		said: () => __("Skip"),
		told: () => __("Nothing is written on either side; they stay different."),
	},
};
export const MODES = ["merge", "local_wins", "server_wins"];

export const state_pill = (state) => {
	const [said, colour] = STATES[state] || [() => state, "gray"];
	return pill(said(), colour);
};

export const resolution_said = (resolution) => (RESOLUTIONS[resolution] || (() => resolution))();

// What stands where there is no result.
export const lacks_said = (draft) => (draft.apart ? __("each its own") : __("choose"));

// Colours and words of the states, the same in lists and forms.

const COLOURS = {
	Pending: "blue",
	Waiting: "gray",
	"In Flight": "light-blue",
	"Retry Scheduled": "yellow",
	"In Doubt": "orange",
	Conflict: "red",
	"Needs Attention": "red",
	Synced: "green",
	Merged: "gray",
	Decided: "gray",
	Discarded: "darkgrey",
};

const LINES = { idle: "green", syncing: "blue", failed: "red" };

export const status = {
	colour: (state) => COLOURS[state] || "gray",
	ended: (state) => ["Synced", "Merged", "Decided", "Discarded"].includes(state),
	run_colour: (state) => LINES[state] || "gray",

	// One sentence of the answer of getSyncStatus().
	sentence(answer) {
		const parts = [__("Sync is {0}.", [__(answer.state)])];
		if (answer.reason) parts.push(answer.reason + ".");
		parts.push(
			__("{0} waiting, {1} in conflict.", [answer.pendingCount, answer.conflictCount || 0])
		);
		if (answer.lastSyncTime) {
			parts.push(__("Last sync: {0}.", [new Date(answer.lastSyncTime).toLocaleString()]));
		}
		return parts.join(" ");
	},
};

// Colours and words of the states, the same in lists, forms and the panel.

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
	Discarded: "gray",
};

// Why the central cannot be used: the first word of the reason, as the breaker gives it.
const AWAY = {
	offline: () => __("The central cannot be reached"),
	busy: () => __("The central is busy"),
	failing: () => __("The central answers with errors"),
	credentials: () => __("The central does not accept the API key"),
	configuration: () => __("The central's address or certificate is not right"),
};

const REASONS = {
	"nothing due": () => __("Nothing is due."),
	"no run yet": () => __("Nothing was sent yet."),
};

const CONFLICTS = {
	update_update: () => __("changed on both sides"),
	update_delete: () => __("changed here, gone at the central"),
	delete_update: () => __("deleted here, changed at the central"),
	create_create: () => __("made on both sides"),
	state: () => __("in a state that forbids the change"),
	call: () => __("a call that the central refused as a conflict"),
};

const WAITING = ["Pending", "Waiting", "In Flight", "Retry Scheduled", "In Doubt"];
const HELD = ["Needs Attention", "Conflict"];

function counted(count, one, many) {
	return count === 1 ? one : many.replace("{0}", count);
}

// The state as people ask for it: { title, detail, colour, paused, unset } of getSyncStatus()'s answer.
function headline(answer) {
	const { totals } = answer;
	const said = offline_sync.text.with_times(answer.reason);
	const reason =
		(REASONS[answer.reason] || (() => said && `${said.replace(/\.$/, "")}.`))() || "";
	const kept = __("What is saved meanwhile is kept here and goes by itself.");
	if (answer.reason === __("This site is not set up as a branch.")) {
		return { title: __("Not set up"), detail: answer.reason, colour: "gray", unset: true };
	}
	if (answer.identity) {
		const how = __("On the server: {0}", ["bench --site … offline-sync identity"]);
		return {
			title: __("A copy, or a replacement?"),
			detail: `${answer.identity} ${how} ${kept}`,
			colour: "red",
		};
	}
	if (answer.paused) {
		const { by, reason: why, since } = answer.paused;
		const who = __("Paused by {0} since {1}", [by, offline_sync.text.time(since)]);
		const detail = `${who}${why ? `: ${why}` : ""}. ${kept}`;
		return { title: __("Sending is paused"), detail, colour: "orange", paused: true };
	}
	if (answer.state === "failed") {
		return { title: __("The last run failed"), detail: `${reason} ${kept}`, colour: "red" };
	}
	if (answer.line === "open") {
		const [word] = answer.reason.split(" ");
		const since = said.split(" since ")[1];
		const detail = since ? `${__("Since {0}.", [since])} ${kept}` : kept;
		return {
			title: (AWAY[word] || (() => __("The central cannot be used now")))(),
			detail,
			colour: "orange",
		};
	}
	if (answer.state === "syncing") {
		return { title: __("Sending now"), detail: waiting(answer.pendingCount), colour: "blue" };
	}
	if (totals.held) {
		const title = counted(
			totals.held,
			__("1 change needs a person"),
			__("{0} changes need a person")
		);
		return { title, detail: __("Everything else goes on without it."), colour: "red" };
	}
	if (answer.pendingCount) {
		return { title: waiting(answer.pendingCount), detail: reason, colour: "blue" };
	}
	return {
		title: __("In sync"),
		detail: totals.captured
			? __("Everything that was saved here is at the central.")
			: __("Nothing was saved yet that travels."),
		colour: "green",
	};
}

// The state in a few words, for a place that is always there: { words, colour, urgent }; without words there is
// nothing to tell.
function brief(answer, progress, conflicts) {
	const { title, colour, paused, unset } = headline(answer);
	if (unset) return { words: "", colour, urgent: false };
	const open = conflicts ? counted(conflicts, __("1 conflict"), __("{0} conflicts")) : "";
	const with_conflicts = (words) => [words, open].filter(Boolean).join(" · ");
	if (answer.line === "open" && answer.state !== "failed" && !paused) {
		const [instant] = offline_sync.text.instants(answer.reason);
		const words = instant
			? __("Offline since {0}", [offline_sync.text.clock(instant)])
			: __("Offline");
		return { words: with_conflicts(words), colour, urgent: true };
	}
	if (progress && answer.state === "syncing") {
		const words = __("Sending {0} of {1}", [progress.processed, progress.total]);
		return { words: with_conflicts(words), colour: "blue", urgent: false };
	}
	if (paused || answer.state === "failed" || answer.state === "syncing") {
		return { words: with_conflicts(title), colour, urgent: colour !== "blue" };
	}
	if (open) return { words: open, colour: "red", urgent: true };
	if (answer.totals.held) return { words: title, colour, urgent: true };
	if (answer.pendingCount)
		return { words: __("Waiting: {0}", [answer.pendingCount]), colour, urgent: false };
	return { words: __("Online"), colour: "green", urgent: false };
}

function waiting(count) {
	if (!count) return __("No change waits to be sent");
	return counted(count, __("1 change waits to be sent"), __("{0} changes wait to be sent"));
}

export const status = {
	WAITING,
	HELD,
	headline,
	brief,
	colour: (state) => COLOURS[state] || "gray",
	ended: (state) => ["Synced", "Merged", "Decided", "Discarded"].includes(state),
	conflict: (type) => (CONFLICTS[type] || (() => type))(),

	// The same in one line, for a message.
	sentence(answer) {
		const { title, detail } = headline(answer);
		return `${title}. ${detail}`.trim();
	},
};

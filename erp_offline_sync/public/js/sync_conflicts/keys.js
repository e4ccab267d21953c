// The keyboard of the page: one table, for what a key does and for the help that tells it. Pure.

export const KEYS = [
	{ keys: ["j", "ArrowDown"], does: "next", said: () => __("Next conflict") },
	{ keys: ["k", "ArrowUp"], does: "previous", said: () => __("Previous conflict") },
	{ keys: ["n"], does: "next_choice", said: () => __("Next thing to choose") },
	{ keys: ["p"], does: "previous_choice", said: () => __("Previous thing to choose") },
	{ keys: ["l"], does: "local", said: () => __("Take the local value (here) of it") },
	{ keys: ["s"], does: "server", said: () => __("Take the server's value (central) of it") },
	{ keys: ["Shift+L"], does: "all_local", said: () => __("All local") },
	{ keys: ["Shift+S"], does: "all_server", said: () => __("All server") },
	{ keys: ["m"], does: "merged", said: () => __("Merged") },
	{ keys: ["e"], does: "edit", said: () => __("Write the result of it yourself") },
	{ keys: ["a"], does: "accept", said: () => __("Preview, then accept with Enter") },
	{ keys: ["u"], does: "undo", said: () => __("Undo the last decision") },
	{ keys: ["x"], does: "mark", said: () => __("Mark the conflict, to decide several at once") },
	{ keys: ["/"], does: "search", said: () => __("Search") },
	{ keys: ["?"], does: "help", said: () => __("These shortcuts") },
];

const DOES = new Map(KEYS.flatMap(({ keys, does }) => keys.map((key) => [key, does])));

export function name_of({ key, shiftKey }) {
	return shiftKey && /^[A-Z]$/.test(key)
		? `Shift+${key}`
		: key.length === 1
		? key.toLowerCase()
		: key;
}

// What the key does where the focus is; undefined where it belongs to what has the focus, or to the browser.
export function action(event) {
	if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return undefined;
	const { target } = event;
	const kind = target?.tagName === "INPUT" ? target.type : target?.tagName;
	const typing = ["SELECT", "TEXTAREA"].includes(kind) || target?.isContentEditable;
	const text = target?.tagName === "INPUT" && !["radio", "checkbox"].includes(kind);
	if (typing || text) return undefined;
	if (kind === "radio" && event.key.startsWith("Arrow")) return undefined;
	return DOES.get(name_of(event));
}

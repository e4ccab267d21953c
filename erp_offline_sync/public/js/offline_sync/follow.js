// Keeps what is shown up to date. An event is a hint and may get lost: what is shown is asked for again, also
// when the page comes back into sight.

import { caller } from "./caller";

const EVENTS = ["sync-state-changed", "sync-progress"];

function in_sight(host) {
	return host.isConnected && document.visibilityState === "visible" && host.getClientRects().length;
}

// Calls `refresh` some time after each event, at most every `pause` ms, and every `every` ms where that is given,
// while `host` is in sight; ends by itself once `host` has left the page.
export function follow(host, refresh, { pause = 1000, every = 0 } = {}) {
	let planned = null;
	let seen = false;

	const plan = () => {
		if (planned === null) planned = setTimeout(act, pause);
	};
	const act = () => {
		planned = null;
		seen = seen || host.isConnected;
		if (seen && !host.isConnected) return end();
		if (in_sight(host)) refresh();
	};
	const end = () => {
		clearInterval(timer);
		EVENTS.forEach((event) => caller.off(event, plan));
		document.removeEventListener("visibilitychange", plan);
	};

	const timer = every ? setInterval(plan, every) : null;
	EVENTS.forEach((event) => caller.on(event, plan));
	document.addEventListener("visibilitychange", plan);
}

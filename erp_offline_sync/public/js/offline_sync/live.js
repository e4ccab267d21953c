// Whether events arrive, and what to do where they do not: Frappe's socket gives up after three attempts.

const AGAIN = 10000; // ms between attempts to connect anew

const socket = () => frappe.realtime?.socket;

export const is_live = () => Boolean(socket()?.connected);

// Calls `told(live)` now and whenever that changes, and tries to connect again while it is lost. Where there is no
// socket at all it is told once.
export function watch_line(told) {
	told(is_live());
	const line = socket();
	if (!line) return;
	line.on("connect", () => told(true));
	line.on("disconnect", () => told(false));
	setInterval(() => {
		if (!line.connected && document.visibilityState === "visible") line.connect();
	}, AGAIN);
}

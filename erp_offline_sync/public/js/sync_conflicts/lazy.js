// Draws many things in their order and keeps nobody waiting: the first at once, the others while the browser has
// nothing else to do.

const PART = 12; // ms: less than what a person notices
const idle = (go) => (window.requestIdleCallback || setTimeout)(go);
const forget = (waiting) => (window.cancelIdleCallback || clearTimeout)(waiting);

// `complete()` draws what is left now, `stop()` leaves it undrawn.
export function bit_by_bit(things, draw, first) {
	let at = 0;
	let waiting = null;
	const go_on = (enough) => {
		while (at < things.length && !enough()) draw(things[at], at++);
	};
	const later = () => {
		if (at < things.length) waiting = idle(part);
	};
	const part = () => {
		const end = performance.now() + PART;
		go_on(() => performance.now() >= end);
		later();
	};
	const stop = () => forget(waiting);
	go_on(() => at >= first);
	later();
	return {
		stop,
		complete() {
			stop();
			go_on(() => false);
		},
	};
}

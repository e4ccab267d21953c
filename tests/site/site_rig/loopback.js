// node -r <this> apps/frappe/socketio.js: Frappe's realtime server listens on all interfaces; this one does not.

const net = require("node:net");
const listen = net.Server.prototype.listen;

net.Server.prototype.listen = function (port, ...more) {
	const loopback = /^\d+$/.test(String(port)) && typeof more[0] !== "string";
	return listen.call(this, port, ...(loopback ? ["127.0.0.1"] : []), ...more);
};

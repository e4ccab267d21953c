// A value as people of this Desk read it: as their forms format it, and always as text.

// With as many decimals as the field has, and more where the value has more: two values that differ read otherwise.
function decimals_of({ precision, fieldtype }, value) {
	const usual = fieldtype === "Percent" ? 2 : cint(frappe.boot.sysdefaults.float_precision) || 3;
	const stated = cint(precision) || usual;
	const own = String(Number(value)).split(".")[1] || "";
	return own.includes("e") ? stated : Math.max(stated, Math.min(own.length, 9));
}

const number = (value, field) => format_number(value, null, decimals_of(field, value));

const FORMATS = {
	Check: (value) => (cint(value) ? __("Yes") : __("No")),
	Int: (value) => format_number(value, null, 0),
	"Long Int": (value) => format_number(value, null, 0),
	Float: number,
	Percent: (value, field) => `${number(value, field)}%`,
	Currency: (value, field, doc) => {
		const decimals =
			cint(field.precision) || cint(frappe.boot.sysdefaults.currency_precision) || 2;
		const own = (String(Number(value)).split(".")[1] || "").length;
		return format_currency(
			value,
			currency_of(field, doc),
			own > decimals ? own : cint(field.precision) || undefined
		);
	},
	Date: (value) => frappe.datetime.str_to_user(String(value), false, true),
	Datetime: (value) => frappe.datetime.str_to_user(String(value)),
	Time: (value) => frappe.datetime.str_to_user(String(value), true),
	Duration: (value, field) => frappe.utils.get_formatted_duration(value, field),
	Select: (value) => __(String(value)),
	Link: (value, field, doc, titles) => titled(value, titles[`${field.options}::${value}`]),
	"Dynamic Link": (value, field, doc, titles) =>
		titled(value, titles[`${doc[field.options]}::${value}`]),
};
const LONG = new Set([
	"Text",
	"Long Text",
	"Small Text",
	"Text Editor",
	"HTML Editor",
	"Markdown Editor",
	"Code",
	"JSON",
]);
const NUMBERS = new Set(["Int", "Long Int", "Float", "Percent", "Currency"]);

function titled(value, title) {
	return title && title !== value ? `${title} (${value})` : String(value);
}

function currency_of({ options }, doc) {
	const named = options && doc[options];
	return (typeof named === "string" && named) || frappe.boot.sysdefaults.currency;
}

export const is_empty = (value) => value === undefined || value === null || value === "";
export const is_number = ({ fieldtype }) => NUMBERS.has(fieldtype);
export const is_long = (field, value) =>
	LONG.has(field.fieldtype) || (typeof value === "string" && value.length > 140);

// `doc` has the document's other values, for what a format looks up there; `titles` those of links.
export function said(value, field, doc = {}, titles = {}) {
	if (is_empty(value)) return "";
	const format = typeof value === "object" ? null : FORMATS[field.fieldtype];
	try {
		const words = format ? format(value, field, doc, titles) : offline_sync.text.said(value);
		return is_empty(words) || words === "Invalid date"
			? offline_sync.text.shown(value)
			: String(words);
	} catch {
		return offline_sync.text.shown(value);
	}
}

// The same for values that stand beside each other: where they differ and read alike, as they are.
export function said_apart(values, field, doc, titles) {
	const words = values.map((value) => said(value, field, doc, titles));
	const spelled = (value) => (field.fieldtype === "Time" ? one_spelling(value) : value);
	const raw = values.map((value) =>
		is_empty(value) ? "" : offline_sync.text.shown(spelled(value))
	);
	const hidden = words.some((word, i) =>
		words.some(
			(other, j) =>
				i < j && word === other && raw[i] !== raw[j] && field.fieldtype !== "Check"
		)
	);
	return hidden ? raw : words;
}

// Frappe spells the hour, and seconds with a fraction, with one digit or with two.
export const one_spelling = (time) =>
	String(time)
		.split(":")
		.map((part) => part.replace(/^\d(?!\d)/, "0$&"))
		.join(":")
		.replace(/(\.\d*?)0+$/, "$1")
		.replace(/\.$/, "");

// Who changed or decided something: a person, or a rule or hook of this site.
export function person(user) {
	if (!user) return __("somebody");
	const [, kind, name] = /^(rule|hook):(.+)$/s.exec(user) || [];
	if (kind) return kind === "rule" ? __("the rule {0}", [__(name)]) : __("the hook {0}", [name]);
	const known = frappe.boot.user_info?.[user]?.fullname;
	return known && known !== user ? `${known} (${user})` : user;
}

// In the person's language, which moment does not speak in the Desk.
export function ago(iso) {
	if (!iso) return "";
	const zone = frappe.boot.time_zone?.system || moment.tz.guess();
	const by_the_site = moment(iso).tz(zone).format("YYYY-MM-DD HH:mm:ss");
	// Of what this browser's clock takes for the future Frappe says nothing.
	return frappe.datetime.prettyDate(by_the_site) || __("just now");
}

offline_sync.text.escape_columns("Offline Request");

const WHY = "waits_why";
const AT_ONCE = 500;

frappe.listview_settings["Offline Request"] = {
	add_fields: ["status", "operation", "resource_type"],
	hide_name_column: true,
	hide_name_filter: true,

	// The list is there first; why each of its rows waits is asked for afterwards, once for all of them.
	formatters: {
		[WHY]: (_value, _df, doc) =>
			`<span class="offline-sync-why ellipsis" data-name="${frappe.utils.escape_html(doc.name)}"></span>`,
	},

	onload(list) {
		// On a small screen Frappe would show one column after the status.
		list.list_view_settings.total_fields = list.list_view_settings.total_fields || 6;
		list.setup_columns();
		list.render_header(true);
		list.page.add_inner_button(__("Sync Now"), () =>
			offline_sync.forceSync().then((answer) => {
				frappe.show_alert(frappe.utils.escape_html(offline_sync.status.sentence(answer)));
				list.refresh();
			})
		);
		const again = () => list.refresh().then(() => tell_why(list));
		offline_sync.follow(list.$result.get(0), again, { pause: 2000, every: 30000 });
	},

	refresh: tell_why,

	get_indicator(doc) {
		return [__(doc.status), offline_sync.status.colour(doc.status), `status,=,${doc.status}`];
	},
};

function tell_why(list) {
	widen(list);
	const cells = [...list.$result.get(0).querySelectorAll(".offline-sync-why")];
	for (let begin = 0; begin < cells.length; begin += AT_ONCE) {
		const some = cells.slice(begin, begin + AT_ONCE);
		const names = some.map((cell) => cell.dataset.name);
		frappe.xcall("erp_offline_sync.api.explain_each", { names }).then((reasons) =>
			some.forEach((cell) => show(cell, reasons[cell.dataset.name] || ""))
		);
	}
}

function show(cell, why) {
	const { text } = offline_sync;
	// The id of the request it waits for says nothing to people; the form leads there.
	const said = text.with_times(why).replace(/ \(request \S+\)/, "");
	cell.textContent = cell.title = text.element("span", "", said).textContent;
}

// A sentence needs more room than a word.
function widen(list) {
	const column = list.columns.findIndex(({ df }) => df?.fieldname === WHY);
	if (column < 0) return;
	list.$result
		.get(0)
		.querySelectorAll(".level-left")
		.forEach((row) => {
			const cell = row.querySelectorAll(":scope > .list-row-col")[column];
			if (cell) cell.style.flex = "3";
			// It is made up for each row: there is nothing to sort by.
			cell?.querySelector("[data-sort-by]")?.removeAttribute("data-sort-by");
		});
}

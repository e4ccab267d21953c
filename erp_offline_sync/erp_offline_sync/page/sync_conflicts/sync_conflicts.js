// Loads the page; what it is stands in public/js/sync_conflicts.

const ASSETS = ["sync_conflicts.bundle.css", "sync_conflicts.bundle.js"];

frappe.pages["sync-conflicts"].on_page_load = (wrapper) => {
	wrapper.conflicts = frappe.require(ASSETS).then(() => new offline_sync.ConflictsPage(wrapper));
};

frappe.pages["sync-conflicts"].on_page_show = (wrapper) => {
	wrapper.conflicts.then((page) => page.show());
};

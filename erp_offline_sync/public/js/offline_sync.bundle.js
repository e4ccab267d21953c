// What every Desk page has: window.offline_sync, the state in the navbar, and notes on documents' forms.

import { caller } from "./offline_sync/caller";
import { figures } from "./offline_sync/figures";
import { follow } from "./offline_sync/follow";
import { form_notes } from "./offline_sync/form_note";
import { indicator, is_reader } from "./offline_sync/indicator";
import { watch_line } from "./offline_sync/live";
import { panel } from "./offline_sync/panel";
import { status } from "./offline_sync/status";
import { text } from "./offline_sync/text";
import { ways } from "./offline_sync/ways";

window.offline_sync = { ...caller, figures, follow, panel, status, text, watch_line, ways };

$(document).on("app_ready", () => {
	if (!is_reader()) return;
	indicator();
	form_notes();
});

// What every Desk page has: window.offline_sync.

import { caller } from "./offline_sync/caller";
import { text } from "./offline_sync/text";
import { status } from "./offline_sync/status";

window.offline_sync = { ...caller, text, status };

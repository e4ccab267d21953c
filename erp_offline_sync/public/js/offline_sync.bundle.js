// What every Desk page has: window.offline_sync.

import { caller } from "./offline_sync/caller";
import { figures } from "./offline_sync/figures";
import { follow } from "./offline_sync/follow";
import { panel } from "./offline_sync/panel";
import { status } from "./offline_sync/status";
import { text } from "./offline_sync/text";

window.offline_sync = { ...caller, figures, follow, panel, status, text };

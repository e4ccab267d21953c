// The page sync-conflicts, loaded when it is first opened; what every page has stands in offline_sync.bundle.js.

import { ConflictsPage } from "./sync_conflicts/page";

offline_sync.ConflictsPage = ConflictsPage;

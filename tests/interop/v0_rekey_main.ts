/** A client or server of this program whose keys change after so few records that a test sees it: ROLE FILE RECORDS. */

import { openShim, shimPath } from "../../ffi/mod.ts";
import { runClient } from "../../src/cli/run_client.ts";
import { runServer } from "../../src/cli/run_server.ts";
import { untilSignal } from "../../src/cli/stop.ts";
import { loadClientConfig, loadServerConfig } from "../../src/config/mod.ts";
import { stderrLog } from "../../src/status/log.ts";

const [role, file, records] = Deno.args;
const path = shimPath();
const shim = openShim(path);
const log = stderrLog("info", "plain");
const code = role === "client"
  ? await runClient(loadClientConfig(file), shim, path, log, untilSignal(), Number(records))
  : await runServer(loadServerConfig(file), shim, path, log, untilSignal(), Number(records));
Deno.exit(code);

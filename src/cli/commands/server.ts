import type { Command } from "commander";
import { openShim, shimPath } from "../../../ffi/mod.ts";
import { loadServerConfig, SERVER_CLIENT_SETTINGS, SERVER_SETTINGS } from "../../config/mod.ts";
import { stderrLog } from "../../status/log.ts";
import { addSettingFlags, overridesOf, settingLines } from "../config_flags.ts";
import { untilSignal } from "../stop.ts";

const EXAMPLES = `
Settings of each [[client]], by --set client.NAME.KEY=VALUE:
${settingLines(SERVER_CLIENT_SETTINGS)}

Examples:
  i405 server server.toml
  i405 server server.toml --nat-masquerade --set "client.laptop.max_speed=20 Mbit/s"

SIGINT or SIGTERM ends it and restores what it has changed on this machine.`;

/** `i405 server [FILE]`. */
export function addServer(program: Command, exit: (code: number) => void): void {
  const command = program.command("server").argument(
    "<file>",
    "configuration; flags win over it, - is standard input",
  )
    .summary("serve clients")
    .description("Serves the clients of its configuration until it is told to stop.")
    .addHelpText("after", EXAMPLES);
  addSettingFlags(command, SERVER_SETTINGS);
  command.action(async (file: string) => {
    const path = shimPath();
    const shim = openShim(path);
    shim.setDumpable(false); // before the first key is read: no core dump, no debugger of the same user
    const config = loadServerConfig(file, overridesOf(command, SERVER_SETTINGS), shim.secrets);
    const log = stderrLog(config.log.level, config.log.format);
    const { runServer } = await import("../run_server.ts");
    exit(await runServer(config, shim, path, log, untilSignal()));
  });
}

import type { Command } from "commander";
import { openShim, shimPath } from "../../../ffi/mod.ts";
import { CLIENT_SETTINGS, FORWARD_SETTINGS, loadClientConfig } from "../../config/mod.ts";
import { stderrLog } from "../../status/log.ts";
import { addSettingFlags, overridesOf, settingLines } from "../config_flags.ts";
import { untilSignal } from "../stop.ts";

const EXAMPLES = `
Settings of each [[forward]], in the file:
${settingLines(FORWARD_SETTINGS)}

Examples:
  i405 client client.toml
  i405 client client.toml --up-speed "4 Mbit/s" --tun-default-route
  i405 client --tunnel-peer 192.0.2.1 --tunnel-key-file laptop.key

SIGINT or SIGTERM ends it and restores what it has changed on this machine.`;

/** `i405 client [FILE]`. */
export function addClient(program: Command, exit: (code: number) => void): void {
  const command = program.command("client").argument(
    "[file]",
    "configuration; flags win over it, - is standard input",
  )
    .summary("connect to a server")
    .description("Connects to a server, and stays connected until it is told to stop.")
    .addHelpText("after", EXAMPLES);
  addSettingFlags(command, CLIENT_SETTINGS);
  command.action(async (file: string | undefined) => {
    const path = shimPath();
    const shim = openShim(path);
    shim.setDumpable(false); // before the first key is read: no core dump, no debugger of the same user
    const config = loadClientConfig(file, overridesOf(command, CLIENT_SETTINGS), shim.secrets);
    const log = stderrLog(config.log.level, config.log.format);
    const { runClient } = await import("../run_client.ts");
    exit(await runClient(config, shim, path, log, untilSignal()));
  });
}

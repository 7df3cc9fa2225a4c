/** The command line: the table of commands, and what each kind of failure says and returns. */

import { Command, CommanderError } from "commander";
import { ConfigError, DirectionError } from "../config/mod.ts";
import { HostError } from "../host/mod.ts";
import { StatusError } from "../status/status_server.ts";
import { addAudit } from "./commands/audit.ts";
import { addClient } from "./commands/client.ts";
import { addDemo } from "./commands/demo.ts";
import { addDoctor } from "./commands/doctor.ts";
import { addKeygen } from "./commands/keygen.ts";
import { addReport } from "./commands/report.ts";
import { addServer } from "./commands/server.ts";
import { addStatus } from "./commands/status.ts";
import { addTun } from "./commands/tun.ts";
import { EXIT, OperatorError } from "./exit.ts";
import { VERSION } from "./version.ts";

const EXAMPLES = `
Examples:
  sudo i405 demo                      see it work on this machine
  sudo i405 doctor                    what of this machine the times depend on
  i405 keygen -o laptop.key           make a key
  sudo i405 server server.toml        on the server
  sudo i405 client client.toml        on the client
  i405 COMMAND --help                 more of each

Exit codes: 0 ended as asked, 1 failed, 2 something has to be mended first (the message says what).`;

/** Where the program writes. */
export interface Output {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

const STANDARD: Output = {
  out: (text) => writeAll(Deno.stdout, text),
  err: (text) => writeAll(Deno.stderr, text),
};

function writeAll(stream: { writeSync(bytes: Uint8Array): number }, text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) at += stream.writeSync(bytes.subarray(at));
}

/** Runs the command that `args` (without the program's name) say; returns the exit code. Operators' errors are written
 * as one line each; a defect of the program is thrown. */
export async function main(args: readonly string[], output: Output = STANDARD): Promise<number> {
  let code: number = EXIT.ok;
  const program = commands(output, (ended) => code = ended);
  try {
    if (args.length === 0) {
      output.err(program.helpInformation());
      return EXIT.usage;
    }
    await program.parseAsync([...args], { from: "user" });
    return code;
  } catch (error) {
    return explained(error, output);
  }
}

/** The table of commands. */
function commands(output: Output, exit: (code: number) => void): Command {
  const program = new Command("i405").description("A tunnel whose packets tell an observer nothing.")
    .version(VERSION, "-V, --version", "print the version")
    .configureOutput({
      writeOut: output.out,
      writeErr: output.err,
      getOutHelpWidth: () => 100,
      getErrHelpWidth: () => 100,
    })
    .showSuggestionAfterError()
    .exitOverride()
    .addHelpText("after", EXAMPLES);
  addClient(program, exit);
  addServer(program, exit);
  addDemo(program, exit);
  addAudit(program, exit);
  addDoctor(program, output.out, exit);
  addKeygen(program, output.out);
  addTun(program);
  addStatus(program, output.out);
  addReport(program, output.out);
  program.command("version").summary("print the version").description("Prints the version.")
    .action(() => output.out(`${VERSION}\n`));
  return program;
}

function explained(error: unknown, output: Output): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  const isOperators = error instanceof ConfigError || error instanceof DirectionError ||
    error instanceof OperatorError;
  if (isOperators || error instanceof HostError || error instanceof StatusError) {
    for (const line of error.message.split("\n")) output.err(`i405: ${line}\n`);
    return isOperators ? EXIT.usage : EXIT.failed;
  }
  throw error;
}

import type { Command } from "commander";
import { readStatus } from "../../status/status_server.ts";
import { statusText } from "../status_text.ts";

const EXAMPLES = `
Examples:
  i405 status --socket /run/i405/client.sock
  i405 status --socket /run/i405/client.sock --json | jq .counters

The tunnel must run with \`socket\` in its [status].`;

/** `i405 status`. */
export function addStatus(program: Command, print: (text: string) => void): void {
  program.command("status").summary("show what a running tunnel does")
    .description("Asks a running client or server for its state.")
    .requiredOption("--socket <path>", "the status.socket of its configuration")
    .option("--json", "print all that it says, as JSON")
    .addHelpText("after", EXAMPLES)
    .action(async ({ socket, json }: { socket: string; json?: boolean }) => {
      const document = await readStatus(socket);
      print(json ? `${JSON.stringify(document, undefined, 2)}\n` : statusText(document));
    });
}

import { randomBytes } from "node:crypto";
import type { Command } from "commander";
import { formatKey, KEY_LEN } from "../../config/mod.ts";
import { OperatorError } from "../exit.ts";

const EXAMPLES = `
Examples:
  i405 keygen -o laptop.key
  i405 keygen | ssh server 'umask 077; cat > laptop.key'

Client and server need the same key, each client one of its own. Give it to nobody else.`;

/** `i405 keygen`. */
export function addKeygen(program: Command, print: (text: string) => void): void {
  program.command("keygen").summary("make a key")
    .description("Makes a key, and prints it as one line or writes it to a new file that only you can read.")
    .option("-o, --out <file>", "write to this file, which must not be there yet")
    .addHelpText("after", EXAMPLES)
    .action(({ out }: { out?: string }) => {
      const bytes = randomBytes(KEY_LEN);
      const line = `${formatKey(bytes)}\n`;
      bytes.fill(0);
      if (out === undefined) print(line);
      else writeNew(out, line);
    });
}

/** Mode 0600 from the first moment on; never over a file that is there. */
function writeNew(path: string, text: string): void {
  try {
    Deno.writeTextFileSync(path, text, { createNew: true, mode: 0o600 });
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) {
      throw new OperatorError(`There is a file ${path} already; remove it first, or choose another name`);
    }
    if (!(error instanceof Deno.errors.NotFound || error instanceof Deno.errors.PermissionDenied)) {
      throw error;
    }
    throw new OperatorError(`Cannot write ${path}: ${error.message}; choose another folder`);
  }
}

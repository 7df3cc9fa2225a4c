import { randomBytes } from "node:crypto";
import type { Command } from "commander";
import { openShim, shimPath } from "../../../ffi/mod.ts";
import {
  checkStrength,
  FileError,
  formatKey,
  KEY_FILE_LEN_MAX,
  KEY_LEN,
  makePassword,
  makeSalt,
  parsePassword,
  readSecretFile,
} from "../../config/mod.ts";
import { OperatorError } from "../exit.ts";

const EXAMPLES = `
Examples:
  i405 keygen -o laptop.key
  i405 keygen | ssh server 'umask 077; cat > laptop.key'
  i405 keygen --password -o laptop.phrase
  i405 keygen --password phrase.txt

Client and server need the same key, each client one of its own. Give it to nobody else.

A pass phrase is a key that can be dictated. It goes with a salt, no secret, that both sides need, too. The file
with both is named as password_file = "laptop.phrase"; or password = "..." and salt = "..." stand in a
configuration that only you can read.`;

/** `i405 keygen`. */
export function addKeygen(program: Command, print: (text: string) => void): void {
  program.command("keygen").summary("make a key")
    .description("Makes a key, and prints it as one line or writes it to a new file that only you can read.")
    .option("-o, --out <file>", "write to this file, which must not be there yet")
    .option(
      "--password [file]",
      "make a pass phrase and its salt; with a file (- is standard input) check the phrase in it and make the salt",
    )
    .addHelpText("after", EXAMPLES)
    .action(({ out, password }: { out?: string; password?: string | true }) => {
      const text = password === undefined
        ? keyLine()
        : password === true
        ? `${makePassword()}\n${saltLine()}`
        : checked(password);
      if (out === undefined) print(text);
      else writeNew(out, text);
    });
}

function keyLine(): string {
  const bytes = randomBytes(KEY_LEN);
  const line = `${formatKey(bytes)}\n`;
  bytes.fill(0);
  return line;
}

function saltLine(): string {
  return `salt = "${makeSalt()}"\n`;
}

/** The salt for the pass phrase in the file, if that is strong enough. */
function checked(path: string): string {
  try {
    readSecretFile(
      path,
      KEY_FILE_LEN_MAX,
      openShim(shimPath()).secrets,
      (bytes) => checkStrength(parsePassword(bytes).password),
    );
  } catch (error) {
    if (error instanceof FileError || error instanceof RangeError) {
      throw new OperatorError(`Cannot take it: ${error.message}`);
    }
    throw error;
  }
  return saltLine();
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

/** A folder with configuration and key files, gone after the test. */

import { ConfigError, formatKey } from "../../../src/config/mod.ts";

export interface Folder {
  /** Writes a file with `mode` and returns its path. */
  write(name: string, text: string, mode?: number): string;
  /** Writes a key file, mode 0600, of bytes `fill`. */
  key(name: string, fill: number): string;
  path(name: string): string;
}

export function inFolder(run: (folder: Folder) => void): () => void {
  return () => {
    const root = Deno.makeTempDirSync({ prefix: "i405-test-" });
    const path = (name: string) => `${root}/${name}`;
    const write = (name: string, text: string, mode = 0o644) => {
      Deno.writeTextFileSync(path(name), text);
      Deno.chmodSync(path(name), mode);
      return path(name);
    };
    const key = (name: string, fill: number) =>
      write(name, formatKey(new Uint8Array(32).fill(fill)) + "\n", 0o600);
    try {
      run({ write, key, path });
    } finally {
      Deno.removeSync(root, { recursive: true });
    }
  };
}

/** The message of the ConfigError that `run` throws, without the names of temporary folders. */
export function problemOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.message.replace(/\/\S*\/i405-test-[^/\s]+\//g, "");
  }
  throw new Error("no ConfigError was thrown");
}

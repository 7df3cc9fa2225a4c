/** What surrounds a run in a site of its own: whatever happens, everything is taken away. */

import type { Log } from "../status/log.ts";
import { DemoError } from "./child.ts";
import { Site } from "./site.ts";

export const EXIT = { holds: 0, broken: 1, failed: 1, noRight: 77, interrupted: 130 } as const;

/** Runs `work` in a new site and returns its exit code: 1 after a DemoError, whose lines are logged, 130 after an
 * interruption. `before` the site is taken away is the time to save something from it. */
export async function onStage(
  log: Log,
  work: (site: Site) => Promise<number>,
  before: (site: Site) => Promise<void> = () => Promise.resolve(),
): Promise<number> {
  const interruption = interrupted();
  const site = await Site.create(selfCommand());
  let code: number = EXIT.failed;
  try {
    const running = work(site);
    running.catch(() => {/* After an interruption its parts fail, one after the other. */});
    code = await Promise.race([running, interruption.promise]);
    if (code === EXIT.interrupted) log.warn("interrupted");
  } catch (error) {
    if (!(error instanceof DemoError)) throw error;
    for (const line of error.message.split("\n")) log.error(line);
  } finally {
    await before(site);
    for (const message of await site.close()) log.warn("could not be taken away", { message });
    interruption.release();
  }
  return code;
}

/** The command that runs this program: compiled, or by `deno run`. */
export function selfCommand(): string[] {
  if (Deno.build.standalone) return [Deno.execPath()];
  return [Deno.execPath(), "run", "-A", new URL(Deno.mainModule).pathname];
}

function interrupted(): { readonly promise: Promise<number>; release(): void } {
  let release = () => {};
  const promise = new Promise<number>((resolve) => {
    const listener = () => resolve(EXIT.interrupted);
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) Deno.addSignalListener(signal, listener);
    release = () => {
      for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
        Deno.removeSignalListener(signal, listener);
      }
    };
  });
  return { promise, release };
}

/** Before anything is made: a page that cannot be written at the end would be a pity. */
export async function assertFolder(path: string): Promise<void> {
  const folder = path.includes("/") ? path.slice(0, path.lastIndexOf("/") + 1) : ".";
  const found = await Deno.stat(folder).catch(() => undefined);
  if (found?.isDirectory !== true) {
    throw new DemoError(`Cannot write ${path}: there is no folder ${folder}; choose another with --out FILE`);
  }
}

/** Writes the page; throws DemoError with the remedy when that fails. */
export async function writePage(path: string, page: string): Promise<void> {
  try {
    await Deno.writeTextFile(path, page);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new DemoError(`Cannot write ${path}: ${reason}; choose another place with --out FILE`);
  }
}

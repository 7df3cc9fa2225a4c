/* The demonstration: 1 places and links · 2 the observer · 3 server and client · 4 idle and busy in turn · 5 everything
 * ended and read · 6 judged, printed, drawn · whatever happens, everything taken away. */

import type { Log } from "../status/log.ts";
import { type Child, DemoError, output, sleep, whileRunning } from "./child.ts";
import { viewDirection } from "./direction.ts";
import { INTERVAL_NS, PACKET_LEN, readTrace, SERVER_PORT, startEnds, tunMtu } from "./ends.ts";
import { describeMachine, pacerCpus } from "./machine.ts";
import { resultPage } from "./page.ts";
import type { DemoOptions, DemoPorts } from "./ports.ts";
import type { DemoResult, DirectionView, Phase, UserView } from "./result.ts";
import { parseSeenFile, type SeenFile } from "./seen_file.ts";
import { removeLeftovers, SEEN_AT, type Site } from "./site.ts";
import { assertFolder, EXIT, onStage, selfCommand, writePage } from "./stage.ts";
import { resultText } from "./text.ts";
import type { TraceFile } from "./trace_file.ts";
import { Traffic } from "./traffic.ts";
import { judge } from "./verdicts.ts";

// Chosen here.
const SECONDS_DEFAULT = 24;
const SECONDS_MIN = 8;
const PAIRS = 3;
const WARM_UP_MS = 500;
const OBSERVE_WAIT_MS = 20_000;
const AFTER_MS = 600;
/** Outer headers, record header, tag and content type, head of an inner packet: the rest is the inner packet's. */
const OVERHEAD_LEN = 28 + 5 + 16 + 1 + 3;
/** Set for the second start of this program, inside a user namespace. */
const WITHOUT_ROOT = "I405_DEMO_WITHOUT_ROOT";

/** Runs the demonstration and prints what came of it on standard output. Returns the exit code: 0 when every promise
 * held, 1 when one was broken or the demonstration could not be made, 77 when the machine gives no right to make it,
 * 130 after an interruption. Nothing is left behind in any case but the page. */
export async function runDemo(options: DemoOptions, log: Log, ports: () => DemoPorts): Promise<number> {
  if (Deno.uid() !== 0) return await runWithoutRoot(log);
  return await onStage(
    log,
    (site) => demonstrate(site, options, log, ports()),
    async (site) => {
      if (options.keep) await keepDirectory(site, log);
    },
  );
}

async function keepDirectory(site: Site, log: Log): Promise<void> {
  const target = `demo-${Deno.pid}`;
  await Deno.mkdir(target, { mode: 0o700 });
  for await (const entry of Deno.readDir(site.dir)) {
    if (entry.name.endsWith(".key")) continue;
    await Deno.copyFile(`${site.dir}/${entry.name}`, `${target}/${entry.name}`);
  }
  log.info("kept", { directory: target });
}

/** What one run leaves to be judged. */
interface Evidence {
  readonly seen: SeenFile;
  readonly traces: Readonly<Record<"client" | "server", TraceFile>>;
  readonly user: UserView;
  readonly phases: readonly Phase[];
  /** Unix time in ms. */
  readonly startMs: number;
  readonly seconds: number;
}

async function demonstrate(site: Site, options: DemoOptions, log: Log, ports: DemoPorts): Promise<number> {
  const out = options.out ?? "demo.html";
  await assertFolder(out);
  const seconds = Math.max(SECONDS_MIN, options.seconds ?? SECONDS_DEFAULT);
  const withRoot = Deno.env.get(WITHOUT_ROOT) === undefined;
  const evidence = await gather(site, seconds, withRoot, log, ports);
  const directions = compare(evidence);
  const promises = judge(evidence.user, directions, withRoot);
  const result: DemoResult = {
    version: options.version,
    date: new Date(evidence.startMs).toISOString(),
    machine: describeMachine(ports),
    withRoot,
    seconds: evidence.seconds,
    phases: evidence.phases,
    user: evidence.user,
    directions,
    promises,
    holds: promises.every((promise) => promise.holds),
  };
  await writePage(out, resultPage(result));
  console.log(options.json ? JSON.stringify(result) : `${resultText(result)}\nThe same with plots: ${out}`);
  return result.holds ? EXIT.holds : EXIT.broken;
}

async function gather(
  site: Site,
  seconds: number,
  withRoot: boolean,
  log: Log,
  ports: DemoPorts,
): Promise<Evidence> {
  await removeLeftovers();
  log.info("making three network namespaces: client, observer, server");
  await site.build();
  const observer = await startObserver(site);
  log.info("starting server and client", { slots: "1 ms", packet_length: PACKET_LEN });
  const cpus = pacerCpus(ports);
  const ends = await startEnds(site, {
    client: { cpu: cpus.client, schedFifo: withRoot },
    server: { cpu: cpus.server, schedFifo: withRoot },
  }, PACKET_LEN - OVERHEAD_LEN);
  const traffic = await Traffic.open(site, await tunMtu(site));
  await sleep(WARM_UP_MS);
  const startMs = Date.now();
  const report = (text: string) => log.info(text);
  const phases = await whileRunning(
    [observer, ends.server, ends.client],
    traffic.pingAlone().then(() => traffic.alternate(PAIRS, seconds, startMs, report)),
  );
  await sleep(AFTER_MS);
  await endWell("observer", observer);
  await sleep(AFTER_MS); // the ends' traces go beyond what the observer saw
  await endWell("client", ends.client);
  await endWell("server", ends.server);
  return {
    seen: parseSeenFile(await Deno.readFile(`${site.dir}/seen`)),
    traces: { client: await readTrace(site, "client"), server: await readTrace(site, "server") },
    user: traffic.view(),
    phases,
    startMs,
    seconds: (Date.now() - startMs) / 1e3,
  };
}

async function startObserver(site: Site): Promise<Child> {
  const interfaces = [SEEN_AT.client, SEEN_AT.server];
  const observer = site.startSelf(
    "observer",
    "observer",
    "demo-child",
    "observe",
    `${site.dir}/seen`,
    ...interfaces,
  );
  await observer.line(/observing/, OBSERVE_WAIT_MS);
  return observer;
}

/** The ends' own exit code is a promise as well: SIGTERM ends them cleanly. */
async function endWell(name: string, child: Child): Promise<void> {
  if (!child.running) {
    throw new DemoError(`The ${name} ended before its time. Its last lines:\n${child.tail()}`);
  }
  const { code } = await child.stop();
  if (code !== 0) throw new DemoError(`The ${name} ended with ${code}. Its last lines:\n${child.tail()}`);
}

function compare(evidence: Evidence): DirectionView[] {
  const view = (from: "client" | "server", name: string, interfaceIndex: number) => {
    const { wallBaseNs, slots } = evidence.traces[from];
    return viewDirection({
      name,
      from,
      intervalNs: INTERVAL_NS,
      packetLen: PACKET_LEN,
      serverPort: SERVER_PORT,
      frames: evidence.seen.frames.filter((frame) =>
        frame.interfaceIndex === interfaceIndex && !frame.outgoing
      ),
      slots,
      clockDifferenceNs: evidence.seen.wallBaseNs - wallBaseNs,
      startNs: evidence.startMs * 1e6 - wallBaseNs,
      phases: evidence.phases,
    });
  };
  return [view("client", "client to server", 0), view("server", "server to client", 1)];
}

/** Without root: the same inside a user namespace of this user's own, where he may make network namespaces. There the
 * kernel gives no real-time scheduling. */
async function runWithoutRoot(log: Log): Promise<number> {
  const enter = ["unshare", "--user", "--map-root-user", "--net", "--mount"];
  const tried = await output([
    ...enter,
    "sh",
    "-c",
    "mount -t tmpfs tmpfs /run && ip netns add probe && : < /dev/net/tun",
  ]);
  if (tried.code !== 0) {
    log.error(
      "The demonstration needs the right to make network namespaces and TUN devices, which this user does " +
        "not have and cannot get through a user namespace. Run it as root: sudo ./i405 demo",
      {
        reason: tried.stderr.trim(),
      },
    );
    return EXIT.noRight;
  }
  log.warn(
    "not root: everything runs in a user namespace, without real-time scheduling, so slots are later than " +
      "they would be; counts and lengths are the same",
  );
  const script = 'mount -t tmpfs tmpfs /run && exec "$@"';
  const child = new Deno.Command(enter[0], {
    args: [...enter.slice(1), "sh", "-c", script, "sh", ...selfCommand(), ...Deno.args],
    env: { [WITHOUT_ROOT]: "1" },
    stdin: "inherit",
    stdout: "inherit",
    stderr: "inherit",
  }).spawn();
  const pass = (signal: Deno.Signal) => () => child.kill(signal);
  const listeners = (["SIGINT", "SIGTERM", "SIGHUP"] as const).map((signal) =>
    [signal, pass(signal)] as const
  );
  for (const [signal, listener] of listeners) Deno.addSignalListener(signal, listener);
  const { code } = await child.status;
  for (const [signal, listener] of listeners) Deno.removeSignalListener(signal, listener);
  return code;
}

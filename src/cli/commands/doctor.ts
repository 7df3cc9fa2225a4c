import { type Command, InvalidArgumentError } from "commander";
import { openShim, type Shim, ShimError, shimPath } from "../../../ffi/mod.ts";
import type { DoctorPorts, WakeUps } from "../../doctor/mod.ts";
import { output } from "../../demo/child.ts";
import { EXIT } from "../exit.ts";

const EXAMPLES = `
Examples:
  sudo i405 doctor
  i405 doctor --seconds 20 --interval 100 --json

Exit codes: 0 nothing bad, 1 something is. docs/timing.md explains what is looked at.`;

const LEAD_MAX_NS = 1e6;

function number(min: number, max: number) {
  return (text: string): number => {
    const value = Number(text);
    if (text.trim() === "" || !(value >= min && value <= max)) {
      throw new InvalidArgumentError(`Expected a number from ${min} to ${max}.`);
    }
    return value;
  };
}

interface Options {
  readonly json?: boolean;
  readonly seconds: number;
  readonly interval: number;
  readonly peer?: string;
}

/** `i405 doctor`. */
export function addDoctor(
  program: Command,
  print: (text: string) => void,
  exit: (code: number) => void,
): void {
  program.command("doctor").summary("check what the timing depends on")
    .description(
      "Checks what of this machine the times of slots depend on, and says what to do. Changes nothing.",
    )
    .option("--seconds <n>", "how long wake-ups are measured", number(0.1, 10), 5)
    .option("--interval <us>", "of the slots that are meant, in µs", number(20, 1e7), 1000)
    .option("--peer <address>", "IP address of the server, to look at the interface that leads there")
    .option("--json", "print everything as JSON")
    .addHelpText("after", EXAMPLES)
    .action(async ({ json, seconds, interval, peer }: Options) => {
      const { examine, examinationText } = await import("../../doctor/mod.ts");
      const ports = portsOf(openShim(shimPath()));
      const result = await examine(ports, { measureMs: seconds * 1e3, intervalNs: interval * 1e3, peer });
      print(json ? `${JSON.stringify(result, undefined, 2)}\n` : `${examinationText(result)}\n`);
      exit(result.isFit ? EXIT.ok : EXIT.failed);
    });
}

function portsOf(shim: Shim): DoctorPorts {
  return {
    readFile: (path) => shim.readFile(path),
    run: output,
    measure: (ms, fifo) => measure(shim, ms, fifo),
    tunRefusal: () => tunRefusal(shim),
    isRoot: Deno.uid() === 0,
  };
}

function measure(shim: Shim, ms: number, fifo: boolean): WakeUps {
  shim.pacer.start({
    pollMode: "sleepy",
    fifo,
    cpu: "auto",
    calibrateMs: ms,
    leadNs: 0,
    leadMaxNs: LEAD_MAX_NS,
  });
  const { wakeP50Ns, wakeP99Ns, wakeP999Ns, noFifo, noLock, sharedCpu, cpu } = shim.pacer.state();
  shim.pacer.stop();
  return { p50Ns: wakeP50Ns, p99Ns: wakeP99Ns, p999Ns: wakeP999Ns, noFifo, noLock, sharedCpu, cpu };
}

function tunRefusal(shim: Shim): string | undefined {
  try {
    shim.close(shim.tunOpen("i405dr%d").fd);
    return undefined;
  } catch (error) {
    if (!(error instanceof ShimError)) throw error;
    return error.message;
  }
}

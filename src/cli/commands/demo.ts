import { type Command, InvalidArgumentError } from "commander";
import { openShim, shimPath } from "../../../ffi/mod.ts";
import { stderrLog } from "../../status/log.ts";
import { VERSION } from "../version.ts";

const EXAMPLES = `
Examples:
  sudo i405 demo
  sudo i405 demo --json --seconds 12 --out /tmp/demo.html

Exit codes: 0 every promise held, 1 one was broken or the demonstration failed, 77 no right to make it.`;

function seconds(text: string): number {
  const value = Number(text);
  if (!/^\d{1,4}$/.test(text) || value < 8) {
    throw new InvalidArgumentError("Expected whole seconds, 8 or more.");
  }
  return value;
}

interface Options {
  readonly json?: boolean;
  readonly out?: string;
  readonly seconds?: number;
  readonly keep?: boolean;
}

/** `i405 demo`, and the hidden command that it runs in its namespaces. */
export function addDemo(program: Command, exit: (code: number) => void): void {
  const ports = () => openShim(shimPath());
  program.command("demo").summary("show on this machine what it does")
    .description(
      "Makes a client, a server and an observer between them on this machine, and shows what each of them sees.",
    )
    .option("--json", "print the result as JSON")
    .option("--out <file>", "where the page goes (default: demo.html)")
    .option("--seconds <n>", "length of the measured part (default: 24)", seconds)
    .option("--keep", "keep configurations, traces and what was seen")
    .addHelpText("after", EXAMPLES)
    .action(async (options: Options) => {
      const { runDemo } = await import("../../demo/mod.ts");
      exit(await runDemo({ ...options, version: VERSION }, stderrLog("info", "plain"), ports));
    });
  program.command("demo-child", { hidden: true }).argument("<part...>").allowUnknownOption().helpOption(false)
    .action(async (part: string[]) => {
      const { runDemoChild } = await import("../../demo/mod.ts");
      exit(await runDemoChild(part, ports));
    });
}

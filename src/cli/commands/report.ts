import { type Command, InvalidArgumentError } from "commander";
import { reportPage, type ReportSample } from "../../audit/mod.ts";
import { readStatus } from "../../status/status_server.ts";
import { OperatorError } from "../exit.ts";

const EXAMPLES = `
Examples:
  i405 report --socket /run/i405/client.sock
  i405 report --socket /run/i405/client.sock --seconds 60 --out report.html

The tunnel must run with \`socket\` in its [status].`;

const EVERY_MS = 500;

interface Options {
  readonly socket: string;
  readonly seconds: number;
  readonly out: string;
}

function seconds(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 1 && value <= 3600)) {
    throw new InvalidArgumentError("Expected seconds from 1 to 3600.");
  }
  return value;
}

/** `i405 report`. */
export function addReport(program: Command, print: (text: string) => void): void {
  program.command("report").summary("write a page about a running tunnel")
    .description("Writes a page of what a running client or server has counted: slots, deviations, drops.")
    .requiredOption("--socket <path>", "the status.socket of its configuration")
    .option("--seconds <n>", "how long it looks at the rates", seconds, 5)
    .option("--out <file>", "where the page goes", "report.html")
    .addHelpText("after", EXAMPLES)
    .action(async ({ socket, seconds, out }: Options) => {
      const samples = await lookAt(socket, seconds);
      await write(out, reportPage(samples, new Date().toISOString()));
      print(`${out}\n`);
    });
}

async function lookAt(socket: string, seconds: number): Promise<ReportSample[]> {
  const startMs = performance.now();
  const samples: ReportSample[] = [];
  for (let atS = 0; atS <= seconds; atS = (performance.now() - startMs) / 1e3) {
    samples.push({ atS, document: await readStatus(socket) });
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
  return samples;
}

async function write(path: string, page: string): Promise<void> {
  try {
    await Deno.writeTextFile(path, page, { mode: 0o600 });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new OperatorError(`Cannot write ${path}: ${reason}; choose another place with --out FILE`);
  }
}

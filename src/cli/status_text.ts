/** The status document in words. What it does not know it leaves out, so it reads those of other versions too. */

/** Lines for a person; strange parts of `document` are passed over. */
export function statusText(document: unknown): string {
  const status = tableOf(document);
  const lines = [headLine(status)];
  const peers = Array.isArray(status.peers) ? status.peers.map(tableOf) : [];
  for (const peer of peers) lines.push(...peerLines(peer));
  const counted = { ...tableOf(status.handshakes), ...tableOf(status.counters) };
  const counters = Object.entries(counted).filter(([, value]) => typeof value === "number" && value > 0);
  if (counters.length > 0) lines.push("counters (those above 0):");
  for (const [name, value] of counters) lines.push(`  ${clean(name).padEnd(28)} ${value}`);
  return `${lines.join("\n")}\n`;
}

type Table = Readonly<Record<string, unknown>>;

function tableOf(value: unknown): Table {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value as Table : {};
}

/** Text of another process: no control characters reach the terminal. */
function clean(value: unknown): string {
  // deno-lint-ignore no-control-regex
  return String(value).replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, "?");
}

function headLine(status: Table): string {
  const uptime = typeof status.uptime_s === "number" ? `, up ${durationText(status.uptime_s)}` : "";
  return `i405 ${clean(status.role ?? "tunnel")} ${clean(status.version ?? "")}${uptime}`;
}

function peerLines(peer: Table): string[] {
  const facts = ["state", "address", "suite", "group"].filter((key) =>
    typeof peer[key] === "string" && peer[key] !== ""
  );
  const lines = [`${clean(peer.name ?? "peer")}: ${facts.map((key) => clean(peer[key])).join(", ")}`];
  const slots = Object.entries(tableOf(peer.slots)).map(([name, value]) => `${clean(name)} ${clean(value)}`);
  if (slots.length > 0) lines.push(`  slots: ${slots.join(", ")}`);
  const deviation = tableOf(peer.deviation);
  const quantiles = ["p50_ns", "p99_ns", "p999_ns", "max_ns"].filter((key) =>
    typeof deviation[key] === "number"
  )
    .map((key) => `${key.slice(0, -3)} ${microseconds(deviation[key] as number)}`);
  if (quantiles.length > 0) lines.push(`  deviation from plan: ${quantiles.join(", ")}`);
  return lines;
}

function microseconds(ns: number): string {
  return `${Number((ns / 1e3).toPrecision(3))} µs`;
}

function durationText(seconds: number): string {
  const whole = Math.floor(seconds);
  const parts = [[86_400, "d"], [3600, "h"], [60, "min"]] as const;
  for (const [len, unit] of parts) {
    if (whole >= len) return `${Number((whole / len).toFixed(1))} ${unit}`;
  }
  return `${whole} s`;
}

import type { Condition, Finding } from "./ports.ts";

export function finding(id: string, name: string, condition: Condition, found: string, remedy = ""): Finding {
  return { id, name, condition, found, remedy };
}

export function ok(id: string, name: string, found: string): Finding {
  return finding(id, name, "good", found);
}

/** The number that a file of /proc or /sys holds; NaN for none. */
export function number(text: string | undefined): number {
  return text === undefined || text.trim() === "" ? NaN : Number(text);
}

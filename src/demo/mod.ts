/** `i405 demo`: client, server and an observer between them, on this machine. */

export { runDemoChild } from "./inner.ts";
export type { DemoOptions, DemoPorts } from "./ports.ts";
export type { DemoResult } from "./result.ts";
export { runDemo } from "./run.ts";
export { EXIT as DEMO_EXIT } from "./stage.ts";

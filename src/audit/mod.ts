/** `i405 audit`: what an observer can tell, measured on this machine. */

export { parseLoads } from "./blocks.ts";
export { runAuditChild } from "./load_child.ts";
export type { AuditOptions, AuditPorts, JitterChoice, TunnelMode } from "./options.ts";
export { reportPage, type ReportSample } from "./report.ts";
export { runAudit } from "./run.ts";
export { usualLoads } from "./session.ts";

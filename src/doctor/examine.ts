/** Every check, in the order in which it is read. */

import {
  checkCgroup,
  checkClock,
  checkCpus,
  checkFifo,
  checkGovernor,
  checkIdleStates,
  checkIsolation,
  checkPreemption,
  checkThrottling,
  checkTimer,
  checkVirtualization,
  stealOf,
} from "./cpu_checks.ts";
import { type Expectation, expectations } from "./expectation.ts";
import {
  checkInterface,
  checkMemoryLock,
  checkNftables,
  checkTun,
  outgoingInterface,
} from "./network_checks.ts";
import type { DoctorPorts, Finding, WakeUps } from "./ports.ts";

/** Where a route is looked up when no server is named: a documentation address (RFC 5737), to which nothing is sent. */
const ANYWHERE = "192.0.2.1";

export interface Examination {
  readonly findings: readonly Finding[];
  readonly wakeUps: WakeUps;
  readonly expected: readonly Expectation[];
  readonly intervalNs: number;
  /** Nothing is bad. */
  readonly isFit: boolean;
}

export interface ExamineOptions {
  /** How long wake-ups are measured. */
  readonly measureMs: number;
  /** Of the slots that the expectation is for. */
  readonly intervalNs: number;
  /** IP address of the server; undefined: any. */
  readonly peer?: string;
}

/** Looks at the machine and measures its wake-ups. Changes nothing. */
export async function examine(ports: DoctorPorts, options: ExamineOptions): Promise<Examination> {
  const before = stealOf(ports);
  const wakeUps = ports.measure(options.measureMs, true);
  const steal = { before, after: stealOf(ports), seconds: options.measureMs / 1e3 };
  const device = await outgoingInterface(ports, options.peer ?? ANYWHERE);
  const findings = [
    checkFifo(wakeUps),
    checkCpus(ports),
    checkIsolation(ports),
    checkThrottling(ports),
    checkCgroup(ports),
    checkTimer(ports),
    checkClock(ports),
    checkPreemption(ports),
    checkIdleStates(ports),
    checkGovernor(ports),
    checkVirtualization(ports, steal),
    checkMemoryLock(ports, wakeUps),
    checkTun(ports),
    await checkNftables(ports),
    ...await checkInterface(ports, device),
  ];
  return {
    findings,
    wakeUps,
    expected: expectations(wakeUps, options.intervalNs),
    intervalNs: options.intervalNs,
    isFit: findings.every(({ condition }) => condition !== "bad"),
  };
}

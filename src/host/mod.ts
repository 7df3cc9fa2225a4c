/** Changes to this machine's network through its own commands (ip, nft, sysctl), all undone at the end. */

import { removeDefaultRouteLeftovers } from "./default_route.ts";
import { removeMasqueradeLeftovers } from "./masquerade.ts";
import type { Run } from "./command.ts";

export type { Change, Step } from "./changes.ts";
export { HostChanges } from "./changes.ts";
export type { Command, CommandResult, Run } from "./command.ts";
export { HostError, hostRunner } from "./command.ts";
export type { DefaultRoute } from "./default_route.ts";
export { defaultRouteChange } from "./default_route.ts";
export type { KernelFiles } from "./interrupts.ts";
export { interfaceTowards, interruptsOf, MovedInterrupts } from "./interrupts.ts";
export { masqueradeChange } from "./masquerade.ts";
export type { PersistentTun, TunSetup, TunState } from "./tun_device.ts";
export { addPersistentTun, removePersistentTun, routesToClients, tunChange, tunState } from "./tun_device.ts";

/** Removes what an earlier run for this TUN device has left because it was killed. Call it once the device is ours, so
 * that no other run can be using it. Returns a line for each thing removed. */
export async function removeLeftovers(run: Run, tunName: string): Promise<string[]> {
  return [
    ...await removeDefaultRouteLeftovers(run, tunName),
    ...await removeMasqueradeLeftovers(run, tunName),
  ];
}

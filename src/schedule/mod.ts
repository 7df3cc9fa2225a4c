/** Slot times from a seed and the configuration. Imports nothing that has seen user data. */

export type { Jitter, JitterLaw } from "./jitter.ts";
export { classicSdRatio, JITTER_REACH } from "./jitter.ts";
export type { SlotScheduleOptions } from "./slot_schedule.ts";
export { jitterSdDefaultNs, jitterSdMaxNs, SlotSchedule } from "./slot_schedule.ts";

/** `i405 doctor`: what of this machine the times of slots depend on. */

export { examine } from "./examine.ts";
export type { Examination, ExamineOptions } from "./examine.ts";
export type { Condition, DoctorPorts, Finding, WakeUps } from "./ports.ts";
export { examinationText } from "./text.ts";

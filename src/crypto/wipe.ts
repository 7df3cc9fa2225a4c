/** Overwrites secrets with zeros. Copies that the JavaScript engine made by itself are out of reach. */
export function wipe(...secrets: readonly (Uint8Array | undefined)[]): void {
  for (const secret of secrets) secret?.fill(0);
}

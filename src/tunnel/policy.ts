/** Suites and groups as a configuration names them, as the handshake numbers them. */

import { assert } from "../base/mod.ts";
import type { GroupName, SuiteName } from "../config/mod.ts";
import { GROUP } from "../crypto/key_exchange.ts";
import { allSuites } from "../crypto/suites.ts";

export interface PolicyNames {
  readonly suites: readonly SuiteName[];
  readonly groups: readonly GroupName[];
}

/** Numbers in the same order of preference. */
export function policyOf({ suites, groups }: PolicyNames): { suites: number[]; groups: number[] } {
  return { suites: suites.map(suiteIdOf), groups: groups.map((name) => GROUP[name]) };
}

function suiteIdOf(name: SuiteName): number {
  const suite = allSuites().find((candidate) => candidate.name === name);
  assert(suite !== undefined, `a suite that the configuration knows exists: ${name}`);
  return suite.id;
}

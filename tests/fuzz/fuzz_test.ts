/** Every reader of bytes from outside, under damage. See harness.ts. */

import { fuzzTests } from "./harness.ts";
import { TARGETS } from "./targets/mod.ts";

fuzzTests(TARGETS);

/** All targets: what is not here is not fuzzed. */

import type { FuzzTarget } from "../harness.ts";
import { EXTENSION_TARGETS } from "./extensions.ts";
import { FILE_TARGETS } from "./files.ts";
import { HANDSHAKE_TARGETS } from "./handshake.ts";
import { INNER_TARGETS } from "./inner.ts";
import { OFFLOAD_TARGETS } from "./offload.ts";
import { PATH_TARGETS } from "./path.ts";
import { PROXY_TARGETS } from "./proxy.ts";
import { RECORD_TARGETS } from "./records.ts";
import { SESSION_TARGETS } from "./session.ts";
import { STREAM_TARGETS } from "./streams.ts";
import { TLS_TARGETS } from "./tls.ts";
import { V0_TARGETS } from "./v0.ts";

export const TARGETS: readonly FuzzTarget[] = [
  ...RECORD_TARGETS,
  ...SESSION_TARGETS,
  ...TLS_TARGETS,
  ...HANDSHAKE_TARGETS,
  ...EXTENSION_TARGETS,
  ...INNER_TARGETS,
  ...V0_TARGETS,
  ...STREAM_TARGETS,
  ...FILE_TARGETS,
  ...PROXY_TARGETS,
  ...OFFLOAD_TARGETS,
  ...PATH_TARGETS,
];

/** The version of the program: that of deno.json. */

import config from "../../deno.json" with { type: "json" };

export const VERSION: string = config.version;

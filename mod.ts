/** The program i405: `main` is its command line, which runs when this is the main module. */

export { main } from "./src/cli/main.ts";
import { main } from "./src/cli/main.ts";

if (import.meta.main) Deno.exit(await main(Deno.args));

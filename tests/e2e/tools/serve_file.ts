/** serve_file.ts FILE PORT: answers each HTTP request on any address with that file's bytes. */
const bytes = Deno.readFileSync(Deno.args[0]);
Deno.serve(
  { hostname: "::", port: Number(Deno.args[1]), onListen: () => console.log("serving") },
  () => new Response(bytes),
);

/** The shim's functions, one row each beneath its C signature. Offsets and lengths are u32 into the arena. */

export const SYMBOLS = {
  // int32_t i405_open(uint32_t arena_len);
  i405_open: { parameters: ["u32"], result: "i32" },
  // void *i405_base(void);
  i405_base: { parameters: [], result: "pointer" },
  // uint32_t i405_arena_len(void);
  i405_arena_len: { parameters: [], result: "u32" },
  // uint32_t i405_alloc(uint32_t len);
  i405_alloc: { parameters: ["u32"], result: "u32" },
  // int32_t i405_free(uint32_t off, uint32_t len);
  i405_free: { parameters: ["u32", "u32"], result: "i32" },
  // uint32_t i405_unlocked_len(void);
  i405_unlocked_len: { parameters: [], result: "u32" },
  // double i405_now(void);
  i405_now: { parameters: [], result: "f64" },
  // double i405_wall_base(void);
  i405_wall_base: { parameters: [], result: "f64" },

  // int32_t i405_key_new(uint32_t off);
  i405_key_new: { parameters: ["u32"], result: "i32" },
  // int32_t i405_key_free(int32_t key);
  i405_key_free: { parameters: ["i32"], result: "i32" },
  // int32_t i405_aead_wide(int32_t on);
  i405_aead_wide: { parameters: ["i32"], result: "i32" },
  // int32_t i405_unmask_batch(uint32_t records, uint32_t count);
  i405_unmask_batch: { parameters: ["u32", "u32"], result: "i32" },
  // int32_t i405_open_batch(uint32_t records, uint32_t count);
  i405_open_batch: { parameters: ["u32", "u32"], result: "i32" },
  // int32_t i405_seal_batch(uint32_t records, uint32_t count);
  i405_seal_batch: { parameters: ["u32", "u32"], result: "i32" },

  // int32_t i405_udp_open(uint32_t addr, uint32_t flags);
  i405_udp_open: { parameters: ["u32", "u32"], result: "i32" },
  // int32_t i405_udp_drops(int32_t fd);
  i405_udp_drops: { parameters: ["i32"], result: "i32" },
  // int32_t i405_udp_send(int32_t fd, uint32_t off, uint32_t len, uint32_t to, uint32_t src);
  i405_udp_send: { parameters: ["i32", "u32", "u32", "u32", "u32"], result: "i32" },
  // int32_t i405_route_probe(uint32_t to, uint32_t out);
  i405_route_probe: { parameters: ["u32", "u32"], result: "i32" },
  // int32_t i405_tun_open(uint32_t name, uint32_t flags);
  i405_tun_open: { parameters: ["u32", "u32"], result: "i32" },
  // int32_t i405_tun_persist(int32_t fd, int32_t on, int32_t owner);
  i405_tun_persist: { parameters: ["i32", "i32", "i32"], result: "i32" },
  // int32_t i405_tun_offload(int32_t fd);
  i405_tun_offload: { parameters: ["i32"], result: "i32" },
  // int32_t i405_tun_write_batch(int32_t fd, uint32_t descs, uint32_t count, uint32_t offloads);
  i405_tun_write_batch: { parameters: ["i32", "u32", "u32", "u32"], result: "i32" },
  // int32_t i405_tun_coalesce(uint32_t descs, uint32_t count, uint32_t offloads, uint32_t out, uint32_t cap);
  i405_tun_coalesce: { parameters: ["u32", "u32", "u32", "u32", "u32"], result: "i32" },
  // int32_t i405_tun_split(uint32_t off, uint32_t len, uint32_t out, uint32_t descs, uint32_t max);
  i405_tun_split: { parameters: ["u32", "u32", "u32", "u32", "u32"], result: "i32" },
  // int32_t i405_close(int32_t fd);
  i405_close: { parameters: ["i32"], result: "i32" },
  // int32_t i405_event_open(void);
  i405_event_open: { parameters: [], result: "i32" },
  // int32_t i405_event_signal(int32_t fd);
  i405_event_signal: { parameters: ["i32"], result: "i32" },
  // int32_t i405_io_poll(uint32_t io);
  i405_io_poll: { parameters: ["u32"], result: "i32" },
  // int32_t i405_peer_set(uint32_t addr, int32_t peer);
  i405_peer_set: { parameters: ["u32", "i32"], result: "i32" },
  // int32_t i405_tcp_listen(uint32_t addr);
  i405_tcp_listen: { parameters: ["u32"], result: "i32" },
  // int32_t i405_tcp_accept(int32_t fd, uint32_t from, uint32_t to);
  i405_tcp_accept: { parameters: ["i32", "u32", "u32"], result: "i32" },
  // int32_t i405_tcp_connect(uint32_t to);
  i405_tcp_connect: { parameters: ["u32"], result: "i32" },
  // int32_t i405_tcp_send(int32_t fd, uint32_t off, uint32_t len);
  i405_tcp_send: { parameters: ["i32", "u32", "u32"], result: "i32" },
  // int32_t i405_tcp_state(int32_t fd, uint32_t out);
  i405_tcp_state: { parameters: ["i32", "u32"], result: "i32" },
  // int32_t i405_socket_abort(uint32_t local, uint32_t remote);
  i405_socket_abort: { parameters: ["u32", "u32"], result: "i32" },
  // int32_t i405_streams_open(void);
  i405_streams_open: { parameters: [], result: "i32" },
  // int32_t i405_stream_add(int32_t fd, int32_t id, uint32_t mode);
  i405_stream_add: { parameters: ["i32", "i32", "u32"], result: "i32" },
  // int32_t i405_stream_mode(int32_t fd, uint32_t mode);
  i405_stream_mode: { parameters: ["i32", "u32"], result: "i32" },
  // int32_t i405_stream_remove(int32_t fd);
  i405_stream_remove: { parameters: ["i32"], result: "i32" },

  // int32_t i405_pacer_start(uint32_t config);
  i405_pacer_start: { parameters: ["u32"], result: "i32" },
  // int32_t i405_pacer_stop(void);
  i405_pacer_stop: { parameters: [], result: "i32" },
  // int32_t i405_ring_new(uint32_t config);
  i405_ring_new: { parameters: ["u32"], result: "i32" },
  // int32_t i405_ring_times(uint32_t ring, uint32_t count);
  i405_ring_times: { parameters: ["u32", "u32"], result: "i32" },
  // int32_t i405_ring_keys(uint32_t ring, int32_t key, uint32_t hdr, double first_slot, double first_seq,
  //                        double first_count);
  i405_ring_keys: { parameters: ["u32", "i32", "u32", "f64", "f64", "f64"], result: "i32" },
  // int32_t i405_ring_dest(uint32_t ring, int32_t fd, uint32_t to, uint32_t from);
  i405_ring_dest: { parameters: ["u32", "i32", "u32", "u32"], result: "i32" },
  // int32_t i405_ring_link(uint32_t ring, int32_t fd, int32_t key, uint32_t hdr);
  i405_ring_link: { parameters: ["u32", "i32", "i32", "u32"], result: "i32" },
  // int32_t i405_ring_update(uint32_t ring, int32_t key, double number);
  i405_ring_update: { parameters: ["u32", "i32", "f64"], result: "i32" },
  // int32_t i405_ring_move(uint32_t ring, int32_t fd, uint32_t to, uint32_t hdr, double first_slot);
  i405_ring_move: { parameters: ["u32", "i32", "u32", "u32", "f64"], result: "i32" },
  // int32_t i405_ring_aside(uint32_t ring, int32_t fd, uint32_t to, uint32_t from, uint32_t plain);
  i405_ring_aside: { parameters: ["u32", "i32", "u32", "u32", "u32"], result: "i32" },
  // int32_t i405_ring_credit(uint32_t ring, uint32_t bytes);
  i405_ring_credit: { parameters: ["u32", "u32"], result: "i32" },
  // int32_t i405_ring_start(uint32_t ring);
  i405_ring_start: { parameters: ["u32"], result: "i32" },
  // int32_t i405_ring_free(uint32_t ring);
  i405_ring_free: { parameters: ["u32"], result: "i32" },

  // int32_t i405_stamps_open(void);
  i405_stamps_open: { parameters: [], result: "i32" },

  // int32_t i405_read_file(uint32_t path, uint32_t out, uint32_t cap);
  i405_read_file: { parameters: ["u32", "u32", "u32"], result: "i32" },
  // int32_t i405_write_file(uint32_t path, uint32_t off, uint32_t len);
  i405_write_file: { parameters: ["u32", "u32", "u32"], result: "i32" },
  // int32_t i405_read_link(uint32_t path, uint32_t out, uint32_t cap);
  i405_read_link: { parameters: ["u32", "u32", "u32"], result: "i32" },
  // int32_t i405_read_secret(uint32_t path, uint32_t out, uint32_t cap, uint32_t info);
  i405_read_secret: { parameters: ["u32", "u32", "u32", "u32"], result: "i32" },
  // int32_t i405_set_dumpable(int32_t on);
  i405_set_dumpable: { parameters: ["i32"], result: "i32" },
  // int32_t i405_thread_setup(int32_t nice, int32_t cpu_not);
  i405_thread_setup: { parameters: ["i32", "i32"], result: "i32" },
  // int32_t i405_hold_latency(void);
  i405_hold_latency: { parameters: [], result: "i32" },
  // int32_t i405_cpu_count(void);
  i405_cpu_count: { parameters: [], result: "i32" },
  // int32_t i405_observe_open(uint32_t name, uint32_t incoming);
  i405_observe_open: { parameters: ["u32", "u32"], result: "i32" },
  // int32_t i405_observe_read(int32_t fd, uint32_t out, uint32_t max, uint32_t timeout_ms);
  i405_observe_read: { parameters: ["i32", "u32", "u32", "u32"], result: "i32" },
  // int32_t i405_layout(uint32_t index);
  i405_layout: { parameters: ["u32"], result: "i32" },
  // double i405_secret_blocks(void);
  i405_secret_blocks: { parameters: [], result: "f64" },
} as const satisfies Deno.ForeignLibraryInterface;

/** Only in a library that was built with faults, for tests. */
export const FAULT_SYMBOLS = {
  ...SYMBOLS,
  // int32_t i405_fault(int32_t kind);
  i405_fault: { parameters: ["i32"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

export type Symbols = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

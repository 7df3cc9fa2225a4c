/* What the shim's own files share; nothing here is exported. Errors are -errno throughout. */
#ifndef I405_INTERNAL_H
#define I405_INTERNAL_H
#define _GNU_SOURCE
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <time.h>

#include "i405.h"

/* Priority of outer packets within this machine (TC_PRIO_INTERACTIVE; it is in no header): queueing disciplines with
 * bands, such as pfifo_fast and prio, send them before all that other programs have queued. */
#define SHIM_OUTER_PRIORITY 6

/* ---- memory.c ---- */

/* The arena; base is NULL and len 0 until i405_open. Written once. */
struct shim_arena {
  uint8_t *base;
  uint64_t len;
  int64_t base_ns;   /* CLOCK_MONOTONIC of the process's base */
  cpu_set_t allowed; /* CPUs of the thread that opened the arena, before anyone narrowed its own */
};
extern struct shim_arena shim_arena;

/* 0 if off .. off + len lies in the arena and off is a multiple of `align` (a power of two), -EFAULT outside,
 * -EINVAL misaligned. */
static inline int shim_check(uint32_t off, uint64_t len, uint32_t align) {
  if (off == 0 || len > shim_arena.len || off > shim_arena.len - len) return -14; /* EFAULT */
  return (off & (align - 1)) != 0 ? -22 : 0;                                      /* EINVAL */
}
static inline void *shim_at(uint32_t off) { return shim_arena.base + off; }

/* ns of CLOCK_MONOTONIC since the base. */
static inline int64_t shim_now(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec - shim_arena.base_ns;
}

/* CLOCK_REALTIME minus shim_now(), whole ns (as a double it is only exact to 256 ns). */
int64_t shim_wall_base(void);

/* Blocks outside the arena for what TypeScript need not see: locked, not dumped, wiped when freed. */
void *shim_secret_alloc(size_t len);
void *shim_secret_realloc(void *block, size_t len);
void shim_secret_free(void *block);
/* How many of these blocks were ever handed out: tests hold that the data path adds none. */
uint64_t shim_secret_count(void);

/* ---- aead.c ---- */

struct shim_key;
int shim_aead_init(void);
/* Takes a key for a ring: once in a key's life, since a ring's record numbers start at 0 (a second ring would
 * repeat nonces). NULL with *error set to -EINVAL (no such key) or -EALREADY. Until released, i405_key_free
 * answers -EBUSY. */
struct shim_key *shim_key_hold(int32_t id, int *error);
void shim_key_release(struct shim_key *key); /* never blocks */

/* One record: `record` starts with the header, number in clear; `plain` has plain_len bytes. Ciphertext and tag go
 * behind the header, then the number is encrypted (seq_len > 0). */
struct shim_seal {
  uint8_t *record;
  uint32_t hdr_len, seq_off, seq_len;
  const uint8_t *plain;
  uint32_t plain_len;
  uint64_t seq;
};
int shim_seal(struct shim_key *key, const struct shim_seal *job); /* no lock, no allocation */

/* ---- gcm.c ---- */

/* AES-128-GCM or AES-256-GCM, and AES for record numbers, on processors that have it wide. */
struct shim_gcm {
  uint8_t round_keys[15][16], sn_round_keys[15][16];
  uint8_t powers[19][16]; /* of the GHASH key: 16, 15, .. 1, then zeros */
  uint32_t rounds;
};
bool shim_gcm_supported(void);
/* key_len 16 or 32. The others only on what this has made; lengths are bytes, tags of 16 stand behind the ciphertext.
 * Input and output do not overlap. */
void shim_gcm_init(struct shim_gcm *gcm, const uint8_t *key, const uint8_t *sn, uint32_t key_len);
void shim_gcm_seal(const struct shim_gcm *gcm, const uint8_t nonce[12], const uint8_t *header, uint32_t header_len,
                   const uint8_t *plain, uint8_t *cipher, uint32_t len);
/* False if the tag is wrong: then `plain` is to be wiped. */
bool shim_gcm_open(const struct shim_gcm *gcm, const uint8_t nonce[12], const uint8_t *header, uint32_t header_len,
                   const uint8_t *cipher, uint8_t *plain, uint32_t len);
void shim_gcm_mask(const struct shim_gcm *gcm, const uint8_t *sample, uint8_t mask[16]);

/* ---- udp.c ---- */

socklen_t shim_sockaddr_of(const struct i405_addr *addr, struct sockaddr_storage *out); /* 0: no such family */
void shim_addr_of(const struct sockaddr_storage *from, struct i405_addr *out);
/* Writes a PKTINFO control message for source `from`; returns its space, 0 for family 0. */
size_t shim_pktinfo(const struct i405_addr *from, void *control);
#define SHIM_CONTROL_LEN 128

/* ---- batch.c ---- */

/* Fills in `peer` and I405_RX_BY_ID of a descriptor whose `off`, `len` and `from` stand. */
void shim_find_peer(struct i405_rx *rx);

/* ---- receive.c ---- */

/* At the start of a poll: what the one before has handed out is the kernel's again. */
void shim_receive_begin(const struct i405_io *io);
/* The datagrams' part of a poll. */
void shim_receive(struct i405_io *io);

/* ---- split.c ---- */

/* A packet that is being cut: lengths are bytes, offsets are from the IP header. */
struct shim_split {
  uint32_t len, l4, header_len, piece_len;
  uint32_t at; /* of the payload that is to be handed out next; all of it has been if this is len */
  bool v4, tcp;
};
struct virtio_net_hdr;
/* Looks at the `len` bytes that one read gave. 1: pieces are to be had, of at most I405_TUN_STRIDE bytes; 0: it is one
 * packet, its checksum now complete; -EBADMSG: nothing that was asked for. */
int shim_split_begin(struct shim_split *split, const struct virtio_net_hdr *head, uint8_t *whole, uint32_t len);
/* Writes the next packet and returns its length; only while at < len. */
uint32_t shim_split_next(struct shim_split *split, const uint8_t *whole, uint8_t *out);

/* ---- coalesce.c ---- */

struct iovec;
/* Takes one packet for the kernel, virtio header first: 0 or -errno. */
typedef int (*shim_put)(void *where, const struct iovec *parts, int count);
/* Returns how many of the packets were taken. */
uint32_t shim_coalesce(const struct i405_desc *descs, uint32_t count, uint32_t offloads, shim_put put, void *where);

/* ---- stamps.c; nothing but returns until i405_stamps_open ---- */

bool shim_stamps_on(void);
void shim_stamps_socket(int fd); /* a new UDP socket, before anyone sends on it */
void shim_stamps_forget(int fd); /* before it is closed */
void shim_stamps_read(int fd);   /* what has come; never on the pacer's thread */
/* Pacer: writes a control message at `control` that asks for a stamp of the datagram that it is sent with; returns its
 * space. shim_stamps_failed: that one was not sent. */
size_t shim_stamps_ask(int fd, double planned, void *control);
void shim_stamps_failed(int fd);

/* ---- tcp.c, stream.c ---- */

/* Whether a record of `len` bytes would leave at once, as far as the socket tells: all before has been sent, and the
 * kernel has room for all of it. Knows nothing but the socket. No lock, no allocation. */
bool shim_tcp_room(int fd, uint32_t len);
/* Keeps the window that `fd` advertises below what its buffer has room for; `clamp` is the caller's, 0 at first. */
void shim_tcp_steady_window(int fd, int32_t *clamp);
/* The streams' part of a poll: fills in descriptors behind those that are there. */
void shim_streams_read(struct i405_io *io);

/* ---- ring.c ---- */

bool shim_fd_in_ring(int32_t fd);

#endif

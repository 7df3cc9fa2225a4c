/* The data Worker's loop: 1 datagrams of both sockets, records of streams · 2 packets of the TUN device · 3 the eventfd
 * · 4 if there was nothing, wait for any of them and read once more. And the table of whose address is whose. */
#include "offload.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>

/* ---- whose address ---- */

#define PEER_MAX 131072u
#define PEER_SLOTS (2 * PEER_MAX)
#define ID_LEN 8u
struct peer_slot {
  struct i405_addr addr; /* family 0: empty */
  int32_t peer;
};
static struct {
  struct peer_slot *slots;
  uint32_t count;
  uint64_t seed[2];
} peers;

/* Keyed, so that nobody can choose addresses that fall together. */
static uint32_t peer_hash(const struct i405_addr *addr) {
  uint64_t words[3], hash = peers.seed[0];
  memcpy(words, addr, sizeof words);
  for (int i = 0; i < 3; i++) {
    hash = (hash ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15);
    hash ^= (hash >> 29) ^ peers.seed[1];
  }
  return (uint32_t)(hash >> 32) % PEER_SLOTS;
}

static struct peer_slot *peer_slot_of(const struct i405_addr *addr) {
  uint32_t at = peer_hash(addr);
  while (peers.slots[at].addr.family != 0 && memcmp(&peers.slots[at].addr, addr, sizeof *addr) != 0) {
    at = (at + 1) % PEER_SLOTS;
  }
  return &peers.slots[at];
}

static int32_t peer_of(const struct i405_addr *addr) {
  if (peers.count == 0) return -1;
  const struct peer_slot *slot = peer_slot_of(addr);
  return slot->addr.family != 0 ? slot->peer : -1;
}

/* RFC 9147 section 9: a record with a connection id (0011xxxx) is that id's, wherever it comes from. */
void shim_find_peer(struct i405_rx *rx) {
  const uint8_t *record = shim_at(rx->off);
  if (rx->len <= ID_LEN || (record[0] & 0xf0) != 0x30) {
    rx->peer = peer_of(&rx->from);
    return;
  }
  struct i405_addr id = {.family = I405_ADDR_ID};
  memcpy(id.ip, record + 1, ID_LEN);
  rx->peer = peer_of(&id);
  if (rx->peer >= 0) rx->flags |= I405_RX_BY_ID;
}

/* Linear probing without tombstones: what follows the hole moves up if it would not be found otherwise. */
static void peer_remove(struct peer_slot *slot) {
  uint32_t hole = (uint32_t)(slot - peers.slots);
  for (uint32_t at = (hole + 1) % PEER_SLOTS; peers.slots[at].addr.family != 0; at = (at + 1) % PEER_SLOTS) {
    uint32_t home = peer_hash(&peers.slots[at].addr);
    if ((at - home) % PEER_SLOTS < (at - hole) % PEER_SLOTS) continue;
    peers.slots[hole] = peers.slots[at];
    hole = at;
  }
  memset(&peers.slots[hole], 0, sizeof peers.slots[hole]);
  peers.count--;
}

static int peers_open(void) {
  void *at = mmap(NULL, PEER_SLOTS * sizeof(struct peer_slot), PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) return -ENOMEM;
  if (getrandom(peers.seed, sizeof peers.seed, 0) != sizeof peers.seed) {
    munmap(at, PEER_SLOTS * sizeof(struct peer_slot));
    return -EIO;
  }
  peers.slots = at;
  return 0;
}

int32_t i405_peer_set(uint32_t off, int32_t peer) {
  int result = shim_check(off, sizeof(struct i405_addr), 4);
  if (result != 0) return result;
  struct i405_addr addr = *(struct i405_addr *)shim_at(off);
  addr.pad = 0;
  if (addr.family != 4 && addr.family != 6 && addr.family != I405_ADDR_ID) return -EINVAL;
  if (addr.family == 4) memset(addr.ip + 4, 0, 12), addr.scope = 0;
  if (addr.family == I405_ADDR_ID) memset(addr.ip + ID_LEN, 0, sizeof addr.ip - ID_LEN), addr.scope = addr.port = 0;
  if (peers.slots == NULL && (result = peers_open()) != 0) return result;
  struct peer_slot *slot = peer_slot_of(&addr);
  bool known = slot->addr.family != 0;
  if (peer < 0) {
    if (known) peer_remove(slot);
    return 0;
  }
  if (!known && peers.count >= PEER_MAX) return -ENOSPC;
  peers.count += !known;
  slot->addr = addr;
  slot->peer = peer;
  return 0;
}

/* ---- packets of the TUN device ---- */

/* What has been read and not been handed out yet lies behind the buffer for it. */
static struct shim_split *split_of(const struct i405_io *io) {
  return io->tun_whole != 0 ? shim_at(io->tun_whole + I405_WHOLE_LEN) : NULL;
}

static void hand_out(struct i405_io *io, uint32_t off, uint32_t len) {
  ((struct i405_desc *)shim_at(io->tun_descs))[io->tun_count++] = (struct i405_desc){off, len};
}

static void cut(struct i405_io *io, struct shim_split *split) {
  while (split->at < split->len && io->tun_count < io->tun_max) {
    uint32_t off = io->tun_bufs + io->tun_count * I405_TUN_STRIDE;
    hand_out(io, off, shim_split_next(split, shim_at(io->tun_whole), shim_at(off)));
  }
}

/* A packet goes to its place at once; only one that is longer goes on where it is to be cut. */
static void take_packet(struct i405_io *io, const struct virtio_net_hdr *head, uint32_t off, uint32_t len) {
  struct shim_split *split = split_of(io), none;
  bool cuts = head->gso_type != VIRTIO_NET_HDR_GSO_NONE;
  if (cuts && split == NULL) {
    io->tun_dropped++; /* nobody asked for such ones */
    return;
  }
  uint8_t *packet = shim_at(cuts ? io->tun_whole : off);
  if (cuts) memcpy(packet, shim_at(off), len < I405_TUN_STRIDE ? len : I405_TUN_STRIDE);
  int result = shim_split_begin(cuts ? split : &none, head, packet, len);
  if (result < 0) io->tun_dropped++;
  else if (result == 0) hand_out(io, off, len);
  else cut(io, split);
}

/* False when the device itself fails, so that waiting for it would not wait. */
static bool read_tun(struct i405_io *io) {
  struct shim_split *split = split_of(io);
  if (split != NULL) cut(io, split);
  while (io->tun_count < io->tun_max) {
    struct virtio_net_hdr head;
    uint8_t beyond[8];
    uint32_t off = io->tun_bufs + io->tun_count * I405_TUN_STRIDE;
    struct iovec parts[3] = {
      {.iov_base = &head, .iov_len = sizeof head},
      {.iov_base = shim_at(off), .iov_len = I405_TUN_STRIDE},
      {.iov_base = beyond, .iov_len = sizeof beyond},
    };
    if (split != NULL) {
      parts[2].iov_base = shim_at(io->tun_whole + I405_TUN_STRIDE);
      parts[2].iov_len = I405_WHOLE_LEN - I405_TUN_STRIDE;
    }
    ssize_t got = readv(io->tun_fd, parts, 3);
    if (got < 0) {
      if (errno == EAGAIN || errno == EINTR) return true;
      io->tun_errors++;
      return false;
    }
    if (got <= (ssize_t)sizeof head) io->tun_dropped++;
    else take_packet(io, &head, off, (uint32_t)got - (uint32_t)sizeof head);
  }
  return true;
}

/* ---- the loop ---- */

#define LOOK_NS 250000.0 /* between two looks at sockets with transmit stamps */

static int check_io(uint32_t off) {
  int result = shim_check(off, sizeof(struct i405_io), 8);
  if (result != 0) return result;
  const struct i405_io *io = shim_at(off);
  if (io->rx_max > io->rx_cap || io->tun_max > io->tun_cap) return -EINVAL;
  if (io->rx_cap > 0) {
    result = shim_check(io->rx_descs, (uint64_t)io->rx_cap * sizeof(struct i405_rx), 8);
    bool receives = io->udp_fd[0] >= 0 || io->udp_fd[1] >= 0;
    if (result == 0 && receives) result = shim_check(io->rx_whole, I405_RECEIVE_LEN, 8);
  }
  if (result == 0 && io->tun_cap > 0) {
    result = shim_check(io->tun_descs, (uint64_t)io->tun_cap * 8, 4);
    if (result == 0) result = shim_check(io->tun_bufs, (uint64_t)io->tun_cap * I405_TUN_STRIDE, 1);
    if (result == 0 && io->tun_whole != 0) result = shim_check(io->tun_whole, I405_SPLIT_LEN, 8);
  }
  return result;
}

/* Returns whether the TUN device may be waited for. */
static bool read_all(struct i405_io *io) {
  eventfd_t value;
  bool tun_sound = true;
  shim_receive(io);
  for (int i = 0; i < 2; i++) shim_stamps_read(io->udp_fd[i]);
  shim_streams_read(io);
  if (io->tun_fd >= 0 && io->tun_max > 0) tun_sound = read_tun(io);
  if (io->event_fd >= 0 && eventfd_read(io->event_fd, &value) == 0) io->event = 1;
  return tun_sound;
}

/* `limit_ns` >= 0: not for longer, and not for UDP sockets. */
static void wait_for_any(const struct i405_io *io, bool tun_sound, double limit_ns) {
  struct pollfd fds[5];
  nfds_t count = 0;
  for (int i = 0; i < 2 && limit_ns < 0; i++) {
    if (io->udp_fd[i] >= 0 && io->rx_max > 0) fds[count++] = (struct pollfd){.fd = io->udp_fd[i], .events = POLLIN};
  }
  if (io->tun_fd >= 0 && io->tun_max > 0 && tun_sound) fds[count++] = (struct pollfd){.fd = io->tun_fd, .events = POLLIN};
  if (io->epoll_fd >= 0 && io->rx_max > 0) fds[count++] = (struct pollfd){.fd = io->epoll_fd, .events = POLLIN};
  if (io->event_fd >= 0) fds[count++] = (struct pollfd){.fd = io->event_fd, .events = POLLIN};
  double ns = io->timeout_ns < 1e15 ? io->timeout_ns : 1e15;
  if (limit_ns >= 0 && (ns < 0 || ns > limit_ns)) ns = limit_ns;
  struct timespec timeout = {.tv_sec = (time_t)(ns / 1e9)};
  timeout.tv_nsec = (long)(ns - (double)timeout.tv_sec * 1e9);
  /* A broken device is looked at again after a while even by one who waits for ever. */
  if (ns < 0) timeout = (struct timespec){.tv_sec = 1};
  ppoll(fds, count, ns < 0 && tun_sound ? NULL : &timeout, NULL);
}

static bool is_nothing(const struct i405_io *io) { return io->rx_count + io->tun_count + io->event == 0; }

/* A transmit stamp wakes whoever waits for its socket, within the send that it belongs to: that would take longer when
 * this thread is idle than when it is busy. So nobody waits for a socket with stamps; it is looked at now and then. */
static void wait_beside_stamps(struct i405_io *io, bool tun_sound) {
  double end = io->timeout_ns < 0 ? INFINITY : (double)shim_now() + io->timeout_ns;
  do {
    wait_for_any(io, tun_sound, LOOK_NS);
    tun_sound = read_all(io);
  } while (is_nothing(io) && (double)shim_now() < end);
}

int32_t i405_io_poll(uint32_t off) {
  int checked = check_io(off);
  if (checked != 0) return checked;
  struct i405_io *io = shim_at(off);
  io->rx_count = io->tun_count = io->event = 0;
  shim_receive_begin(io);
  bool tun_sound = read_all(io);
  if (is_nothing(io) && io->timeout_ns != 0) {
    if (shim_stamps_on()) {
      wait_beside_stamps(io, tun_sound);
    } else {
      wait_for_any(io, tun_sound, -1);
      read_all(io);
    }
  }
  io->now_ns = (double)shim_now();
  return (int32_t)(io->rx_count + io->tun_count);
}

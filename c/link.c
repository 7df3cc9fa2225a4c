/* Stream rings: one TLS record a slot over a TCP connection, numbers implicit and consecutive. On the pacer's thread:
 * 1 the letter box: another connection · 2 does the socket take a whole record? If not, the slot is skipped: no number, no
 * plaintext · 3 freeze and seal · 4 one send of the whole record. What has been sealed is sent or the connection is dead:
 * nothing is sealed twice. */
#include "ring.h"

#include <errno.h>
#include <string.h>

/* ---- pacer's ---- */

/* The box as the pacer takes it; false: empty, or just being written. */
static bool take_box(struct ring *ring, bool update) {
  int full = BOX_FULL;
  if (!atomic_compare_exchange_strong(&ring->link_box, &full, BOX_TAKING)) return false;
  const struct link *next = &ring->link_next;
  if (next->is_update == update && (!update || (double)ring->seq >= next->number)) return true;
  atomic_store_explicit(&ring->link_box, BOX_FULL, memory_order_release);
  return false;
}

/* Goes over to the box's key, numbers from 0, and empties the box. */
static void adopt(struct ring *ring) {
  shim_key_release(ring->link.key);
  ring->link = ring->link_next;
  ring->seq = 0;
  put_f64(&ring->shared->seq_next, 0);
  atomic_store(&ring->fd_now, ring->link.fd);
  atomic_store_explicit(&ring->link_box, BOX_EMPTY, memory_order_release);
  put_u32(&ring->shared->switches, ring->shared->switches + 1);
}

static void adopt_connection(struct ring *ring) {
  if (!take_box(ring, false)) return;
  adopt(ring);
  ring->rest_len = 0; /* of a connection that is gone */
  ring->link_broken = false;
}

static void give_up(struct ring *ring) {
  ring->link_broken = true;
  put_u32(&ring->shared->broken, ring->shared->broken + 1);
}

/* Sends at most `len` bytes of what is left of the newest record; false as long as something is left. */
static bool send_part(struct ring *ring, uint32_t len) {
  const uint8_t *rest = ring->sealed + ring->config.datagram_len - ring->rest_len;
  ssize_t sent = send(ring->link.fd, rest, len, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN && errno != EINTR && errno != ENOBUFS && errno != ENOMEM) {
    give_up(ring);
    return false;
  }
  if (sent > 0) ring->rest_len -= (uint32_t)sent;
  return ring->rest_len == 0;
}

static bool send_rest(struct ring *ring) { return send_part(ring, ring->rest_len); }

void link_freeze(struct ring *ring) {
  adopt_connection(ring);
  ring->keyless = ring->link.fd < 0 || ring->link_broken;
  if (ring->keyless) return;
  bool room = fault_room() || shim_tcp_room(ring->link.fd, ring->config.datagram_len);
  ring->socket_full = ring->rest_len > 0 || !room;
  if (ring->socket_full) return;
  if (!take_box(ring, true)) {
    ring_freeze_record(ring, ring->sealed, ring->link.key, ring->link.hdr);
  } else {
    memcpy(ring->plain, ring->update, ring->plaintext_len);
    ring_seal_record(ring, ring->sealed, ring->link.key, ring->link.hdr);
    adopt(ring); /* RFC 8446 section 4.6.3: whatever follows the KeyUpdate is under the new key */
  }
  /* A number without a record cannot be made up for in a stream. */
  if ((ring->flags & TRACE_SEND_ERROR) != 0) give_up(ring);
}

uint32_t link_send(struct ring *ring) {
  if (ring->socket_full) {
    if (ring->rest_len > 0) send_rest(ring);
    return 0;
  }
  ring->rest_len = ring->config.datagram_len;
  if (fault_split(ring)) send_part(ring, ring->rest_len / 2);
  if (send_rest(ring)) return 1;
  if (ring->link_broken) return 0;
  put_f64(&ring->shared->short_writes, ring->shared->short_writes + 1);
  return 1;
}

/* ---- normal threads' ---- */

/* Puts a link into the box; 1 if it takes the place of one that the pacer has not reached. Lock held. */
static int post(struct ring *ring, const struct link *link) {
  bool replaced = box_claim(&ring->link_box) == BOX_FULL;
  if (replaced) shim_key_release(ring->link_next.key);
  ring->link_next = *link;
  atomic_store_explicit(&ring->link_box, BOX_FULL, memory_order_release);
  return replaced ? 1 : 0;
}

int32_t i405_ring_link(uint32_t off, int32_t fd, int32_t key, uint32_t hdr) {
  ring_lock();
  struct ring *ring = ring_find(off);
  struct link link = {.fd = fd < 0 ? -1 : fd};
  int result = ring == NULL || ring->config.stream == 0 ? -EINVAL : 0;
  if (result == 0 && fd >= 0) {
    result = shim_check(hdr, ring->config.hdr_len, 1);
    if (result == 0) link.key = shim_key_hold(key, &result);
    if (result == 0) memcpy(link.hdr, shim_at(hdr), ring->config.hdr_len);
  }
  if (result == 0) result = post(ring, &link);
  ring_unlock();
  return result;
}

int32_t i405_ring_update(uint32_t off, int32_t key, double number) {
  ring_lock();
  struct ring *ring = ring_find(off);
  int result = ring == NULL || ring->config.stream == 0 || !(number >= 0) ? -EINVAL : 0;
  if (result == 0 && (atomic_load(&ring->link_box) != BOX_EMPTY || ring->link.fd < 0)) result = -EBUSY;
  if (result == 0) {
    struct link link = ring->link;
    link.is_update = true;
    link.number = number;
    link.key = shim_key_hold(key, &result);
    if (result == 0) result = post(ring, &link);
  }
  ring_unlock();
  return result;
}

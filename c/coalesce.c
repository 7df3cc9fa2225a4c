/* Joins packets of one flow that follow each other into what the kernel takes in one piece, so that its stack is passed
 * once for all of them. Only what cutting gives back byte for byte is joined (IP identification aside, where it says
 * nothing: RFC 6864 section 4.1), in order within each flow, and only what is there already: nothing waits.
 *
 * 1 read the headers · 2 find the flow's open group · 3 same in all but what counts on: append · 4 else begin another
 * one · 5 write the groups in the order of their first packets, without copying payloads. */
#include "offload.h"

#include <errno.h>

#define ROUND_MAX 256u   /* packets looked at together */
#define GROUP_PACKETS 64u
#define FLOWS 256u
#define FLOW_PROBES 8u   /* a flow that finds no place so near to its own is not joined in this round */
#define HEADER_MAX 100u  /* IPv6 and the longest TCP header */
#define IP_LEN_MAX 65535u
#define NONE 0xffffu

enum kind {
  OTHER, /* of no flow that can be told: nothing behind it is joined to what is before it */
  ALONE, /* of a flow, and never joined */
  TCP,
  UDP,
};

struct packet {
  const uint8_t *bytes;
  uint32_t len;
  uint8_t kind, v4, l4, header_len;
  uint16_t payload_len;
  uint16_t next; /* of the same group, or NONE */
};

struct group {
  uint16_t first, last, count, piece_len;
  uint32_t len; /* header once, all payloads */
  bool open, verified;
};

struct round {
  struct packet packets[ROUND_MAX];
  struct group groups[ROUND_MAX];
  uint16_t flows[FLOWS]; /* newest group, or NONE */
  uint32_t group_count;
};

/* ---- 1: headers ---- */

static uint8_t kind_of_tcp(struct packet *packet) {
  const uint8_t *tcp = packet->bytes + packet->l4;
  uint32_t l4_len = packet->len - packet->l4;
  if (l4_len < SHIM_TCP_LEN) return OTHER;
  uint32_t header = (tcp[12] >> 4) * 4u;
  if (header < SHIM_TCP_LEN || header >= l4_len) return ALONE; /* malformed, or without payload */
  packet->header_len = (uint8_t)(packet->l4 + header);
  packet->payload_len = (uint16_t)(l4_len - header);
  uint32_t joinable = SHIM_FIN | SHIM_PSH | SHIM_ACK | SHIM_ECE | SHIM_CWR;
  bool plain = (tcp[13] & ~joinable) == 0 && (tcp[13] & SHIM_ACK) != 0 && (tcp[12] & 15) == 0;
  return plain ? TCP : ALONE;
}

static uint8_t kind_of_udp(struct packet *packet) {
  const uint8_t *udp = packet->bytes + packet->l4;
  uint32_t l4_len = packet->len - packet->l4;
  if (l4_len < SHIM_UDP_LEN) return OTHER;
  if (l4_len == SHIM_UDP_LEN || get16(udp + 4) != l4_len || get16(udp + SHIM_UDP_CHECK) == 0) return ALONE;
  packet->header_len = packet->l4 + SHIM_UDP_LEN;
  packet->payload_len = (uint16_t)(l4_len - SHIM_UDP_LEN);
  return UDP;
}

static uint8_t kind_of(struct packet *packet) {
  const uint8_t *bytes = packet->bytes;
  uint32_t len = packet->len, protocol;
  if (len > IP_LEN_MAX) return OTHER;
  if (len >= SHIM_IPV4_LEN && bytes[0] == 0x45) {
    bool fragment = (get16(bytes + 6) & 0xbfff) != 0; /* all but DF */
    if (get16(bytes + 2) != len || fragment || fold(sum_bytes(bytes, SHIM_IPV4_LEN)) != 0xffff) return OTHER;
    packet->v4 = 1;
    packet->l4 = SHIM_IPV4_LEN;
    protocol = bytes[9];
  } else if (len >= SHIM_IPV6_LEN && bytes[0] >> 4 == 6) {
    if (get16(bytes + 4) != len - SHIM_IPV6_LEN) return OTHER;
    packet->v4 = 0;
    packet->l4 = SHIM_IPV6_LEN;
    protocol = bytes[6];
  } else return OTHER;
  return protocol == SHIM_PROTOCOL_TCP ? kind_of_tcp(packet) : protocol == SHIM_PROTOCOL_UDP ? kind_of_udp(packet) : OTHER;
}

static bool verified(const struct packet *packet) {
  uint32_t l4_len = packet->len - packet->l4;
  uint32_t protocol = packet->kind == TCP ? SHIM_PROTOCOL_TCP : SHIM_PROTOCOL_UDP;
  uint64_t sum = sum_pseudo(packet->bytes, protocol, l4_len) + sum_bytes(packet->bytes + packet->l4, l4_len);
  return fold(sum) == 0xffff;
}

/* ---- 2: flows ---- */

static bool same_flow(const struct packet *a, const struct packet *b) {
  if (a->v4 != b->v4 || a->bytes[a->v4 ? 9 : 6] != b->bytes[a->v4 ? 9 : 6]) return false;
  return memcmp(a->bytes + (a->v4 ? 12 : 8), b->bytes + (a->v4 ? 12 : 8), a->v4 ? 8 : 32) == 0 &&
    memcmp(a->bytes + a->l4, b->bytes + b->l4, 4) == 0; /* ports */
}

static uint32_t flow_hash(const struct packet *packet) {
  uint32_t hash = packet->bytes[packet->v4 ? 9 : 6], word, from = packet->v4 ? 12 : 8;
  for (uint32_t i = from; i < packet->l4 + 4u; i += 4) {
    memcpy(&word, packet->bytes + i, 4);
    hash = (hash ^ word) * 0x9e3779b1u;
  }
  return hash >> 16;
}

/* Where the flow's newest group stands, or is to stand; NULL: nowhere. */
static uint16_t *flow_of(struct round *round, const struct packet *packet) {
  uint32_t hash = flow_hash(packet);
  for (uint32_t i = 0; i < FLOW_PROBES; i++) {
    uint16_t *flow = &round->flows[(hash + i) % FLOWS];
    if (*flow == NONE || same_flow(&round->packets[round->groups[*flow].first], packet)) return flow;
  }
  return NULL;
}

/* ---- 3: what follows what ---- */

static bool same_ip(const struct packet *a, const struct packet *b, uint32_t count) {
  if (a->v4 != b->v4 || a->l4 != b->l4) return false;
  if (!a->v4) return memcmp(a->bytes, b->bytes, 4) == 0 && memcmp(a->bytes + 6, b->bytes + 6, SHIM_IPV6_LEN - 6) == 0;
  uint32_t id = get16(a->bytes + 4), other = get16(b->bytes + 4);
  bool atomic = (a->bytes[6] & 0x40) != 0;
  if (other != ((id + count) & 0xffff) && !(atomic && other == id)) return false;
  return memcmp(a->bytes, b->bytes, 2) == 0 && memcmp(a->bytes + 6, b->bytes + 6, 4) == 0 &&
    memcmp(a->bytes + 12, b->bytes + 12, 8) == 0;
}

/* `a` is the group's first. */
static bool follows_tcp(const struct group *group, const struct packet *a, const struct packet *b) {
  const uint8_t *x = a->bytes + a->l4, *y = b->bytes + b->l4;
  uint32_t flags = x[13] & ~(uint32_t)SHIM_CWR, ends = SHIM_FIN | SHIM_PSH;
  if ((y[13] & ~ends) != flags) return false; /* the group is open: its flags have none of these */
  return get32(y + 4) == get32(x + 4) + (group->len - a->header_len) && memcmp(x, y, 4) == 0 &&
    memcmp(x + 8, y + 8, 5) == 0 && memcmp(x + 14, y + 14, 2) == 0 && memcmp(x + 18, y + 18, 2) == 0 &&
    memcmp(x + SHIM_TCP_LEN, y + SHIM_TCP_LEN, a->header_len - a->l4 - SHIM_TCP_LEN) == 0;
}

static bool appends(struct round *round, struct group *group, const struct packet *packet) {
  const struct packet *first = &round->packets[group->first];
  if (first->kind != packet->kind || first->header_len != packet->header_len) return false;
  if (group->count == GROUP_PACKETS || packet->payload_len > group->piece_len) return false;
  if (group->len + packet->payload_len > IP_LEN_MAX || !same_ip(first, packet, group->count)) return false;
  if (packet->kind == TCP && !follows_tcp(group, first, packet)) return false;
  if (packet->kind == UDP && memcmp(first->bytes + first->l4, packet->bytes + packet->l4, 4) != 0) return false;
  /* A wrong checksum must stay wrong, so what has one is passed on as it is. */
  if (!group->verified && !verified(first)) return false;
  group->verified = true;
  return verified(packet);
}

/* ---- 4: groups ---- */

static bool ends_group(const struct packet *packet) {
  return packet->kind == TCP && (packet->bytes[packet->l4 + 13] & (SHIM_FIN | SHIM_PSH)) != 0;
}

static void add(struct round *round, uint16_t index, uint32_t offloads) {
  struct packet *packet = &round->packets[index];
  packet->next = NONE;
  packet->kind = kind_of(packet);
  if (packet->kind == OTHER) memset(round->flows, 0xff, sizeof round->flows);
  uint16_t *flow = packet->kind == OTHER ? NULL : flow_of(round, packet);
  bool may = packet->kind == TCP ? (offloads & (packet->v4 ? I405_TSO4 : I405_TSO6)) != 0
    : packet->kind == UDP        ? (offloads & (packet->v4 ? I405_USO4 : I405_USO6)) != 0
                                 : false;
  struct group *group = flow != NULL && *flow != NONE ? &round->groups[*flow] : NULL;
  if (may && group != NULL && group->open && appends(round, group, packet)) {
    round->packets[group->last].next = index;
    group->last = index;
    group->count++;
    group->len += packet->payload_len;
    group->open = packet->payload_len == group->piece_len && !ends_group(packet);
    return;
  }
  round->groups[round->group_count] = (struct group){
    .first = index, .last = index, .count = 1, .piece_len = packet->payload_len,
    .len = packet->header_len + packet->payload_len, .open = may && !ends_group(packet),
  };
  if (flow != NULL) *flow = (uint16_t)round->group_count;
  round->group_count++;
}

/* ---- 5: writing ---- */

static void joined_header(const struct round *round, const struct group *group, struct virtio_net_hdr *head, uint8_t *header) {
  const struct packet *first = &round->packets[group->first], *last = &round->packets[group->last];
  bool tcp = first->kind == TCP;
  uint32_t l4 = first->l4, l4_len = group->len - l4, check = tcp ? SHIM_TCP_CHECK : SHIM_UDP_CHECK;
  memcpy(header, first->bytes, first->header_len);
  if (first->v4) {
    put16(header + 2, group->len);
    put_ipv4_check(header, SHIM_IPV4_LEN);
  } else put16(header + 4, group->len - SHIM_IPV6_LEN);
  if (tcp) header[l4 + 13] |= last->bytes[l4 + 13] & (SHIM_FIN | SHIM_PSH);
  else put16(header + l4 + 4, l4_len);
  put16(header + l4 + check, fold(sum_pseudo(header, tcp ? SHIM_PROTOCOL_TCP : SHIM_PROTOCOL_UDP, l4_len)));
  bool cwr = tcp && (header[l4 + 13] & SHIM_CWR) != 0;
  uint32_t type = !tcp ? SHIM_GSO_UDP_L4 : first->v4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
  *head = (struct virtio_net_hdr){
    .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = (uint8_t)(type | (cwr ? VIRTIO_NET_HDR_GSO_ECN : 0)),
    .hdr_len = first->header_len, .gso_size = group->piece_len, .csum_start = (uint16_t)l4, .csum_offset = (uint16_t)check,
  };
}

static bool put_one(const struct packet *packet, shim_put put, void *where) {
  struct virtio_net_hdr plain = {0};
  struct iovec parts[2] = {
    {.iov_base = &plain, .iov_len = sizeof plain},
    {.iov_base = (void *)packet->bytes, .iov_len = packet->len},
  };
  return put(where, parts, 2) == 0;
}

/* How many of the group's packets were taken. */
static uint32_t put_group(const struct round *round, const struct group *group, shim_put put, void *where) {
  const struct packet *first = &round->packets[group->first];
  if (group->count == 1) return put_one(first, put, where);
  struct virtio_net_hdr head;
  uint8_t header[HEADER_MAX];
  struct iovec parts[2 + GROUP_PACKETS];
  joined_header(round, group, &head, header);
  parts[0] = (struct iovec){.iov_base = &head, .iov_len = sizeof head};
  parts[1] = (struct iovec){.iov_base = header, .iov_len = first->header_len};
  int count = 2;
  for (uint32_t at = group->first; at != NONE; at = round->packets[at].next) {
    const struct packet *packet = &round->packets[at];
    parts[count++] = (struct iovec){.iov_base = (void *)(packet->bytes + first->header_len), .iov_len = packet->payload_len};
  }
  int result = put(where, parts, count);
  if (result == 0) return group->count;
  if (result != -EINVAL) return 0;
  /* A kernel that does not know this kind takes them one by one. */
  uint32_t taken = 0;
  for (uint32_t at = group->first; at != NONE; at = round->packets[at].next) taken += put_one(&round->packets[at], put, where);
  return taken;
}

uint32_t shim_coalesce(const struct i405_desc *descs, uint32_t count, uint32_t offloads, shim_put put, void *where) {
  uint32_t taken = 0;
  struct round round;
  for (uint32_t from = 0; from < count;) {
    uint16_t used = 0;
    round.group_count = 0;
    memset(round.flows, 0xff, sizeof round.flows);
    for (; from < count && used < ROUND_MAX; from++) {
      if (descs[from].len == 0 || shim_check(descs[from].off, descs[from].len, 1) != 0) continue;
      round.packets[used] = (struct packet){.bytes = shim_at(descs[from].off), .len = descs[from].len};
      add(&round, used++, offloads);
    }
    for (uint32_t i = 0; i < round.group_count; i++) taken += put_group(&round, &round.groups[i], put, where);
  }
  return taken;
}

struct block {
  uint8_t *at;
  uint32_t left, used;
};

static int put_in_block(void *where, const struct iovec *parts, int count) {
  struct block *block = where;
  uint32_t len = 0;
  for (int i = 0; i < count; i++) len += (uint32_t)parts[i].iov_len;
  if (len + 4 > block->left - block->used) return -ENOSPC;
  memcpy(block->at + block->used, &len, 4);
  block->used += 4;
  for (int i = 0; i < count; block->used += (uint32_t)parts[i].iov_len, i++) {
    memcpy(block->at + block->used, parts[i].iov_base, parts[i].iov_len);
  }
  return 0;
}

int32_t i405_tun_coalesce(uint32_t descs, uint32_t count, uint32_t offloads, uint32_t out, uint32_t cap) {
  int result = shim_check(descs, (uint64_t)count * sizeof(struct i405_desc), 4);
  if (result == 0) result = shim_check(out, cap, 1);
  if (result != 0) return result;
  struct block block = {.at = shim_at(out), .left = cap};
  shim_coalesce(shim_at(descs), count, offloads, put_in_block, &block);
  return (int32_t)block.used;
}

/* What the kernel hands over in one piece, cut into the packets that it would have sent without offloads: the inner wire
 * never sees the difference. Checksums are completed, as the far side can only verify whole ones. */
#include "offload.h"

#include <errno.h>

_Static_assert(sizeof(struct shim_split) <= I405_SPLIT_LEN - I405_WHOLE_LEN, "the state has room behind the packet");

/* A checksum that was left to the device: the field has the sum of the pseudo header. Zero is written as its other form,
 * which says the same to TCP, and to UDP that there is a checksum. */
static bool complete(uint8_t *packet, uint32_t len, uint32_t start, uint32_t offset) {
  if (start > len || offset > len - start || len - start - offset < 2) return false;
  uint32_t check = ~fold(sum_bytes(packet + start, len - start)) & 0xffff;
  put16(packet + start + offset, check != 0 ? check : 0xffff);
  return true;
}

/* Checks all lengths that cutting relies on. */
static bool begin(struct shim_split *split, const struct virtio_net_hdr *head, const uint8_t *whole, uint32_t len) {
  uint32_t type = head->gso_type & ~VIRTIO_NET_HDR_GSO_ECN, l4 = head->csum_start;
  bool v4 = len >= SHIM_IPV4_LEN && whole[0] >> 4 == 4, v6 = len >= SHIM_IPV6_LEN && whole[0] >> 4 == 6;
  bool tcp = type != SHIM_GSO_UDP_L4;
  if (type == VIRTIO_NET_HDR_GSO_TCPV4 ? !v4 : type == VIRTIO_NET_HDR_GSO_TCPV6 ? !v6 : tcp || !(v4 || v6)) return false;
  if ((head->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) == 0 || head->gso_size == 0) return false;
  if (v4 ? l4 < SHIM_IPV4_LEN || l4 != (whole[0] & 15u) * 4 : l4 < SHIM_IPV6_LEN) return false;
  uint32_t l4_len = tcp ? SHIM_TCP_LEN : SHIM_UDP_LEN;
  if (head->csum_offset != (tcp ? SHIM_TCP_CHECK : SHIM_UDP_CHECK) || l4 > len || len - l4 < l4_len) return false;
  if (tcp) l4_len = (whole[l4 + 12] >> 4) * 4u;
  if (tcp && (l4_len < SHIM_TCP_LEN || len - l4 < l4_len)) return false;
  uint32_t header_len = l4 + l4_len;
  if (header_len == len || header_len + head->gso_size > I405_TUN_STRIDE) return false;
  *split = (struct shim_split){
    .len = len, .l4 = l4, .header_len = header_len, .piece_len = head->gso_size, .at = header_len, .v4 = v4, .tcp = tcp,
  };
  return true;
}

int shim_split_begin(struct shim_split *split, const struct virtio_net_hdr *head, uint8_t *whole, uint32_t len) {
  split->len = split->at = 0;
  if (len == 0) return -EBADMSG;
  if (head->gso_type != VIRTIO_NET_HDR_GSO_NONE) return begin(split, head, whole, len) ? 1 : -EBADMSG;
  if (len > I405_TUN_STRIDE) return -EBADMSG;
  bool partial = (head->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0;
  if (partial && !complete(whole, len, head->csum_start, head->csum_offset)) return -EBADMSG;
  return 0;
}

static void put_tcp(const struct shim_split *split, uint8_t *out, uint32_t done, bool last) {
  uint8_t *tcp = out + split->l4;
  put32(tcp + 4, get32(tcp + 4) + done);
  if (done > 0) tcp[13] &= (uint8_t)~SHIM_CWR; /* RFC 3168 section 6.1.2: with the first one */
  if (!last) tcp[13] &= (uint8_t)~(SHIM_FIN | SHIM_PSH);
}

uint32_t shim_split_next(struct shim_split *split, const uint8_t *whole, uint8_t *out) {
  uint32_t left = split->len - split->at;
  uint32_t now = left < split->piece_len ? left : split->piece_len;
  uint32_t done = split->at - split->header_len, len = split->header_len + now;
  uint32_t l4 = split->l4, l4_len = len - l4;
  memcpy(out, whole, split->header_len);
  memcpy(out + split->header_len, whole + split->at, now);
  split->at += now;
  if (split->v4) {
    put16(out + 2, len);
    put16(out + 4, get16(out + 4) + done / split->piece_len);
    put_ipv4_check(out, l4);
  } else put16(out + 4, len - SHIM_IPV6_LEN);
  if (split->tcp) put_tcp(split, out, done, left == now);
  else put16(out + l4 + 4, l4_len);
  /* The pseudo header's sum stands in the field; RFC 1624: of it only the length changes. */
  uint8_t *check = out + l4 + (split->tcp ? SHIM_TCP_CHECK : SHIM_UDP_CHECK);
  uint32_t whole_l4_len = split->len - l4;
  put16(check, fold(get16(check) + (~whole_l4_len & 0xffff) + l4_len));
  complete(out, len, l4, split->tcp ? SHIM_TCP_CHECK : SHIM_UDP_CHECK);
  return len;
}

int32_t i405_tun_split(uint32_t off, uint32_t len, uint32_t out, uint32_t descs, uint32_t max) {
  struct virtio_net_hdr head;
  int result = shim_check(off, len, 1);
  if (result == 0) result = shim_check(descs, (uint64_t)max * sizeof(struct i405_desc), 4);
  if (result == 0) result = shim_check(out, (uint64_t)max * I405_TUN_STRIDE, 1);
  if (result != 0) return result;
  if (len < sizeof head || len > sizeof head + I405_WHOLE_LEN || max == 0) return -EINVAL;
  memcpy(&head, shim_at(off), sizeof head);
  uint8_t *whole = (uint8_t *)shim_at(off) + sizeof head;
  struct shim_split split;
  struct i405_desc *desc = shim_at(descs);
  result = shim_split_begin(&split, &head, whole, len - (uint32_t)sizeof head);
  if (result < 0) return result;
  if (result == 0) {
    memcpy(shim_at(out), whole, len - sizeof head);
    *desc = (struct i405_desc){out, len - (uint32_t)sizeof head};
    return 1;
  }
  uint32_t count = 0;
  for (; split.at < split.len && count < max; count++, out += I405_TUN_STRIDE) {
    desc[count] = (struct i405_desc){out, shim_split_next(&split, whole, shim_at(out))};
  }
  return (int32_t)count;
}

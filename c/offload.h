/* What cutting and joining of inner packets share: the virtio header before each packet of the TUN device, numbers in
 * network order, Internet checksums. */
#ifndef I405_OFFLOAD_H
#define I405_OFFLOAD_H
#include "internal.h"

#include <linux/virtio_net.h>
#include <string.h>
#include <sys/uio.h>

/* Of newer kernels than the headers may be. */
#define SHIM_TUN_F_USO4 0x20
#define SHIM_TUN_F_USO6 0x40
#define SHIM_GSO_UDP_L4 5 /* VIRTIO_NET_HDR_GSO_UDP_L4 */

enum { SHIM_PROTOCOL_TCP = 6, SHIM_PROTOCOL_UDP = 17 };
enum { SHIM_IPV4_LEN = 20, SHIM_IPV6_LEN = 40, SHIM_TCP_LEN = 20, SHIM_UDP_LEN = 8 };
enum { SHIM_TCP_CHECK = 16, SHIM_UDP_CHECK = 6 };
enum { SHIM_FIN = 0x01, SHIM_PSH = 0x08, SHIM_ACK = 0x10, SHIM_ECE = 0x40, SHIM_CWR = 0x80 };

static inline uint32_t get16(const uint8_t *at) { return (uint32_t)at[0] << 8 | at[1]; }
static inline uint32_t get32(const uint8_t *at) { return get16(at) << 16 | get16(at + 2); }
static inline void put16(uint8_t *at, uint32_t value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
}
static inline void put32(uint8_t *at, uint32_t value) {
  put16(at, value >> 16);
  put16(at + 2, value);
}

/* RFC 1071: sum of 16-bit words in network order, not folded; an odd last byte is the upper half of its word. */
static inline uint64_t sum_bytes(const uint8_t *bytes, uint32_t len) {
  uint64_t sum = 0;
  uint32_t i = 0, word;
  for (; i + 4 <= len; i += 4) {
    memcpy(&word, bytes + i, 4);
    sum += word;
  }
  uint8_t rest[4] = {0};
  memcpy(rest, bytes + i, len - i);
  memcpy(&word, rest, 4);
  sum += word;
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  uint8_t folded[2];
  uint16_t native = (uint16_t)sum;
  memcpy(folded, &native, 2);
  return get16(folded);
}

static inline uint32_t fold(uint64_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return (uint32_t)sum;
}

/* Of the pseudo header of a plain packet (no routing header): addresses, protocol, length from `l4` on. */
static inline uint64_t sum_pseudo(const uint8_t *packet, uint32_t protocol, uint32_t l4_len) {
  bool v4 = packet[0] >> 4 == 4;
  return sum_bytes(packet + (v4 ? 12 : 8), v4 ? 8 : 32) + protocol + l4_len;
}

/* Header checksum of IPv4, written anew. */
static inline void put_ipv4_check(uint8_t *packet, uint32_t header_len) {
  put16(packet + 10, 0);
  put16(packet + 10, ~fold(sum_bytes(packet, header_len)));
}

#endif

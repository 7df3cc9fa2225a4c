/* Sends UDP datagrams from many invented IPv4 sources. Needs root (raw socket), and routers without rp_filter.
 *
 *   flood KIND TO PORT SOURCE_NET RATE COUNT SEED [FILE]
 *
 * SOURCE_NET: "10.62.0.0"; the last 16 bits and the port are random for each datagram. KIND: junk (random lengths
 * 1..1472 and bytes), records (random bytes in the form of a data record, 1,372 long), replay (FILE as it is),
 * mutate (FILE with up to four random bytes changed, or cut short). Prints how many left. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PAYLOAD_MAX = 1472, HEADERS = 28 };

static uint64_t random_state;

static uint64_t draw(void) { /* xorshift64* */
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  return (random_state * 2685821657736338717u) >> 16;
}

static void put16(uint8_t *at, unsigned value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
}

static int fill(const char *kind, uint8_t *out, const uint8_t *file, int file_len) {
  if (!strcmp(kind, "junk") || !strcmp(kind, "records")) {
    int len = *kind == 'j' ? 1 + (int)(draw() % PAYLOAD_MAX) : 1372;
    for (int i = 0; i < len; i++) out[i] = (uint8_t)draw();
    if (*kind == 'r') {
      out[0] = 0x2f; /* RFC 9147 section 4: 001 C=0 S=1 L=1 EE=3 */
      put16(out + 3, (unsigned)len - 5);
    }
    return len;
  }
  int len = file_len;
  memcpy(out, file, (size_t)len);
  if (!strcmp(kind, "mutate")) {
    for (int i = (int)(draw() % 4); i >= 0; i--) out[draw() % (uint64_t)len] = (uint8_t)draw();
    if (draw() % 4 == 0) len = 1 + (int)(draw() % (uint64_t)len);
  }
  return len;
}

int main(int argc, char **argv) {
  if (argc < 8) { fprintf(stderr, "usage: flood KIND TO PORT SOURCE_NET RATE COUNT SEED [FILE]\n"); return 2; }
  struct sockaddr_in to = { .sin_family = AF_INET };
  struct in_addr net;
  long rate = atol(argv[5]), count = atol(argv[6]), sent = 0;
  random_state = strtoull(argv[7], NULL, 10) * 2 + 1;
  if (inet_pton(AF_INET, argv[2], &to.sin_addr) != 1 || inet_pton(AF_INET, argv[4], &net) != 1 || rate <= 0) return 2;
  uint8_t file[PAYLOAD_MAX] = { 0 }, packet[HEADERS + PAYLOAD_MAX] = { 0 };
  int file_len = 0;
  if (argc > 8) {
    FILE *opened = fopen(argv[8], "rb");
    if (opened) file_len = (int)fread(file, 1, sizeof file, opened);
    if (!file_len) { fprintf(stderr, "flood: cannot read %s\n", argv[8]); return 2; }
    fclose(opened);
  }
  int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
  if (fd < 0) { perror("flood: raw socket"); return 1; }
  struct timespec next;
  clock_gettime(CLOCK_MONOTONIC, &next);
  for (long i = 0; i < count; i++) {
    int len = fill(argv[1], packet + HEADERS, file, file_len);
    packet[0] = 0x45; /* the kernel fills in total length and checksum */
    packet[8] = 64;
    packet[9] = IPPROTO_UDP;
    memcpy(packet + 12, &net, 4);
    put16(packet + 14, 1 + (unsigned)(draw() % 65534));
    memcpy(packet + 16, &to.sin_addr, 4);
    put16(packet + 20, 1024 + (unsigned)(draw() % 64000));
    put16(packet + 22, (unsigned)atoi(argv[3]));
    put16(packet + 24, 8 + (unsigned)len);
    if (sendto(fd, packet, (size_t)(HEADERS + len), 0, (struct sockaddr *)&to, sizeof to) > 0) sent++;
    next.tv_nsec += 1000000000 / rate;
    if (next.tv_nsec >= 1000000000) { next.tv_nsec -= 1000000000; next.tv_sec++; }
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
  }
  printf("%ld\n", sent);
  return 0;
}

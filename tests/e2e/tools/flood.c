/* Sends UDP datagrams from invented IPv4 sources. Needs root (raw socket), and routers without rp_filter.
 *
 *   flood KIND TO PORT SOURCE RATE COUNT SEED [FILE]
 *
 * SOURCE: "10.62.0.0" (the last 16 bits and the port are random for each datagram), "any" (all 32 bits), or
 * "10.61.1.2:4711" (always that).
 * KIND: junk (random lengths 1..1472 and bytes), records (random bytes in the form of a data record, 1,372 long),
 * shaped (random bytes behind a beginning that a reader takes in: records with and without connection id of each
 * epoch, alerts, ACKs, later fragments of hellos), replay (FILE as it is), hellos (FILE, a ClientHello, with another
 * random and another record number), cookies (the same, FILE being a second hello, with other bytes in its cookie),
 * mutate (FILE with up to four random bytes changed, or cut short). Prints how many left. */
#define _GNU_SOURCE
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

enum { PAYLOAD_MAX = 1472, HEADERS = 28, BATCH = 64, RECORD_LEN = 1372 };
enum { HELLO_RANDOM = 13 + 12 + 2, COOKIE_START = 90, COOKIE_END = 150, RECORD_NUMBER = 9 };

static uint64_t random_state;

static uint64_t draw(void) { /* xorshift64* */
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  return (random_state * 2685821657736338717u) >> 16;
}

static void scatter(uint8_t *out, int len) {
  for (int i = 0; i < len; i++) out[i] = (uint8_t)draw();
}

static void put16(uint8_t *at, unsigned value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
}

static int shaped(uint8_t *out) {
  /* RFC 9147 section 4: 001CSLEE with S and L; or content type, version 1.2, epoch 0, number, length. */
  static const uint8_t first[] = {0x2f, 0x2e, 0x2d, 0x2c, 0x3f, 0x3e, 21, 26, 22};
  int len = draw() % 8 == 0 ? 20 + (int)(draw() % 1400) : RECORD_LEN;
  scatter(out, len);
  out[0] = first[draw() % sizeof first];
  if (out[0] >= 0x20) {
    int before_len = (out[0] & 0x10) != 0 ? 1 + 8 + 2 : 1 + 2;
    put16(out + before_len, (unsigned)(len - before_len - 2));
    return len;
  }
  put16(out + 1, 0xfefd);
  memset(out + 3, 0, 8);
  put16(out + 11, (unsigned)len - 13);
  if (out[0] == 22 && len > 40) { /* of a second hello, everything but the start */
    static const uint8_t later[] = {1, 0, 16, 0, 0, 1, 0, 4};
    memcpy(out + 13, later, sizeof later);
    out[22] = 0;
    put16(out + 23, (unsigned)len - 25);
  }
  return len;
}

static int fill(const char *kind, uint8_t *out, const uint8_t *file, int file_len) {
  if (!strcmp(kind, "shaped")) return shaped(out);
  if (!strcmp(kind, "junk") || !strcmp(kind, "records")) {
    int len = *kind == 'j' ? 1 + (int)(draw() % PAYLOAD_MAX) : RECORD_LEN;
    scatter(out, len);
    if (*kind == 'r') {
      out[0] = 0x2f;
      put16(out + 3, (unsigned)len - 5);
    }
    return len;
  }
  int len = file_len;
  memcpy(out, file, (size_t)len);
  if (!strcmp(kind, "hellos") || !strcmp(kind, "cookies")) {
    put16(out + RECORD_NUMBER, (unsigned)draw() & 0xffff);
    scatter(out + HELLO_RANDOM, 32);
    if (*kind == 'c') scatter(out + COOKIE_START, COOKIE_END - COOKIE_START);
  } else if (!strcmp(kind, "mutate")) {
    for (int i = (int)(draw() % 4); i >= 0; i--) out[draw() % (uint64_t)len] = (uint8_t)draw();
    if (draw() % 4 == 0) len = 1 + (int)(draw() % (uint64_t)len);
  }
  return len;
}

struct source {
  uint8_t ip[4];
  int random_bytes; /* of ip, from its end */
  unsigned port;    /* 0: random */
};

static int parse_source(char *text, struct source *out) {
  memset(out, 0, sizeof *out);
  out->random_bytes = 4;
  if (!strcmp(text, "any")) return 0;
  char *colon = strchr(text, ':');
  out->random_bytes = colon != NULL ? 0 : 2;
  if (colon != NULL) {
    *colon = 0;
    out->port = (unsigned)atoi(colon + 1);
  }
  return inet_pton(AF_INET, text, out->ip) == 1 ? 0 : -1;
}

/* Headers of one packet; the kernel fills in total length and checksum. */
static void head(uint8_t *packet, const struct source *source, const struct in_addr *to, unsigned port, int len) {
  memset(packet, 0, HEADERS);
  packet[0] = 0x45;
  packet[8] = 64;
  packet[9] = IPPROTO_UDP;
  memcpy(packet + 12, source->ip, 4);
  for (int i = 4 - source->random_bytes; i < 4; i++) packet[12 + i] = (uint8_t)(1 + draw() % 254);
  if (source->random_bytes == 4) packet[12] = (uint8_t)(11 + draw() % 100); /* 11..110: unicast, not ours */
  memcpy(packet + 16, to, 4);
  put16(packet + 20, source->port != 0 ? source->port : 1024 + (unsigned)(draw() % 64000));
  put16(packet + 22, port);
  put16(packet + 24, 8 + (unsigned)len);
}

int main(int argc, char **argv) {
  if (argc < 8) { fprintf(stderr, "usage: flood KIND TO PORT SOURCE RATE COUNT SEED [FILE]\n"); return 2; }
  static uint8_t file[PAYLOAD_MAX], packets[BATCH][HEADERS + PAYLOAD_MAX];
  struct sockaddr_in to = { .sin_family = AF_INET };
  struct source source;
  long rate = atol(argv[5]), count = atol(argv[6]), sent = 0;
  random_state = strtoull(argv[7], NULL, 10) * 2 + 1;
  if (inet_pton(AF_INET, argv[2], &to.sin_addr) != 1 || parse_source(argv[4], &source) != 0 || rate <= 0) return 2;
  int file_len = 0;
  if (argc > 8) {
    FILE *opened = fopen(argv[8], "rb");
    if (opened) file_len = (int)fread(file, 1, sizeof file, opened);
    if (file_len < COOKIE_END) { fprintf(stderr, "flood: cannot use %s\n", argv[8]); return 2; }
    fclose(opened);
  }
  int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW), buffer = 8 << 20;
  if (fd < 0) { perror("flood: raw socket"); return 1; }
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer);
  struct timespec start, now;
  clock_gettime(CLOCK_MONOTONIC, &start);
  for (long done = 0; done < count;) {
    clock_gettime(CLOCK_MONOTONIC, &now);
    long due = (long)((double)rate * ((double)(now.tv_sec - start.tv_sec) + (double)(now.tv_nsec - start.tv_nsec) / 1e9));
    if (due > count) due = count;
    if (due <= done) { /* wake-ups cost more than packets: one a millisecond at most */
      clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){ .tv_nsec = 1000000 }, NULL);
      continue;
    }
    struct mmsghdr messages[BATCH] = { 0 };
    struct iovec parts[BATCH];
    unsigned batch = due - done < BATCH ? (unsigned)(due - done) : BATCH;
    for (unsigned i = 0; i < batch; i++) {
      int len = fill(argv[1], packets[i] + HEADERS, file, file_len);
      head(packets[i], &source, &to.sin_addr, (unsigned)atoi(argv[3]), len);
      parts[i] = (struct iovec){ packets[i], (size_t)(HEADERS + len) };
      messages[i].msg_hdr = (struct msghdr){ .msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &parts[i], .msg_iovlen = 1 };
    }
    int left = sendmmsg(fd, messages, batch, 0);
    if (left > 0) sent += left;
    done += batch;
  }
  printf("%ld\n", sent);
  return 0;
}

/* A tunnel with nothing but the work that no tunnel of these lengths can leave out: what the kernel hands over in one piece
 * is cut into cells of one length, sealed (AES-128-GCM), sent by one call; received by one call, opened, put together and
 * handed back, checksums left to the kernel all the way. No schedule, no padding of time, no handshake, no replay window,
 * key and addresses by hand: a yardstick, never a tunnel to use.
 *
 *   relay DEVICE LOCAL REMOTE PORT KEY(32 hex digits) */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <netinet/udp.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#define CELL_LEN 1472u   /* outer packets of 1500 bytes */
#define NUMBER_LEN 8u
#define TAG_LEN 16u
#define PLAIN_LEN (CELL_LEN - NUMBER_LEN - TAG_LEN)
#define WHOLE_MAX 65600u
#define CELLS_MAX 44u

struct cell { /* then the bytes; the rest is zeros */
  uint32_t packet, offset, total, len;
};
#define ROOM (PLAIN_LEN - sizeof(struct cell))

static int tun, udp;
static uint8_t key[16];

static void check(int result, const char *what) {
  if (result >= 0) return;
  perror(what);
  exit(1);
}

static EVP_CIPHER_CTX *cipher(int seals) {
  EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
  EVP_CipherInit_ex(ctx, EVP_aes_128_gcm(), NULL, key, NULL, seals);
  return ctx;
}

static void send_cells(uint8_t *cells, uint32_t count) {
  struct iovec part = {.iov_base = cells, .iov_len = count * CELL_LEN};
  _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(uint16_t))] = {0};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_UDP;
  head->cmsg_type = UDP_SEGMENT;
  head->cmsg_len = CMSG_LEN(sizeof(uint16_t));
  uint16_t step = CELL_LEN;
  memcpy(CMSG_DATA(head), &step, sizeof step);
  if (count > 0) sendmsg(udp, &message, 0);
}

static void *outward(void *unused) {
  static uint8_t whole[WHOLE_MAX], cells[CELLS_MAX * CELL_LEN], plain[PLAIN_LEN];
  EVP_CIPHER_CTX *ctx = cipher(1);
  uint64_t number = 0;
  uint32_t packet = 0;
  for (ssize_t got; (got = read(tun, whole, sizeof whole)) > 0; packet++) {
    uint32_t count = 0;
    for (uint32_t at = 0; at < (uint32_t)got; at += ROOM) {
      uint32_t now = (uint32_t)got - at < ROOM ? (uint32_t)got - at : ROOM;
      struct cell cell = {packet, at, (uint32_t)got, now};
      memcpy(plain, &cell, sizeof cell);
      memcpy(plain + sizeof cell, whole + at, now);
      memset(plain + sizeof cell + now, 0, ROOM - now);
      uint8_t *out = cells + count * CELL_LEN, nonce[12] = {0};
      int len;
      number++;
      memcpy(out, &number, NUMBER_LEN);
      memcpy(nonce, &number, NUMBER_LEN);
      EVP_EncryptInit_ex(ctx, NULL, NULL, NULL, nonce);
      EVP_EncryptUpdate(ctx, out + NUMBER_LEN, &len, plain, PLAIN_LEN);
      EVP_EncryptFinal_ex(ctx, out + NUMBER_LEN + len, &len);
      EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_LEN, out + NUMBER_LEN + PLAIN_LEN);
      if (++count == CELLS_MAX) send_cells(cells, count), count = 0;
    }
    send_cells(cells, count);
  }
  return unused;
}

static void inward(void) {
  static uint8_t cells[65536], whole[WHOLE_MAX], plain[PLAIN_LEN];
  EVP_CIPHER_CTX *ctx = cipher(0);
  uint32_t packet = 0, have = 0;
  for (ssize_t got; (got = recv(udp, cells, sizeof cells, 0)) >= 0;) {
    for (uint8_t *in = cells; in + CELL_LEN <= cells + got; in += CELL_LEN) {
      uint8_t nonce[12] = {0};
      int len;
      memcpy(nonce, in, NUMBER_LEN);
      EVP_DecryptInit_ex(ctx, NULL, NULL, NULL, nonce);
      EVP_DecryptUpdate(ctx, plain, &len, in + NUMBER_LEN, PLAIN_LEN);
      EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_LEN, in + NUMBER_LEN + PLAIN_LEN);
      if (EVP_DecryptFinal_ex(ctx, plain + len, &len) != 1) continue;
      struct cell cell;
      memcpy(&cell, plain, sizeof cell);
      if (cell.len > ROOM || cell.offset > WHOLE_MAX - ROOM || cell.total > WHOLE_MAX) continue;
      if (cell.offset == 0) packet = cell.packet, have = 0;
      if (cell.packet != packet || cell.offset != have) continue; /* one was lost: so is the packet */
      memcpy(whole + cell.offset, plain + sizeof cell, cell.len);
      have += cell.len;
      if (have == cell.total && write(tun, whole, have) < 0) continue; /* as any link drops */
    }
  }
}

int main(int count, char **args) {
  if (count != 6 || strlen(args[5]) != 32) return fprintf(stderr, "relay DEVICE LOCAL REMOTE PORT KEY\n"), 2;
  for (int i = 0; i < 16; i++) sscanf(args[5] + 2 * i, "%2hhx", &key[i]);
  struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
  strncpy(request.ifr_name, args[1], IFNAMSIZ - 1);
  check(tun = open("/dev/net/tun", O_RDWR), "/dev/net/tun");
  check(ioctl(tun, TUNSETIFF, &request), "TUNSETIFF");
  check(ioctl(tun, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6), "TUNSETOFFLOAD");
  struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(args[4]))}, remote = local;
  inet_pton(AF_INET, args[2], &local.sin_addr);
  inet_pton(AF_INET, args[3], &remote.sin_addr);
  int one = 1, buffer = 4 << 20;
  check(udp = socket(AF_INET, SOCK_DGRAM, 0), "socket");
  setsockopt(udp, SOL_UDP, UDP_GRO, &one, sizeof one);
  setsockopt(udp, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
  setsockopt(udp, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer);
  check(bind(udp, (struct sockaddr *)&local, sizeof local), "bind");
  check(connect(udp, (struct sockaddr *)&remote, sizeof remote), "connect");
  pthread_t thread;
  pthread_create(&thread, NULL, outward, NULL);
  for (;;) inward(); /* until it is ended: recv fails when the other side is not there yet */
}

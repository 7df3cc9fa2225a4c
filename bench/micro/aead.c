/* Sealing and opening in plain C, to judge the calls from TypeScript by: header, nonce, AEAD, number encryption, one
 * record after another through the same EVP calls.
 *   aead RECORD_LEN COUNT SUITE   prints {"seal":ns,"open":ns}, the median of 7 runs; SUITE as 1301, 1302, 1303 */
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HDR_LEN 5
#define TAG_LEN 16
#define RUNS 7

static uint8_t record[4096], plain[4096];
static EVP_CIPHER_CTX *aead, *number;
static bool is_chacha;

static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec * 1e9 + at.tv_nsec;
}

static void mask(void) {
  static const uint8_t zeros[2];
  uint8_t bytes[16];
  int len;
  if (is_chacha) { /* RFC 9147 4.2.3: the sample is counter and nonce */
    EVP_EncryptInit_ex(number, NULL, NULL, NULL, record + HDR_LEN);
    EVP_EncryptUpdate(number, bytes, &len, zeros, sizeof zeros);
  } else {
    EVP_EncryptUpdate(number, bytes, &len, record + HDR_LEN, 16);
  }
  record[1] ^= bytes[0];
  record[2] ^= bytes[1];
}

static int seal(int plain_len, uint64_t seq) {
  uint8_t nonce[12] = {0};
  int len, good;
  memcpy(nonce + 4, &seq, 8);
  record[0] = 0x2f, record[1] = seq >> 8, record[2] = seq;
  good = EVP_EncryptInit_ex(aead, NULL, NULL, NULL, nonce) == 1;
  good &= EVP_EncryptUpdate(aead, NULL, &len, record, HDR_LEN) == 1;
  good &= EVP_EncryptUpdate(aead, record + HDR_LEN, &len, plain, plain_len) == 1;
  good &= EVP_EncryptFinal_ex(aead, record + HDR_LEN + plain_len, &len) == 1;
  good &= EVP_CIPHER_CTX_ctrl(aead, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, record + HDR_LEN + plain_len) == 1;
  mask();
  return good;
}

static int open_record(int plain_len, uint64_t seq) {
  uint8_t nonce[12] = {0};
  int len, good;
  memcpy(nonce + 4, &seq, 8);
  mask();
  good = EVP_DecryptInit_ex(aead, NULL, NULL, NULL, nonce) == 1;
  good &= EVP_CIPHER_CTX_ctrl(aead, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, record + HDR_LEN + plain_len) == 1;
  good &= EVP_DecryptUpdate(aead, NULL, &len, record, HDR_LEN) == 1;
  good &= EVP_DecryptUpdate(aead, plain, &len, record + HDR_LEN, plain_len) == 1;
  good &= EVP_DecryptFinal_ex(aead, plain + plain_len, &len) == 1;
  mask(); /* as it was, for the next turn */
  return good;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static double median_of(int (*one)(int, uint64_t), int plain_len, int count, uint64_t step) {
  double ns[RUNS];
  for (int run = 0; run < RUNS; run++) {
    double start = now();
    for (int i = 0; i < count; i++) {
      if (!one(plain_len, 7 + step * i)) {
        fputs("aead: a record failed\n", stderr);
        exit(1);
      }
    }
    ns[run] = (now() - start) / count;
  }
  qsort(ns, RUNS, sizeof ns[0], compare);
  return ns[RUNS / 2];
}

int main(int argc, char **argv) {
  static const uint8_t key[32] = {1};
  if (argc != 4) return 2;
  bool is_256 = strcmp(argv[3], "1302") == 0;
  is_chacha = strcmp(argv[3], "1303") == 0;
  int plain_len = atoi(argv[1]) - HDR_LEN - TAG_LEN, count = atoi(argv[2]);
  if (plain_len < 1 || plain_len > 2048 || count < 1) return 2;
  aead = EVP_CIPHER_CTX_new();
  number = EVP_CIPHER_CTX_new();
  const EVP_CIPHER *sealing_with = is_chacha ? EVP_chacha20_poly1305() : is_256 ? EVP_aes_256_gcm() : EVP_aes_128_gcm();
  const EVP_CIPHER *masking_with = is_chacha ? EVP_chacha20() : is_256 ? EVP_aes_256_ecb() : EVP_aes_128_ecb();
  if (!aead || !number || EVP_EncryptInit_ex(aead, sealing_with, NULL, key, NULL) != 1 ||
      EVP_EncryptInit_ex(number, masking_with, NULL, key, NULL) != 1) {
    return 1;
  }
  double sealing = median_of(seal, plain_len, count, 1);
  seal(plain_len, 7);
  double opening = median_of(open_record, plain_len, count, 0);
  printf("{\"seal\":%.1f,\"open\":%.1f}\n", sealing, opening);
  return 0;
}

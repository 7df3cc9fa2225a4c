"""Primitives of the peer of version 0: AES through libcrypto, the rest by hand. Shares nothing with the program."""

import ctypes
import ctypes.util
import hashlib
import hmac
import os

_lib = ctypes.CDLL(ctypes.util.find_library("crypto") or "libcrypto.so.3")
for _name in ("EVP_CIPHER_CTX_new", "EVP_aes_128_gcm", "EVP_aes_128_ecb"):
    getattr(_lib, _name).restype = ctypes.c_void_p
_GCM_SET_IVLEN, _GCM_GET_TAG, _GCM_SET_TAG = 0x9, 0x10, 0x11


def _context(cipher, key, iv, encrypt):
    ctx = ctypes.c_void_p(_lib.EVP_CIPHER_CTX_new())
    if _lib.EVP_CipherInit_ex(ctx, ctypes.c_void_p(cipher), None, key, iv, int(encrypt)) != 1:
        raise RuntimeError("EVP_CipherInit_ex")
    return ctx


def _update(ctx, data, out=True):
    buffer = ctypes.create_string_buffer(len(data) + 16) if out else None
    count = ctypes.c_int()
    if _lib.EVP_CipherUpdate(ctx, buffer, ctypes.byref(count), data, len(data)) != 1:
        raise RuntimeError("EVP_CipherUpdate")
    return buffer.raw[: count.value] if out else b""


def gcm_seal(key, nonce, aad, plain):
    ctx = _context(_lib.EVP_aes_128_gcm(), key, nonce, True)
    _update(ctx, aad, out=False)
    sealed = _update(ctx, plain)
    count, tag = ctypes.c_int(), ctypes.create_string_buffer(16)
    _lib.EVP_CipherFinal_ex(ctx, tag, ctypes.byref(count))
    _lib.EVP_CIPHER_CTX_ctrl(ctx, _GCM_GET_TAG, 16, tag)
    _lib.EVP_CIPHER_CTX_free(ctx)
    return sealed + tag.raw


def gcm_open(key, nonce, aad, sealed):
    """The plaintext, or None when the tag is wrong."""
    ctx = _context(_lib.EVP_aes_128_gcm(), key, nonce, False)
    _update(ctx, aad, out=False)
    plain = _update(ctx, sealed[:-16])
    _lib.EVP_CIPHER_CTX_ctrl(ctx, _GCM_SET_TAG, 16, sealed[-16:])
    count, rest = ctypes.c_int(), ctypes.create_string_buffer(16)
    valid = _lib.EVP_CipherFinal_ex(ctx, rest, ctypes.byref(count)) == 1
    _lib.EVP_CIPHER_CTX_free(ctx)
    return plain if valid else None


def aes_block(key, block):
    ctx = _context(_lib.EVP_aes_128_ecb(), key, None, True)
    out = _update(ctx, block)
    _lib.EVP_CIPHER_CTX_free(ctx)
    return out[:16]


def sha256(data):
    return hashlib.sha256(data).digest()


def hmac256(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def expand_label(secret, label, context, length):
    """HKDF-Expand-Label of RFC 8446 section 7.1 with the prefix of RFC 9147 section 5.9."""
    full = b"dtls13" + label
    info = length.to_bytes(2, "big") + bytes([len(full)]) + full + bytes([len(context)]) + context
    out, block, counter = b"", b"", 1
    while len(out) < length:
        block = hmac256(secret, block + info + bytes([counter]))
        out, counter = out + block, counter + 1
    return out[:length]


# secp256r1 (SEC 2), affine, slow and plain.
_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
_G = (0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
      0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5)


def _add(a, b):
    if a is None or b is None:
        return a or b
    if a[0] == b[0] and (a[1] + b[1]) % _P == 0:
        return None
    if a == b:
        slope = (3 * a[0] * a[0] - 3) * pow(2 * a[1], -1, _P)
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, _P)
    x = (slope * slope - a[0] - b[0]) % _P
    return x, (slope * (a[0] - x) - a[1]) % _P


def _multiply(scalar, point):
    result = None
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point, scalar = _add(point, point), scalar >> 1
    return result


def _p256_generate():
    private = int.from_bytes(os.urandom(32), "big") % (_N - 1) + 1
    x, y = _multiply(private, _G)
    return private, b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big")


def _p256_agree(private, share):
    if len(share) != 65 or share[0] != 4:
        raise ValueError("not an uncompressed point")
    x, y = int.from_bytes(share[1:33], "big"), int.from_bytes(share[33:], "big")
    if (y * y - x**3 + 3 * x - _B) % _P != 0:
        raise ValueError("not a point of the curve")
    return _multiply(private, (x, y))[0].to_bytes(32, "big")


# X25519, RFC 7748 section 5.
_Q = 2**255 - 19


def _x25519(scalar, u):
    k = int.from_bytes(scalar, "little") & ~7 & (2**255 - 1) | 2**254
    x1 = int.from_bytes(u, "little") & (2**255 - 1)
    x2, z2, x3, z3 = 1, 0, x1, 1
    for bit in range(254, -1, -1):
        swap = k >> bit & 1
        if swap:
            x2, z2, x3, z3 = x3, z3, x2, z2
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a, b * b, d * a, c * b
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % _Q, x1 * (da - cb) ** 2 % _Q
        x2, z2 = aa * bb % _Q, e * (aa + 121665 * e) % _Q
        if swap:
            x2, z2, x3, z3 = x3, z3, x2, z2
    return (x2 * pow(z2, -1, _Q) % _Q).to_bytes(32, "little")


def _x25519_generate():
    private = os.urandom(32)
    return private, _x25519(private, (9).to_bytes(32, "little"))


SECP256R1, X25519 = 0x17, 0x1D
GENERATE = {SECP256R1: _p256_generate, X25519: _x25519_generate}
AGREE = {SECP256R1: _p256_agree, X25519: _x25519}


class Keys:
    """Keys of one direction of one epoch, RFC 8446 section 7.3 and RFC 9147 section 4.2.3."""

    def __init__(self, secret, epoch):
        self.secret, self.epoch = secret, epoch
        self.key = expand_label(secret, b"key", b"", 16)
        self.iv = int.from_bytes(expand_label(secret, b"iv", b"", 12), "big")
        self.sn = expand_label(secret, b"sn", b"", 16)
        self.next_number = 0   # sealing: the next; opening: one more than the highest seen
        self.seen = 0          # the window of 64 below next_number

    def updated(self):
        return Keys(expand_label(self.secret, b"traffic upd", b"", 32), self.epoch + 1)

    def _nonce(self, number):
        return (self.iv ^ number).to_bytes(12, "big")

    def seal(self, content_type, content, length=0):
        """A record of `content`; (record number, record). `length`: of the content, padded with zeros behind the type."""
        number, self.next_number = self.next_number, self.next_number + 1
        inner = content + bytes([content_type]) + bytes(max(0, length - len(content)))
        header = bytes([0x2C | self.epoch & 3]) + (number & 0xFFFF).to_bytes(2, "big")
        header += (len(inner) + 16).to_bytes(2, "big")
        sealed = gcm_seal(self.key, self._nonce(number), header, inner)
        mask = aes_block(self.sn, sealed[:16])
        header = header[:1] + bytes([header[1] ^ mask[0], header[2] ^ mask[1]]) + header[3:]
        return number, header + sealed

    def open(self, header_len, seq_len, record):
        """(number, inner plaintext), "replay", or None."""
        sealed = record[header_len:]
        if len(sealed) < 16:
            return None
        mask = aes_block(self.sn, sealed[:16])
        header = bytearray(record[:header_len])
        low = 0
        for i in range(seq_len):
            header[1 + i] ^= mask[i]
            low = low << 8 | header[1 + i]
        span = 1 << 8 * seq_len
        number = self.next_number - self.next_number % span + low
        if number - self.next_number > span // 2 and number >= span:
            number -= span
        elif self.next_number - number > span // 2:
            number += span
        plain = gcm_open(self.key, self._nonce(number), bytes(header), sealed)
        if plain is None:
            return None
        behind = self.next_number - 1 - number
        if behind >= 64 or (behind >= 0 and self.seen >> behind & 1):
            return "replay"
        if behind < 0:
            self.seen = (self.seen << -behind | 1) & (1 << 64) - 1
            self.next_number = number + 1
        else:
            self.seen |= 1 << behind
        return number, plain


class Schedule:
    """The key schedule with an external PSK, RFC 8446 section 7.1."""

    def __init__(self, psk):
        self.secret = hmac256(bytes(32), psk)

    def binder(self, transcript_hash):
        key = expand_label(self.secret, b"ext binder", sha256(b""), 32)
        return finished(key, transcript_hash)

    def mix(self, secret):
        derived = expand_label(self.secret, b"derived", sha256(b""), 32)
        self.secret = hmac256(derived, secret)

    def derive(self, label, transcript_hash):
        return expand_label(self.secret, label, transcript_hash, 32)


def finished(secret, transcript_hash):
    return hmac256(expand_label(secret, b"finished", b"", 32), transcript_hash)

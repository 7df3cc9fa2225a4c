#!/usr/bin/env python3
"""Computes tests/vectors/dtls13.json: key schedules, protected records, imported keys and identities.

Shares no code with the project: HMAC and hashes are Python's, AEADs and block ciphers are those of the PyPI package
`cryptography` (OpenSSL). Run it as `python3 tests/vectors/generate_dtls13.py > tests/vectors/dtls13.json`; the
result depends on nothing but this file. RFC 8446 section 7, RFC 9147 sections 4 and 5.9, RFC 9258 section 5.1.
"""

import base64
import hashlib
import hmac
import json
import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

SUITES = {0x1301: ("sha256", 16), 0x1302: ("sha384", 32), 0x1303: ("sha256", 32)}


def sample(name, length):
    """Bytes that look random and are the same every time."""
    return hashlib.shake_256(name.encode()).digest(length)


def digest(name, data):
    return hashlib.new(name, data).digest()


def mac(name, key, data):
    return hmac.new(key, data, name).digest()


def expand(name, prk, info, length):
    out, block, index = b"", b"", 1
    while len(out) < length:
        block = mac(name, prk, block + info + bytes([index]))
        out, index = out + block, index + 1
    return out[:length]


def expand_label(name, prefix, secret, label, context, length):
    full = (prefix + label).encode()
    info = struct.pack(">HB", length, len(full)) + full + bytes([len(context)]) + context
    return expand(name, secret, info, length)


def schedule(suite, protocol, binder, case):
    name, key_len = SUITES[suite]
    size = hashlib.new(name).digest_size
    prefix = {"tls": "tls13 ", "dtls": "dtls13"}[protocol]

    def label(secret, text, context, length=size):
        return expand_label(name, prefix, secret, text, context, length)

    empty = digest(name, b"")
    psk = sample(case + " psk", 32)
    shared = sample(case + " shared", 32)
    partial, hello, finished = (digest(name, (case + text).encode()) for text in (" partial", " hello", " finished"))
    early = mac(name, bytes(size), psk)
    binder_key = label(early, {"external": "ext binder", "imported": "imp binder"}[binder], empty)
    handshake = mac(name, label(early, "derived", empty), shared)
    client_hs, server_hs = label(handshake, "c hs traffic", hello), label(handshake, "s hs traffic", hello)
    master = mac(name, label(handshake, "derived", empty), bytes(size))
    client_ap, server_ap = label(master, "c ap traffic", finished), label(master, "s ap traffic", finished)
    exporter = label(master, "exp master", finished)
    exported = label(label(exporter, "EXPORTER-i405-test", empty), "exporter", digest(name, b"context"), 40)
    return {
        "suite": suite,
        "protocol": protocol,
        "binder": binder,
        "psk": psk.hex(),
        "sharedSecret": shared.hex(),
        "partialHash": partial.hex(),
        "helloHash": hello.hex(),
        "finishedHash": finished.hex(),
        "binderKey": binder_key.hex(),
        "binderValue": mac(name, label(binder_key, "finished", b""), partial).hex(),
        "clientHandshake": client_hs.hex(),
        "serverHandshake": server_hs.hex(),
        "serverFinished": mac(name, label(server_hs, "finished", b""), hello).hex(),
        "clientApplication": client_ap.hex(),
        "serverApplication": server_ap.hex(),
        "clientApplicationNext": label(client_ap, "traffic upd", b"").hex(),
        "exporter": exporter.hex(),
        "exported": exported.hex(),
        "key": label(client_ap, "key", b"", key_len).hex(),
        "iv": label(client_ap, "iv", b"", 12).hex(),
        "sn": label(client_ap, "sn", b"", key_len).hex() if protocol == "dtls" else "",
    }


def mask(suite, key, sample_bytes):
    if suite == 0x1303:
        cipher = Cipher(algorithms.ChaCha20(key, sample_bytes), mode=None).encryptor()
        return cipher.update(bytes(16))
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(sample_bytes)


def record(suite, epoch, number, number_len, has_length, cid, content_type, content, padding):
    name, key_len = SUITES[suite]
    case = f"record {suite} {epoch} {number} {number_len} {has_length} {len(cid)}"
    secret = sample(case, hashlib.new(name).digest_size)
    key, iv, sn = (
        expand_label(name, "dtls13", secret, text, b"", length)
        for text, length in (("key", key_len), ("iv", 12), ("sn", key_len))
    )
    inner = content + bytes([content_type]) + bytes(padding)
    first = 0x20 | (0x10 if cid else 0) | (8 if number_len == 2 else 0) | (4 if has_length else 0) | epoch & 3
    shown = number.to_bytes(8, "big")[-number_len:]
    length = struct.pack(">H", len(inner) + 16) if has_length else b""
    header = bytes([first]) + cid + shown + length
    nonce = (int.from_bytes(iv, "big") ^ number).to_bytes(12, "big")
    aead = ChaCha20Poly1305(key) if suite == 0x1303 else AESGCM(key)
    sealed = aead.encrypt(nonce, inner, header)
    hidden = bytes(a ^ b for a, b in zip(shown, mask(suite, sn, sealed[:16])))
    return {
        "suite": suite,
        "epoch": epoch,
        "number": number,
        "numberLen": number_len,
        "hasLength": has_length,
        "cid": cid.hex(),
        "trafficSecret": secret.hex(),
        "contentType": content_type,
        "content": content.hex(),
        "padding": padding,
        "record": (bytes([first]) + cid + hidden + length + sealed).hex(),
    }


def imported(external, context, protocol, kdf):
    identity = struct.pack(">H", len(external)) + external + struct.pack(">H", len(context)) + context
    identity += struct.pack(">HH", protocol, kdf)
    psk = sample("imported", 32)
    epskx = mac("sha256", bytes(32), psk)
    length = {1: 32, 2: 48}[kdf]
    prefix = {0x0304: "tls13 ", 0xFEFC: "dtls13"}[protocol]
    key = expand_label("sha256", prefix, epskx, "derived psk", digest("sha256", identity), length)
    return {
        "externalIdentity": external.hex(),
        "context": context.hex(),
        "targetProtocol": protocol,
        "targetKdf": kdf,
        "psk": psk.hex(),
        "identity": identity.hex(),
        "importedPsk": key.hex(),
    }


def identity(case):
    key, nonce = sample(case + " key", 32), sample(case + " nonce", 16)
    identity_key = expand("sha256", mac("sha256", bytes(32), key), b"i405 id", 32)
    importer_key = expand("sha256", mac("sha256", bytes(32), key), b"i405 psk", 32)
    token = nonce + mac("sha256", identity_key, nonce)[:16]
    text = base64.urlsafe_b64encode(token).rstrip(b"=").decode()
    return {
        "key": key.hex(),
        "nonce": nonce.hex(),
        "importerKey": importer_key.hex(),
        "identityKey": identity_key.hex(),
        "identity": text,
    }


def main():
    cid = bytes(range(1, 9))
    forms = [(2, True, b""), (2, False, b""), (1, True, b""), (1, False, b""), (2, True, cid), (1, False, cid)]
    vectors = {
        "schedules": [
            schedule(suite, protocol, binder, f"{suite} {protocol} {binder}")
            for suite in SUITES
            for protocol in ("dtls", "tls")
            for binder in ("external", "imported")
        ],
        "records": [
            record(suite, 2, 3, number_len, has_length, shown_cid, 22, b"a handshake message", 7)
            for suite in SUITES
            for number_len, has_length, shown_cid in forms
        ]
        + [record(suite, 3, number, 2, True, b"", 23, b"", 1200) for suite in SUITES for number in (0, 65535, 2**33 + 5)],
        "imports": [
            imported(external, context, protocol, kdf)
            for external, context in ((b"client 1", b""), (sample("identity", 43), b"a context"))
            for protocol in (0x0304, 0xFEFC)
            for kdf in (1, 2)
        ],
        "identities": [identity(f"identity {i}") for i in range(4)],
    }
    print(json.dumps(vectors, indent=1))


if __name__ == "__main__":
    main()

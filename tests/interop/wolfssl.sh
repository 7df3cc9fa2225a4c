#!/usr/bin/env bash
# Builds wolfSSL's example client and server with DTLS 1.3 and PSK, the foreign peers of the interoperability tests.
#   wolfssl.sh [DIR]     prints the directory that holds `client` and `server`; does nothing more when they are there.
# The source comes with the Rust crate wolfssl-sys, so cargo fetches it; cmake and a C compiler build it, in a minute.
set -euo pipefail

crate_version=5.3.0
dir=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/i405-peers/wolfssl}

options=(
  -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=no -DWOLFSSL_EXAMPLES=no -DWOLFSSL_CRYPT_TESTS=no
  -DWOLFSSL_DTLS=yes -DWOLFSSL_DTLS13=yes -DWOLFSSL_DTLS_CID=yes -DWOLFSSL_PSK=yes -DWOLFSSL_CURVE25519=yes
  -DWOLFSSL_MLKEM=yes -DWOLFSSL_PQC_HYBRIDS=yes -DWOLFSSL_DTLS_CH_FRAG=yes
  "-DCMAKE_C_FLAGS=-DWOLFSSL_SEND_HRR_COOKIE -DWOLFSSL_EARLY_DATA"
)
recipe="$crate_version ${options[*]}"

if [[ -x $dir/client && -x $dir/server && $(cat "$dir/recipe" 2> /dev/null) == "$recipe" ]]; then
  echo "$dir"
  exit 0
fi
for tool in cargo cmake cc; do
  command -v "$tool" > /dev/null || { echo "wolfssl.sh: needs $tool" >&2; exit 3; }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
run() { "$@" > "$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; exit 1; }; }

cd "$work"
run cargo init --name peers .
run cargo add "wolfssl-sys@=$crate_version"
run cargo vendor vendor
source=$work/vendor/wolfssl-sys/wolfssl-src

run cmake -S "$source" -B build "${options[@]}"
run cmake --build build -j"$(nproc)"

# The examples find their root by this file's name; with a PSK they read no certificate.
mkdir -p "$dir/certs" "$source/certs"
touch "$dir/certs/dh2048.pem"
for role in client server; do
  run cc -O1 -I"$source" -Ibuild -include build/wolfssl/options.h "$source/examples/$role/$role.c" \
    build/libwolfssl.a -lm -lpthread -o "$role.new"
  mv "$role.new" "$dir/$role"
done
echo "$recipe" > "$dir/recipe"
echo "$dir"

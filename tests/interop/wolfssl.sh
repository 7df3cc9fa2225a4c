#!/usr/bin/env bash
# Builds the foreign peers of the interoperability tests from wolfSSL, with DTLS 1.3 and PSK: its example client and
# server, and wolfssl_peer.c beside this file.
#   wolfssl.sh [DIR]     prints the directory that holds `client`, `server` and `wolfssl_peer`; does nothing more when
#                        they are there.
# The source comes with the Rust crate wolfssl-sys, so cargo fetches it; cmake and a C compiler build it, in a minute.
set -euo pipefail

crate_version=5.3.0
dir=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/i405-peers/wolfssl}
peer=$(dirname "$(readlink -f "$0")")/wolfssl_peer.c

options=(
  -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=no -DWOLFSSL_EXAMPLES=no -DWOLFSSL_CRYPT_TESTS=no
  -DWOLFSSL_DTLS=yes -DWOLFSSL_DTLS13=yes -DWOLFSSL_DTLS_CID=yes -DWOLFSSL_PSK=yes -DWOLFSSL_CURVE25519=yes
  -DWOLFSSL_MLKEM=yes -DWOLFSSL_PQC_HYBRIDS=yes -DWOLFSSL_DTLS_CH_FRAG=yes -DWOLFSSL_SESSION_TICKET=yes
  -DWOLFSSL_DTLS_MTU=yes "-DCMAKE_C_FLAGS=-DWOLFSSL_SEND_HRR_COOKIE -DWOLFSSL_EARLY_DATA"
)
recipe="$crate_version ${options[*]}"
peer_recipe=$(sha256sum < "$peer")

is_built() { [[ -x $dir/client && -x $dir/server && $(cat "$dir/recipe" 2> /dev/null) == "$recipe" ]]; }
is_peer_built() { is_built && [[ -x $dir/wolfssl_peer && $(cat "$dir/peer_recipe" 2> /dev/null) == "$peer_recipe" ]]; }
run() { "$@" > "$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; exit 1; }; }
needs() { command -v "$1" > /dev/null || { echo "wolfssl.sh: needs $1" >&2; exit 3; }; }

build() {
  for tool in cargo cmake; do needs "$tool"; done
  cd "$work"
  run cargo init --name peers .
  run cargo add "wolfssl-sys@=$crate_version"
  run cargo vendor vendor
  local source=$work/vendor/wolfssl-sys/wolfssl-src

  run cmake -S "$source" -B build "${options[@]}"
  run cmake --build build -j"$(nproc)"
  run cmake --install build --prefix "$dir"

  # The examples find their root by this file's name; with a PSK they read no certificate.
  mkdir -p "$dir/certs" "$source/certs"
  touch "$dir/certs/dh2048.pem"
  for role in client server; do
    run cc -O1 -I"$source" -Ibuild -include build/wolfssl/options.h "$source/examples/$role/$role.c" \
      build/libwolfssl.a -lm -lpthread -o "$role.new"
    mv "$role.new" "$dir/$role"
  done
  echo "$recipe" > "$dir/recipe"
}

build_peer() {
  run cc -O1 -Wall -Wextra -Werror -I"$dir/include" "$peer" "$dir/lib/libwolfssl.a" -lm -lpthread -o "$work/peer.new"
  mv "$work/peer.new" "$dir/wolfssl_peer"
  echo "$peer_recipe" > "$dir/peer_recipe"
}

if ! is_peer_built; then
  needs cc
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$dir"
  exec 9> "$dir/lock"
  flock 9 # tests start together
  is_built || build
  is_peer_built || build_peer
fi
echo "$dir"

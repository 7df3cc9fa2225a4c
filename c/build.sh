#!/usr/bin/env bash
# Builds the shim: c/build.sh OUT.so [--sanitize] [--faults]
#   --sanitize  address and undefined-behaviour sanitizers, for tests
#   --faults    faults that tests switch on; never in what is shipped
# The compiler is $CC, or cc. libcrypto is linked statically, and none of its names can be seen outside.
set -euo pipefail

out=${1:?usage: c/build.sh OUT.so [--sanitize] [--faults]}
shift
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cc=${CC:-cc}

flags=(-std=c11 -O2 -ftree-vectorize -fvect-cost-model=dynamic -g1 -fPIC -Wall -Wextra -Werror -fvisibility=hidden -fno-strict-aliasing
  -fstack-protector-strong -pthread "-ffile-prefix-map=$here=c")
link=(-shared -Wl,--exclude-libs,ALL -Wl,-Bsymbolic -Wl,-z,nodelete -Wl,-z,now -Wl,-z,relro)
for option in "$@"; do
  case $option in
    --sanitize)
      flags+=(-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1)
      ;;
    --faults) flags+=(-DI405_FAULTS) ;;
    *)
      echo "c/build.sh: unknown option $option" >&2
      exit 2
      ;;
  esac
done

command -v "$cc" >/dev/null || {
  echo "c/build.sh: no C compiler '$cc'. On Debian: apt-get install gcc libc6-dev" >&2
  exit 1
}
crypto=$("$cc" -print-file-name=libcrypto.a)
[[ -e $crypto ]] || {
  echo "c/build.sh: no libcrypto.a for $cc. On Debian: apt-get install libssl-dev" >&2
  exit 1
}

mkdir -p "$(dirname "$out")"
"$cc" "${flags[@]}" "${link[@]}" -o "$out.new" "$here"/*.c "$crypto" -ldl -lm
[[ " $* " == *" --sanitize "* ]] || strip --strip-unneeded "$out.new"
mv "$out.new" "$out"

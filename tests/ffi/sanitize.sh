#!/usr/bin/env bash
# Runs the tests of the shim against a build with address and undefined-behaviour sanitizers.
# Deno's own allocations pass through the sanitizer's allocator as well; its leaks at exit are not ours to judge.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
library=$PWD/build/libi405-sanitize.so
bash c/build.sh "$library" --sanitize
runtime=$("${CC:-cc}" -print-file-name=libasan.so)
LD_PRELOAD=$runtime ASAN_OPTIONS=detect_leaks=0:handle_segv=0:abort_on_error=1 UBSAN_OPTIONS=print_stacktrace=1 \
  I405_SHIM=$library deno test --allow-all "$@" tests/ffi/

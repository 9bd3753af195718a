#!/bin/sh
# Builds the fuzzer with code that tells which way it goes: LLVM's own pass, which a stable compiler has as well. Prints its
# path. Build scripts and macros are for the host (--target) and go as they always do.
set -eu
cd "$(dirname "$0")/.."
target=x86_64-unknown-linux-gnu
flags='-Cpasses=sancov-module'
for part in level=4 inline-8bit-counters pc-table trace-compares; do
    flags="$flags -Cllvm-args=-sanitizer-coverage-$part"
done
RUSTFLAGS="$flags" cargo build --locked --quiet -p fuzz --bin fuzz --features libfuzzer --profile fuzz --target "$target" \
    --target-dir target/fuzz >&2
echo "target/fuzz/$target/fuzz/fuzz"

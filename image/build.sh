#!/bin/sh
# Builds the router's two static binaries and the installer into target/appliance/bin. The same commit gives the same bytes wherever the
# checkout, cargo's home and its registry lie: their paths are replaced in what ends up in a binary (panic messages).
set -eu
cd "$(dirname "$0")/.."
cargo=${CARGO_HOME:-$HOME/.cargo}
target=x86_64-unknown-linux-gnu

# The registry's folder has the name of the server it came from: known only after a fetch.
cargo fetch --locked --quiet
flags="-C target-feature=+crt-static -C link-arg=-Wl,--build-id=none --remap-path-prefix=$PWD=/weir --remap-path-prefix=$cargo=/cargo"
for registry in "$cargo"/registry/src/*; do
    flags="$flags --remap-path-prefix=$registry=/crates"
done

RUSTFLAGS=$flags cargo build --release --locked --offline --target $target -p init -p services -p installer
mkdir -p target/appliance/bin
# What is in them, for the list of parts (sbom.cdx.json).
cargo tree --locked --offline --target $target -p init -p services -p installer -e normal --prefix none -f '{p} {l}' |
    LC_ALL=C sort -u > target/appliance/crates.txt
for binary in init services installer; do
    cmp -s "${CARGO_TARGET_DIR:-target}/$target/release/$binary" target/appliance/bin/$binary ||
        install "${CARGO_TARGET_DIR:-target}/$target/release/$binary" target/appliance/bin/$binary
done

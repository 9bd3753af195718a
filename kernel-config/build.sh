#!/bin/sh
# Builds weir's kernel: Debian's linux-source over allnoconfig and the fragments beside this file, once per
# (source, fragments, this script). Progress goes to stderr; the last line on stdout is the folder that holds
# vmlinuz, config, System.map and modules/. It lies outside the checkout, in ${XDG_CACHE_HOME:-~/.cache}/weir.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
package=linux-source-6.12
source=/usr/src/$package.tar.xz
objects=1950 # compiled files of the last full build: only for the percentage

say() { printf '%s\n' "$*" >&2; }
fail() { say "kernel: $1"; say "        $2"; exit 1; }

[ -f "$source" ] || fail "$source is missing" "run 'make deps': it installs the package $package"
version=$(dpkg-query -W -f '${Version}' "$package" 2>/dev/null || echo unknown)
key=$( { echo "$version"; gcc -dumpfullversion; cat "$here/build.sh" "$here"/fragments/*.config; } | sha256sum | cut -c1-16)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/weir
done=$cache/kernel-$key
if [ -f "$done/vmlinuz" ]; then echo "$done"; exit 0; fi

mkdir -p "$cache"
# Two builds at once would only halve each other's speed: the second waits, then finds the first one's kernel.
exec 9>"$cache/kernel.lock"
flock -n 9 || { say "kernel: another build is running, waiting for it"; flock 9; }
if [ -f "$done/vmlinuz" ]; then echo "$done"; exit 0; fi

work=$cache/build-$key
rm -rf "$cache"/build-*
mkdir -p "$work/out"
log=$work/log
say "kernel: Linux $version, once; about ten minutes on two cores"
say "kernel: unpacking the source"
tar -C "$work" -xf "$source"
tree=$work/$package

# The same bytes whenever and wherever it is built.
export KBUILD_BUILD_TIMESTAMP='2026-01-01 00:00:00 UTC' KBUILD_BUILD_USER=weir KBUILD_BUILD_HOST=weir KBUILD_BUILD_VERSION=1
run() { make -C "$tree" "$@" </dev/null >>"$log" 2>&1; }

run allnoconfig
cat "$here"/fragments/*.config >>"$tree/.config"
run olddefconfig || fail "the configuration was refused" "see $log"

# A symbol that was asked for and is not there is an error: a dependency is missing in the fragments.
wrong=0
for fragment in "$here"/fragments/*.config; do
    while IFS= read -r line; do
        case $line in
        CONFIG_*=n) symbol=${line%=n} want="# $symbol is not set" ;;
        CONFIG_*=*) symbol=${line%%=*} want=$line ;;
        "# CONFIG_"*" is not set") symbol=${line#\# } symbol=${symbol%% *} want=$line ;;
        *) continue ;;
        esac
        got=$(grep -E "^(# )?$symbol[ =]" "$tree/.config" || echo "# $symbol is not set")
        if [ "$got" != "$want" ]; then
            say "kernel: $(basename "$fragment") asks for '$want', the build has '$got'"
            wrong=1
        fi
    done <"$fragment"
done
[ $wrong = 0 ] || fail "symbols were dropped" "add what they depend on ('make menuconfig', then '/SYMBOL', shows it) or remove them from the fragments"

run -j"$(nproc)" bzImage modules &
make=$!
trap 'kill $make 2>/dev/null; exit 130' INT TERM
last=0
while kill -0 $make 2>/dev/null; do
    sleep 1
    count=$(grep -cE '^  (CC|AS) ' "$log" || :)
    percent=$((count * 100 / objects)); [ $percent -le 99 ] || percent=99
    if [ -t 2 ]; then
        printf '\rkernel: %3d %%  %d files ' $percent "$count" >&2
    elif [ $percent -ge $((last + 5)) ]; then
        last=$percent
        say "kernel: $percent % ($count files)"
    fi
done
[ ! -t 2 ] || say ""
if ! wait $make; then
    tail -n 30 "$log" >&2
    fail "the build failed" "the whole log is $log; a missing tool is installed by 'make deps'"
fi

out=$work/out
cp "$tree/arch/x86/boot/bzImage" "$out/vmlinuz"
cp "$tree/.config" "$out/config"
cp "$tree/System.map" "$out/System.map"
mkdir -p "$out/modules"
# In the order in which PID 1 loads them.
for module in drivers/ata/libahci.ko drivers/ata/ahci.ko; do
    if [ -f "$tree/$module" ]; then
        strip --strip-debug -o "$out/modules/$(basename $module)" "$tree/$module"
        basename $module >>"$out/modules/order"
    fi
done
mv "$out" "$done"
rm -rf "$work"
say "kernel: 100 %, $(stat -c %s "$done/vmlinuz") bytes"
echo "$done"

#!/bin/sh
# Fetches axe-core, by whose rules the browser test judges the page for people who cannot see, or not well: once, from the
# package index that pip is set up with. It lies outside the checkout, in ${XDG_CACHE_HOME:-~/.cache}/weir/axe.min.js.
set -eu
package=axe-playwright-python==0.1.8
sum=fdd263c998388f1a8e67cad02677e612d946248bd44d163be5e8650ea31f95f8 # axe-core 4.12.1
cache=${XDG_CACHE_HOME:-$HOME/.cache}/weir
[ ! -f "$cache/axe-$sum" ] || exit 0
echo "axe: fetching axe-core, once" >&2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf '%s --hash=sha256:%s\n' "$package" "$sum" >"$work/wanted"
python3 -m pip --quiet --disable-pip-version-check download --no-deps --require-hashes -r "$work/wanted" -d "$work" >&2 || {
    echo "axe: cannot be fetched: is there a way to the package index? (pip config list; PIP_INDEX_URL)" >&2
    exit 1
}
python3 -m zipfile -e "$work"/*.whl "$work/unpacked"
mkdir -p "$cache"
# The sum first would stand for a file that is not there yet.
mv "$work"/unpacked/*/axe.min.js "$cache/axe.min.js"
touch "$cache/axe-$sum"

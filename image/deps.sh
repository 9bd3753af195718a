#!/bin/sh
# Installs the Debian packages of debian-packages.txt (or of another such list) that are missing; says nothing when none is.
set -eu
list=${1:-$(dirname "$0")/debian-packages.txt}
wanted=$(sed 's/#.*//' "$list" | tr -s ' \n' ' ')
command -v dpkg-query >/dev/null || {
    echo "deps: this is not Debian; install the equals of: $wanted" >&2
    exit 1
}
# shellcheck disable=SC2086 # a list of words
installed=$(dpkg-query -W -f '${Package} ${db:Status-Abbrev}\n' $wanted 2>/dev/null | sed -n 's/ ii *$//p' | tr '\n' ' ')
missing=
for package in $wanted; do
    case " $installed" in *" $package "*) ;; *) missing="$missing $package" ;; esac
done
[ -n "$missing" ] || exit 0

sudo=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || {
        echo "deps: missing:$missing" >&2
        echo "deps: as root, run: apt-get install --no-install-recommends$missing" >&2
        exit 1
    }
    sudo=sudo
fi
echo "deps: installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
# Another apt may hold the lock: wait for it.
$sudo apt-get -q -o DPkg::Lock::Timeout=600 update >&2
# shellcheck disable=SC2086
$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600 install --no-install-recommends $missing >&2

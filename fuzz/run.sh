#!/bin/sh
# fuzz/run.sh [SECONDS [TARGET...]]: so long (a minute) at each target, or at these. What leads to a fault is put into the
# target's corpus, where the tests find it from then on; what only goes new ways, into target/fuzz/found.
set -eu
cd "$(dirname "$0")/.."
seconds=60
if [ $# -gt 0 ]; then
    seconds=$1
    shift
fi
program=$(fuzz/build.sh)
# The fuzzer takes its own end for a fault, and says so.
list=$($program -artifact_prefix=target/fuzz/ </dev/null 2>/dev/null || true)
[ -n "$list" ] || { echo "fuzz: there is no list of targets" >&2; exit 1; }
for name in "$@"; do
    printf '%s\n' "$list" | grep -q "^$name " || { echo "fuzz: no target is called $name" >&2; exit 2; }
done
faults=
while read -r name own others; do
    case " $* " in "  " | *" $name "*) ;; *) continue ;; esac
    found=target/fuzz/found/$name
    mkdir -p "$found"
    echo "fuzz: $name" >&2
    # shellcheck disable=SC2086 # a list of folders
    WEIR_TARGET=$name $program -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=4096 -verbosity=0 \
        -print_final_stats=1 -artifact_prefix="$own/" "$found" "$own" $others </dev/null >"$found.log" 2>&1 || faults="$faults $name"
    grep -E '^stat::number_of_executed_units|panicked|ERROR' -A1 "$found.log" | grep -v '^note' >&2 || true
done <<EOF
$list
EOF
[ -z "$faults" ] || { echo "fuzz: a fault in$faults: see target/fuzz/found/NAME.log and the new files in fuzz/corpus" >&2; exit 1; }

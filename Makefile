# The verbs. What they do is in the scripts and programs that they call; ARGS is passed on: make run ARGS="--memory 64".
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.PHONY: deps axe deps-bench build kernel router tool image run test fmt-check lint power-cut bench bench-boot bench-forward bench-lan rights-check fuzz clean
.NOTPARALLEL:

# Whatever carries a time carries the commit's; the manifest names the commit, and says when the tree differs from it. Only packing is told:
# with each change of these cargo would build the C code of ring and zstd anew.
PACKED = SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null || echo 0)} \
	WEIR_COMMIT=$${WEIR_COMMIT:-$$(git describe --always --abbrev=40 --exclude='*' --dirty 2>/dev/null)}

run: image
	target/appliance/bin/weir run $(ARGS)

deps:
	@image/deps.sh

# What the browser test judges the page by.
axe: deps
	@qemu/axe.sh

build: kernel router tool

kernel: deps
	@mkdir -p target
	@kernel-config/build.sh > target/kernel-folder

router: deps
	@image/build.sh

tool: deps
	@cargo build --locked -p weir
	@mkdir -p target/appliance/bin
	@install -C target/debug/weir target/appliance/bin/weir

image: build
	@$(PACKED) target/appliance/bin/weir image --kernel "$$(tail -n 1 target/kernel-folder)"

# The tests get a network of their own, so that they may change it and leave nothing behind; root or not.
NAMESPACE := unshare $(if $(filter-out 0,$(shell id -u)),--user --map-root-user) --net --mount --
test: fmt-check lint axe image
	cargo test --locked --workspace --no-run
	$(NAMESPACE) sh -c 'ip link set lo up && exec cargo test --locked --offline --workspace $(ARGS)'

fmt-check: deps
	cargo fmt --all --check

lint: deps
	cargo clippy --locked --workspace --all-targets -- -D warnings

# Each benchmark leaves its JSON object in target/bench; at the end all are held against qemu/bars.json.
bench: bench-boot bench-forward bench-lan
	@cargo run --locked --quiet -p qemu --bin bars

# The power goes N times, a thousand when nobody says how often.
power-cut: image
	@cargo build --locked --quiet -p qemu --bin power_cut
	@$(NAMESPACE) sh -c 'ip link set lo up && exec target/debug/power_cut $(if $(N),--cuts $(N)) $(ARGS)'

bench-boot: image
	@mkdir -p target/bench
	@cargo run --locked --quiet -p qemu --bin bench_boot -- $(ARGS) | tee target/bench/boot.json

bench-forward: image
	@mkdir -p target/bench
	@cargo build --locked --quiet -p qemu --bin bench_forward
	@$(NAMESPACE) target/debug/bench_forward $(ARGS) | tee target/bench/forward.json

# What one would take instead of weir, and what measures them.
deps-bench: deps
	@image/deps.sh image/debian-packages-bench.txt

bench-lan: deps-bench router
	@mkdir -p target/bench
	@$(NAMESPACE) sh -c 'ip link set lo up && exec cargo run --locked --offline --quiet -p qemu --bin bench_lan -- $(ARGS)' | tee target/bench/lan.json

# Runs what tests the services under strace (long), then says which rows of their rights no scenario has made use of.
rights-check: deps
	@rm -rf target/traces && mkdir -p target/traces
	cargo test --locked -p services --test '*' --no-run
	$(NAMESPACE) sh -c 'ip link set lo up && exec env WEIR_STRACE=$(CURDIR)/target/traces cargo test --locked --offline --no-fail-fast -p services --test "*"' || \
		echo "rights-check: tests have failed; rows that only they make use of are named below as well" >&2
	@cargo run --locked --offline --quiet -p qemu --bin rights_check -- target/traces

# Any bytes at every parser, a minute each; longer and elsewhere by make fuzz ARGS="600 dns_engine ssh".
fuzz: deps
	@fuzz/run.sh $(ARGS)

clean:
	rm -rf target

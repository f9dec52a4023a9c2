# What people do with this repository. `make demo` to see it, `make test` to trust it.
.PHONY: demo test lint audit bench fuzz power-cut test-vm setup-tests screenshots deb musl

# Builds everything (the dashboard included) and runs the daemon with a simulated plant.
demo:
	cargo run --release --quiet -- demo

# Installs what the tests need, runs every test, ends with their count.
test: setup-tests
	tests/run

lint:
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cd dashboard && npm ci --no-audit --no-fund --loglevel=error && npm run --silent check

# Known vulnerabilities of what we are made of; fetches the advisory database, so it is no part of `make test`.
audit:
	cargo deny --locked check advisories

# Micro-benchmarks, then the whole daemon under load; docs/benchmarks.md explains the figures.
bench:
	cargo bench --locked
	benches/end_to_end.sh
	benches/sinks.sh
	benches/neighbours.sh
	benches/viewers.sh

# Every decoder of outside bytes, a minute each (SECONDS=60).
fuzz:
	fuzz/run $(or $(SECONDS),60)

# Cuts the power of a virtual machine with the daemon in it (POWER_CUTS=5); docs/spool.md says what for.
power-cut:
	cargo build --locked
	tests/power_cut

# Boots the package in a virtual machine under MemoryHigh= and MemoryMax= (docs/operations.md); needs root.
test-vm: setup-tests
	cargo build --locked --release
	tests/vm/run

setup-tests:
	tests/setup

# Makes the pictures in docs/images anew.
screenshots: setup-tests
	cargo build --locked
	cd tests/web && BINARY=../../target/debug/tidegate npm run --silent screenshots

# A Debian package in target/debian: binary, units, manual pages, completions, docs (docs/install.md).
deb:
	packaging/deb

# A static binary for machines without glibc, or for an image (packaging/Containerfile):
# target/x86_64-unknown-linux-musl/release/tidegate. Needs `rustup target add x86_64-unknown-linux-musl` and musl-tools.
musl:
	command -v cargo-auditable >/dev/null || cargo install --locked cargo-auditable@0.7.7
	cargo auditable build --locked --release --target x86_64-unknown-linux-musl

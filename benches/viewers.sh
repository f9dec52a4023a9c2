#!/usr/bin/env bash
# Thousands of viewers, beside broadcast servers of the npm packages `ws` and `socket.io` that do the like: figures of
# docs/benchmarks.md. Takes about ten minutes; VIEWERS=100 SECONDS_EACH=5 makes it shorter, BINARY= measures another build.
set -euo pipefail
cd "$(dirname "$0")/.."
tests/viewers/setup
ulimit -n 40000 2>/dev/null || ulimit -n "$(ulimit -Hn)"
[ -n "${BINARY:-}" ] || cargo build --release --locked --quiet
exec node benches/viewers.mjs "${BINARY:-target/release/tidegate}"

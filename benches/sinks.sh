#!/usr/bin/env bash
# The daemon beside a real VictoriaMetrics: figures of docs/benchmarks.md. Takes about four minutes; BACKLOG=5000000
# makes it shorter.
set -euo pipefail
cd "$(dirname "$0")/.."
tests/setup >/dev/null
cargo build --release --locked --quiet
exec .venv/bin/python benches/sinks.py target/release/tidegate "$@"

#!/usr/bin/env bash
# Line protocol and OTLP into the daemon, and the same bytes into a real VictoriaMetrics: figures of docs/benchmarks.md. Takes
# about five minutes; SAMPLES=1000000 ROUNDS=1 makes it shorter.
set -euo pipefail
cd "$(dirname "$0")/.."
tests/setup >/dev/null
cargo build --release --locked --quiet
exec .venv-neighbours/bin/python benches/neighbours.py target/release/tidegate "$@"

#!/usr/bin/env bash
# The whole daemon under load: figures of docs/benchmarks.md. Takes about two minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
tests/setup >/dev/null
cargo build --release --locked --quiet
exec .venv/bin/python benches/end_to_end.py target/release/tidegate

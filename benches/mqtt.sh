#!/usr/bin/env bash
# Messages through a real Mosquitto, beside a subscriber that does nothing: figures of docs/benchmarks.md. Takes about
# three minutes; MESSAGES=20000 ROUNDS=1 makes it shorter.
set -euo pipefail
cd "$(dirname "$0")/.."
tests/setup >/dev/null
cargo build --release --locked --quiet
peer=$(cargo bench --locked --bench mqtt_peer --no-run --message-format=json 2>/dev/null |
    sed -n 's/.*"name":"mqtt_peer".*"executable":"\([^"]*\)".*/\1/p')
exec .venv/bin/python benches/mqtt.py target/release/tidegate "$peer"

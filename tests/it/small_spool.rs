//! A spool much smaller than what comes in: it is trimmed in time, whatever the flush interval.

use crate::daemon::{Daemon, PATIENCE};
use tidegate::clock;

#[test]
fn a_small_spool_takes_many_times_its_size() {
    let daemon = Daemon::start(&[
        "spool.segment_size=64 KiB",
        "spool.size_max=1 MiB",
        "spool.reserve=0 B",
        "history.flush_interval=1000 s",
    ]);
    let deadline = clock::monotonic() + PATIENCE * 4;
    let mut accepted = 0;
    while accepted < 1200 {
        // Random texts of 3 KB: incompressible, so that each takes its place in the log.
        let text: String = (0..3000).map(|_| char::from(rand::random_range(b'a'..=b'z'))).collect();
        let line = format!("{{\"device\":\"d\",\"values\":{{\"note\":\"{text}\"}}}}");
        let headers = [("content-type", "application/x-ndjson")];
        let (status, body) = daemon.request("POST", "/api/v1/ingest", &headers, line.as_bytes());
        assert!(status == 200 || status == 503, "{status} {body}");
        accepted += u32::from(status == 200);
        assert!(clock::monotonic() < deadline, "{accepted} entered, then {status}: {body}");
    }
    let status = daemon.json("/api/v1/status");
    assert!(status["spool"]["bytes"].as_u64().unwrap() <= 1 << 20, "{status:#}");
    assert_eq!(status["ledger"]["accepted"], 1200);
    assert!(status["ledger"]["stored"].as_u64().unwrap() > 0);
}

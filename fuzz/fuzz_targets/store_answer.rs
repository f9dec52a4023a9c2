//! Any bytes as a store's answer to 16 lines: the status first, then a `Retry-After` up to a line feed,
//! then the body. Whatever it says, the lines are stored, refused or still open, each once.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::str;
use tidegate::model::Timestamp;
use tidegate::sinks::influx::answers::{Answer, answered};
use tidegate::sinks::influx::bisect::{Bisect, Verdict};

const NOW: Timestamp = Timestamp(1_800_000_000_000_000_000);
const LINES: u32 = 16;

fuzz_target!(|bytes: &[u8]| {
    let [high, low, rest @ ..] = bytes else { return };
    let status = u16::from_be_bytes([*high, *low]) % 600;
    let end = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
    let (retry_after, body) = rest.split_at(end);
    let body = body.strip_prefix(b"\n").unwrap_or(body);
    let retry_after = str::from_utf8(retry_after).ok().filter(|text| !text.is_empty());
    let meaning = answered(&Answer { status, body, retry_after }, NOW);
    if let Some(failure) = meaning.failure() {
        assert!(!failure.cause.to_string().is_empty());
    }
    let Some(verdict) = Verdict::of(meaning.clone()) else { return };
    let mut plan = Bisect::new(0..LINES, verdict, 8);
    let mut asked = 0;
    while let Some(lines) = plan.next() {
        assert!(lines.start < lines.end && lines.end <= LINES);
        plan.tell(Verdict::of(meaning.clone()).expect("the same answer means the same"));
        asked += 1;
        assert!(asked <= 4 * LINES, "it never ends");
    }
    let findings = plan.finish();
    let given_up = findings.given_up.iter().map(|given_up| given_up.lines.clone());
    let mut parts: Vec<_> = findings.stored.iter().cloned().chain(given_up).collect();
    parts.sort_by_key(|part| part.start);
    let ends = parts.iter().fold(0, |end, part| {
        assert_eq!(part.start, end, "a line is missing, or told twice");
        part.end
    });
    assert_eq!((ends, findings.open.len()), (LINES, 0));
});

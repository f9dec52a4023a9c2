use super::*;
use crate::model::Timestamp;

fn lines() -> (Lines, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new());
    (Lines::new(metrics.clone()), metrics)
}

fn client(name: &str) -> Carrier {
    Carrier::Client(name.into())
}

fn result(id: u64) -> wire::CommandResult {
    wire::CommandResult { id, ok: true, ..wire::CommandResult::default() }
}

fn ignored(metrics: &Metrics, reason: &str) -> u64 {
    let line = format!("tidegate_command_results_ignored_total{{reason=\"{reason}\"}} ");
    let page = metrics.render();
    let count = page.lines().find_map(|it| it.strip_prefix(&line));
    count.map_or(0, |count| count.parse().unwrap())
}

#[test]
fn only_an_answer_that_is_awaited_is_taken_and_only_once() {
    let (lines, metrics) = lines();
    let (pump, other) = (lines.open(client("pump"), false), lines.open(client("other"), false));
    lines.await_answer(7, client("pump"));
    pump.answered(result(8));
    other.answered(result(7));
    assert!(lines.news().answers.is_empty());
    assert_eq!((ignored(&metrics, "unknown"), ignored(&metrics, "foreign")), (1, 1));
    pump.answered(result(7));
    pump.answered(result(7));
    assert_eq!(lines.news().answers.len(), 1);
    assert_eq!(ignored(&metrics, "unknown"), 2);
}

#[test]
fn what_an_answer_gives_is_cut_to_what_is_kept() {
    let (lines, _) = lines();
    let pump = lines.open(client("pump"), false);
    for id in 1..=3 {
        lines.await_answer(id, client("pump"));
    }
    let payload = format!("\"{}\"", "x".repeat(RESULT_BYTES_MAX)).into_bytes();
    pump.answered(wire::CommandResult { payload, ..result(1) });
    pump.answered(wire::CommandResult { payload: b"{\"a\":1}".to_vec(), ..result(2) });
    let message = "ö".repeat(MESSAGE_BYTES_MAX);
    pump.answered(wire::CommandResult { payload: b"no".to_vec(), message, ..result(3) });
    let answers = lines.news().answers;
    assert_eq!((answers[0].ok, &answers[0].result), (true, &None));
    assert!(answers[0].message.contains("was not kept"), "{}", answers[0].message);
    assert_eq!(answers[1].result.as_deref(), Some("{\"a\":1}"));
    assert!(answers[2].message.len() < MESSAGE_BYTES_MAX + 100 && answers[2].result.is_none());
}

#[test]
fn a_report_is_taken_of_the_device_itself_and_of_whom_its_document_was_given_to() {
    let (lines, metrics) = lines();
    let report = |device: &str, version| wire::Reported {
        device: device.into(),
        version,
        ok: true,
        ..wire::Reported::default()
    };
    let (pump, gateway) = (lines.open(client("pump"), false), lines.open(client("gw"), false));
    pump.reported(report("", 1), Timestamp(1));
    assert_eq!(ignored(&metrics, "unknown"), 1);
    lines.await_reports(&"pump".into(), None);
    gateway.reported(report("pump", 1), Timestamp(1));
    assert_eq!(ignored(&metrics, "foreign"), 1);
    pump.reported(report("", 1), Timestamp(1));
    lines.await_reports(&"pump".into(), Some(client("gw")));
    gateway.reported(report("pump", 2), Timestamp(2));
    let reports = lines.news().reports;
    assert_eq!(reports.len(), 1, "of each device the last");
    assert_eq!(reports["pump"].version, 2);
    let document = vec![b' '; DOCUMENT_BYTES_MAX + 1];
    pump.reported(wire::Reported { document, ..report("", 3) }, Timestamp(3));
    assert_eq!(ignored(&metrics, "too_large"), 1);
}

#[test]
fn the_newest_conversation_of_a_client_is_used_until_it_is_over() {
    let (lines, _) = lines();
    let old = lines.open(client("pump"), false);
    let new = lines.open(client("pump"), false);
    assert_eq!(lines.place(&client("pump")).map(|place| place.line), Some(new.id));
    drop(new);
    assert_eq!(lines.place(&client("pump")).map(|place| place.line), Some(old.id));
    // One that does not take what it is handed gets no more than this.
    for _ in 0..ERRANDS_MAX {
        let place = lines.place(&client("pump")).unwrap();
        place.hand(Errand::Desired(wire::Desired::default()));
    }
    assert!(lines.place(&client("pump")).is_none());
    drop(old);
    assert!(!lines.is_open(&client("pump")) && lines.with_open(HashSet::is_empty));
    assert_eq!(lines.news().changed.unwrap().len(), 1);
}

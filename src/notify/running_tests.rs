use super::super::{Target, TestError, Wanted, WebhookTarget};
use super::*;
use crate::notify::wording::tests::{alert, event};
use crate::rules::{Event, EventKind, Severity};
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use tokio::sync::watch;

const PATIENCE: Duration = Duration::from_secs(60);

/// A journal in memory.
struct Memory {
    events: Mutex<Vec<Event>>,
    changed: watch::Sender<u64>,
}

impl Memory {
    fn new() -> Arc<Memory> {
        Arc::new(Memory { events: Mutex::default(), changed: watch::Sender::new(0) })
    }

    fn fire(&self, rule: &str) {
        let mut events = self.events.lock().unwrap();
        let id = events.len() as u64 + 1;
        events.push(event(id, EventKind::Fired, alert(id, rule)));
        self.changed.send_replace(id);
    }
}

impl Journal for Memory {
    fn after(&self, id: u64, max: usize) -> Result<Vec<Event>, Box<dyn Error + Send + Sync>> {
        let events = self.events.lock().unwrap();
        Ok(events.iter().filter(|event| event.id > id).take(max).cloned().collect())
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

/// Takes POSTs and answers each with the next of its statuses, the last one for ever; 0 = not at all.
/// Tells of each when it is answered, or will not be.
struct Endpoint {
    port: u16,
    taken: Receiver<(u16, serde_json::Value)>,
}

fn endpoint(statuses: &'static [u16]) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, taken) = channel();
    std::thread::spawn(move || {
        let mut hanging = Vec::new();
        for (number, socket) in listener.incoming().map_while(Result::ok).enumerate() {
            let status = statuses[number.min(statuses.len() - 1)];
            let Some(body) = received(&socket) else { continue };
            if status == 0 {
                hanging.push(socket);
            } else {
                let answer = format!(
                    "HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                );
                (&socket).write_all(answer.as_bytes()).unwrap();
            }
            if sender.send((status, body)).is_err() {
                return;
            }
        }
    });
    Endpoint { port, taken }
}

fn received(socket: &TcpStream) -> Option<serde_json::Value> {
    let mut reader = BufReader::new(socket);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}

impl Endpoint {
    fn next(&self) -> (u16, serde_json::Value) {
        self.taken.recv_timeout(PATIENCE).expect("a message")
    }

    fn channel(&self, name: &str) -> Channel {
        let url = format!("http://127.0.0.1:{}/", self.port).parse().unwrap();
        let timeout = PATIENCE;
        Channel {
            name: name.to_owned(),
            wanted: Wanted { severity_min: Severity::Info, resolved: true, acknowledged: true },
            target: Target::Webhook(WebhookTarget { url, secret_file: None, timeout }),
        }
    }
}

/// A run of the channels.
struct Run {
    notify: Notify,
    stop: CancellationToken,
    channels: Channels,
}

fn settings(directory: &Path, channels: Vec<Channel>) -> Settings {
    Settings {
        path: directory.join("notify.db"),
        group_wait: Duration::from_millis(50),
        group_interval: Duration::from_millis(50),
        messages_per_hour: 3600,
        give_up_after: Duration::from_secs(3600),
        page_url: None,
        channels,
    }
}

impl Run {
    fn start(directory: &Path, journal: &Arc<Memory>, channels: Vec<Channel>) -> Run {
        let stop = CancellationToken::new();
        let opened = open(settings(directory, channels), journal.clone(), &stop).unwrap();
        Run { notify: opened.notify, stop, channels: opened.channels }
    }

    /// Goes over to other settings, of which the channels of these names are others.
    fn change(&mut self, names: &[&str], settings: Settings) {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        assert_eq!(block(self.channels.change(&names, settings)), []);
    }

    /// Waits until a channel is as it should be.
    fn until(&self, name: &str, is: impl Fn(&View) -> bool) -> View {
        let deadline = clock::monotonic() + PATIENCE;
        loop {
            let views = self.notify.views();
            let view = views.iter().find(|view| view.name == name).unwrap();
            if is(view) {
                return view.clone();
            }
            assert!(clock::monotonic() < deadline, "{view:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn stop(self) {
        self.stop.cancel();
        self.channels.end().unwrap().join().unwrap();
    }
}

fn rules(body: &serde_json::Value) -> Vec<&str> {
    let events = body["events"].as_array().unwrap().iter();
    events.map(|event| event["alert"]["rule"].as_str().unwrap()).collect()
}

fn block<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}

#[test]
fn a_channel_is_told_what_happens_once_over_restarts() {
    let (directory, journal) = (tempfile::tempdir().unwrap(), Memory::new());
    journal.fire("before it was configured");
    let ops = endpoint(&[200]);
    let run = Run::start(directory.path(), &journal, vec![ops.channel("ops")]);
    journal.fire("one");
    assert_eq!(rules(&ops.next().1), ["one"]);
    let view = run.until("ops", |view| view.state == "idle" && view.sent == 1);
    assert!(view.last_sent_at.is_some() && view.pending_events == 0, "{view:?}");
    run.stop();
    journal.fire("two");
    let run = Run::start(directory.path(), &journal, vec![ops.channel("ops")]);
    assert_eq!(rules(&ops.next().1), ["two"]);
    run.until("ops", |view| view.sent == 2);
    run.stop();
    let run = Run::start(directory.path(), &journal, vec![ops.channel("ops")]);
    journal.fire("three");
    assert_eq!(rules(&ops.next().1), ["three"]);
    run.stop();
}

#[test]
fn a_message_keeps_its_id_over_failures_and_restarts() {
    let (directory, journal) = (tempfile::tempdir().unwrap(), Memory::new());
    // However often it is tried until the channel is looked at.
    let ops = endpoint(&[500]);
    let run = Run::start(directory.path(), &journal, vec![ops.channel("ops")]);
    journal.fire("one");
    let (_, first) = ops.next();
    let view = run.until("ops", |view| view.state == "failing");
    assert!(view.last_error.unwrap().contains("500") && view.next_try_at.is_some());
    assert_eq!(run.notify.failing(), ["ops"]);
    let notify = run.notify.clone();
    run.stop();
    let failed = notify.views()[0].failed;
    // Meanwhile there is more, which waits for its turn; and the receiver is another.
    journal.fire("two");
    let ops = endpoint(&[503, 200]);
    let run = Run::start(directory.path(), &journal, vec![ops.channel("ops")]);
    let (_, second) = ops.next();
    let (status, third) = ops.next();
    assert_eq!((&first, &first, 200), (&second, &third, status));
    assert_eq!(rules(&ops.next().1), ["two"]);
    let view = run.until("ops", |view| view.state == "idle");
    assert_eq!((view.sent, view.failed, view.last_error), (2, failed + 1, None));
    run.stop();
}

#[test]
fn one_that_hangs_costs_only_itself() {
    let (directory, journal) = (tempfile::tempdir().unwrap(), Memory::new());
    let (dead, ops) = (endpoint(&[0]), endpoint(&[200]));
    let channels = vec![dead.channel("dead"), ops.channel("ops")];
    let run = Run::start(directory.path(), &journal, channels);
    for n in 1..=3 {
        journal.fire("hot");
        assert_eq!(ops.next().1["events"][0]["id"], n);
    }
    run.until("ops", |view| view.sent == 3);
    let view = run.until("dead", |_| true);
    assert_eq!((view.sent, view.dead_letters), (0, 0));
    run.stop();
}

#[test]
fn what_is_under_way_is_no_idleness() {
    let (directory, journal) = (tempfile::tempdir().unwrap(), Memory::new());
    let dead = endpoint(&[0]);
    let channels = vec![dead.channel("dead")];
    let mut run = Run::start(directory.path(), &journal, channels.clone());
    // Made as soon as it is heard of.
    let hasty = Settings { group_wait: Duration::ZERO, ..settings(directory.path(), channels) };
    run.change(&[], hasty);
    journal.fire("one");
    assert_eq!(rules(&dead.next().1), ["one"]);
    let view = run.until("dead", |_| true);
    assert_eq!((view.pending_events, view.state), (1, "waiting"));
    run.stop();
}

#[test]
fn what_is_refused_is_a_dead_letter_until_people_send_it_again() {
    let (directory, journal) = (tempfile::tempdir().unwrap(), Memory::new());
    let ops = endpoint(&[400, 400, 400, 200]);
    let run = Run::start(directory.path(), &journal, vec![ops.channel("ops")]);
    journal.fire("one");
    let (_, refused) = ops.next();
    run.until("ops", |view| view.dead_letters == 1);
    journal.fire("two");
    drop((ops.next(), ops.next()));
    assert_eq!(rules(&ops.next().1), ["two"], "the next one is not kept by it");
    let letters = block(run.notify.letters(10)).unwrap();
    assert_eq!((letters.len(), letters[0].attempts), (1, 3));
    assert!(letters[0].reason.contains("400") && letters[0].channel == "ops", "{letters:?}");
    assert_eq!(block(run.notify.retry(vec![letters[0].id.clone()])).unwrap(), 1);
    assert_eq!(ops.next(), (200, refused), "the same message");
    let view = run.until("ops", |view| view.sent == 2 && view.state == "idle");
    assert_eq!(view.dead_letters, 0);
    run.stop();
}

#[test]
fn a_test_goes_past_what_waits_and_leaves_nothing() {
    let (directory, journal) = (tempfile::tempdir().unwrap(), Memory::new());
    let ops = endpoint(&[200, 403]);
    let run = Run::start(directory.path(), &journal, vec![ops.channel("ops")]);
    block(run.notify.test("ops")).unwrap();
    let (_, test) = ops.next();
    assert!(test["summary"].as_str().unwrap().contains("[test]"), "{test}");
    assert_eq!((rules(&test).len(), &test["more"]), (0, &serde_json::json!(0)));
    let failed = block(run.notify.test("ops")).unwrap_err();
    assert!(failed.to_string().contains("403"), "{failed}");
    assert!(matches!(block(run.notify.test("dev")), Err(TestError::Unknown)));
    assert_eq!(run.until("ops", |_| true).sent, 0);
    run.stop();
}

#[test]
fn without_channels_there_is_no_thread_and_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path(), Vec::new());
    let opened = open(settings.clone(), Memory::new(), &CancellationToken::new()).unwrap();
    assert!(opened.channels.end().is_none());
    assert!(!settings.path.exists());
}

#[test]
fn channels_come_change_and_go_while_the_others_go_on() {
    let (directory, journal) = (tempfile::tempdir().unwrap(), Memory::new());
    let at = |channels| settings(directory.path(), channels);
    let mut run = Run::start(directory.path(), &journal, Vec::new());
    journal.fire("before there was any");
    let (dead, old, ops) = (endpoint(&[0]), endpoint(&[500]), endpoint(&[200]));
    run.change(&["ops", "moves"], at(vec![ops.channel("ops"), old.channel("moves")]));
    journal.fire("one");
    assert_eq!(rules(&ops.next().1), ["one"]);
    let (_, first) = old.next();
    run.until("moves", |view| view.state == "failing");

    // What it did not deliver goes where it is now, under the id of before; one comes that hangs.
    let new = endpoint(&[200]);
    let channels = vec![new.channel("moves"), dead.channel("dead"), ops.channel("ops")];
    run.change(&["moves", "dead"], at(channels));
    assert_eq!(new.next(), (200, first));
    let names = run.notify.views().into_iter().map(|view| view.name);
    assert_eq!(names.collect::<Vec<_>>(), ["moves", "dead", "ops"]);
    journal.fire("two");
    assert_eq!((rules(&new.next().1), rules(&ops.next().1)), (vec!["two"], vec!["two"]));
    assert_eq!(rules(&dead.next().1), ["two"]);
    let view = run.until("dead", |_| true);
    assert_eq!((view.pending_events, view.state), (1, "waiting"));

    // It goes though nobody answers, and is forgotten; who did not change has all he had.
    run.change(&["dead", "moves"], at(vec![ops.channel("ops")]));
    let view = run.until("ops", |view| view.sent == 2);
    assert_eq!((run.notify.views().len(), view.failed), (1, 0));
    run.change(&["dead"], at(vec![ops.channel("ops"), dead.channel("dead")]));
    assert_eq!(run.until("dead", |_| true).pending_events, 0);
    journal.fire("three");
    assert_eq!(rules(&ops.next().1), ["three"]);
    run.stop();
}

#[test]
fn what_holds_for_all_channels_holds_at_once() {
    let (directory, journal) = (tempfile::tempdir().unwrap(), Memory::new());
    let ops = endpoint(&[200]);
    let channels = vec![ops.channel("ops")];
    let patient = Settings {
        group_wait: Duration::from_secs(86_400),
        ..settings(directory.path(), channels.clone())
    };
    let mut run = Run::start(directory.path(), &journal, channels.clone());
    run.change(&[], patient);
    journal.fire("one");
    run.until("ops", |view| view.pending_events == 1);
    let told = ops.taken.recv_timeout(Duration::from_millis(500));
    assert!(told.is_err(), "it has a day: {told:?}");
    run.change(&[], settings(directory.path(), channels));
    assert_eq!(rules(&ops.next().1), ["one"]);
    run.stop();
}

use super::*;
use crate::commands::{Delivery, Errand, Full, State};
use crate::wire;

/// Nobody is anywhere but where they are connected themselves.
struct Nowhere;

impl Whereabouts for Nowhere {
    fn find(&self, _: Vec<Arc<str>>) -> Looking {
        Box::pin(std::future::ready(Vec::new()))
    }
}

fn settings(directory: &tempfile::TempDir) -> Settings {
    Settings {
        path: directory.path().join("commands.db"),
        keep: Duration::from_secs(3600),
        keep_max: 1000,
        ttl_max: Duration::from_secs(3600),
        per_device_max: 64,
        open_max: 100,
        open_bytes_max: 1 << 20,
        resend: Duration::from_millis(200),
    }
}

fn start(directory: &tempfile::TempDir) -> (Commands, JoinHandle<()>) {
    open(settings(directory), Pulse::new("commands"), Nowhere, &Arc::new(Metrics::new())).unwrap()
}

fn wish(device: &str, delivery: Delivery) -> Wish {
    Wish {
        device: device.into(),
        name: "open".into(),
        arguments: None,
        delivery,
        ttl: Duration::from_secs(3600),
        by: "ana".into(),
    }
}

async fn command(line: &mut Line) -> wire::Command {
    match line.next().await.unwrap() {
        Errand::Command(command) => command,
        other => panic!("{other:?} instead of a command"),
    }
}

async fn until(commands: &Commands, id: u64, state: State) -> Command {
    loop {
        let command = commands.get(id).await.unwrap().unwrap();
        if command.state == state {
            return command;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn client(name: &str) -> Carrier {
    Carrier::Client(name.into())
}

#[tokio::test]
async fn sent_is_in_the_file_before_a_command_is_handed_over() {
    let directory = tempfile::tempdir().unwrap();
    let (commands, _thread) = start(&directory);
    let mut line = commands.line(client("pump"), false);
    let id = commands.create(wish("pump", Delivery::AtMostOnce)).await.unwrap().id;
    assert_eq!(command(&mut line).await.id, id);
    let file = rusqlite::Connection::open(directory.path().join("commands.db")).unwrap();
    let state = "SELECT state FROM command WHERE id=?1";
    let state: i64 = file.query_row(state, [id.cast_signed()], |row| row.get(0)).unwrap();
    assert_eq!(state, State::Sent as i64);
}

#[tokio::test]
async fn what_is_not_heard_of_is_sent_again_if_it_may_be() {
    let directory = tempfile::tempdir().unwrap();
    let (commands, thread) = start(&directory);
    let mut line = commands.line(client("pump"), false);
    let once = commands.create(wish("pump", Delivery::AtMostOnce)).await.unwrap().id;
    let again = commands.create(wish("pump", Delivery::AtLeastOnce)).await.unwrap().id;
    assert_eq!(command(&mut line).await.id, once);
    for _ in 0..3 {
        assert_eq!(command(&mut line).await.id, again, "nothing is heard of it");
    }
    drop(line);
    let mut line = commands.line(client("pump"), false);
    assert_eq!(command(&mut line).await.id, again);
    line.answered(wire::CommandResult { id: again, ok: true, ..wire::CommandResult::default() });
    assert!(until(&commands, again, State::Acknowledged).await.attempts >= 4);
    assert_eq!(commands.get(once).await.unwrap().unwrap().attempts, 1);
    drop((commands, line));
    thread.join().unwrap();
}

/// Writes fail as long as it lives.
fn locked(directory: &tempfile::TempDir) -> rusqlite::Connection {
    let file = rusqlite::Connection::open(directory.path().join("commands.db")).unwrap();
    file.execute_batch("BEGIN IMMEDIATE").unwrap();
    file
}

#[tokio::test]
async fn what_can_not_be_written_down_is_not_promised_and_not_handed_over() {
    let directory = tempfile::tempdir().unwrap();
    let (commands, _thread) = start(&directory);
    let waiting = commands.create(wish("pump", Delivery::AtMostOnce)).await.unwrap().id;
    let mut line = commands.line(client("valve"), false);
    let sent = commands.create(wish("valve", Delivery::AtMostOnce)).await.unwrap().id;
    assert_eq!(command(&mut line).await.id, sent);
    let lock = locked(&directory);
    // SQLite waits five seconds for the other writer.
    let refused = commands.create(wish("pump", Delivery::AtMostOnce)).await;
    assert!(matches!(refused, Err(CommandsError::Store(_))), "{refused:?}");
    let mut pump = commands.line(client("pump"), false);
    line.answered(wire::CommandResult { id: sent, ok: true, ..wire::CommandResult::default() });
    // It is over for who asks, and will be for the file.
    until(&commands, sent, State::Acknowledged).await;
    assert!(pump.ready().is_none(), "it would have been handed over and not written down");
    drop(lock);
    assert_eq!(command(&mut pump).await.id, waiting);
    let file = rusqlite::Connection::open(directory.path().join("commands.db")).unwrap();
    let state = "SELECT state FROM command WHERE id=?1";
    loop {
        let found: i64 = file.query_row(state, [sent.cast_signed()], |row| row.get(0)).unwrap();
        if found == State::Acknowledged as i64 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn ids_never_come_twice_even_if_the_file_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let (commands, thread) = start(&directory);
    let first = commands.create(wish("pump", Delivery::AtMostOnce)).await.unwrap().id;
    drop(commands);
    thread.join().unwrap();
    let seconds = u64::try_from(crate::clock::now().0 / crate::model::NANOS_PER_SECOND).unwrap();
    assert!(first <= seconds && seconds - first < 60);
    let (commands, _thread) = start(&directory);
    assert!(commands.create(wish("pump", Delivery::AtMostOnce)).await.unwrap().id > first);
}

#[tokio::test]
async fn a_bridge_is_asked_before() {
    use crate::commands::{Reply, Via};
    struct At(Carrier);
    impl Whereabouts for At {
        fn find(&self, devices: Vec<Arc<str>>) -> Looking {
            let carrier = self.0.clone();
            let found = devices.into_iter().map(move |device| (device, carrier.clone()));
            Box::pin(std::future::ready(found.collect()))
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let carrier = Carrier::Bridge("mqtt:site".into());
    let metrics = Arc::new(Metrics::new());
    let (commands, _thread) =
        open(settings(&directory), Pulse::new("commands"), At(carrier.clone()), &metrics).unwrap();
    let mut line = commands.line(carrier, true);
    let id = commands.create(wish("lamp", Delivery::AtMostOnce)).await.unwrap().id;
    let asked = async |line: &mut Line| match line.next().await.unwrap() {
        Errand::Ask(command) => command.id,
        other => panic!("{other:?} instead of a question"),
    };
    assert_eq!(asked(&mut line).await, id);
    line.reply(id, Reply::Later("it sleeps".into()));
    // It is asked again until it can be.
    assert_eq!(asked(&mut line).await, id);
    let waiting = commands.get(id).await.unwrap().unwrap();
    assert_eq!((waiting.state, &*waiting.message), (State::Queued, "it sleeps"));
    line.reply(id, Reply::Can(Via::Mqtt));
    assert_eq!(command(&mut line).await.id, id);
    assert_eq!(until(&commands, id, State::Sent).await.via, Some(Via::Mqtt));
    let other = commands.create(wish("lamp", Delivery::AtMostOnce)).await.unwrap().id;
    assert_eq!(asked(&mut line).await, other);
    line.reply(other, Reply::Never("it has no lamp".into()));
    assert_eq!(until(&commands, other, State::Failed).await.attempts, 0);
}

#[tokio::test]
async fn no_more_are_taken_than_may_be_open() {
    let directory = tempfile::tempdir().unwrap();
    let (commands, _thread) = start(&directory);
    for n in 0..100 {
        commands.create(wish(&format!("pump-{n}"), Delivery::AtMostOnce)).await.unwrap();
    }
    let full = commands.create(wish("pump", Delivery::AtMostOnce)).await;
    assert!(matches!(full, Err(CommandsError::Full(Full::All))), "{full:?}");
    assert_eq!(commands.view().stats().queued, 100);
}

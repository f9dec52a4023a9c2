//! State directories of released versions: opened by this daemon with everything in them, and refused
//! untouched where a newer release wrote any file.

use crate::daemon::{Daemon, files};
use crate::receiver::Endpoint;
use crate::store::{Reaction, Store};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What `tests/fixtures/state-0.1/make` wrote.
const RELEASED: &str = "tests/fixtures/state-0.1/state";
/// Readings of pump-7: of four metrics, then of one.
const BOTH: usize = 200;
const LATER: usize = 10;

/// A copy that may be changed.
fn copy_of(released: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for (path, bytes) in contents(Path::new(released)) {
        let to = copy.path().join(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, bytes).unwrap();
    }
    copy
}

/// Every file below a directory.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false => {
                    let name = path.strip_prefix(directory).unwrap().to_owned();
                    found.insert(name, fs::read(path).unwrap());
                }
            }
        }
    }
    found
}

/// What the copy is opened with: the settings of the maker, at other addresses.
fn settings(store: &Store, endpoint: &Endpoint) -> Vec<String> {
    let mut settings: Vec<String> = [
        "spool.segment_size=64 KiB",
        "spool.size_max=64 MiB",
        "history.retention=0 d",
        "sinks.dead_letters_age_max=0 d",
        "sinks.influx.0.bucket=plant",
        "sinks.influx.0.batch_age=20 ms",
        "quarantine.age_max=0 d",
        "alerting.keep=0 d",
        "alerting.forget_after=36500 d",
        "alerts.0.name=motor hot",
        "alerts.0.kind=threshold",
        "alerts.0.metric=motor.temperature",
        "alerts.0.above=80",
        "alerts.0.severity=critical",
        "commands.keep=36500 d",
        "commands.ttl_max=36500 d",
        "notify.group_wait=100 ms",
        "notify.group_interval=100 ms",
        "notify.give_up_after=36500 d",
        "notify.webhook.0.name=ops",
    ]
    .map(str::to_owned)
    .into();
    settings.push(format!("sinks.influx.0.url={}", store.url()));
    settings.push(format!("notify.webhook.0.url={}", endpoint.url()));
    #[cfg(feature = "mqtt")]
    for setting in [
        "url=mqtt://127.0.0.1:9",
        "name=site",
        "routes.0.topic=plant/{device}/{metric}",
        "routes.0.decoder=scalar",
    ] {
        settings.push(format!("intake.mqtt.0.{setting}"));
    }
    settings
}

/// Values of one of pump-7's metrics.
fn values(daemon: &Daemon, metric: &str, count: usize) -> Vec<Value> {
    let (from, to) = (1_793_000_000_000_000_000_u64, 1_793_001_000_000_000_000_u64);
    let path = format!("/api/v1/query?device=pump-7&metric={metric}&from={from}&to={to}");
    let answer = daemon.eventually(&path, |answer| {
        answer["value"].as_array().is_some_and(|values| values.len() == count)
    });
    answer["value"].as_array().unwrap().clone()
}

#[test]
fn a_state_directory_of_version_0_1_is_opened_with_everything_in_it() {
    let (store, endpoint) = (Store::start(|_| Reaction::stored()), Endpoint::start());
    let settings = settings(&store, &endpoint);
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    let mut daemon = Daemon::start_in(copy_of(RELEASED), &settings);

    let temperatures = values(&daemon, "motor.temperature", BOTH + LATER);
    assert_eq!((&temperatures[0], &temperatures[209]), (&json!(20.0), &json!(72.25)));
    assert_eq!(values(&daemon, "starts", BOTH)[199], 199);
    assert_eq!(values(&daemon, "running", BOTH)[1], false);
    assert_eq!(values(&daemon, "state", BOTH)[199], "step 19");
    // What the store had not got was in the spool.
    let stored = store.wait(|_, stored| stored.len() == LATER);
    assert!(stored[0].line.contains("temperature=70"), "{stored:?}");
    let ledger = daemon.json("/api/v1/ledger?client=gateway-1");
    assert_eq!(ledger["clients"][0]["samples"], 4 * BOTH + 2 + LATER);

    let letters = daemon.json("/api/v1/dead-letters");
    assert_eq!(letters["letters"][0]["device"], "pump-8");
    let letter = daemon.json("/api/v1/dead-letters/1");
    assert_eq!(letter["readings"][0]["values"], json!({ "poison": 1.5 }));

    let alerts = daemon.json("/api/v1/alerts?state=all&rule=motor%20hot");
    let told = |alert: &Value| (alert["device"].clone(), alert["state"].clone());
    let told: Vec<_> = alerts["alerts"].as_array().unwrap().iter().map(told).collect();
    let of = |device: &str, state: &str| (json!(device), json!(state));
    assert_eq!(told, [of("pump-10", "resolved"), of("pump-9", "acknowledged")]);
    assert_eq!(alerts["alerts"][1]["acknowledged"]["by"], "ana");
    let (_, rules) = daemon.get("/api/v1/rules");
    assert!(rules.contains("motor cold"), "{rules}");
    // Nobody had taken it.
    let message = endpoint.taken();
    assert!(message.raw.contains("motor hot"), "{}", message.raw);

    let commands = daemon.json("/api/v1/devices/pump-7/commands");
    assert_eq!(commands["commands"][0]["name"], "restart");
    assert_eq!(commands["commands"][0]["arguments"], json!({ "after_s": 5 }));
    let desired = daemon.json("/api/v1/devices/pump-7/desired");
    assert_eq!(desired["document"], json!({ "interval_s": 10 }));
    let device = daemon.json("/api/v1/devices/pump-7");
    assert_eq!(device["operator_labels"], json!({ "hall": "3" }));
    assert_eq!(daemon.json("/api/v1/boards/pumps")["name"], "Pumps");
    #[cfg(feature = "mqtt")]
    {
        let quarantine = daemon.json("/api/v1/quarantine");
        assert_eq!(quarantine["messages"][0]["topic"], "plant/pump-13/level");
    }
    assert_eq!(files(daemon.state_dir.path(), "damaged-1"), Vec::<PathBuf>::new());

    let busy = tell(&daemon, &["history", "migrate"]);
    assert!(said(&busy).contains("in use by another process"), "{}", said(&busy));
    daemon.stop_and_audit();
    // A file that is made and that nobody knows the version of would be overlooked by an upgrade.
    let all = tell(&daemon, &["history", "migrate", "--dry-run"]);
    let tables = files(daemon.state_dir.path(), "db");
    assert!(all.status.success() && tables.len() >= 8, "{}", said(&all));
    for file in tables {
        let line = format!("{}: version ", file.display());
        assert!(said(&all).contains(&line), "{line} is not in {}", said(&all));
    }
}

#[test]
fn where_nothing_is_to_be_done_a_migration_says_so_and_changes_nothing() {
    let copy = copy_of(RELEASED);
    let before = contents(copy.path());
    for dry in [&["--dry-run"][..], &[]] {
        for (of, files) in [("spool", 3), ("history", 7)] {
            let output = run(copy.path(), &[&[of, "migrate"], dry].concat());
            let lines = said(&output).lines().filter(|it| it.contains("nothing to do")).count();
            assert!(output.status.success() && lines >= files, "{of}: {}", said(&output));
        }
        let mut after = contents(copy.path());
        after.remove(Path::new("spool/lock"));
        assert!(after == before, "{:?}", after.keys());
    }
    let empty = tempfile::tempdir().unwrap();
    assert!(said(&run(empty.path(), &["history", "migrate"])).contains("not there yet"));
    assert!(said(&run(empty.path(), &["spool", "migrate"])).contains("nothing is there yet"));
}

/// A command on a state directory without a daemon; one that goes on and on ends with code 124.
fn run(state_dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    let (name, rest) = arguments.split_first().unwrap();
    command.arg("30").arg(env!("CARGO_BIN_EXE_tidegate")).args([name, "--state-dir"]);
    command.arg(state_dir).args(["--listen", "127.0.0.1:0"]).args(rest).output().unwrap()
}

/// Makes a file one of the next version; gives the version that it had.
fn from_the_future(path: &Path) -> u32 {
    let mut bytes = fs::read(path).unwrap();
    let spool = bytes.starts_with(b"TIDESPL\n");
    // SQLite's user_version is at byte 60, big-endian.
    let (at, version) = match spool {
        true => (8, u32::from_le_bytes(bytes[8..12].try_into().unwrap())),
        false => (60, u32::from_be_bytes(bytes[60..64].try_into().unwrap())),
    };
    let next = version + 1;
    let next = if spool { next.to_le_bytes() } else { next.to_be_bytes() };
    bytes[at..at + 4].copy_from_slice(&next);
    if spool {
        let checksum = crc32c::crc32c(&bytes[..60]).to_le_bytes();
        bytes[60..64].copy_from_slice(&checksum);
    }
    fs::write(path, bytes).unwrap();
    version
}

#[test]
fn a_file_of_a_newer_release_is_refused_and_nothing_is_changed() {
    let released = Path::new(RELEASED);
    let mut all = files(released, "db");
    all.extend(files(&released.join("spool"), "seg"));
    all.push(released.join("spool/identity"));
    if cfg!(not(feature = "mqtt")) {
        all.retain(|path| !path.ends_with("mqtt.db"));
    }
    assert!(all.len() >= 10, "{all:?}");
    for path in all {
        let copy = copy_of(RELEASED);
        let path = copy.path().join(path.strip_prefix(released).unwrap());
        let version = from_the_future(&path);
        let before = contents(copy.path());
        let of = if path.ends_with("identity") || path.extension().unwrap() == "seg" {
            "spool"
        } else {
            "history"
        };
        for arguments in [&["run"][..], &[of, "migrate"], &[of, "migrate", "--dry-run"]] {
            let output = run(copy.path(), arguments);
            let sentence = format!(
                "{} has format version {}, this tidegate knows up to {version}: a newer release wrote it",
                path.display(),
                version + 1
            );
            let said = said(&output);
            assert!(said.contains(&sentence), "{arguments:?}: {said}");
            assert_eq!(output.status.code(), Some(65), "{arguments:?}: {said}");
            let mut after = contents(copy.path());
            // The commands that change something hold it.
            after.remove(Path::new("spool/lock"));
            assert!(after == before, "{arguments:?} changed something: {:?}", after.keys());
        }
    }
}

fn tell(daemon: &Daemon, arguments: &[&str]) -> Output {
    let (command, rest) = arguments.split_first().unwrap();
    daemon.command(command).args(rest).output().unwrap()
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

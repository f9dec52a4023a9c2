//! Files into the daemon and out of it, by the commands, whoever is killed meanwhile.

use crate::daemon::{Daemon, PATIENCE};
use crate::export::{nasty, send};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tidegate::clock;

const MOMENT: Duration = Duration::from_millis(1);

/// A command of the client's, at this address.
fn command(name: &str, at: SocketAddr) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args([name, "--url", &format!("http://{at}")]);
    command
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn export(daemon: &Daemon, format: &str, file: &Path, more: &[&str]) {
    let mut command = command("export", daemon.address);
    command.args(["--format", format, "--output"]).arg(file).args(more);
    let output = run(&mut command);
    assert!(output.status.success(), "{}", said(&output));
}

fn import(daemon: &Daemon, file: &Path, more: &[&str]) -> Output {
    run(command("import", daemon.address).arg(file).args(more))
}

/// How many samples ever entered.
fn accepted(daemon: &Daemon) -> u64 {
    daemon.json("/api/v1/status")["ledger"]["accepted"].as_u64().unwrap()
}

#[test]
fn each_form_goes_from_one_daemon_into_another_and_out_again_as_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let first = Daemon::start(&[]);
    send(&first, &nasty(clock::now().0));
    let to = clock::now().0.to_string();
    for (format, name) in [("ndjson", "a.ndjson"), ("csv", "a.csv"), ("lines", "a.lp")] {
        let (told, again) = (at(name), at(&format!("again.{name}")));
        export(&first, format, &told, &["--to", &to]);
        assert!(
            !at(&format!("{name}.part")).exists() && !at(&format!("{name}.part.json")).exists()
        );
        let second = Daemon::start(&[]);
        let output = import(&second, &told, &[]);
        assert!(output.status.success(), "{format}: {}", said(&output));
        assert!(said(&output).contains(" 0 faulty records"), "{}", said(&output));
        export(&second, format, &again, &["--to", &to]);
        assert_eq!(
            String::from_utf8_lossy(&std::fs::read(&again).unwrap()),
            String::from_utf8_lossy(&std::fs::read(&told).unwrap()),
            "{format}"
        );
        // Once is enough: the second time nothing is sent.
        let count = accepted(&second);
        let output = import(&second, &told, &[]);
        assert!(
            output.status.success() && said(&output).contains("imported before"),
            "{}",
            said(&output)
        );
        assert_eq!(accepted(&second), count);
        // What is imported is of the past: it is in no live window.
        let live = second.json("/api/v1/live/poll?wait_s=0").to_string();
        assert!(!live.contains("motor.temperature"), "{live}");
    }
    // A file that is there already is nobody's to overwrite.
    let mut command = command("export", first.address);
    let output = run(command.arg("--output").arg(at("a.csv")));
    assert_eq!(output.status.code(), Some(64), "{}", said(&output));
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_is_read_by_pyarrow_as_the_same_samples() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let daemon = Daemon::start(&[]);
    let now = clock::now().0;
    send(&daemon, &nasty(now));
    // More than a row group.
    for part in 0..14 {
        let mut lines = String::new();
        for row in 0..10_000_i64 {
            let time = now - 600_000_000_000 - (part * 10_000 + row) * 1_000_003;
            lines +=
                &format!("{{\"device\":\"fast\",\"time\":{time},\"values\":{{\"t\":{row}.25}}}}\n");
        }
        send(&daemon, &lines);
    }
    let to = clock::now().0.to_string();
    export(&daemon, "parquet", &at("a.parquet"), &["--to", &to]);
    export(&daemon, "ndjson", &at("a.ndjson"), &["--to", &to]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(root.join(".venv-neighbours/bin/python"))
        .arg(root.join("tests/neighbours/parquet.py"))
        .args([at("a.parquet"), at("a.ndjson")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("140270 samples are the same, in 2 row groups"), "{told}");
}

/// A network that cuts connections, or stalls, after so many bytes of the answer; only the first so many
/// connections.
struct Wire {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

#[derive(Clone, Copy)]
enum Trouble {
    Cut,
    Stall,
}

fn wire(to: SocketAddr, trouble: Trouble, after: usize, troubled: usize) -> Wire {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let number = counted.fetch_add(1, Ordering::SeqCst);
            std::thread::spawn(move || {
                pass(client, to, (number < troubled).then_some((trouble, after)))
            });
        }
    });
    Wire { address, connections }
}

/// Passes one request on, and its answer back. Whoever is gone ends it.
fn pass(mut client: TcpStream, to: SocketAddr, trouble: Option<(Trouble, usize)>) -> Option<()> {
    let mut server = TcpStream::connect(to).ok()?;
    let (mut from, mut into) = (client.try_clone().ok()?, server.try_clone().ok()?);
    std::thread::spawn(move || std::io::copy(&mut from, &mut into).map(drop).unwrap_or_default());
    let (mut buffer, mut passed) = ([0; 1000], 0);
    loop {
        let read = server.read(&mut buffer).ok().filter(|read| *read > 0)?;
        client.write_all(&buffer[..read]).ok()?;
        passed += read;
        match trouble {
            Some((Trouble::Cut, after)) if passed >= after => {
                return client.shutdown(std::net::Shutdown::Both).ok();
            }
            Some((Trouble::Stall, after)) if passed >= after => {
                std::thread::sleep(PATIENCE);
                return None;
            }
            _ => {}
        }
    }
}

/// A network that lets a request through when it is told so.
struct Gate {
    address: SocketAddr,
    /// How many more it lets through.
    open_for: Arc<AtomicUsize>,
}

fn gate(to: SocketAddr) -> Gate {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let open_for = Arc::new(AtomicUsize::new(0));
    let left = open_for.clone();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let take = |left: usize| left.checked_sub(1);
            while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_err() {
                std::thread::sleep(MOMENT);
            }
            std::thread::spawn(move || pass(client, to, None));
        }
    });
    Gate { address, open_for }
}

/// Rows whose texts have line feeds and quotes in them: so that an end of a line is not that of a record.
fn rows(daemon: &Daemon, count: i64) {
    let now = clock::now().0;
    let mut lines = String::new();
    for row in 0..count {
        let line = json!({"device": format!("d\"{}", row % 7), "time": now - row * 1_000_000,
            "values": {"t": row as f64 / 8.0, "state": format!("a\r\nb \"{row}\", c")}});
        lines += &format!("{line}\n");
    }
    send(daemon, &lines);
}

#[test]
fn an_export_over_a_bad_network_is_the_same_in_the_end() {
    let daemon = Daemon::start(&[]);
    rows(&daemon, 1500);
    let folder = tempfile::tempdir().unwrap();
    let to = clock::now().0.to_string();
    for format in ["ndjson", "csv", "lines", "parquet"] {
        let (whole, pieces) =
            (folder.path().join(format), folder.path().join(format!("{format}.2")));
        export(&daemon, format, &whole, &["--to", &to]);
        let whole = std::fs::read(whole).unwrap();
        let wire = wire(daemon.address, Trouble::Cut, whole.len() / 5, 3);
        let mut command = command("export", wire.address);
        command.args(["--to", &to, "--format", format]);
        let output = run(command.arg("--output").arg(&pieces));
        assert!(output.status.success(), "{format}: {}", said(&output));
        assert!(said(&output).contains("going on in"), "{}", said(&output));
        assert_eq!(wire.connections.load(Ordering::SeqCst), 4);
        assert!(std::fs::read(&pieces).unwrap() == whole, "{format} is another file");
        if format != "parquet" {
            let wire = self::wire(daemon.address, Trouble::Cut, whole.len() / 5, 3);
            let mut command = self::command("export", wire.address);
            let output = run(command.args(["--to", &to, "--format", format]));
            assert!(
                output.status.success() && output.stdout == whole,
                "{format}: {}",
                said(&output)
            );
        }
    }
}

/// Waits until a file has so many bytes.
fn until_bytes(file: &Path, bytes: u64) {
    let deadline = clock::monotonic() + PATIENCE;
    while std::fs::metadata(file).map_or(0, |file| file.len()) < bytes {
        assert!(clock::monotonic() < deadline, "{} does not grow", file.display());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

fn with(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[test]
fn an_export_that_was_killed_is_gone_on_with_and_only_by_the_same_command() {
    let daemon = Daemon::start(&[]);
    rows(&daemon, 1500);
    let folder = tempfile::tempdir().unwrap();
    for format in ["ndjson", "csv", "lines"] {
        let to = clock::now().0.to_string();
        let (whole, file) = (folder.path().join(format), folder.path().join(format!("{format}.2")));
        export(&daemon, format, &whole, &["--to", &to]);
        let whole = std::fs::read(whole).unwrap();
        let wire = wire(daemon.address, Trouble::Stall, whole.len() / 2, 1);
        let mut command = command("export", wire.address);
        command.args(["--to", &to, "--format", format]).arg("--output").arg(&file);
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let part = with(&file, ".part");
        until_bytes(&part, whole.len() as u64 / 3);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!file.exists());
        // What the disk had of it when the machine stopped may end anywhere.
        let torn = std::fs::read(&part).unwrap();
        std::fs::write(&part, &torn[..torn.len() - torn.len() % 100 - 1]).unwrap();
        let mut other = self::command("export", daemon.address);
        other.args(["--to", &to, "--device", "d*", "--format", format]).arg("--output").arg(&file);
        let output = run(&mut other);
        assert!(
            !output.status.success() && said(&output).contains("another export"),
            "{}",
            said(&output)
        );
        export(&daemon, format, &file, &["--to", &to]);
        assert!(std::fs::read(&file).unwrap() == whole, "{format} is another file");
    }
}

#[test]
fn faulty_records_are_told_by_file_and_line_and_the_others_enter() {
    let daemon = Daemon::start(&["limits.age_max=30 d"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.jsonl");
    let now = clock::now().0;
    let mut lines = String::new();
    // More than one answer would tell of, in the middle of good ones.
    for row in 0..1000_i64 {
        lines += &match row {
            300..600 => format!(
                "{{\"device\":\"d\",\"time\":{},\"values\":{{\"t\":1}}}}\n",
                now - 40 * 86_400_000_000_000
            ),
            700 => "no JSON\u{7}\n".to_owned(),
            _ => format!(
                "{{\"device\":\"d\",\"time\":{},\"values\":{{\"t\":{row}}}}}\n",
                now - row * 1000
            ),
        };
    }
    std::fs::write(&file, lines).unwrap();
    let output = import(&daemon, &file, &[]);
    let told = said(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let at = |line: usize| format!("{}:{line}: ", file.display());
    for line in 301..=600 {
        let found = told.lines().find(|told| told.starts_with(&at(line)));
        assert!(found.is_some_and(|told| told.contains("older")), "{line}: {told}");
    }
    assert!(
        told.contains(&at(701)) && !told.contains(&at(300)) && !told.contains(&at(601)),
        "{told}"
    );
    assert!(told.contains("699 samples entered, 301 faulty records"), "{told}");
    assert_eq!(accepted(&daemon), 699);
    let output = import(&daemon, &file, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!(accepted(&daemon), 699);
    // Another file under its name is not gone on with.
    std::fs::write(&file, "{\"device\":\"d\",\"values\":{\"t\":1}}\n").unwrap();
    let output = import(&daemon, &file, &[]);
    assert_eq!(output.status.code(), Some(64), "{}", said(&output));
    // One is not told as many.
    let file = folder.path().join("two.ndjson");
    std::fs::write(&file, "{\"device\":\"d\",\"values\":{\"t\":1}}\nnonsense\n").unwrap();
    let told = said(&import(&daemon, &file, &[]));
    assert!(told.contains("1 sample entered, 1 faulty record\n"), "{told}");
    assert!(told.contains("1 faulty record did not enter"), "{told}");
}

#[test]
fn a_plain_table_enters_as_its_flags_say() {
    let daemon = Daemon::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plant.csv");
    let now = clock::now().0 / 1_000_000_000;
    let table = format!(
        "\u{feff}when;machine;hall;level;starts;note\n{};p1;north;7,5;3;x\n{};p1;north;8;4;\"a;b\"\n{};p1;north;9;4\n",
        now - 3,
        now - 2,
        now - 1
    );
    std::fs::write(&file, table).unwrap();
    let output = import(
        &daemon,
        &file,
        &[
            "--delimiter",
            ";",
            "--time-column",
            "when",
            "--time-unit",
            "s",
            "--device-column",
            "machine",
            "--tag-column",
            "hall",
            "--skip-column",
            "note",
            "--type",
            "starts=int",
            "--prefix",
            "plant.",
        ],
    );
    let told = said(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("plant.csv:4: 5 cells where the header has 6"), "{told}");
    let body = daemon.get("/api/v1/export").1;
    let lines: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let values: Vec<_> = lines.iter().map(|line| line["values"].clone()).collect();
    // A comma in a number makes it a text: which of both it is, nobody knows.
    let expected = [
        json!({"plant.level": "7,5"}),
        json!({"plant.level": 8.0}),
        json!({"plant.starts": 3}),
        json!({"plant.starts": 4}),
    ];
    assert_eq!(values, expected);
    assert_eq!(
        (&lines[0]["tags"], &lines[0]["time"]),
        (&json!({"hall": "north"}), &json!((now - 3) * 1_000_000_000))
    );
    for (flags, why) in [
        (&["--time-column", "zeit"][..], "no column \"zeit\""),
        (&["--type", "a=double"], "--type is"),
        (&["--delimiter", "ö"], "--delimiter is"),
    ] {
        let other = folder.path().join("other.csv");
        std::fs::write(&other, "a,b\n1,2\n").unwrap();
        let output = import(&daemon, &other, flags);
        assert_eq!(output.status.code(), Some(64), "{}", said(&output));
        assert!(said(&output).contains(why), "{}", said(&output));
    }
    let output = import(&daemon, &folder.path().join("plant.csv.import.json"), &[]);
    assert!(said(&output).contains("say --format"), "{}", said(&output));
}

#[test]
fn an_import_through_kill_nine_of_both_sides_enters_once() {
    let mut daemon = Daemon::start(&["history.flush_interval=500 ms"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("big.lp");
    let now = clock::now().0;
    let (mut lines, count) = (String::new(), 60_000_i64);
    for row in 0..count {
        lines += &format!("m,device=d{} t={}.5 {}\n", row % 50, row, now - 1 - row * 1_000);
    }
    std::fs::write(&file, &lines).unwrap();
    // However long we stand still, the import is not over before it was killed.
    let gate = gate(daemon.address);
    let start = || -> Child {
        let mut command = command("import", gate.address);
        command.arg(&file).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let state = with(&file, ".import.json");
    let offset = || {
        let state: Value = std::fs::read(&state)
            .map_or(Value::Null, |json| serde_json::from_slice(&json).unwrap());
        state["offset"].as_u64().unwrap_or(0)
    };
    let (mut kills, mut child) = (0, start());
    let deadline = clock::monotonic() + 2 * PATIENCE;
    loop {
        let before = offset();
        let until = clock::monotonic() + Duration::from_millis(rand::random_range(5..120));
        // After some of it, wherever it is then; each third time in any case after a while.
        let is_enough = || offset() > before || kills % 3 == 2;
        let mut let_through = 0;
        while child.try_wait().unwrap().is_none() && !(clock::monotonic() > until && is_enough()) {
            if (let_through < 3 || !is_enough())
                && gate.open_for.compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst).is_ok()
            {
                let_through += 1;
            }
            assert!(clock::monotonic() < deadline, "the import makes no way: {before}");
            std::thread::sleep(MOMENT);
        }
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            break;
        }
        if kills % 3 == 0 {
            daemon.kill();
            daemon.restart();
        }
        if kills % 3 != 1 || kills > 12 {
            child.kill().unwrap();
            child.wait().unwrap();
            child = start();
        }
        kills += 1;
    }
    assert!(kills >= 3, "it was over before it was killed");
    assert_eq!(accepted(&daemon), count as u64, "after {kills} kills");
    let body = daemon.get("/api/v1/export?format=lines").1;
    let mut told: Vec<_> = body.lines().collect();
    let mut expected: Vec<_> = lines.lines().collect();
    told.sort_unstable();
    expected.sort_unstable();
    assert!(told == expected, "{} lines, {} expected", told.len(), expected.len());
    daemon.stop_and_audit();
}

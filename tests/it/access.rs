//! Who may come: keys shown to the running daemon on every way in, and taken back while they are in use.

use crate::client::{Client, reading};
use crate::daemon::{Daemon, PATIENCE, parsed};
use serde_json::Value as Json;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tidegate::clock;
use tidegate::model::SessionId;
use tidegate::wire::Hello;
use tokio_tungstenite::tungstenite::Message;

pub const INGEST: &str = "/api/v1/ingest/ws";
pub const LIVE: &str = "/api/v1/live/ws";

/// `tidegate token` on a state directory.
fn token(state_dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    // Nobody is there to be asked when keys were used.
    command.args(["token", "--listen", "127.0.0.1:0", "--state-dir"]).arg(state_dir);
    command.args(arguments).env("USER", "ana").env_remove("SUDO_USER").output().unwrap()
}

pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

pub fn issue(state_dir: &Path, arguments: &[&str]) -> String {
    let arguments: Vec<_> = ["issue"].iter().chain(arguments).copied().collect();
    let output = token(state_dir, &arguments);
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout).trim().to_owned()
}

fn revoke(state_dir: &Path, key: &str) {
    let output = token(state_dir, &["revoke", key]);
    assert!(output.status.success(), "{output:?}");
}

fn bearer(key: &str) -> (&'static str, String) {
    ("authorization", format!("Bearer {key}"))
}

/// The status that `GET path` gets with this key.
pub fn status(daemon: &Daemon, path: &str, key: &str) -> u16 {
    ask(daemon, "GET", path, key, b"").0
}

pub fn ask(daemon: &Daemon, method: &str, path: &str, key: &str, body: &[u8]) -> (u16, String) {
    let (name, value) = bearer(key);
    daemon.request(method, path, &[(name, &value), ("content-type", "application/x-ndjson")], body)
}

pub fn json(daemon: &Daemon, path: &str, key: &str) -> Json {
    let (status, body) = ask(daemon, "GET", path, key, b"");
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

pub fn until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = clock::monotonic() + PATIENCE;
    while !is() {
        assert!(clock::monotonic() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn connect(daemon: &Daemon, path: &str, key: &str) -> Result<Client, String> {
    let subprotocol = if path == INGEST { "tidegate.v1" } else { "tidegate.live.v1" };
    let path = format!("{path}?access_token={key}");
    Client::connect_with(daemon, &path, Some(subprotocol)).map(|(client, _)| client)
}

/// The code that a WebSocket is closed with, whatever is said before.
pub fn closed(mut client: Client) -> u16 {
    let deadline = clock::monotonic() + PATIENCE;
    loop {
        assert!(clock::monotonic() < deadline, "it stays open");
        if let Message::Close(frame) = client.socket.read().unwrap() {
            return frame.unwrap().code.into();
        }
    }
}

/// A viewer by SSE, who has the first picture.
pub fn watch(daemon: &Daemon, key: &str) -> impl Iterator<Item = String> + use<> {
    let mut socket = TcpStream::connect(daemon.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let (name, value) = bearer(key);
    let request =
        format!("GET /api/v1/live HTTP/1.1\r\nhost: localhost\r\n{name}: {value}\r\n\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    let mut lines = BufReader::new(socket).lines().map_while(Result::ok);
    lines.find(|line| line.contains("\"type\":\"snapshot\"")).expect("no snapshot came");
    lines
}

#[test]
fn every_way_in_asks_for_a_key_that_is_good_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let gateway = issue(at, &["--name", "gw", "--scope", "ingest", "--device", "*"]);
    let viewer = issue(at, &["--name", "ana", "--scope", "view"]);
    let admin = issue(at, &["--name", "root", "--scope", "admin"]);
    let expired = issue(at, &["--name", "old", "--scope", "admin", "--expires", "1 ms"]);
    let revoked = issue(at, &["--name", "gone", "--scope", "admin"]);
    revoke(at, "gone");
    let forged =
        format!("{}{}", &admin[..admin.len() - 1], if admin.ends_with('A') { 'B' } else { 'A' });
    let daemon = Daemon::start_in(directory, &["auth.failures_max=1000"]);
    let line = b"{\"device\":\"pump-1\",\"values\":{\"t\":1.5}}\n";
    for (key, sends, looks, rules) in [
        ("", 401, 401, 401),
        ("nonsense", 401, 401, 401),
        (&*forged, 401, 401, 401),
        (&expired, 401, 401, 401),
        (&revoked, 401, 401, 401),
        (&gateway, 200, 403, 403),
        (&viewer, 403, 200, 403),
        (&admin, 200, 200, 404),
    ] {
        assert_eq!(ask(&daemon, "POST", "/api/v1/ingest", key, line).0, sends, "{key}");
        for path in ["/api/v1/status", "/api/v1/live/poll", "/metrics", "/api/v1/alerts"] {
            assert_eq!(status(&daemon, path, key), looks, "{path} {key}");
        }
        assert_eq!(ask(&daemon, "DELETE", "/api/v1/rules/none", key, b"").0, rules, "{key}");
        for (path, expected) in [(INGEST, sends), (LIVE, looks)] {
            match connect(&daemon, path, key) {
                Ok(_) => assert_eq!(expected, 200, "{path} {key}"),
                Err(error) => assert!(error.contains(&expected.to_string()), "{path}: {error}"),
            }
        }
        if looks != 200 {
            let (_, head, _) =
                daemon.exchange("GET", &format!("/api/v1/live?access_token={key}"), &[], b"");
            assert!(head.starts_with(&format!("http/1.1 {looks}")), "{head}");
        }
    }
    drop(watch(&daemon, &viewer));
    assert_eq!(daemon.get("/healthz").0, 200);
    assert_eq!(daemon.get("/").0, 200);
    let (_, head, body) = daemon.exchange("GET", "/api/v1/status", &[], b"");
    assert!(head.contains("www-authenticate: bearer realm=\"tidegate\"\r\n"), "{head}");
    assert!(body.contains("log in"), "{body}");
    let (name, value) = bearer(&expired);
    let (_, head, body) = daemon.exchange("GET", "/api/v1/status", &[(name, &value)], b"");
    assert!(head.contains("error=\"invalid_token\""), "{head}");
    assert!(body.contains("has expired"), "{body}");
    let (_, metrics) = ask(&daemon, "GET", "/metrics", &viewer, b"");
    for line in [
        "auth_keys 3",
        "auth_denied_total{reason=\"revoked\"}",
        "auth_denied_total{reason=\"wrong\"}",
    ] {
        assert!(metrics.contains(&format!("tidegate_{line}")), "{line}: {metrics}");
    }
}

#[test]
fn a_key_that_is_revoked_ends_all_that_it_let_in_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().to_owned();
    let gateway = issue(&at, &["--name", "gw", "--scope", "ingest", "--scope", "view"]);
    let other = issue(&at, &["--name", "fan-1", "--scope", "ingest", "--scope", "view"]);
    let daemon = Daemon::start_in(directory, &[]);
    let greet = |key: &str, name: &str| {
        let mut client = connect(&daemon, INGEST, key).unwrap();
        let hello = Hello { client: name.into(), session: SessionId(1), ..Hello::default() };
        client.hello(&hello);
        client
    };
    let (mut sending, mut staying) = (greet(&gateway, "gw"), greet(&other, "fan-1"));
    sending.batch(1, &reading("gw", "t", 1.0));
    sending.acked(1);
    let looking = connect(&daemon, LIVE, &gateway).unwrap();
    let watching = watch(&daemon, &gateway);
    let stays = watch(&daemon, &other);
    assert_eq!(status(&daemon, "/api/v1/live/poll", &gateway), 200);
    let began = clock::monotonic();
    revoke(&at, "gw");
    assert_eq!(sending.closed(), 1008);
    assert_eq!(closed(looking), 1008);
    // The last chunk: the body is complete.
    assert!(watching.into_iter().any(|line| line == "0"), "the stream broke off");
    let took = clock::monotonic() - began;
    assert!(took < PATIENCE, "{took:?}");
    assert_eq!(status(&daemon, "/api/v1/live/poll", &gateway), 401);
    staying.batch(1, &reading("fan-1", "t", 1.0));
    staying.acked(1);
    assert!(stays.into_iter().any(|line| line.contains("fan-1")), "the other's stream ended");
    let again = connect(&daemon, INGEST, &gateway).err();
    assert!(again.is_some_and(|error| error.contains("401")));
}

#[test]
fn the_first_key_ends_what_came_without_one() {
    let daemon = Daemon::start(&[]);
    let (mut client, _) = Client::greet(&daemon, "gw", 1);
    assert_eq!(daemon.get("/api/v1/status").0, 200);
    let forwarded =
        daemon.request("GET", "/api/v1/status", &[("x-forwarded-for", "10.0.0.7")], b"");
    assert_eq!(forwarded.0, 401, "{}", forwarded.1);
    let key = issue(daemon.state_dir.path(), &["--name", "ana", "--scope", "view"]);
    assert_eq!(client.closed(), 1008);
    assert_eq!(daemon.get("/api/v1/status").0, 401);
    assert_eq!(status(&daemon, "/api/v1/status", &key), 200);
}

#[test]
fn a_keys_file_that_breaks_leaves_the_keys_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let key = issue(directory.path(), &["--name", "ana", "--scope", "view"]);
    let mut daemon = Daemon::start_in(directory, &[]);
    let file = daemon.state_dir.path().join("keys.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    // At once: half of what is being written would be another mistake, or none.
    let fresh = file.with_extension("fresh");
    std::fs::write(&fresh, good.replace("\"view\"", "\"root\"")).unwrap();
    std::fs::rename(&fresh, &file).unwrap();
    let line = daemon.wait_for_log("event=keys-refused");
    assert!(line.contains("level=error") && line.contains("must be some of ingest"), "{line}");
    let metrics = || ask(&daemon, "GET", "/metrics", &key, b"").1;
    // It is said first, and then counted.
    until("it is not counted", || metrics().contains("tidegate_auth_files_failed_total 1"));
    let refused = token(daemon.state_dir.path(), &["issue", "--name", "b", "--scope", "view"]);
    assert!(
        !refused.status.success() && text(&refused.stderr).contains("keys.0 (ana)"),
        "{refused:?}"
    );
    // At a start it is refused: nobody can know who may come.
    assert!(daemon.stop().success());
    let run = daemon.command("run").output().unwrap();
    assert!(!run.status.success() && text(&run.stderr).contains("keys.0 (ana): scopes"), "{run:?}");
    let check = daemon.command("check").args(["--offline", "--quiet"]).output().unwrap();
    assert_eq!(check.status.code(), Some(78), "{check:?}");
    std::fs::write(&file, good).unwrap();
    daemon.restart();
    assert_eq!(status(&daemon, "/api/v1/status", &key), 200);
    std::fs::remove_file(&file).unwrap();
    daemon.wait_for_log("event=keys-refused");
    assert_eq!(status(&daemon, "/api/v1/status", &key), 200);
}

#[test]
fn wrong_tokens_are_told_to_wait_and_good_ones_are_taken_from_the_same_address() {
    let directory = tempfile::tempdir().unwrap();
    let key = issue(directory.path(), &["--name", "ana", "--scope", "view"]);
    let mut daemon = Daemon::start_in(directory, &["auth.failures_max=3"]);
    let wrong = || {
        let (name, value) = bearer("guess");
        daemon.exchange("GET", "/api/v1/status", &[(name, &value)], b"")
    };
    // Each wait is longer than the one before, so on a slow machine, too, one is met.
    until("nobody has to wait", || {
        let (status, head, _) = wrong();
        let waits = head.lines().find_map(|line| line.strip_prefix("retry-after: "));
        assert_eq!((status == 429, waits.is_some()), (status != 401, status != 401), "{head}");
        waits.is_some_and(|waits| waits.parse::<u64>().unwrap() >= 1)
    });
    let (_, metrics) = ask(&daemon, "GET", "/metrics", &key, b"");
    assert!(metrics.contains("auth_denied_total{reason=\"too_many_failures\"}"), "{metrics}");
    // A good one came: it begins anew.
    assert_eq!(wrong().0, 401);
    daemon.wait_for_log("event=address-waits");
}

#[test]
fn nobody_listens_to_the_network_with_nothing_to_ask_for() {
    let directory = tempfile::tempdir().unwrap();
    let run = |settings: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(["run", "--listen", "0.0.0.0:0", "--state-dir"]).arg(directory.path());
        command.args(settings).output().unwrap()
    };
    for settings in [&[][..], &["--set", "auth.anonymous=nobody"]] {
        let refused = run(settings);
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains("0.0.0.0:0 is not a loopback address"), "{said}");
        assert!(said.contains("tidegate token issue"), "{said}");
    }
    // With either of these it starts.
    assert!(
        log_until_listening(&directory, &["--set", "auth.anonymous=anywhere"])
            .iter()
            .any(|line| line.contains("level=warn") && line.contains("event=nobody-asked"))
    );
    issue(directory.path(), &["--name", "ana", "--scope", "view"]);
    log_until_listening(&directory, &[]);
}

/// What a daemon logs that listens to the network, until it does.
fn log_until_listening(directory: &tempfile::TempDir, settings: &[&str]) -> Vec<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["run", "--listen", "0.0.0.0:0", "--state-dir"]).arg(directory.path());
    let mut child = command.args(settings).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = Vec::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok) {
        let listens = line.contains("msg=listening");
        lines.push(line);
        if listens {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(lines.iter().any(|line| line.contains("msg=listening")), "{lines:#?}");
    lines
}

#[test]
fn commands_show_the_key_of_this_machine_or_a_token_that_they_are_given() {
    let directory = tempfile::tempdir().unwrap();
    let gateway = issue(directory.path(), &["--name", "gw", "--scope", "ingest"]);
    let viewer =
        issue(directory.path(), &["--name", "ana", "--scope", "view", "--expires", "90 d"]);
    let daemon = Daemon::start_in(directory, &[]);
    let here = daemon.command("status").output().unwrap();
    assert!(here.status.success(), "{here:?}");
    let url = format!("http://{}", daemon.address);
    let file = daemon.state_dir.path().join("token");
    let from_afar = |key: &str| {
        std::fs::write(&file, format!("{key}\n")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(["status", "--url", &url]);
        if !key.is_empty() {
            command.env("TIDEGATE_TOKEN_FILE", &file);
        }
        let output = command.output().unwrap();
        (output.status.code().unwrap(), text(&output.stderr).to_owned())
    };
    assert_eq!(from_afar(&viewer).0, 0);
    let (code, said) = from_afar("");
    assert!(code == 77 && said.contains("tidegate token issue"), "{code} {said}");
    let (code, said) = from_afar("nonsense");
    assert!(code == 77 && said.contains("is not known here"), "{code} {said}");
    let (code, said) = from_afar(&gateway);
    assert!(code == 77 && said.contains("no scope view"), "{code} {said}");

    let listed = daemon.command("token").arg("ls").output().unwrap();
    let table = text(&listed.stdout);
    let is_of = |line: &&str, name: &str| line.split_whitespace().nth(1) == Some(name);
    let row = |name: &str| table.lines().find(|line| is_of(line, name)).unwrap().to_owned();
    assert!(row("gw").contains("ingest") && row("gw").contains("good"), "{table}");
    assert!(row("ana").contains("view") && !row("ana").contains("never"), "{table}");
    let second = issue(daemon.state_dir.path(), &["--name", "ana", "--scope", "view"]);
    let many = token(daemon.state_dir.path(), &["revoke", "ana"]);
    assert!(text(&many.stderr).contains("say which"), "{many:?}");
    let id = second.split('_').nth(1).unwrap();
    revoke(daemon.state_dir.path(), id);
    revoke(daemon.state_dir.path(), "ana");
    until("the key is still good", || from_afar(&viewer).0 == 77);
    let unknown = token(daemon.state_dir.path(), &["revoke", "nobody"]);
    assert_eq!(unknown.status.code(), Some(1), "{unknown:?}");
}

#[test]
fn a_plant_is_simulated_with_a_key_and_not_without() {
    let directory = tempfile::tempdir().unwrap();
    let key = issue(directory.path(), &["--name", "plant", "--scope", "ingest", "--device", "*"]);
    let daemon = Daemon::start_in(directory, &[]);
    let file = daemon.state_dir.path().join("token");
    std::fs::write(&file, key).unwrap();
    let simulate = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(["simulate", "--devices", "2", "--well-behaved", "--for", "2 s", "--url"]);
        command.arg(daemon.ws_url());
        command
    };
    let without = simulate().output().unwrap();
    assert!(!without.status.success(), "{without:?}");
    assert!(text(&without.stderr).contains("does not let this in (status 401)"), "{without:?}");
    let with = simulate().arg("--token-file").arg(&file).output().unwrap();
    assert!(with.status.success(), "{with:?}");
    // The drill speaks as every device and every viewer do.
    let drill = daemon.command("drill").args(["--within", "20 s"]).output().unwrap();
    assert!(drill.status.success(), "{drill:?}");
}

#[test]
fn by_a_name_that_was_pointed_here_nobody_comes_without_a_token() {
    let daemon = Daemon::start(&[]);
    let ask = |host: &str| {
        let mut socket = TcpStream::connect(daemon.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let request =
            format!("GET /api/v1/devices HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        parsed(&answer)
    };
    let port = daemon.address.port();
    for here in [format!("127.0.0.1:{port}"), format!("localhost:{port}"), "[::1]".to_owned()] {
        assert_eq!(ask(&here).0, 200, "{here}");
    }
    let (status, _, body) = ask(&format!("evil.example:{port}"));
    assert_eq!(status, 401, "{body}");
    assert!(body.contains("a name other than localhost"), "{body}");
}

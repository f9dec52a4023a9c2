//! Browsers log in with a token, and are known by a cookie; the trail tells who did what.

use crate::daemon::{Daemon, PATIENCE};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use tidegate::clock;

/// A key of the keys file: its name, its id, and what else its entry says.
struct Key {
    name: &'static str,
    id: &'static str,
    rest: &'static str,
}

const ANA: Key = Key { name: "ana", id: "anaanaan", rest: "scopes = [\"view\", \"command\"]" };
const ADA: Key = Key { name: "ada", id: "adaadaad", rest: "scopes = [\"admin\"]" };
const BEN: Key = Key {
    name: "ben",
    id: "benbenbe",
    rest: "scopes = [\"view\"]\nexpires_at = 2099-01-01T00:00:00Z",
};

impl Key {
    fn token(&self) -> String {
        format!("tgk_{}_{}", self.id, "A".repeat(43))
    }

    fn entry(&self, more: &str) -> String {
        let hash = Sha256::digest(self.token());
        let hash = hash.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        });
        let Key { name, id, rest } = self;
        format!(
            "[[keys]]\nname = \"{name}\"\nid = \"{id}\"\nhash = \"{hash}\"\n{rest}\ndevices = [\"*\"]\n\
             issued_at = 2026-11-21T22:00:00Z\nby = \"root\"\n{more}\n"
        )
    }
}

/// Replaces the keys file, as `tidegate token` does.
fn put_keys(state_dir: &Path, entries: &[String]) {
    let fresh = state_dir.join("keys.toml.fresh");
    std::fs::write(&fresh, entries.concat()).unwrap();
    std::fs::rename(fresh, state_dir.join("keys.toml")).unwrap();
}

/// A daemon that knows these keys.
fn knowing(keys: &[&Key], settings: &[&str]) -> Daemon {
    let state_dir = tempfile::tempdir().unwrap();
    let entries: Vec<_> = keys.iter().map(|key| key.entry("")).collect();
    put_keys(state_dir.path(), &entries);
    Daemon::start_in(state_dir, settings)
}

/// An answer: its status, its head (in small letters), its body.
struct Answer(u16, String, String);

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.2).unwrap_or_else(|_| panic!("{}", self.2))
    }

    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.1.lines().filter_map(|line| line.split_once(':'));
        let mut named = lines.filter(|(its, _)| its.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.trim())
    }

    /// What a browser shows from now on.
    fn cookie(&self) -> String {
        self.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
    }
}

fn ask(daemon: &Daemon, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let (status, head, body) = daemon.exchange(method, path, headers, body.as_bytes());
    Answer(status, head, body)
}

fn log_in(daemon: &Daemon, token: &str) -> Answer {
    ask(daemon, "POST", "/api/v1/session", &[], &json!({ "token": token }).to_string())
}

/// Who the cookie stands for; the status is 200 or 401.
fn who(daemon: &Daemon, cookie: &str) -> Answer {
    ask(daemon, "GET", "/api/v1/session", &[("cookie", cookie)], "")
}

/// Asks again until the cookie stands for nobody.
fn until_nobody(daemon: &Daemon, cookie: &str) {
    let deadline = clock::monotonic() + PATIENCE;
    while who(daemon, cookie).0 != 401 {
        assert!(clock::monotonic() < deadline, "the session goes on");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// A live stream (SSE) that has had its first picture.
struct Live(BufReader<TcpStream>);

impl Live {
    fn open(daemon: &Daemon, cookie: &str) -> Live {
        let mut socket = TcpStream::connect(daemon.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let request =
            format!("GET /api/v1/live HTTP/1.1\r\nhost: localhost\r\ncookie: {cookie}\r\n\r\n");
        socket.write_all(request.as_bytes()).unwrap();
        let mut reader = BufReader::new(socket);
        let mut line = String::new();
        while !line.contains("\"type\":\"snapshot\"") {
            line.clear();
            assert!(reader.read_line(&mut line).unwrap() > 0, "no snapshot came");
        }
        Live(reader)
    }

    /// Waits for the end.
    fn ends(mut self) {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).expect("the stream goes on");
    }
}

fn entries(daemon: &Daemon, cookie: &str, query: &str) -> (Vec<Value>, Value) {
    let path = format!("/api/v1/trail{query}");
    let answer = ask(daemon, "GET", &path, &[("cookie", cookie)], "");
    assert_eq!(answer.0, 200, "{}", answer.2);
    let json = answer.json();
    (json["entries"].as_array().unwrap().clone(), json["next"].clone())
}

/// The trail with a wait for this word: what was done is in it soon after it was answered.
fn until_entry(daemon: &Daemon, cookie: &str, did: &str) -> Value {
    let deadline = clock::monotonic() + PATIENCE;
    loop {
        let (entries, _) = entries(daemon, cookie, "");
        if let Some(entry) = entries.iter().find(|entry| entry["did"] == did) {
            return entry.clone();
        }
        assert!(clock::monotonic() < deadline, "no {did} in {entries:#?}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn a_token_is_shown_once_and_then_a_cookie_stands_for_it() {
    let daemon = knowing(&[&ANA], &[]);
    let asked = ask(&daemon, "GET", "/api/v1/session", &[], "");
    assert_eq!(
        (asked.0, asked.header("www-authenticate")),
        (401, Some("bearer realm=\"tidegate\""))
    );
    let wrong = log_in(&daemon, &ANA.token().replace("AAA", "AAB"));
    assert_eq!((wrong.0, wrong.header("set-cookie")), (401, None), "{}", wrong.2);
    assert!(!wrong.2.contains("tgk_"), "what was shown is not told back: {}", wrong.2);
    for body in ["", "{}", "{\"token\":7}", "[]"] {
        assert_eq!(ask(&daemon, "POST", "/api/v1/session", &[], body).0, 400, "{body}");
    }

    let begun = log_in(&daemon, &ANA.token());
    assert_eq!(begun.0, 200, "{}", begun.2);
    assert_eq!(begun.header("cache-control"), Some("no-store"));
    let cookie = begun.header("set-cookie").unwrap();
    let (value, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(attributes, "path=/; httponly; samesite=strict; max-age=43200");
    let (name, secret) = value.split_once('=').unwrap();
    assert_eq!((name, secret.len()), ("tidegate_session", 64));
    let told = begun.json();
    assert_eq!((&told["name"], &told["how"]), (&json!("ana"), &json!("session")));
    assert_eq!(told["scopes"], json!(["view", "command"]));
    assert_eq!(told["devices"], json!(["*"]));

    let cookie = begun.cookie();
    let again = who(&daemon, &cookie);
    assert_eq!((again.0, again.json()), (200, told));
    assert_eq!(again.header("cache-control"), Some("no-store"));
    let with = [("cookie", cookie.as_str())];
    for (method, path, status) in [
        ("GET", "/api/v1/devices", 200),
        ("GET", "/api/v1/trail", 403),
        ("GET", "/api/v1/keys", 403),
        ("POST", "/api/v1/ingest", 403),
    ] {
        assert_eq!(ask(&daemon, method, path, &with, "").0, status, "{method} {path}");
    }

    // A page of somebody else can do nothing with it, not even log in or out.
    let foreign = [("cookie", cookie.as_str()), ("origin", "http://evil.example")];
    let body = json!({ "token": ANA.token() }).to_string();
    for (method, path, body) in [
        ("POST", "/api/v1/session", body.as_str()),
        ("DELETE", "/api/v1/session", ""),
        ("POST", "/api/v1/devices/pump-1/commands", "{\"name\":\"open\"}"),
    ] {
        let refused = ask(&daemon, method, path, &foreign, body);
        assert_eq!((refused.0, refused.header("set-cookie")), (403, None), "{method} {path}");
    }
    assert_eq!(who(&daemon, &cookie).0, 200);

    // Who logs in again has another cookie, and the old one is none any more.
    let second = ask(&daemon, "POST", "/api/v1/session", &with, &body);
    assert_eq!((who(&daemon, &cookie).0, who(&daemon, &second.cookie()).0), (401, 200));
}

#[test]
fn where_nobody_is_asked_they_are_told_so_and_need_no_session() {
    let daemon = Daemon::start(&[]);
    let told = daemon.json("/api/v1/session");
    assert_eq!(told["how"], "anonymous");
    assert_eq!(told["scopes"], json!(["ingest", "view", "command", "admin"]));
    assert_eq!((&told["devices"], &told["expires_at"]), (&json!(["*"]), &Value::Null));
    let begun = log_in(&daemon, "tgk_whatever");
    assert_eq!((begun.0, begun.header("set-cookie")), (401, None));
    let ended = ask(&daemon, "DELETE", "/api/v1/session", &[], "");
    assert_eq!(ended.0, 204);
    assert!(ended.header("set-cookie").unwrap().contains("max-age=0"));
}

#[test]
fn sessions_outlive_a_crash_and_logging_out_ends_what_is_open() {
    let mut daemon = knowing(&[&ANA], &[]);
    let (first, second) = (log_in(&daemon, &ANA.token()), log_in(&daemon, &ANA.token()));
    let (first, second) = (first.cookie(), second.cookie());
    daemon.kill();
    daemon.restart();
    assert_eq!((who(&daemon, &first).0, who(&daemon, &second).0), (200, 200));

    let (ends, stays) = (Live::open(&daemon, &first), Live::open(&daemon, &second));
    let ended = ask(&daemon, "DELETE", "/api/v1/session", &[("cookie", &first)], "");
    assert_eq!(ended.0, 204);
    let gone = "tidegate_session=; path=/; httponly; samesite=strict; max-age=0";
    assert_eq!(ended.header("set-cookie"), Some(gone));
    ends.ends();
    assert_eq!((who(&daemon, &first).0, who(&daemon, &second).0), (401, 200));
    drop(stays);
    daemon.stop();
    daemon.restart();
    assert_eq!((who(&daemon, &first).0, who(&daemon, &second).0), (401, 200));
}

#[test]
fn a_session_ends_at_its_time() {
    let daemon = knowing(&[&ANA], &["auth.session_length=15 s"]);
    let begun = log_in(&daemon, &ANA.token());
    assert!(begun.header("set-cookie").unwrap().ends_with("max-age=15"));
    let live = Live::open(&daemon, &begun.cookie());
    live.ends();
    until_nobody(&daemon, &begun.cookie());
}

#[test]
fn a_revoked_key_ends_its_sessions_and_no_others() {
    let daemon = knowing(&[&ANA, &ADA], &[]);
    let (ana, ada) = (log_in(&daemon, &ANA.token()), log_in(&daemon, &ADA.token()));
    let (ana, ada) = (ana.cookie(), ada.cookie());
    let live = Live::open(&daemon, &ana);
    let revoked = ANA.entry("revoked_at = 2026-11-21T23:00:00Z");
    put_keys(daemon.state_dir.path(), &[revoked, ADA.entry(""), BEN.entry("")]);
    live.ends();
    until_nobody(&daemon, &ana);
    assert_eq!(who(&daemon, &ada).0, 200);
    assert_eq!(log_in(&daemon, &ANA.token()).0, 401);
    let entry = until_entry(&daemon, &ada, "key-revoked");
    assert!(entry["what"].as_str().unwrap().contains("anaanaan"), "{entry}");
    // Somebody's editor: the file does not say whose.
    assert_eq!((&entry["by"], &entry["how"]), (&json!(""), &json!("local")), "{entry}");
    let entry = until_entry(&daemon, &ada, "key-issued");
    assert_eq!(entry["by"], "root");

    let keys = ask(&daemon, "GET", "/api/v1/keys", &[("cookie", &ada)], "").json();
    let keys = keys["keys"].as_array().unwrap();
    let key = |id: &str| keys.iter().find(|key| key["id"] == id).unwrap();
    assert_eq!(keys.len(), 3);
    assert_eq!(key("anaanaan")["revoked_at"], 1_795_302_000_000_i64);
    let ada = key("adaadaad");
    assert_eq!(
        (&ada["name"], &ada["revoked_at"], &ada["by"]),
        (&json!("ada"), &Value::Null, &json!("root"))
    );
    assert_eq!(ada["scopes"], json!(["ingest", "view", "command", "admin"]));
    assert!(ada["last_used_at"].as_i64().unwrap() > 1_700_000_000_000);
    let ben = key("benbenbe");
    assert_eq!(
        (&ben["last_used_at"], &ben["expires_at"]),
        (&Value::Null, &json!(4_070_908_800_000_i64))
    );
}

#[test]
fn the_trail_tells_who_issued_and_revoked_a_key_by_the_command_line() {
    let mut daemon = knowing(&[&ADA], &[]);
    let cookie = log_in(&daemon, &ADA.token()).cookie();
    let token = |arguments: &[&str]| {
        let mut command = daemon.command("token");
        command.args(arguments).env("USER", "eva").env_remove("SUDO_USER");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    let hand = format!("eva (uid {})", rustix::process::getuid().as_raw());
    token(&["issue", "--name", "gw", "--scope", "ingest"]);
    assert_eq!(until_entry(&daemon, &cookie, "key-issued")["by"], hand);
    token(&["revoke", "gw"]);
    let entry = until_entry(&daemon, &cookie, "key-revoked");
    let told = (&entry["by"], &entry["how"], &entry["address"]);
    assert_eq!(told, (&json!(hand), &json!("local"), &Value::Null), "{entry}");
    let line = daemon.wait_for_log("did=key-revoked");
    assert!(line.contains("key-revoked by eva (uid "), "{line}");
}

#[test]
fn the_trail_tells_who_did_what() {
    let mut daemon = knowing(&[&ADA], &[]);
    let cookie = log_in(&daemon, &ADA.token()).cookie();
    let token = format!("Bearer {}", ADA.token());
    let rule = r#"{"kind":"threshold","metric":["heat"],"above":80}"#;
    let silence = json!({ "until": clock::now().as_millis() + 60_000, "device": ["pump-*"] });
    for (method, path, body, status) in [
        ("PUT", "/api/v1/rules/too%20hot", rule, 201),
        ("PUT", "/api/v1/rules/wrong", "{}", 400),
        ("DELETE", "/api/v1/rules/too%20hot", "", 204),
        ("POST", "/api/v1/devices/pump-1/commands", "{\"name\":\"open\"}", 202),
        ("PUT", "/api/v1/devices/pump-1/desired", "{\"document\":{}}", 200),
        ("POST", "/api/v1/silences", &silence.to_string(), 201),
        ("PATCH", "/api/v1/devices/pump-1", "{\"known\":true}", 404),
        ("POST", "/api/v1/ingest", "", 415),
    ] {
        let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
        let answer = ask(&daemon, method, path, &headers, body);
        assert_eq!(answer.0, status, "{method} {path}: {}", answer.2);
    }
    assert_eq!(log_in(&daemon, "tgk_wrong").0, 401);
    ask(&daemon, "DELETE", "/api/v1/session", &[("cookie", &cookie)], "");

    let cookie = log_in(&daemon, &ADA.token()).cookie();
    let (all, next) = entries(&daemon, &cookie, "?limit=9");
    let told = all.iter().map(|entry| {
        let text = |key: &str| entry[key].as_str().unwrap();
        assert_eq!(entry["address"], "127.0.0.1");
        (text("by"), text("how"), text("did"), text("what").split(" (").next().unwrap())
    });
    let told: Vec<_> = told.collect();
    let expected = [
        ("ada", "key", "login", "key adaadaad"),
        ("ada", "session", "logout", "key adaadaad"),
        ("", "anonymous", "login-failed", "the token is not known here"),
        ("ada", "key", "silence", told[3].3),
        ("ada", "key", "desired", "pump-1"),
        ("ada", "key", "command", "pump-1: open"),
        ("ada", "key", "rule-deleted", "too hot"),
        ("ada", "key", "rule-changed", "too hot"),
        ("ada", "key", "login", "key adaadaad"),
    ];
    assert_eq!(told, expected);
    assert_eq!(next, Value::Null);
    let line = daemon.wait_for_log("event=trail");
    assert!(line.contains("did=login") && line.contains("by=ada"), "{line}");

    // Page by page, and after a restart.
    let (two, next) = entries(&daemon, &cookie, "?limit=2");
    assert_eq!((&two[..], &next), (&all[..2], &all[1]["id"]));
    daemon.kill();
    daemon.restart();
    let (rest, next) = entries(&daemon, &cookie, &format!("?before={next}"));
    assert_eq!((&rest[..], next), (&all[2..], Value::Null));
    let wrong = ask(&daemon, "GET", "/api/v1/trail?limit=0", &[("cookie", &cookie)], "");
    assert_eq!(wrong.0, 400);
}

#[test]
fn a_flood_of_wrong_logins_waits_and_fills_no_trail() {
    let daemon = knowing(&[&ADA], &["auth.failures_max=3"]);
    let answers: Vec<_> = (0..40).map(|_| log_in(&daemon, "tgk_wrong")).collect();
    assert_eq!(answers[0].0, 401);
    let waits = answers.iter().filter(|answer| answer.0 == 429);
    assert!(waits.clone().count() > 20, "who fails often has to wait");
    for answer in waits {
        assert!(answer.header("retry-after").is_some() && answer.header("set-cookie").is_none());
    }
    // A good one is taken all the same: others may be behind the same address.
    let begun = log_in(&daemon, &ADA.token());
    assert_eq!(begun.0, 200, "{}", begun.2);
    let (all, _) = entries(&daemon, &begun.cookie(), "");
    let failed = all.iter().filter(|entry| entry["did"] == "login-failed").count();
    assert!((1..5).contains(&failed), "{all:#?}");
}

#[test]
fn a_jwt_is_a_token_like_others_and_its_session_lasts_no_longer() {
    const SECRET: &str = "not so secret, but of 32 bytes at least";
    let state_dir = tempfile::tempdir().unwrap();
    let secret = state_dir.path().join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    let setting = format!("auth.jwt.secret_file={}", secret.display());
    let daemon = Daemon::start_in(state_dir, &[&setting, "auth.jwt.leeway=0 s"]);
    let now = clock::now().as_millis() / 1000;
    let token = |exp: i64, secret: &str| {
        let claims = json!({"sub": "joe", "exp": exp, "scope": "view", "devices": ["pump-*"]});
        encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
    };
    let good = token(now + 600, SECRET);
    let bearer = format!("Bearer {good}");
    let told = ask(&daemon, "GET", "/api/v1/session", &[("authorization", &bearer)], "").json();
    assert_eq!((&told["name"], &told["how"]), (&json!("joe"), &json!("jwt")));
    let begun = log_in(&daemon, &good);
    assert_eq!(begun.json()["expires_at"], (now + 600) * 1000);
    assert_eq!(begun.json()["devices"], json!(["pump-*"]));
    for wrong in [token(now - 1, SECRET), token(now + 600, "another secret of 32 bytes or more")] {
        assert_eq!(log_in(&daemon, &wrong).0, 401);
    }
    // With another secret what was got by the old one ends.
    let live = Live::open(&daemon, &begun.cookie());
    std::fs::write(&secret, "another secret of 32 bytes or more").unwrap();
    live.ends();
    until_nobody(&daemon, &begun.cookie());
    assert_eq!(ask(&daemon, "GET", "/api/v1/devices", &[("authorization", &bearer)], "").0, 401);
}

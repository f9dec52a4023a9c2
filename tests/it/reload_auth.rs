//! SIGHUP: who may come is as `[auth]` says now; whose right ends by that is out as the holder of a revoked
//! key, and nobody else is.

use crate::access::{INGEST, LIVE, closed, connect, issue, status, until};
use crate::client::{Client, reading};
use crate::daemon::Daemon;
use crate::reload::{says, started};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;
use tidegate::clock;
use tidegate::model::SessionId;
use tidegate::wire::Hello;

const SECRET: &str = "a secret of the plant, of more than 32 bytes";

/// A JWT of this issuer that is over in so many seconds.
fn jwt(issuer: &str, seconds: i64) -> String {
    let exp = clock::now().0 / 1_000_000_000 + seconds;
    let claims = json!({"sub": "ana", "iss": issuer, "exp": exp, "scope": "view ingest"});
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

/// Says hello with this key or JWT.
fn greet(daemon: &Daemon, token: &str, name: &str) -> Client {
    let mut client = connect(daemon, INGEST, token).unwrap();
    client.hello(&Hello { client: name.into(), session: SessionId(1), ..Hello::default() });
    client
}

fn sends(client: &mut Client, seq: u64, device: &str) {
    client.batch(seq, &reading(device, "heat", 1.0));
    client.acked(seq);
}

#[test]
fn whose_right_ends_is_ended_and_whose_does_not_stays() {
    let state_dir = tempfile::tempdir().unwrap();
    let at = state_dir.path().to_owned();
    std::fs::write(at.join("secret"), SECRET).unwrap();
    let secret = at.join("secret").display().to_string();
    let settings = |more: &str, issuer: &str, file: &str, leeway: &str| {
        format!(
            "[auth]\nfailures_max = 1000\n{more}\n[auth.jwt]\nsecret_file = \"{file}\"\n\
             issuer = \"{issuer}\"\nleeway = \"{leeway}\"\n"
        )
    };
    let gateway = issue(&at, &["--name", "gw", "--scope", "ingest", "--scope", "view"]);
    std::fs::write(at.join("tidegate.toml"), settings("", "plant", &secret, "1 m")).unwrap();
    let daemon = Daemon::start_in(state_dir, &[]);
    let mut by_key = greet(&daemon, &gateway, "gw");
    let (plants, others) = (jwt("plant", 3600), jwt("other", 3600));
    let mut by_jwt = greet(&daemon, &plants, "ana");
    let viewer = connect(&daemon, LIVE, &plants).unwrap();
    assert_eq!(status(&daemon, "/api/v1/status", &others), 401);

    // A file that is not there: nothing changes, of the rest neither.
    let wrong = settings("", "other", &format!("{secret}-of-others"), "1 m");
    let log = daemon.reload(&format!("{wrong}[commands]\nper_device_max = 1\n"));
    assert!(says(&log, &["reload-refused", "auth: auth.jwt", "secret-of-others"]), "{log:#?}");
    assert!(!says(&log, &["event=reloaded"]), "{log:#?}");
    assert_eq!(status(&daemon, "/api/v1/status", &plants), 200);
    let gone = settings("keys_file = \"nowhere.toml\"", "plant", &secret, "1 m");
    let log = daemon.reload(&gone);
    assert!(says(&log, &["reload-refused", "nowhere.toml is not there"]), "{log:#?}");
    sends(&mut by_key, 1, "gw");
    sends(&mut by_jwt, 1, "ana");

    // More is taken: nobody is ended.
    let log = daemon.reload(&settings("", "plant", &secret, "1 h"));
    assert!(says(&log, &["event=reloaded", "applied=auth.jwt.leeway"]), "{log:#?}");
    assert_eq!(status(&daemon, "/api/v1/status", &jwt("plant", -1800)), 200);
    sends(&mut by_jwt, 2, "ana");
    // Other tokens are: who showed one shows it again.
    let log = daemon.reload(&settings("", "other", &secret, "1 h"));
    assert!(says(&log, &["event=reloaded", "applied=auth.jwt.issuer"]), "{log:#?}");
    assert!(says(&log, &["event=connections-ended", "connections=2"]), "{log:#?}");
    assert_eq!((by_jwt.closed(), closed(viewer)), (1008, 1008));
    let now = |token: &str| status(&daemon, "/api/v1/status", token);
    assert_eq!((now(&plants), now(&others)), (401, 200));
    sends(&mut by_key, 2, "gw");

    // Keys from elsewhere, one of them the same.
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::copy(at.join("keys.toml"), elsewhere.path().join("keys.toml")).unwrap();
    let new = issue(elsewhere.path(), &["--name", "new", "--scope", "view"]);
    let late = issue(&at, &["--name", "late", "--scope", "view"]);
    until("the key is not known", || now(&late) == 200);
    let viewer = connect(&daemon, LIVE, &late).unwrap();
    let keys = elsewhere.path().join("keys.toml").display().to_string();
    let log = daemon.reload(&settings(&format!("keys_file = \"{keys}\""), "other", &secret, "1 h"));
    assert!(says(&log, &["event=reloaded", "applied=auth.keys_file"]), "{log:#?}");
    assert_eq!(closed(viewer), 1008);
    assert_eq!((now(&late), now(&new)), (401, 200));
    sends(&mut by_key, 3, "gw");
    // It is the one that is looked at.
    let newest = issue(elsewhere.path(), &["--name", "newest", "--scope", "view"]);
    until("the key is not known", || now(&newest) == 200);
}

#[test]
fn without_a_token_come_those_who_may_now() {
    let daemon = started("");
    let (mut client, _) = Client::greet(&daemon, "gw", 1);
    sends(&mut client, 1, "gw");
    let log = daemon.reload("[auth]\nanonymous = \"nobody\"\n");
    assert!(says(&log, &["event=reloaded", "applied=auth.anonymous"]), "{log:#?}");
    assert_eq!(client.closed(), 1008);
    assert_eq!(daemon.get("/api/v1/status").0, 401);
    let log = daemon.reload("[auth]\nanonymous = \"anywhere\"\n");
    assert!(says(&log, &["event=nobody-asked", "level=warn"]), "{log:#?}");
    let (mut client, _) = Client::greet(&daemon, "gw", 2);
    daemon.reload("");
    sends(&mut client, 1, "gw");
}

#[test]
fn sessions_last_no_longer_than_the_configuration_says_now_and_fewer_guesses_are_free() {
    let state_dir = tempfile::tempdir().unwrap();
    let key = issue(state_dir.path(), &["--name", "ana", "--scope", "view"]);
    std::fs::write(state_dir.path().join("tidegate.toml"), "[auth]\nfailures_max = 1000\n")
        .unwrap();
    let daemon = Daemon::start_in(state_dir, &[]);
    let log_in = || {
        let body = json!({ "token": key }).to_string();
        let headers = [("content-type", "application/json")];
        let (status, head, body) =
            daemon.exchange("POST", "/api/v1/session", &headers, body.as_bytes());
        assert_eq!(status, 200, "{body}");
        let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: "));
        cookie.unwrap().to_owned()
    };
    let is_in = |cookie: &str| {
        let shown = [("cookie", cookie.split(';').next().unwrap())];
        daemon.request("GET", "/api/v1/status", &shown, b"").0 == 200
    };
    let cookie = log_in();
    assert!(cookie.contains("max-age=43200"), "{cookie}");
    assert!(is_in(&cookie));
    for _ in 0..20 {
        assert_eq!(status(&daemon, "/api/v1/status", "guess"), 401);
    }

    let log = daemon.reload("[auth]\nfailures_max = 1\nsession_length = \"2 h\"\n");
    let applied = "applied=\"auth.failures_max, auth.session_length\"";
    assert!(says(&log, &["event=reloaded", applied]), "{log:#?}");
    assert!(is_in(&cookie), "it has not lasted for so long");
    assert!(log_in().contains("max-age=7200"));
    until("nobody has to wait", || status(&daemon, "/api/v1/status", "guess") == 429);
    daemon.reload("[auth]\nsession_length = \"1 s\"\n");
    until("the session goes on", || !is_in(&cookie));
    daemon.reload("[auth]\nsession_length = \"12 h\"\n");
    assert!(!is_in(&cookie), "what is over stays so");
}

//! E-mails to a real mail server, over each kind of connection.

use crate::daemon::{Daemon, PATIENCE};
use crate::mosquitto::certificates;
use crate::notify::measured;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// aiosmtpd; see `tests/smtp/server.py`.
struct MailServer {
    child: Child,
    port: u16,
    lines: Receiver<String>,
}

impl MailServer {
    fn start(arguments: &[&str]) -> MailServer {
        let root = env!("CARGO_MANIFEST_DIR");
        let interpreter = format!("{root}/.venv/bin/python");
        let mut child = Command::new(&interpreter)
            .arg(format!("{root}/tests/smtp/server.py"))
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{interpreter}: {error}; run `make setup-tests`"));
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // The test may be over.
                drop(sender.send(line));
            }
        });
        let port = lines.recv_timeout(PATIENCE * 2).expect("a port; run `make setup-tests`");
        MailServer { child, port: port.parse().unwrap(), lines }
    }

    fn next(&self) -> Value {
        serde_json::from_str(&self.lines.recv_timeout(PATIENCE).expect("an e-mail")).unwrap()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).ok();
    }
}

fn start(server: &str, more: &[&str]) -> Daemon {
    let smtp = format!("notify.email.0.smtp={server}");
    let mut all = vec![
        "alerts.0.name=motor hot",
        "alerts.0.kind=threshold",
        "alerts.0.metric=motor.temperature",
        "alerts.0.above=80",
        "alerts.0.severity=critical",
        "notify.group_wait=100 ms",
        "notify.page_url=https://plant.example",
        "notify.email.0.name=on-call",
        "notify.email.0.from=Kühlhaus <tidegate@plant.example>",
        "notify.email.0.to=ana@plant.example,rui@plant.example",
        &smtp,
    ];
    all.extend(more);
    Daemon::start(&all)
}

fn try_it(daemon: &Daemon) -> Value {
    let path = "/api/v1/notifications/on-call/test";
    let (status, answer) = daemon.request("POST", path, &[], b"{}");
    assert_eq!(status, 200, "{answer}");
    serde_json::from_str(&answer).unwrap()
}

#[test]
fn an_alert_comes_as_a_letter_that_is_understood_from_its_subject() {
    let server = MailServer::start(&["plain"]);
    let daemon = start(&format!("smtp://127.0.0.1:{}", server.port), &[]);
    measured(&daemon, "pump-7", 92.5);
    let mail = server.next();
    assert_eq!(mail["to"], json!(["ana@plant.example", "rui@plant.example"]));
    assert_eq!(mail["from"], "tidegate@plant.example");
    let text = mail["text"].as_str().unwrap();
    // Python's own reader of e-mails, which undoes all encodings.
    let parse = "import email, email.policy, json, sys\n\
        m = email.message_from_string(sys.stdin.read(), policy=email.policy.default)\n\
        print(json.dumps([m['subject'], m['from'], m['to'], m.get_content(), m.keys()]))";
    let mut python = Command::new("python3")
        .args(["-c", parse])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut python.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let read: Value = serde_json::from_slice(&python.wait_with_output().unwrap().stdout).unwrap();
    let (subject, content) = (read[0].as_str().unwrap(), read[3].as_str().unwrap());
    assert!(subject.starts_with("[critical] ") && subject.contains("pump-7"), "{subject}");
    assert!(subject.contains("92.5 °C"), "{subject}");
    assert_eq!(read[1], "Kühlhaus <tidegate@plant.example>");
    assert!(content.starts_with(subject), "{content}");
    assert!(content.contains("rule motor hot · device pump-7"), "{content}");
    assert!(content.trim_end().ends_with("https://plant.example/#/alerts"), "{content}");
}

#[test]
fn it_goes_over_tls_of_both_kinds_with_a_password_that_is_read_each_time() {
    let directory = tempfile::tempdir().unwrap();
    certificates(directory.path(), &["mail"]);
    let file = |name: &str| directory.path().join(name).display().to_string();
    let (certificate, key) = (file("mail.pem"), file("mail.key"));
    let login = [
        "notify.email.0.user=tidegate".to_owned(),
        format!("notify.email.0.password_file={}", file("password")),
        format!("notify.email.0.ca_file={}", file("ca.pem")),
        "notify.email.0.tls=auto".to_owned(),
    ];
    for (mode, scheme, tls) in [("implicit", "smtps", "auto"), ("starttls", "smtp", "starttls")] {
        let server = MailServer::start(&[mode, &certificate, &key, "tidegate", "s3cret"]);
        let mut more: Vec<&str> = login.iter().map(String::as_str).collect();
        let tls = format!("notify.email.0.tls={tls}");
        more.push(&tls);
        std::fs::write(file("password"), "wrong\n").unwrap();
        let address = format!("{scheme}://localhost:{}", server.port);
        let daemon = start(&address, &more);
        let refused = try_it(&daemon);
        assert_eq!(refused["ok"], false, "{mode}: {refused}");
        assert!(refused["error"].as_str().unwrap().contains("535"), "{mode}: {refused}");
        // No restart: the next message reads it.
        std::fs::write(file("password"), "s3cret\n").unwrap();
        assert_eq!(try_it(&daemon), json!({ "ok": true }), "{mode}");
        let mail = server.next();
        assert_eq!((&mail["tls"], &mail["user"]), (&json!(true), &json!("tidegate")), "{mode}");
        let output = daemon.command("check").output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains(&format!("on-call  {address}: good")), "{mode}: {said}");

        // Whom it does not know it tells nothing.
        more.retain(|setting| !setting.contains("ca_file"));
        let stranger = try_it(&start(&address, &more));
        assert_eq!(stranger["ok"], false, "{mode}: {stranger}");
    }
}

#[test]
fn without_starttls_nothing_is_said() {
    let server = MailServer::start(&["plain"]);
    let address = format!("smtp://127.0.0.1:{}", server.port);
    let daemon = start(&address, &["notify.email.0.tls=starttls"]);
    let refused = try_it(&daemon);
    assert_eq!(refused["ok"], false, "{refused}");
    let said = refused["error"].as_str().unwrap().to_ascii_uppercase();
    assert!(said.contains("STARTTLS"), "{refused}");
}

#[test]
fn one_wrong_recipient_costs_only_himself() {
    let server = MailServer::start(&["plain"]);
    let address = format!("smtp://127.0.0.1:{}", server.port);
    let to = "notify.email.0.to=ana@plant.example,refused@plant.example,rui@plant.example";
    let daemon = start(&address, &[to]);
    measured(&daemon, "pump-7", 92.5);
    let have = [server.next(), server.next()].map(|mail| mail["to"].clone());
    assert_eq!(have, [json!(["ana@plant.example"]), json!(["rui@plant.example"])]);
    let listed = daemon.eventually("/api/v1/notifications", |answer| {
        answer["dead_letters"].as_array().is_some_and(|letters| !letters.is_empty())
    });
    let reason = listed["dead_letters"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("550"), "{reason}");
    // Who has it has it once.
    assert!(server.lines.try_recv().is_err());
}

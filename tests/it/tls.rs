//! TLS as docs/tls.md promises it, seen by other people's clients.

use crate::daemon::{Daemon, PATIENCE};
use crate::plant::{Plant, eventually};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What TLS 1.2 may be spoken with: forward secrecy, authenticated encryption.
const STRONG: [&str; 3] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
];

pub const ANSWERED: &str = "HTTP/1.1 200 OK";

#[test]
fn only_new_versions_and_strong_ciphers_are_spoken() {
    let plant = Plant::new();
    let mut daemon = plant.daemon(&[]);
    let speak = |daemon: &Daemon, arguments: &[&str]| {
        plant
            .s_client(daemon, &[&["-CAfile", "ca.pem", "-verify_return_error"], arguments].concat())
    };
    for version in ["-tls1_2", "-tls1_3"] {
        let said = speak(&daemon, &[version]);
        assert!(said.contains(ANSWERED) && said.contains("Verification: OK"), "{version}: {said}");
    }
    for version in ["-tls1", "-tls1_1"] {
        let said = speak(&daemon, &[version, "-cipher", "ALL:@SECLEVEL=0"]);
        // protocol_version; or handshake_failure, because what these offer has no signature that is good.
        let is_refused =
            ["70", "40"].iter().any(|n| said.contains(&format!("SSL alert number {n}")));
        assert!(is_refused && !said.contains(ANSWERED), "{version}: {said}");
    }
    let all = Command::new("openssl")
        .args(["ciphers", "-s", "-tls1_2", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"])
        .output()
        .unwrap();
    let all = String::from_utf8(all.stdout).unwrap();
    let mut taken = Vec::new();
    for cipher in all.trim().split(':').filter(|cipher| !cipher.starts_with("TLS_")) {
        let said = speak(&daemon, &["-tls1_2", "-cipher", &format!("{cipher}:@SECLEVEL=0")]);
        if said.contains(ANSWERED) {
            taken.push(cipher.to_owned());
        }
    }
    taken.sort();
    assert!(all.split(':').count() > 40, "{all}");
    assert_eq!(taken, STRONG);
    assert!(daemon.stop().success());
    daemon = plant.daemon(&["tls.version_min=1.3"]);
    assert!(speak(&daemon, &["-tls1_2"]).contains("SSL alert number 70"));
    assert!(speak(&daemon, &["-tls1_3"]).contains(ANSWERED));
}

#[test]
fn page_api_and_events_come_over_http_2_and_1() {
    let plant = Plant::new();
    let daemon = plant.daemon(&[]);
    let url = |path: &str| format!("https://localhost:{}{path}", daemon.address.port());
    for (how, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
        for path in ["/", "/api/v1/status", "/healthz", "/api/v1/nothing"] {
            let said = plant.curl(&[how, "-w", "\n%{http_version} %{http_code}", &url(path)]);
            let status = if path == "/api/v1/nothing" { 404 } else { 200 };
            assert!(said.ends_with(&format!("\n{version} {status}")), "{how} {path}: {said}");
        }
        let said = plant.curl(&[
            how,
            "-w",
            "\n%{http_version} %{http_code}",
            "--data-binary",
            "{\"device\":\"d\",\"values\":{\"t\":1.5}}\n",
            "-H",
            "content-type: application/x-ndjson",
            // What a browser's page of this host says.
            "-H",
            &format!("origin: {}", url("")),
            &url("/api/v1/ingest?client=c"),
        ]);
        assert!(said.ends_with(&format!("\n{version} 200")), "{how}: {said}");
        let said = plant.curl(&[
            how,
            "-X",
            "POST",
            "-w",
            "%{http_code}",
            "-H",
            "origin: https://evil.example",
            &url("/api/v1/ingest?client=c"),
        ]);
        assert!(said.ends_with("403"), "{how}: {said}");
        let mut child = Command::new("curl")
            .args(["-sSN", how, "--cacert", &plant.path("ca.pem"), &url("/api/v1/live")])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut events = lines.filter_map(|line| line.strip_prefix("event: ").map(str::to_owned));
        assert_eq!(events.next().as_deref(), Some("snapshot"), "{how}");
        assert!(events.any(|event| event == "status"), "{how}");
        child.kill().and_then(|()| child.wait()).unwrap();
    }
    let long = format!("x: {}", "a".repeat(20_000));
    let said = plant.curl(&["--http2", "-w", "%{http_code}", "-H", &long, &url("/healthz")]);
    assert_eq!(said, "431");
    // WebSockets have HTTP/1.1.
    let said = plant.curl(&["--http2", "-w", "\n%{http_code}", &url("/api/v1/ingest/ws")]);
    assert!(said.ends_with("\n426"), "{said}");
}

#[test]
fn devices_speak_websocket_over_tls() {
    let plant = Plant::new();
    let daemon = plant.daemon(&[]);
    let root = env!("CARGO_MANIFEST_DIR");
    let mut child = Command::new(format!("{root}/.venv/bin/python"))
        .arg(format!("{root}/examples/smallest_client.py"))
        .args([&format!("wss://{}/api/v1/ingest/ws", daemon.address), "my-sensor"])
        .env("PYTHONPATH", format!("{root}/.venv/generated"))
        .env("SSL_CERT_FILE", plant.path("ca.pem"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    eventually("two readings", || {
        let path = "/api/v1/query?device=my-sensor&metric=temperature&from=-1h";
        let (status, body) = plant.get(&daemon, path);
        let answer: Value = serde_json::from_str(&body).unwrap_or_default();
        status == 200 && answer["value"].as_array().is_some_and(|values| values.len() >= 2)
    });
    child.kill().and_then(|()| child.wait()).unwrap();
}

#[test]
fn plain_http_is_told_and_silence_is_closed() {
    let plant = Plant::new();
    // So long that what is said is said in time.
    let daemon = plant.daemon(&["limits.hello_timeout=5 s"]);
    // They wait for the end of that together.
    let beginnings = [&b""[..], b"\x16\x03\x01\x02\x00\x01", b"\x80\x2e\x01", b"\xff\xff\xff"];
    let begun = beginnings.map(|beginning| {
        let mut socket = TcpStream::connect(daemon.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(beginning).unwrap();
        (beginning, socket)
    });
    // HTTP/2 is agreed on, and then nothing is said.
    let socket = TcpStream::connect(daemon.address).unwrap();
    let mut silent = plant.secure(socket, None, &[b"h2"]).unwrap();
    let (status, body) = daemon.get("/");
    assert_eq!((status, body.contains("this port speaks TLS")), (400, true), "{body}");
    // A request whose body is still on its way gets the answer, too.
    let (status, _) = daemon.request("POST", "/api/v1/ingest", &[], &[b'x'; 60_000]);
    assert_eq!(status, 400);
    for (beginning, mut socket) in begun {
        let mut rest = Vec::new();
        // Closed, or reset because of what was not read.
        let ended = socket.read_to_end(&mut rest);
        let is_late = ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        assert!(!is_late, "{beginning:?} is waited for");
    }
    assert!(
        !silent
            .0
            .read_to_end(&mut Vec::new())
            .is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    );
    let (_, metrics) = plant.get(&daemon, "/metrics");
    for reason in ["plain_http\"} 2", "late\"} 2", "tls\"} 2"] {
        assert!(
            metrics.contains(&format!("connections_refused_total{{reason=\"{reason}")),
            "{reason} {metrics}"
        );
    }
}

#[test]
fn a_certificate_is_swapped_under_load_without_a_failed_request() {
    let plant = Plant::new();
    let mut daemon = plant.daemon(&[]);
    let address = daemon.address;
    let (stop, asked) = (AtomicBool::new(false), [const { AtomicUsize::new(0) }; 3]);
    let newest = || plant.connect(address).unwrap().certificate();
    std::thread::scope(|scope| {
        // New connections all the time.
        for count in &asked[..2] {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let (status, body) = plant.get_at(address, "/healthz");
                    assert_eq!(status, 200, "{body}");
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // One that stays.
        scope.spawn(|| {
            let mut connection = plant.connect(address).unwrap();
            while !stop.load(Ordering::Relaxed) {
                connection.ask("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
                assert_eq!(connection.answer().unwrap().0, 200);
                asked[2].fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        });
        // A viewer.
        let mut viewer = plant.connect(address).unwrap();
        viewer.ask("GET /api/v1/live HTTP/1.1\r\nhost: localhost\r\n\r\n");
        viewer.until("snapshot");
        for _ in 0..3 {
            let before = newest();
            let had = asked.each_ref().map(|count| count.load(Ordering::Relaxed));
            plant.run("server");
            eventually("a new certificate", || newest() != before);
            eventually("all go on", || {
                let mut both = asked.iter().zip(had);
                both.all(|(count, had)| count.load(Ordering::Relaxed) > had + 20)
            });
        }
        let (before, good) = (newest(), plant.read("server.pem"));
        plant.write("server.pem", b"no certificate");
        daemon.wait_for_log("event=certificate-refused");
        assert_eq!(newest(), before, "what was good stays");
        // A certificate of another key.
        plant.shell("cp ca.pem server.pem");
        eventually("refused again", || {
            daemon.log().iter().filter(|line| line.contains("certificate-refused")).count() >= 2
        });
        assert_eq!(newest(), before);
        plant.write("server.pem", &good);
        plant.run("server");
        eventually("a new certificate", || newest() != before);
        viewer.until("\"type\":\"status\"");
        stop.store(true, Ordering::Relaxed);
    });
    let asked: Vec<_> = asked.iter().map(|count| count.load(Ordering::Relaxed)).collect();
    println!("answered meanwhile: {asked:?}");
    assert!(asked.iter().all(|count| *count > 60), "{asked:?}");
}

#[test]
fn a_certificate_that_expires_soon_is_spoken_of() {
    let plant = Plant::new();
    let mut daemon = plant.daemon(&[]);
    let expires = |daemon: &Daemon| {
        let expires = plant.json(daemon, "/api/v1/status")["tls"]["certificate_expires_at"].clone();
        let (_, metrics) = plant.get(daemon, "/metrics");
        let name = "tidegate_tls_certificate_expires_seconds{certificate=\"listener\"} ";
        let gauge = metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
        let gauge = gauge.parse::<f64>().unwrap() * 1e3;
        // It may be another since it was asked.
        let same = gauge == expires.as_f64().unwrap();
        println!("{gauge} of {expires}");
        same.then_some(
            (expires.as_f64().unwrap() / 1e3 - tidegate::clock::now().0 as f64 / 1e9) / 86_400.0,
        )
    };
    let days = expires(&daemon).unwrap();
    assert!((396.0..=397.0).contains(&days), "{days}");
    assert!(!daemon.log().iter().any(|line| line.contains("certificate-expires")));
    let server = crate::plant::blocks("sh server").concat().replace("-days 397", "-days 7");
    plant.shell(&server);
    let line = daemon.wait_for_log("event=certificate-expires");
    assert!(line.contains("level=warn") && line.contains("days=6"), "{line}");
    eventually("shown", || expires(&daemon).is_some_and(|days| (6.9..=7.0).contains(&days)));
}

#[test]
fn a_daemon_with_wrong_files_says_so_and_does_not_start() {
    let plant = Plant::new();
    plant.run("client");
    for (settings, said) in [
        (&["tls.certificate_file=@nothing.pem"][..], "nothing.pem"),
        (&["tls.certificate_file=@server.key"], "there is no certificate in it"),
        (&["tls.key_file=@gateway-7.key"], "server.pem"),
        (
            &["tls.client_certificates=optional", "tls.client_ca_file=@server.key"],
            "there is no certificate in it",
        ),
        (
            &[
                "tls.client_certificates=optional",
                "tls.client_ca_file=@ca.pem",
                "tls.client_crl_file=@ca.pem",
            ],
            "ca.pem",
        ),
        (&["tls.client_certificates=required"], "tls.client_ca_file"),
    ] {
        let state = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(["run", "--listen", "127.0.0.1:0", "--state-dir"]).arg(state.path());
        for setting in plant.settings(settings) {
            command.args(["--set", &setting]);
        }
        let output = command.output().unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && complaint.contains(said), "{settings:?}: {complaint}");
    }
}

#[test]
fn the_command_line_of_this_machine_finds_its_way() {
    let plant = Plant::new();
    let daemon = plant.daemon(&["proxy.trusted=127.0.0.1", "proxy.protocol=v2"]);
    let status = daemon.command("status").output().unwrap();
    let said = String::from_utf8_lossy(&[status.stdout, status.stderr].concat()).into_owned();
    assert!(status.status.success(), "{said}");
    // Another daemon's certificate is not its own.
    let other = Plant::new();
    let mut command = daemon.command("status");
    command.args(["--set", &format!("tls.certificate_file={}", other.path("server.pem"))]);
    let status = command.output().unwrap();
    assert_eq!(status.status.code(), Some(69), "{}", String::from_utf8_lossy(&status.stderr));
    // By its address, with the authority that signed it.
    let direct = plant.daemon(&["auth.anonymous=anywhere"]);
    let url = format!("https://localhost:{}", direct.address.port());
    for (authorities, code) in [("ca.pem", 0), ("elsewhere.pem", 69)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(["status", "--url", &url]).env("SSL_CERT_FILE", plant.path(authorities));
        let status = command.output().unwrap();
        let complaint = String::from_utf8_lossy(&status.stderr);
        assert_eq!(status.status.code(), Some(code), "{complaint}");
    }
}

//! Behind proxies: the settings of docs/tls.md in real ones, and who is believed about where they are.

use crate::daemon::{Daemon, PATIENCE, parsed};
use crate::plant::{Plant, blocks, eventually};
use crate::port::Port;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

/// A proxy that was started, at its address.
struct Proxy {
    child: Child,
    address: SocketAddr,
    _held: Port,
    /// What it was started from.
    _directory: tempfile::TempDir,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap();
    }
}

impl Proxy {
    fn start(program: &str, arguments: &[&str], held: Port, directory: tempfile::TempDir) -> Proxy {
        let address = held.address;
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(directory.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}; tests/setup installs it"));
        eventually("the proxy listens", || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "{program} ended: {ended:?}");
            TcpStream::connect(address).is_ok()
        });
        Proxy { child, address, _held: held, _directory: directory }
    }

    /// nginx with the manual's settings.
    fn nginx(plant: &Plant, daemon: &Daemon) -> Proxy {
        let (held, directory) = (Port::hold(), tempfile::tempdir().unwrap());
        let address = held.address;
        let [site] = &blocks("nginx")[..] else { panic!("one block for nginx") };
        let site = replaced(site, "listen 443 ssl", &format!("listen {address} ssl"));
        let site = replaced(&site, "127.0.0.1:8080", &daemon.address.to_string());
        let site = replaced(&site, "/etc/tidegate/", &plant.path(""));
        let at = directory.path().display();
        let configuration = format!(
            "daemon off;\nmaster_process off;\npid {at}/pid;\nerror_log {at}/error.log;\n\
             events {{}}\nhttp {{\naccess_log off;\nclient_body_temp_path {at}/a;\nproxy_temp_path {at}/b;\n\
             fastcgi_temp_path {at}/c;\nuwsgi_temp_path {at}/d;\nscgi_temp_path {at}/e;\n{site}}}\n"
        );
        let file = directory.path().join("nginx.conf");
        std::fs::write(&file, configuration).unwrap();
        let arguments = ["-e", "stderr", "-c", &file.display().to_string()];
        Proxy::start("nginx", &arguments, held, directory)
    }

    /// HAProxy with the manual's settings, the first or the second.
    fn haproxy(which: usize, plant: &Plant, daemon: &Daemon) -> Proxy {
        let (held, directory) = (Port::hold(), tempfile::tempdir().unwrap());
        let address = held.address;
        plant.shell("cat server.pem server.key > server-and-key.pem");
        let settings = blocks("haproxy").swap_remove(which);
        let settings = replaced(&settings, "bind :443", &format!("bind {address}"));
        let settings = replaced(&settings, "127.0.0.1:8080", &daemon.address.to_string());
        let settings = settings.replace("/etc/tidegate/", &plant.path(""));
        let file = directory.path().join("haproxy.cfg");
        std::fs::write(&file, settings).unwrap();
        Proxy::start("haproxy", &["-db", "-f", &file.display().to_string()], held, directory)
    }

    /// Caddy with the manual's settings.
    fn caddy(plant: &Plant, daemon: &Daemon) -> Proxy {
        let (held, directory) = (Port::hold(), tempfile::tempdir().unwrap());
        let address = held.address;
        let [site] = &blocks("caddy")[..] else { panic!("one block for Caddy") };
        let names = format!("https://localhost:{0}, https://127.0.0.1:{0}", address.port());
        let site = replaced(site, "tidegate.example", &names);
        let site = replaced(&site, "127.0.0.1:8080", &daemon.address.to_string());
        let site = replaced(&site, "/etc/tidegate/", &plant.path(""));
        // Neither its port for administrators nor that for plain HTTP; and not on every address.
        let at = directory.path().display();
        let configuration = format!(
            "{{\nadmin off\nauto_https disable_redirects\ndefault_bind 127.0.0.1\n\
             storage file_system {at}/storage\n}}\n{site}"
        );
        let file = directory.path().join("Caddyfile");
        std::fs::write(&file, configuration).unwrap();
        let file = file.display().to_string();
        let arguments = ["run", "--adapter", "caddyfile", "--config", &file];
        Proxy::start("caddy", &arguments, held, directory)
    }

    /// Page, API, both ways to send, and to view, over TLS at the proxy.
    fn carries_everything(
        &self,
        plant: &Plant,
        daemon: &Daemon,
        ask: &dyn Fn(&str) -> (u16, String),
    ) {
        let url = |path: &str| format!("https://localhost:{}{path}", self.address.port());
        let origin = format!("origin: {}", url(""));
        for how in ["--http2", "--http1.1"] {
            let page = plant.curl(&[how, "-w", "\n%{http_code}", &url("/")]);
            assert!(page.contains("<html") && page.ends_with("\n200"), "{how}: {page}");
            let sent = plant.curl(&[
                how,
                "-w",
                "\n%{http_code}",
                "-H",
                &origin,
                "-H",
                "content-type: application/x-ndjson",
                "--data-binary",
                "{\"device\":\"d\",\"values\":{\"t\":1.5}}\n",
                &url("/api/v1/ingest?client=c"),
            ]);
            assert!(sent.ends_with("\n200"), "{how}: {sent}");
            let mut viewer = Command::new("curl")
                .args(["-sSN", how, "--cacert", &plant.path("ca.pem"), &url("/api/v1/live")])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut events = std::io::BufReader::new(viewer.stdout.take().unwrap());
            let mut seen = String::new();
            // Frames come one by one, not when a buffer is full.
            while !seen.contains("event: status") {
                let read = std::io::BufRead::read_line(&mut events, &mut seen).unwrap();
                assert!(read > 0, "{how}: it ended after {seen}");
            }
            assert!(seen.contains("event: snapshot"), "{how}: {seen}");
            viewer.kill().and_then(|()| viewer.wait()).unwrap();
            eventually("a first picture of nothing comes at once", || {
                self.first_picture_took_ms(plant, how) < 500
            });
        }
        let root = env!("CARGO_MANIFEST_DIR");
        let mut device = Command::new(format!("{root}/.venv/bin/python"))
            .arg(format!("{root}/examples/smallest_client.py"))
            .args([&format!("wss://{}/api/v1/ingest/ws", self.address), "my-sensor"])
            .env("PYTHONPATH", format!("{root}/.venv/generated"))
            .env("SSL_CERT_FILE", plant.path("ca.pem"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        eventually("two readings", || {
            let (status, body) = ask("/api/v1/query?device=my-sensor&metric=temperature&from=-1h");
            let answer: Value = serde_json::from_str(&body).unwrap_or_default();
            status == 200 && answer["value"].as_array().is_some_and(|values| values.len() >= 2)
        });
        device.kill().and_then(|()| device.wait()).unwrap();
        // A page of another host, by way of the proxy.
        let socket = TcpStream::connect(self.address).unwrap();
        let mut other = plant.secure(socket, None, &[]).unwrap();
        other.ask("POST /api/v1/ingest HTTP/1.1\r\nhost: localhost\r\norigin: https://evil.example\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(other.answer().unwrap().0, 403);
        assert_eq!(ask("/readyz").0, 200, "{}", daemon.address);
    }

    /// How old the first frame of an event stream is when it comes. Little comes after it: a buffer on its
    /// way is not full for seconds.
    fn first_picture_took_ms(&self, plant: &Plant, how: &str) -> i64 {
        let url = format!("https://localhost:{}/api/v1/live?device=nobody", self.address.port());
        let mut viewer = Command::new("curl")
            .args(["-sSN", how, "--cacert", &plant.path("ca.pem"), &url])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = std::io::BufReader::new(viewer.stdout.take().unwrap());
        let viewer = Viewing(viewer);
        let mut lines = std::io::BufRead::lines(lines).map_while(Result::ok);
        let data = lines.find_map(|line| line.strip_prefix("data: ").map(str::to_owned)).unwrap();
        let took = tidegate::clock::now().as_millis();
        drop(viewer);
        let frame: Value = serde_json::from_str(&data).unwrap();
        assert_eq!(frame["type"], "snapshot", "{frame}");
        took - frame["time"].as_i64().unwrap()
    }

    /// The daemon has [`TWO_VIEWERS`], and counts those of an address, which the proxy tells, whatever a
    /// visitor tells of itself.
    fn tells_where_visitors_are(&self, plant: &Plant, daemon: &Daemon) {
        let url = format!("https://localhost:{}/api/v1/live", self.address.port());
        let from = |address: &str, claim: &str| {
            let mut viewer = Command::new("curl")
                .args(["-sSN", "-w", "\n%{http_code}", "--cacert", &plant.path("ca.pem")])
                .args(["--interface", address, "-H", claim, &url])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut told = std::io::BufReader::new(viewer.stdout.take().unwrap());
            let mut seen = String::new();
            while !seen.contains("event: snapshot") {
                if std::io::BufRead::read_line(&mut told, &mut seen).unwrap() == 0 {
                    break;
                }
            }
            (seen, Viewing(viewer))
        };
        let is_seen = |(seen, _): &(String, Viewing)| seen.contains("event: snapshot");
        // Those that came before may not be gone yet.
        let claims =
            ["x-forwarded-for: 198.51.100.1", "forwarded: for=198.51.100.2", "accept: */*"];
        eventually("two of three see", || {
            until_nobody_looks(&|| daemon.json("/api/v1/status"));
            let three = claims.map(|claim| from("127.0.0.2", claim));
            let others = from("127.0.0.3", "accept: */*");
            let is_counted = three[2].0.ends_with("\n429");
            is_seen(&three[0]) && is_seen(&three[1]) && is_counted && is_seen(&others)
        });
    }
}

/// Those that went before are gone for the daemon, too.
fn until_nobody_looks(status: &dyn Fn() -> Value) {
    eventually("nobody looks", || status()["viewers"]["sse"] == 0);
}

/// A viewer that goes when this does.
struct Viewing(Child);

impl Drop for Viewing {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).unwrap();
    }
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from:?} is not in {text}");
    text.replace(from, to)
}

const TRUSTED: &str = "proxy.trusted=127.0.0.1";
const ANYBODY: &str = "auth.anonymous=anywhere";
const TWO_VIEWERS: &str = "live.viewers_per_address=2";

#[test]
fn nginx_with_the_manuals_settings_carries_everything() {
    let plant = Plant::new();
    let daemon = Daemon::start(&[TRUSTED, ANYBODY]);
    let nginx = Proxy::nginx(&plant, &daemon);
    nginx.carries_everything(&plant, &daemon, &|path| daemon.get(path));
    let daemon = Daemon::start(&[TRUSTED, ANYBODY, TWO_VIEWERS]);
    Proxy::nginx(&plant, &daemon).tells_where_visitors_are(&plant, &daemon);
}

#[test]
fn haproxy_with_the_manuals_settings_carries_everything() {
    let plant = Plant::new();
    let daemon = Daemon::start(&[TRUSTED, ANYBODY]);
    let haproxy = Proxy::haproxy(0, &plant, &daemon);
    haproxy.carries_everything(&plant, &daemon, &|path| daemon.get(path));
    let daemon = Daemon::start(&[TRUSTED, ANYBODY, TWO_VIEWERS]);
    Proxy::haproxy(0, &plant, &daemon).tells_where_visitors_are(&plant, &daemon);
}

#[test]
fn caddy_with_the_manuals_settings_carries_everything() {
    let plant = Plant::new();
    let daemon = Daemon::start(&[TRUSTED, ANYBODY]);
    let caddy = Proxy::caddy(&plant, &daemon);
    caddy.carries_everything(&plant, &daemon, &|path| daemon.get(path));
    let daemon = Daemon::start(&[TRUSTED, ANYBODY, TWO_VIEWERS]);
    Proxy::caddy(&plant, &daemon).tells_where_visitors_are(&plant, &daemon);
}

#[test]
fn haproxy_that_passes_bytes_on_says_where_they_come_from() {
    let plant = Plant::new();
    let daemon = plant.daemon(&[TRUSTED, ANYBODY, "proxy.protocol=v2"]);
    let haproxy = Proxy::haproxy(1, &plant, &daemon);
    let ask = |path: &str| plant.get_at(haproxy.address, path);
    haproxy.carries_everything(&plant, &daemon, &ask);
    // Without a header, from where there must be one, is nobody.
    assert!(plant.connect(daemon.address).is_err());
    let daemon = plant.daemon(&[TRUSTED, ANYBODY, "proxy.protocol=v2", TWO_VIEWERS]);
    let haproxy = Proxy::haproxy(1, &plant, &daemon);
    // What comes with a header counts by the address in it, here this machine's own.
    let view = || {
        let mut viewer = plant.connect(haproxy.address).unwrap();
        viewer.ask("GET /api/v1/live HTTP/1.1\r\nhost: localhost\r\n\r\n");
        viewer
    };
    eventually("two viewers", || {
        until_nobody_looks(&|| {
            let (status, body) = plant.get_at(haproxy.address, "/api/v1/status");
            assert_eq!(status, 200, "{body}");
            serde_json::from_str(&body).unwrap()
        });
        let (mut first, mut second, mut third) = (view(), view(), view());
        first.until("HTTP/1.1 ").contains("200")
            && second.until("HTTP/1.1 ").contains("200")
            && third.until("\r\n\r\n").contains("429")
    });
}

/// A PROXY header of version 2, for TCP over IPv4.
pub fn proxy_header(client: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend(client);
    header.extend([127, 0, 0, 1, 0xc7, 0x38, 0x1f, 0x90]);
    header
}

/// The first part of what the daemon answers, with the connection that it came over.
fn view_by(daemon: &Daemon, beginning: &[u8], headers: &str) -> (u16, TcpStream) {
    let mut socket = TcpStream::connect(daemon.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(beginning).unwrap();
    let request = format!("GET /api/v1/live HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    let mut piece = [0; 4096];
    let read = socket.read(&mut piece).unwrap_or(0);
    (parsed(&piece[..read]).0, socket)
}

#[test]
fn only_trusted_proxies_are_believed_about_where_a_viewer_is() {
    let limit = "live.viewers_per_address=1";
    let trusting = Daemon::start(&[TRUSTED, ANYBODY, limit]);
    let by = |daemon: &Daemon, address: &str| {
        view_by(daemon, b"", &format!("x-forwarded-for: {address}\r\n"))
    };
    let (first, held) = by(&trusting, "198.51.100.7");
    assert_eq!(first, 200);
    assert_eq!(by(&trusting, "198.51.100.7").0, 429, "one more of the same");
    assert_eq!(by(&trusting, "203.0.113.9, 198.51.100.7").0, 429, "whatever it says itself");
    let (second, _held_too) = by(&trusting, "198.51.100.8");
    assert_eq!(second, 200, "of another");
    let (_, metrics) = trusting.get("/metrics");
    assert!(metrics.contains("connections_refused_total{reason=\"viewers_per_address\"} 2"));
    drop(held);
    eventually("a place is given back", || by(&trusting, "198.51.100.7").0 == 200);
    // The daemon's own machine is not counted, and not believed.
    let wary = Daemon::start(&[ANYBODY, limit]);
    let all: Vec<_> = (0..3).map(|_| by(&wary, "198.51.100.7")).collect();
    assert!(all.iter().all(|(status, _)| *status == 200));
}

#[test]
fn only_trusted_proxies_are_believed_about_the_pages_host() {
    for (settings, status) in [(&[TRUSTED, ANYBODY][..], 200), (&[ANYBODY], 403)] {
        let daemon = Daemon::start(settings);
        let headers = [
            ("origin", "https://plant.example"),
            ("x-forwarded-host", "plant.example"),
            ("x-forwarded-proto", "https"),
            ("content-type", "application/x-ndjson"),
        ];
        let body = b"{\"device\":\"d\",\"values\":{\"t\":1.5}}\n";
        let (answered, _) = daemon.request("POST", "/api/v1/ingest?client=c", &headers, body);
        assert_eq!(answered, status, "{settings:?}");
    }
}

#[test]
fn a_proxy_header_comes_from_trusted_proxies_and_is_whole() {
    let daemon = Daemon::start(&[TRUSTED, ANYBODY, "proxy.protocol=v2"]);
    let ask = |beginning: &[u8]| {
        let mut socket = TcpStream::connect(daemon.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(beginning).unwrap();
        let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        socket.write_all(request).unwrap_or_default();
        let mut answer = Vec::new();
        let late = |error: std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
        assert!(!socket.read_to_end(&mut answer).is_err_and(late), "{beginning:?} is waited for");
        parsed(&answer).0
    };
    let good = proxy_header([198, 51, 100, 7]);
    assert_eq!(ask(&good), 200);
    let mut local = good.clone();
    local[12] = 0x20;
    assert_eq!(ask(&local), 200, "the proxy looks after us");
    let mut long = good.clone();
    long[15] += 90;
    long.extend([0; 90]);
    assert_eq!(ask(&long), 200, "with more in it");
    for wrong in [
        &b""[..],
        b"PROXY TCP4 198.51.100.7 127.0.0.1 51000 80\r\n",
        &good[..20],
        &[good.clone(), good.clone()].concat(),
    ] {
        let status = ask(wrong);
        assert!(status == 0 || status == 400, "{wrong:?}: {status}");
    }
    // Nobody else has it believed.
    let wary = Daemon::start(&["proxy.trusted=198.51.100.0/24", "proxy.protocol=v2"]);
    assert_eq!(wary.get("/healthz").0, 200);
    let (status, _) = view_by(&wary, &good, "");
    assert_ne!(status, 200);
}

#[test]
fn an_address_has_so_many_connections_and_new_ones_per_second() {
    let settings = [
        TRUSTED,
        ANYBODY,
        "proxy.protocol=v2",
        "limits.connections_per_address=20",
        "limits.handshakes_per_second=10",
    ];
    let daemon = Daemon::start(&settings);
    let ask = |client: [u8; 4], then: &str| {
        let mut socket = TcpStream::connect(daemon.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(&proxy_header(client)).unwrap();
        let request =
            format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: {then}\r\n\r\n");
        socket.write_all(request.as_bytes()).unwrap_or_default();
        let read = socket.read(&mut [0; 1024]);
        read.is_ok_and(|read| read > 0).then_some(socket)
    };
    let noisy: Vec<_> = (0..60).map(|_| ask([198, 51, 100, 7], "keep-alive")).collect();
    assert_eq!(noisy.iter().flatten().count(), 20, "as many as it may have");
    assert!(ask([198, 51, 100, 8], "close").is_some(), "others have theirs");
    // Another may come a hundred times at once, one after the other; ten a second are added.
    let since = tidegate::clock::monotonic();
    let mut taken = 0;
    for _ in 0..400 {
        if let Some(mut socket) = ask([198, 51, 100, 9], "close") {
            taken += 1;
            // Its place is given back.
            socket.read_to_end(&mut Vec::new()).unwrap();
        }
    }
    let most = 100 + 10 * (since.elapsed().as_secs() as usize + 1);
    assert!((100..=most).contains(&taken), "{taken}, and not more than {most}");
    assert!(ask([198, 51, 100, 8], "close").is_some(), "others have theirs");
    let local = {
        let mut header = proxy_header([0; 4]);
        header[12] = 0x20;
        header
    };
    let mut own = TcpStream::connect(daemon.address).unwrap();
    own.write_all(&local).unwrap();
    own.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut metrics = String::new();
    own.read_to_string(&mut metrics).unwrap();
    let refused = |reason: &str| {
        let name = format!("tidegate_connections_refused_total{{reason=\"{reason}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse::<usize>().ok())
    };
    assert_eq!(refused("connections_per_address"), Some(40), "{metrics}");
    assert_eq!(refused("handshakes_per_second"), Some(400 - taken), "{metrics}");
}

#[test]
fn cookies_are_for_tls_only_where_the_page_is_seen_over_tls() {
    let plant = Plant::new();
    let (plain, secured) = (Daemon::start(&[TRUSTED]), plant.daemon(&[]));
    let login = |daemon: &Daemon| {
        let mut issue = daemon.command("token");
        let issued = issue.args(["issue", "--name", "ana", "--scope", "view"]).output().unwrap();
        assert!(issued.status.success(), "{issued:?}");
        serde_json::json!({ "token": String::from_utf8(issued.stdout).unwrap().trim() }).to_string()
    };
    let (to_plain, to_secured) = (login(&plain), login(&secured));
    let json = ("content-type", "application/json");
    for (proto, for_tls) in [("https", true), ("http", false), ("", false)] {
        eventually("a login", || {
            let headers = [json, ("x-forwarded-proto", proto)];
            let (status, head, _) =
                plain.exchange("POST", "/api/v1/session", &headers, to_plain.as_bytes());
            assert_eq!(
                head.contains("; secure") && head.contains("__host-"),
                for_tls && status == 200
            );
            status == 200
        });
    }
    eventually("a login over TLS", || {
        let mut connection = plant.connect(secured.address).unwrap();
        connection.ask(&format!(
            "POST /api/v1/session HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{to_secured}",
            to_secured.len()
        ));
        let head = connection.until("\r\n\r\n").to_ascii_lowercase();
        head.starts_with("http/1.1 200") && head.contains("; secure") && head.contains("__host-")
    });
}

//! SIGHUP: handshakes from now on are as `[tls]` says now, and connections that stand stay; but who came in
//! by what does not count any more is told so, and out.

use crate::access::issue;
use crate::daemon::Daemon;
use crate::plant::{Plant, blocks, closed, eventually, greet, sent};
use crate::reload::says;
use crate::tls_clients::{DEVICES, VIEWERS};

const ANSWERED: &str = "HTTP/1.1 200";

struct Site {
    plant: Plant,
    state_dir: Option<tempfile::TempDir>,
    key: String,
}

impl Site {
    /// With a key for a gateway.
    fn new() -> Site {
        let state_dir = tempfile::tempdir().unwrap();
        let rights = ["--scope", "ingest", "--scope", "view"];
        let key =
            issue(state_dir.path(), &[&["--name", "gw", "--device", "*"], &rights[..]].concat());
        Site { plant: Plant::new(), state_dir: Some(state_dir), key }
    }

    /// A configuration, of which `@` stands for the plant's directory.
    fn toml(&self, tls: &str, more: &str) -> String {
        let toml = format!(
            "[limits]\nheader_timeout = \"10 m\"\n[tls]\ncertificate_file = \"@server.pem\"\n\
             key_file = \"@server.key\"\n{tls}\n{more}\n"
        );
        toml.replace('@', &self.plant.path(""))
    }

    fn start(&mut self, toml: &str) -> Daemon {
        let state_dir = self.state_dir.take().unwrap();
        std::fs::write(state_dir.path().join("tidegate.toml"), toml).unwrap();
        Daemon::start_in(state_dir, &[])
    }
}

#[test]
fn handshakes_are_as_the_configuration_says_now_and_connections_stay() {
    let mut site = Site::new();
    let daemon = site.start(&site.toml("", ""));
    let plant = &site.plant;
    plant.shell(&blocks("sh server").concat().replace("server.", "other."));
    let mut stands = plant.connect(daemon.address).unwrap();
    let mut answers = || {
        stands.ask("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
        assert_eq!(stands.answer().unwrap().0, 200);
    };
    answers();
    let mut device = plant.websocket(&daemon, None, DEVICES, &site.key).unwrap();
    greet(&mut device, "gw");
    let newest = || plant.connect(daemon.address).unwrap().certificate();
    let first = newest();
    assert!(plant.s_client(&daemon, &["-tls1_2"]).contains(ANSWERED));

    // A key of another certificate: nothing changes, of the rest neither.
    let wrong = site.toml("version_min = \"1.3\"", "[commands]\nper_device_max = 1");
    let log = daemon.reload(&wrong.replace("server.key", "other.key"));
    assert!(says(&log, &["reload-refused", "tls: ", "server.pem"]), "{log:#?}");
    assert!(!says(&log, &["event=reloaded"]), "{log:#?}");
    assert!(plant.s_client(&daemon, &["-tls1_2"]).contains(ANSWERED));

    let other = site.toml("version_min = \"1.3\"", "").replace("server.", "other.");
    let log = daemon.reload(&other);
    let applied = "applied=\"tls.certificate_file, tls.key_file, tls.version_min\"";
    assert!(says(&log, &["event=reloaded", applied]), "{log:#?}");
    let said = plant.s_client(&daemon, &["-tls1_2"]);
    assert!(!said.contains(ANSWERED) && said.contains("alert"), "{said}");
    assert!(plant.s_client(&daemon, &["-tls1_3"]).contains(ANSWERED));
    let second = newest();
    assert_ne!(first, second);
    // These files are the ones that are looked at.
    plant.shell(&blocks("sh server").concat().replace("server.", "other."));
    eventually("a new certificate", || newest() != second);
    answers();
    sent(&mut device, "gw", 1);

    // What the port speaks is for the next start.
    let log = daemon.reload("[limits]\nheader_timeout = \"10 m\"\n");
    let keys = "tls.certificate_file, tls.key_file, tls.version_min";
    assert!(says(&log, &["event=restart-needed", keys]), "{log:#?}");
    assert!(plant.s_client(&daemon, &["-tls1_3"]).contains(ANSWERED));
    answers();
    sent(&mut device, "gw", 2);
}

#[test]
fn certificates_of_clients_are_asked_for_as_the_configuration_says_now() {
    let mut site = Site::new();
    let daemon = site.start(&site.toml("", ""));
    let (plant, key) = (&site.plant, &site.key);
    plant.run("client");
    plant.shell(&format!(
        "mkdir -p elsewhere && cd elsewhere\n{}\ncp ca.pem ../others.pem",
        blocks("sh authority").concat()
    ));
    let rule = |scopes: &str| {
        format!(
            "[[auth.certificates]]\nname = \"gateway-*\"\nscopes = [{scopes}]\ndevices = [\"*\"]"
        )
    };
    let both = rule("\"ingest\", \"view\"");
    let asked =
        |how: &str| format!("client_certificates = \"{how}\"\nclient_ca_file = \"@ca.pem\"");
    let connect = |client: Option<&str>, name: &str, token: &str| {
        let mut socket = plant.websocket(&daemon, client, DEVICES, token)?;
        greet(&mut socket, name);
        Ok::<_, String>(socket)
    };
    let certified = || connect(Some("gateway-7"), "gateway-7", "");
    assert!(certified().is_err(), "certificates do not count");
    let mut bare = connect(None, "bare", key).unwrap();

    daemon.reload(&site.toml(&asked("optional"), &both));
    let mut by_certificate = certified().unwrap();
    let viewer = plant.websocket(&daemon, Some("gateway-7"), VIEWERS, "").unwrap();
    let mut with_key = connect(Some("gateway-7"), "with-key", key).unwrap();
    sent(&mut bare, "gw", 1);

    // Who shows none could not come any more.
    let log = daemon.reload(&site.toml(&asked("required"), &both));
    assert!(says(&log, &["event=reloaded", "applied=tls.client_certificates"]), "{log:#?}");
    let (code, reason) = closed(bare);
    assert!(code == 1008 && reason.contains("certificate"), "{code} {reason}");
    assert!(connect(None, "bare", key).is_err());
    sent(&mut by_certificate, "gw", 1);
    sent(&mut with_key, "gw", 2);

    // They may less: what they came by says something else now.
    daemon.reload(&site.toml(&asked("required"), &rule("\"ingest\"")));
    assert_eq!((closed(by_certificate).0, closed(viewer).0), (1008, 1008));
    let by_certificate = certified().unwrap();
    sent(&mut with_key, "gw", 3);

    // They are not asked for: they do not count, keys do.
    daemon.reload(&site.toml("", &rule("\"ingest\"")));
    assert_eq!(closed(by_certificate).0, 1008);
    sent(&mut with_key, "gw", 4);
    let mut bare = connect(None, "bare", key).unwrap();

    // Another authority did not sign this one.
    daemon.reload(&site.toml(&asked("optional").replace("ca.pem", "others.pem"), &both));
    let (code, reason) = closed(with_key);
    assert!(code == 1008 && reason.contains("certificate"), "{code} {reason}");
    sent(&mut bare, "gw", 2);
}

//! Certificates of clients as docs/tls.md promises them: taken, refused, revoked, and whose they are.

use crate::daemon::{Daemon, PATIENCE};
use crate::plant::{Plant, closed, eventually, greet, sent};
use crate::tls::ANSWERED;
use serde_json::Value;
use std::io::Read;
use std::net::TcpStream;

const CLIENTS: [&str; 2] = ["tls.client_ca_file=@ca.pem", "tls.client_crl_file=@revoked.pem"];

/// A plant with two clients of which the first is revoked.
fn plant_with_clients() -> Plant {
    let plant = Plant::new();
    for client in ["gateway-1", "gateway-7"] {
        plant.run_for(client, "client");
    }
    plant.run_for("gateway-1", "revoke");
    plant
}

#[test]
fn certificates_of_clients_are_taken_or_refused_with_the_alert_that_says_why() {
    let plant = plant_with_clients();
    // Good until now, and not any more.
    let client = crate::plant::blocks("sh client").concat().replace("gateway-7", "gateway-0");
    plant.shell(&client.replace("-days 397", "-days 0"));
    // Signed by somebody else.
    let stranger = crate::plant::blocks("sh client").concat().replace("gateway-7", "stranger");
    plant.shell(&format!(
        "mkdir -p elsewhere && cd elsewhere\n{}\n{stranger}\ncp stranger.* ..",
        crate::plant::blocks("sh authority").concat().replace("Plant", "Another")
    ));
    // Another server's.
    let neighbour = crate::plant::blocks("sh server").concat().replace("server.", "neighbour.");
    plant.shell(&neighbour);
    let required = plant.daemon(&[&CLIENTS[..], &["tls.client_certificates=required"]].concat());
    let optional = plant.daemon(&[&CLIENTS[..], &["tls.client_certificates=optional"]].concat());
    let show = |daemon: &Daemon, client: &str, version: &str| {
        let (certificate, key) = (format!("{client}.pem"), format!("{client}.key"));
        plant.s_client(daemon, &[version, "-cert", &certificate, "-key", &key])
    };
    eventually("the last second of a certificate is over", || {
        !show(&required, "gateway-0", "-tls1_3").contains(ANSWERED)
    });
    for daemon in [&required, &optional] {
        for version in ["-tls1_2", "-tls1_3"] {
            let said = show(daemon, "gateway-7", version);
            assert!(said.contains(ANSWERED), "{version}: {said}");
            for (client, alert) in [
                ("gateway-1", "certificate revoked"),
                ("gateway-0", "certificate expired"),
                ("stranger", "unknown ca"),
                // It is for servers.
                ("neighbour", "alert"),
            ] {
                let said = show(daemon, client, version);
                assert!(!said.contains(ANSWERED), "{client} {version}: {said}");
                assert!(said.contains(alert), "{client} {version} without {alert:?}: {said}");
            }
        }
    }
    let said = plant.s_client(&required, &["-tls1_3"]);
    assert!(said.contains("SSL alert number 116"), "no certificate_required: {said}");
    let said = plant.s_client(&required, &["-tls1_2"]);
    assert!(said.contains("alert") && !said.contains(ANSWERED), "{said}");
    assert!(plant.s_client(&optional, &["-tls1_3"]).contains(ANSWERED));
}

#[test]
fn the_command_line_of_the_machine_comes_in_where_certificates_are_required() {
    let plant = plant_with_clients();
    let daemon = plant.daemon(&[&CLIENTS[..], &["tls.client_certificates=required"]].concat());
    let run = |name: &str, arguments: &[&str]| {
        let output = daemon.command(name).args(arguments).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    let (code, said) = run("drill", &["--within", "60 s"]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run("devices", &["ls"]);
    assert!(code == Some(0) && said.contains("tidegate-drill-"), "{said}");
    // Who can't read the key shows no certificate.
    plant.shell("rm server.key");
    let (code, said) = run("devices", &["ls"]);
    assert_eq!(code, Some(69), "{said}");
}

#[test]
fn who_is_revoked_while_connected_is_cut_off() {
    let plant = plant_with_clients();
    plant.run_for("gateway-2", "client");
    let settings = [
        "tls.client_certificates=optional",
        "auth.anonymous=anywhere",
        "auth.certificates.0.name=gateway-*",
        "auth.certificates.0.scopes=view",
        "auth.certificates.0.devices=*",
    ];
    let mut daemon = plant.daemon(&[&CLIENTS[..], &settings].concat());
    let connect = |client: Option<&str>| {
        let socket = TcpStream::connect(daemon.address).unwrap();
        let mut connection = plant.secure(socket, client, &[]).unwrap();
        connection.ask("GET /api/v1/live HTTP/1.1\r\nhost: localhost\r\n\r\n");
        connection.until("snapshot");
        connection
    };
    let (mut revoked, mut good, mut none) =
        (connect(Some("gateway-7")), connect(Some("gateway-2")), connect(None));
    plant.run("revoke");
    let since = tidegate::clock::monotonic();
    // It ends without a word of TLS, or with one.
    let mut piece = [0; 4096];
    while revoked.0.read(&mut piece).is_ok_and(|read| read > 0) {}
    println!("cut off after {:?}", since.elapsed());
    assert!(since.elapsed() < PATIENCE);
    daemon.wait_for_log("a client's certificate is no longer good");
    let refused = plant.s_client(&daemon, &["-cert", "gateway-7.pem", "-key", "gateway-7.key"]);
    assert!(refused.contains("certificate revoked"), "{refused}");
    for connection in [&mut good, &mut none] {
        connection.until("\"type\":\"status\"");
    }
}

pub const DEVICES: (&str, &str) = ("/api/v1/ingest/ws", "tidegate.v1");
pub const VIEWERS: (&str, &str) = ("/api/v1/live/ws", "tidegate.live.v1");

#[test]
fn who_is_revoked_while_connected_is_told_so_before_it_is_cut_off() {
    let plant = plant_with_clients();
    plant.run_for("gateway-2", "client");
    let settings = [
        "tls.client_certificates=required",
        // One says hello late.
        "limits.hello_timeout=10 m",
        "auth.certificates.0.name=gateway-*",
        "auth.certificates.0.scopes=view,ingest",
        "auth.certificates.0.devices=*",
    ];
    let daemon = plant.daemon(&[&CLIENTS[..], &settings].concat());
    let connect = |client: &str, path| plant.websocket(&daemon, Some(client), path, "").unwrap();
    let [mut device, mut stays] = ["gateway-7", "gateway-2"].map(|client| {
        let mut socket = connect(client, DEVICES);
        greet(&mut socket, client);
        socket
    });
    // One that has not said hello, and one that has an answer to come.
    let (silent, viewer) = (connect("gateway-7", DEVICES), connect("gateway-7", VIEWERS));
    let mut stream =
        plant.secure(TcpStream::connect(daemon.address).unwrap(), Some("gateway-7"), &[]).unwrap();
    stream.ask("GET /api/v1/live HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.until("snapshot");
    sent(&mut device, "pump-1", 1);
    plant.run("revoke");
    for socket in [device, silent, viewer] {
        let (code, reason) = closed(socket);
        assert_eq!(code, 1008, "{reason}");
        assert!(reason.contains("certificate is no longer good"), "{reason}");
    }
    // The last chunk: the body is complete.
    stream.until("\r\n0\r\n\r\n");
    sent(&mut stays, "pump-1", 1);
}

#[test]
fn the_name_in_a_certificate_is_who_comes() {
    let plant = plant_with_clients();
    let client = crate::plant::blocks("sh client").concat();
    plant.shell(
        &client.replace("gateway-7", "gateway-8").replace("DNS:gateway-8", "URI:urn:plant:8"),
    );
    let only_common = client.replace("gateway-7", "gateway-9");
    plant.shell(&only_common.replace("subjectAltName=DNS:gateway-9\\n", ""));
    let settings = [
        "tls.client_certificates=optional",
        "auth.certificates.0.name=gateway-*",
        "auth.certificates.0.scopes=ingest,view",
        "auth.certificates.0.devices=pump-*",
    ];
    let daemon = plant.daemon(&[&CLIENTS[..], &settings].concat());
    let session = |client: Option<&str>| {
        let socket = TcpStream::connect(daemon.address).unwrap();
        let mut connection = plant.secure(socket, client, &[]).unwrap();
        connection.ask("GET /api/v1/session HTTP/1.1\r\nhost: localhost\r\n\r\n");
        let (status, body) = connection.answer().unwrap();
        (status, serde_json::from_str::<Value>(&body).unwrap())
    };
    for (file, name, devices) in [
        ("gateway-7", "gateway-7", "pump-*"),
        // No block is about that one.
        ("gateway-8", "urn:plant:8", "urn:plant:8"),
        ("gateway-9", "gateway-9", "pump-*"),
    ] {
        let (status, told) = session(Some(file));
        assert_eq!(
            (status, &told["name"], &told["how"]),
            (200, &name.into(), &"certificate".into())
        );
        assert_eq!(told["devices"], serde_json::json!([devices]), "{told}");
    }
    assert_eq!(session(None).0, 401);
}

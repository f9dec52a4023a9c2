//! SIGTERM: the pipeline runs dry, clients are told to come back, nothing is left behind.

use crate::client::{Client, reading};
use crate::daemon::{Daemon, PATIENCE};

#[test]
fn a_stopped_daemon_has_everything_in_history_and_tells_clients_to_come_back() {
    let mut daemon = Daemon::start(&[]);
    let (mut client, _) = Client::greet(&daemon, "pump-7", 1);
    for seq in 1..=50 {
        client.batch(seq, &reading("pump-7", "t", seq as f64));
    }
    client.acked(50);
    daemon.terminate();
    assert_eq!(client.closed(), 1012);
    let status = daemon.wait();
    assert_eq!(status.code(), Some(0));

    let audit = daemon.command("audit").output().unwrap();
    let report = String::from_utf8_lossy(&audit.stdout).into_owned();
    assert!(audit.status.success(), "{report} {}", String::from_utf8_lossy(&audit.stderr));
    assert!(report.contains("spooled 0"), "all of it is in the history: {report}");

    daemon.restart();
    let (client, welcome) = Client::greet(&daemon, "pump-7", 1);
    assert_eq!(welcome.last_seq, 50, "the session is remembered");
    drop(client);
    let answer = daemon.json("/api/v1/query?device=pump-7&metric=t&from=-1h");
    assert_eq!(answer["value"].as_array().unwrap().len(), 50);
}

#[test]
fn an_idle_viewer_and_an_idle_connection_do_not_delay_the_end() {
    let mut daemon = Daemon::start(&["shutdown.deadline=10 m"]);
    let silent = std::net::TcpStream::connect(daemon.address).unwrap();
    let (device, _) = Client::greet(&daemon, "idle", 1);
    let viewer =
        Client::connect_with(&daemon, "/api/v1/live/ws", Some("tidegate.live.v1")).unwrap();
    let mut events = std::net::TcpStream::connect(daemon.address).unwrap();
    std::io::Write::write_all(&mut events, b"GET /api/v1/live HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .unwrap();
    let mut first = [0; 1];
    std::io::Read::read_exact(&mut events, &mut first).unwrap();
    let started = tidegate::clock::monotonic();
    assert!(daemon.stop().success());
    let took = started.elapsed();
    assert!(took < PATIENCE, "it took {took:?}");
    drop((silent, device, viewer));
}

//! Starts, kills and asks a real broker, and publishes to it.

use crate::daemon::{Daemon, PATIENCE, signal};
use crate::port::Port;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidegate::clock;

/// A broker with a directory and a port of its own, over all its restarts.
pub struct Mosquitto {
    pub directory: tempfile::TempDir,
    pub port: u16,
    _held: Port,
    running: Option<Child>,
    log: Arc<Mutex<Vec<String>>>,
    /// For `mosquitto_pub`.
    client: Vec<String>,
}

/// Everybody may come.
const OPEN: &str = "allow_anonymous true\n";

impl Mosquitto {
    /// A broker that lets everybody in and drops nothing.
    pub fn start() -> Mosquitto {
        Mosquitto::start_with(OPEN)
    }

    /// The same with more lines of configuration. `{}` in them stands for its directory.
    pub fn start_with(lines: &str) -> Mosquitto {
        Mosquitto::new().configured(lines)
    }

    /// A broker that does not run yet; its directory can be filled.
    pub fn new() -> Mosquitto {
        let (held, directory) = (Port::hold(), tempfile::tempdir().unwrap());
        let (port, running, log) = (held.address.port(), None, Arc::default());
        Mosquitto { directory, port, _held: held, running, log, client: Vec::new() }
    }

    /// Starts it with these lines of configuration.
    pub fn configured(mut self, lines: &str) -> Mosquitto {
        self.set(lines);
        self.restart();
        self
    }

    /// From its next start on, with these lines.
    pub fn set(&self, lines: &str) {
        let directory = self.directory.path().display().to_string();
        // With less than that, what a slow subscriber has not taken is dropped although its publisher
        // has its acknowledgement.
        let configuration = format!(
            "user root\nlistener {} 127.0.0.1\npersistence true\npersistence_location {directory}/\n\
             autosave_interval 1\nmax_queued_messages 0\nlog_dest stderr\nlog_type all\n{}",
            self.port,
            lines.replace("{}", &directory),
        );
        std::fs::write(self.directory.path().join("mosquitto.conf"), configuration).unwrap();
    }

    /// What `mosquitto_pub` needs to be let in.
    pub fn publish_with(&mut self, arguments: &[&str]) {
        self.client = arguments.iter().map(ToString::to_string).collect();
    }

    /// Starts it again, after [`Mosquitto::kill`] or [`Mosquitto::stop`]; returns when it listens.
    pub fn restart(&mut self) {
        let mut child = Command::new("mosquitto")
            .arg("-c")
            .arg(self.directory.path().join("mosquitto.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("mosquitto; tests/setup installs it");
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let log = self.log.clone();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                log.lock().unwrap().push(line);
            }
        });
        let deadline = clock::monotonic() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("mosquitto ended ({status}): {:#?}", self.log.lock().unwrap());
            }
            assert!(clock::monotonic() < deadline, "mosquitto does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        self.running = Some(child);
    }

    /// SIGKILL: sessions and what was retained since its last save are gone.
    pub fn kill(&mut self) {
        let mut child = self.running.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM: it saves everything.
    pub fn stop(&mut self) {
        let mut child = self.running.take().unwrap();
        signal(&child, rustix::process::Signal::TERM);
        child.wait().unwrap();
    }

    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Lines of its log that contain a text.
    pub fn logged(&self, text: &str) -> Vec<String> {
        let lines = self.log.lock().unwrap();
        lines.iter().filter(|line| line.contains(text)).cloned().collect()
    }

    /// Waits until so many lines contain a text.
    pub fn until_logged(&self, text: &str, count: usize) -> Vec<String> {
        let deadline = clock::monotonic() + PATIENCE;
        loop {
            let lines = self.logged(text);
            if lines.len() >= count {
                return lines;
            }
            assert!(
                clock::monotonic() < deadline,
                "{} lines with {text:?}: {:#?}",
                lines.len(),
                self.log.lock().unwrap()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Publishes with QoS 1; returns when the broker has acknowledged it.
    pub fn publish(&self, topic: &str, payload: &str) {
        self.publish_bytes(topic, payload.as_bytes(), &[]);
    }

    /// The same of any bytes, with more arguments for `mosquitto_pub`.
    pub fn publish_bytes(&self, topic: &str, payload: &[u8], arguments: &[&str]) {
        let mut child = self.publisher(topic, &["-s"], arguments);
        child.stdin.take().unwrap().write_all(payload).unwrap();
        assert!(child.wait().unwrap().success(), "{topic}");
    }

    /// Publishes each line with QoS 1; returns when all are acknowledged.
    pub fn publish_lines(&self, topic: &str, lines: impl IntoIterator<Item = String>) {
        let mut child = self.publisher(topic, &["-l"], &[]);
        let mut stdin = std::io::BufWriter::new(child.stdin.take().unwrap());
        for line in lines {
            writeln!(stdin, "{line}").unwrap();
        }
        drop(stdin);
        assert!(child.wait().unwrap().success(), "{topic}");
    }

    /// `mosquitto_pub`, which reads from its standard input.
    pub fn publisher(&self, topic: &str, form: &[&str], arguments: &[&str]) -> Child {
        let port = self.port.to_string();
        Command::new("mosquitto_pub")
            .args(["-h", "127.0.0.1", "-p", &port, "-q", "1", "-t", topic])
            .args(form)
            .args(&self.client)
            .args(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .expect("mosquitto_pub; tests/setup installs it")
    }

    /// Publishes many messages over one connection; returns when the broker has all of them.
    pub fn publish_many(
        &self,
        messages: impl IntoIterator<Item = (String, String)>,
        qos: u8,
        retain: bool,
    ) {
        use rumqttc_v4::{AsyncClient, Event, MqttOptions, Packet, PublishOptions, QoS};
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let options = MqttOptions::builder("many", ("127.0.0.1", self.port)).build();
        let level = if qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        runtime.block_on(async {
            let (client, mut events) = AsyncClient::builder(options).capacity(100).build();
            let publish = async {
                for (topic, payload) in messages {
                    let how = PublishOptions::new(level).retain(retain);
                    client.publish(topic, payload, how).await.unwrap();
                }
                // Acknowledged after all that came before it.
                client.publish("done", "", PublishOptions::at_least_once()).await.unwrap();
            };
            let poll = async {
                loop {
                    if let Event::Incoming(Packet::PubAck(_)) = events.poll().await.unwrap()
                        && qos == 0
                    {
                        break;
                    }
                }
            };
            tokio::join!(publish, poll);
        });
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        if let Some(mut child) = self.running.take() {
            let killed = child.kill().and_then(|()| child.wait());
            if std::thread::panicking() {
                let lines = self.log.lock().unwrap();
                let last = &lines[lines.len().saturating_sub(60)..];
                eprintln!("mosquitto ({killed:?}) had logged: {last:#?}");
            }
        }
    }
}

/// Settings of a bridge, as `--set` takes them, for [`Daemon::start`].
pub fn bridge(broker: &str, settings: &[&str]) -> Vec<String> {
    let mut all = vec!["intake.mqtt.0.name=site".to_owned(), format!("intake.mqtt.0.url={broker}")];
    all.extend(settings.iter().map(|setting| match setting.split_once('.') {
        // A setting of another branch.
        Some((branch, _)) if !branch.contains('=') && branch != "routes" => (*setting).to_owned(),
        _ => format!("intake.mqtt.0.{setting}"),
    }));
    all
}

/// A JSON route of devices and what they say.
pub const JSON_ROUTE: [&str; 2] = ["routes.0.topic=plant/{device}", "routes.0.decoder=json"];

impl Daemon {
    /// Starts a daemon with a bridge, as [`bridge`] has it.
    pub fn bridged(broker: &str, settings: &[&str]) -> Daemon {
        let settings = bridge(broker, settings);
        Daemon::start(&settings.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// What status says of its bridge.
    pub fn bridge(&self) -> Value {
        self.json("/api/v1/status")["intake"]["mqtt"][0].clone()
    }

    /// Asks again until status says of the bridge what is wanted.
    pub fn until_bridge(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let wanted = |status: &Value| wanted(&status["intake"]["mqtt"][0]);
        self.eventually("/api/v1/status", wanted)["intake"]["mqtt"][0].clone()
    }

    /// Waits until it is connected, and the broker has had its subscriptions.
    pub fn until_subscribed(&self, broker: &Mosquitto) {
        self.until_bridge(|bridge| bridge["state"] == "connected");
        broker.until_logged("Sending SUBACK to tidegate-site", 1);
    }

    /// Times (ns) and values of a metric in the last hour, once there are so many.
    pub fn samples(&self, device: &str, metric: &str, count: usize) -> (Vec<i64>, Vec<f64>) {
        let path = format!("/api/v1/query?device={device}&metric={metric}&from=-1h&to=now");
        let answer = self.eventually(&path, |answer| {
            answer["value"].as_array().is_some_and(|values| values.len() >= count)
        });
        let (times, values) = (&answer["time"], &answer["value"]);
        let values = values.as_array().unwrap().iter().map(|value| value.as_f64().unwrap());
        let times = times.as_array().unwrap().iter().map(|time| time.as_i64().unwrap());
        (times.collect(), values.collect())
    }
}

/// Makes an authority, and a certificate that it signed for each name: `NAME.pem`, `NAME.key`.
pub fn certificates(directory: &Path, names: &[&str]) {
    let openssl = |arguments: &[&str]| {
        let output =
            Command::new("openssl").args(arguments).current_dir(directory).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let mut authority = vec!["req", "-x509", "-subj", "/CN=Test authority", "-days", "2"];
    authority.extend(key);
    authority.extend(["-keyout", "ca.key", "-out", "ca.pem"]);
    openssl(&authority);
    for name in names {
        let subject = format!("/CN={name}");
        let (key_file, request, certificate) =
            (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
        let mut asked = vec!["req", "-new", "-subj", &subject];
        asked.extend(key);
        asked.extend(["-keyout", &key_file, "-out", &request]);
        openssl(&asked);
        let names = directory.join(format!("{name}.ext"));
        std::fs::write(&names, "subjectAltName=DNS:localhost,IP:127.0.0.1\n").unwrap();
        openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            &names.display().to_string(),
            "-out",
            &certificate,
        ]);
    }
}

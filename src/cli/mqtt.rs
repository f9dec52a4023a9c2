//! `tidegate mqtt tap`: what is published at the brokers, and what the routes make of it. And whether
//! brokers let us subscribe, for `tidegate check`.

use super::{EXIT_UNAVAILABLE, EXIT_USAGE, Settings, ask, fail, printable};
use crate::clock;
use crate::config::{Config, MqttConfig};
use crate::decode::readings;
use crate::intake::mqtt::payload;
use crate::intake::mqtt::tap::{Heard, Sample, Tap, Told, Unheard, listen};
use crate::routes::suggest;
use clap::{Args, Subcommand};
use std::io::{BufRead, BufReader, ErrorKind, Write, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Brokers and routes.
#[derive(Debug, Args)]
pub(super) struct Mqtt {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print what is published and what each route makes of it. Nothing is stored, and the daemon's own
    /// session is left alone; end it with Ctrl+C.
    Tap {
        /// The [[intake.mqtt]] of this name; needed if there are several.
        #[arg(long, value_name = "NAME")]
        bridge: Option<String>,
        /// Subscribe to this instead of what the routes are for; + and # as in MQTT.
        #[arg(long, value_name = "FILTER")]
        topic: Option<String>,
        /// Connect to nobody: take the messages from this file, a line each, the topic, a space and the
        /// payload, as `mosquitto_sub -v` prints them; - = standard input.
        #[arg(long, value_name = "FILE", conflicts_with = "topic")]
        sample: Option<PathBuf>,
        /// End after so many messages.
        #[arg(long, value_name = "N")]
        count: Option<u64>,
    },
}

/// Characters of a payload that are shown.
const PAYLOAD_CHARS_MAX: usize = 200;

pub(super) fn mqtt(command: &Mqtt) -> ExitCode {
    let (config, _) = match command.settings.load() {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let Action::Tap { bridge, topic, sample, count } = &command.action;
    let bridge = match chosen(&config.intake.mqtt, bridge.as_deref()) {
        Ok(bridge) => bridge,
        Err(mistake) => return fail(EXIT_USAGE, mistake),
    };
    let printer = Printer {
        tap: Tap::new(bridge, &config.limits.wire),
        bridge,
        left: count.unwrap_or(u64::MAX),
        failed: None,
    };
    match sample {
        Some(file) => from_file(printer, file),
        None => from_broker(printer, topic.as_deref()),
    }
}

fn chosen<'a>(bridges: &'a [MqttConfig], name: Option<&str>) -> Result<&'a MqttConfig, String> {
    let names = || bridges.iter().map(|bridge| &*bridge.name).collect::<Vec<_>>().join(", ");
    match (bridges, name) {
        ([], _) => Err("the configuration has no [[intake.mqtt]]".to_owned()),
        ([bridge], None) => Ok(bridge),
        (_, None) => Err(format!("say which with --bridge: {}", names())),
        (_, Some(name)) => bridges.iter().find(|bridge| bridge.name == name).ok_or_else(|| {
            format!("there is no [[intake.mqtt]] \"{name}\"; known are {}", names())
        }),
    }
}

/// Prints messages and what becomes of them.
struct Printer<'a> {
    tap: Tap,
    bridge: &'a MqttConfig,
    /// Messages still to be printed.
    left: u64,
    failed: Option<std::io::Error>,
}

impl Printer<'_> {
    /// False if it is enough.
    fn message(&mut self, sample: &Sample) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        self.failed = self.print(sample).err();
        self.failed.is_none() && self.left > 0
    }

    fn print(&mut self, sample: &Sample) -> std::io::Result<()> {
        let mut out = stdout().lock();
        let retained = if sample.retained { ", retained" } else { "" };
        let (topic, bytes, qos) = (printable(&sample.topic), sample.bytes, sample.qos);
        writeln!(out, "{topic}  {bytes} bytes, QoS {qos}{retained}")?;
        writeln!(out, "  {}", shown(&sample.payload))?;
        match self.tap.told(sample) {
            Told::NoRoute => {
                writeln!(out, "  no route takes it; one that would:\n")?;
                let block = suggest(&sample.topic, &sample.payload);
                for line in block.trim_end().lines() {
                    writeln!(out, "{}", printable(line))?;
                }
            }
            Told::TooLong => writeln!(out, "  it is too long (message_bytes_max)")?,
            Told::Route { number, readings: told, left_out } => {
                let route = &self.bridge.routes[number];
                let (pattern, decoder) = (&route.spec().topic, route.decoder().name());
                writeln!(out, "  route {} ({pattern}, {decoder}):", number + 1)?;
                match told {
                    Err(reason) => writeln!(out, "    not understood: {}", printable(&reason))?,
                    Ok(batch) if batch.samples() == 0 => {
                        writeln!(out, "    understood, and nothing of it is wanted")?;
                    }
                    Ok(batch) => {
                        for reading in readings(&batch) {
                            writeln!(out, "    {}", serde_json::Value::Object(reading))?;
                        }
                    }
                }
                if let Some(why) = left_out {
                    writeln!(out, "    left out: {}", printable(&why))?;
                }
            }
        }
        writeln!(out)?;
        out.flush()
    }

    fn end(self, problem: Option<ExitCode>) -> ExitCode {
        match self.failed {
            // Whoever reads the output has seen enough.
            Some(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Some(error) => fail(1, error),
            None => problem.unwrap_or(ExitCode::SUCCESS),
        }
    }
}

/// A payload in one line.
fn shown(bytes: &[u8]) -> String {
    let shown = match payload::text(bytes) {
        Some(text) => printable(text),
        None => payload::hex(bytes),
    };
    match shown.char_indices().nth(PAYLOAD_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &shown[..at]),
        None => shown,
    }
}

fn from_file(mut printer: Printer<'_>, file: &Path) -> ExitCode {
    let unread = |error: std::io::Error| fail(1, format!("{}: {error}", file.display()));
    let reader: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(BufReader::new(stdin()))
    } else {
        match std::fs::File::open(file) {
            Ok(file) => Box::new(BufReader::new(file)),
            Err(error) => return unread(error),
        }
    };
    for line in reader.split(b'\n') {
        let line = match line {
            Ok(line) => line,
            Err(error) => return unread(error),
        };
        if let Some(sample) = sample(&line)
            && !printer.message(&sample)
        {
            break;
        }
    }
    printer.end(None)
}

/// A message as `mosquitto_sub -v` prints it; `None` if the line is empty.
fn sample(line: &[u8]) -> Option<Sample> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let space = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    let (topic, payload) = line.split_at(space);
    let topic = String::from_utf8_lossy(topic).into_owned();
    let payload = payload.strip_prefix(b" ").unwrap_or(payload);
    (!topic.is_empty()).then(|| Sample {
        topic,
        payload: payload.to_vec().into(),
        bytes: payload.len(),
        qos: 0,
        retained: false,
        received_at: clock::now(),
        content_type: None,
        properties: Vec::new(),
    })
}

fn from_broker(mut printer: Printer<'_>, topic: Option<&str>) -> ExitCode {
    let bridge = printer.bridge;
    // Without promises there is nothing to acknowledge.
    let filters: Vec<_> = match topic {
        Some(topic) => vec![(topic.to_owned(), 0)],
        None => filters(bridge).into_iter().map(|(filter, _)| (filter, 0)).collect(),
    };
    if filters.is_empty() {
        return fail(EXIT_USAGE, format!("{} has no routes: say --topic '#'", bridge.name));
    }
    let heard = ask::wait(listen(bridge, &filters, |heard| match heard {
        Heard::Connected => {
            eprintln!("{}: connected to {}", bridge.name, bridge.broker.url);
            true
        }
        Heard::Subscribed(answers) => {
            for (filter, problem) in &answers {
                let problem = problem.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
                eprintln!("{}: {}{problem}", bridge.name, printable(filter));
            }
            answers.iter().any(|(_, problem)| problem.is_none())
        }
        Heard::Message(sample) => printer.message(&sample),
    }));
    let problem = match heard {
        Err(code) => Some(code),
        Ok(Ok(())) => None,
        Ok(Err(unheard)) => Some(fail(EXIT_UNAVAILABLE, told(bridge, &unheard))),
    };
    printer.end(problem)
}

/// What the routes subscribe to, outside of any group: nobody loses a message to whoever looks.
fn filters(bridge: &MqttConfig) -> Vec<(String, u8)> {
    MqttConfig { group: None, ..bridge.clone() }.subscriptions()
}

fn told(bridge: &MqttConfig, unheard: &Unheard) -> String {
    format!("{}: {}: {unheard}", bridge.name, bridge.broker.url)
}

/// Connects to each broker, subscribes as the bridge would, and says what it answers.
pub(super) fn reach(config: &Config) -> ExitCode {
    let bridges = &config.intake.mqtt;
    if bridges.is_empty() {
        return ExitCode::SUCCESS;
    }
    let asked = ask::wait(futures_util::future::join_all(bridges.iter().map(reach_one)));
    let found = match asked {
        Ok(found) => found,
        Err(code) => return code,
    };
    println!("# Asked to subscribe, the brokers answer:\n#");
    for (bridge, found) in bridges.iter().zip(&found) {
        let connected = found.as_ref().map_or_else(ToString::to_string, |_| "good".to_owned());
        println!("# {:>10}  {}: {connected}", bridge.name, bridge.broker.url);
        for (filter, problem) in found.iter().flatten() {
            let problem = problem.as_deref().unwrap_or("good");
            println!("# {:>10}  {}: {problem}", "", printable(filter));
        }
    }
    let good = |answers: &Vec<(String, Option<String>)>| {
        answers.iter().all(|(_, problem)| problem.is_none())
    };
    match found.iter().filter(|found| !found.as_ref().is_ok_and(good)).count() {
        0 => ExitCode::SUCCESS,
        bad => {
            let problem = format!("{bad} of {} brokers can't be subscribed to", found.len());
            fail(EXIT_UNAVAILABLE, problem)
        }
    }
}

/// For each filter nothing, or why it is not subscribed.
async fn reach_one(bridge: &MqttConfig) -> Result<Vec<(String, Option<String>)>, Unheard> {
    let filters = filters(bridge);
    let mut answers = Vec::new();
    listen(bridge, &filters, |heard| match heard {
        // Without routes there is nothing to ask for.
        Heard::Connected => !filters.is_empty(),
        Heard::Subscribed(told) => {
            answers = told;
            false
        }
        Heard::Message(_) => true,
    })
    .await?;
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_topic_and_a_payload() {
        let told = |line: &[u8]| sample(line).map(|it| (it.topic, it.payload.to_vec()));
        let is = |topic: &str, payload: &[u8]| Some((topic.to_owned(), payload.to_vec()));
        assert_eq!(told(b"a/b {\"t\": 1}\r"), is("a/b", b"{\"t\": 1}"));
        assert_eq!(told(b"a/b  21"), is("a/b", b" 21"));
        assert_eq!(told(b"a/b"), is("a/b", b""));
        assert_eq!(told(b"a/b \xff"), is("a/b", b"\xff"));
        assert_eq!(told(b""), None);
    }
}

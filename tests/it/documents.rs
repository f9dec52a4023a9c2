//! What the documents tell people to type, typed: each command of their `sh` and `console` blocks is run here,
//! by another test, or stands among those that no test runs, with the reason.

use crate::daemon::Daemon;
use crate::plant::eventually;
use crate::reader::{ROOT, Reader, Typed, all_of, blocks, text_of};
use crate::store::{Reaction, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Documents whose commands another test runs: which, and what in it reads the document.
const BY_OTHERS: &[(&str, &str, &str)] = &[
    ("docs/install.md", "tests/systemd/run", "commands_of(\"install.md\")"),
    ("docs/journal.md", "tests/systemd/run", "commands_of(\"journal.md\")"),
    ("docs/operations.md", "tests/systemd/run", "commands_of(\"operations.md\")"),
    ("docs/notifications.md", "tests/it/notify.rs", "docs/notifications.md\")"),
    ("docs/tls.md", "tests/it/plant.rs", "/docs/tls.md\")"),
];

/// Commands that no test runs as they stand: the document, how they begin, and why.
const LEFT_OUT: &[(&str, &str, &str)] = &[
    (
        "README.md",
        "make demo",
        "builds for a release and never ends; tests/web runs `tidegate demo`",
    ),
    ("README.md", "make test", "this is a part of it"),
    (
        "README.md",
        "cargo build --release",
        "a build of ten minutes; the tests run the same of the profile dev",
    ),
    ("dashboard/README.md", "npm ci", "tests/run does it"),
    (
        "dashboard/README.md",
        "npm run dev",
        "never ends; the page is tried as the daemon serves it (tests/web)",
    ),
    ("dashboard/README.md", "npm run check", "tests/run does it"),
    ("dashboard/README.md", "npm test", "tests/run does it"),
    ("dashboard/README.md", "npm run build", "build.rs does it at each build"),
    (
        "docs/devices.md",
        "pip install ./examples/clients/python",
        "tests/clients/setup does it, once",
    ),
    (
        "docs/neighbours.md",
        "duckdb",
        "is in no Debian; tests/neighbours/parquet.py reads the same file",
    ),
    ("examples/clients/python/README.md", "pip install .", "tests/clients/setup does it, once"),
    ("examples/clients/typescript/README.md", "npm install", "tests/clients/setup does it, once"),
];

fn documents() -> Vec<String> {
    let mut all: Vec<_> =
        ["README.md", "CONTRIBUTING.md", "dashboard/README.md", "examples/README.md"]
            .map(str::to_owned)
            .to_vec();
    let names = |directory: &str| {
        let entries = std::fs::read_dir(Path::new(ROOT).join(directory)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    let docs = names("docs").into_iter().filter(|name| name.ends_with(".md"));
    all.extend(docs.map(|name| format!("docs/{name}")));
    let clients = names("examples/clients").into_iter();
    let clients = clients.map(|name| format!("examples/clients/{name}/README.md"));
    all.extend(clients.filter(|name| Path::new(ROOT).join(name).exists()));
    all.sort();
    all
}

fn is_left_out(document: &str, command: &Typed) -> bool {
    LEFT_OUT.iter().any(|(of, begins, _)| *of == document && command.text.starts_with(begins))
}

/// Those of a document that are run here.
fn commands_of(document: &str) -> Vec<Typed> {
    let mut commands = all_of(document);
    commands.retain(|command| !is_left_out(document, command));
    assert!(!commands.is_empty(), "{document} has no commands");
    commands
}

fn send(daemon: &Daemon, lines: &[&str]) {
    let headers = [("content-type", "application/x-ndjson")];
    let (status, answer) =
        daemon.request("POST", "/api/v1/ingest", &headers, lines.join("\n").as_bytes());
    assert_eq!(status, 200, "{answer}");
}

#[test]
fn every_command_is_run_by_a_test_or_left_out_for_a_reason() {
    let here = include_str!("documents.rs");
    let mut used = BTreeSet::new();
    for document in documents() {
        for (language, lines) in blocks(&document) {
            let prompt = lines.iter().any(|line| line.starts_with("$ "));
            assert_eq!(prompt, language == "console", "{document}: ```{language} {lines:#?}");
        }
        let by_others = BY_OTHERS.iter().find(|(of, ..)| *of == document);
        if let Some((_, test, reads)) = by_others {
            assert!(text_of(test).contains(reads), "{test} does not read {document}");
            assert!(!all_of(&document).is_empty(), "{document} has no commands");
            continue;
        }
        let mut all = all_of(&document);
        all.retain(|command| {
            let (which, out) = (LEFT_OUT.iter().enumerate(), is_left_out(&document, command));
            used.extend(which.filter_map(|(number, (of, begins, _))| {
                (*of == document && command.text.starts_with(begins)).then_some(number)
            }));
            !out
        });
        let run = here.contains(&format!("in commands_of(\"{document}\")"));
        assert_eq!(run, !all.is_empty(), "{document}: by which test? {all:#?}");
    }
    let stale: Vec<_> = (0..LEFT_OUT.len()).filter(|number| !used.contains(number)).collect();
    assert!(stale.is_empty(), "no document has any more: {stale:?}");
    // Each block of commands in docs/tls.md has a name, by which they are run.
    let named: BTreeSet<_> = blocks("docs/tls.md")
        .into_iter()
        .filter_map(|(language, _)| language.strip_prefix("sh").map(|name| name.trim().to_owned()))
        .collect();
    let tests = ["plant", "tls", "tls_clients"].map(|room| text_of(&format!("tests/it/{room}.rs")));
    let tests = tests.concat();
    for name in named {
        assert!(tests.contains(&format!("run(\"{name}\")")), "docs/tls.md: ```sh {name}");
    }
}

/// Commands in the text itself, by the names of subcommands and flags.
#[test]
fn commands_named_in_sentences_are_known_to_the_command_line() {
    // Rules of the daemon's own, which are called so.
    let rules =
        ["breaker", "spool", "refusals", "broker", "disk"].map(|of| format!("tidegate {of}"));
    let mut helps: BTreeMap<Vec<String>, Option<String>> = BTreeMap::new();
    let mut help = |path: &[String]| {
        let asked = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
            let output = command.args(path).arg("--help").env("NO_COLOR", "1").output().unwrap();
            output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
        };
        helps.entry(path.to_vec()).or_insert_with(asked).clone()
    };
    let mut seen = 0;
    for document in documents() {
        let text = text_of(&document);
        // Outside of blocks every second piece is code.
        let outside: String =
            text.split("```").step_by(2).collect::<Vec<_>>().join("\n").replace('\n', " ");
        for code in outside.split('`').skip(1).step_by(2) {
            let Some(rest) = code.strip_prefix("tidegate ") else { continue };
            if document == "docs/alerts.md" && rules.contains(&code.to_owned()) {
                continue;
            }
            let of_brokers = rest.starts_with("mqtt") || rest.starts_with("quarantine");
            if of_brokers && cfg!(not(feature = "mqtt")) {
                continue;
            }
            seen += 1;
            let mut path: Vec<String> = Vec::new();
            let mut told = help(&[]).unwrap();
            let mut flags = Vec::new();
            let mut names_go_on = true;
            for word in rest.split_whitespace().take_while(|word| *word != "--") {
                if let Some(flag) = word.strip_prefix("--") {
                    names_go_on = false;
                    flags.push(format!("--{}", flag.split('=').next().unwrap()));
                } else if names_go_on {
                    path.push(word.to_owned());
                    let takes = told.contains(&format!("\n  {word} "))
                        || told.contains(&format!("\n  {word}\n"));
                    match takes.then(|| help(&path)).flatten() {
                        Some(deeper) => told = deeper,
                        None => {
                            path.pop();
                            names_go_on = false;
                        }
                    }
                }
            }
            assert!(!path.is_empty(), "{document}: `{code}`: there is no such command");
            for flag in flags {
                assert!(told.contains(&flag), "{document}: `{code}` has no {flag}: {told}");
            }
        }
    }
    assert!(seen > 40, "{seen}");
}

#[test]
fn the_commands_of_the_first_page_do_what_it_says() {
    let mut daemon = Daemon::start(&[]);
    let mut reader = Reader::of(&daemon);
    reader.write("tidegate.toml", "[history]\nretention = \"30 d\"\n");
    for command in commands_of("README.md") {
        let text = command.text.as_str();
        if text.starts_with("curl -N ") {
            reader.starts(text).until("event: snapshot");
        } else if text.starts_with("tidegate run ") {
            assert!(daemon.stop().success());
            reader.starts(text).until("msg=listening");
        } else {
            if text.starts_with("curl 'http://127.0.0.1:8080/api/v1/query?") {
                // What was taken is in the history a moment later; nobody types as fast as we do.
                daemon.until("/api/v1/query?device=desk&metric=temperature", 200);
            }
            let printed = reader.types(&command);
            for (begins, says) in [
                ("curl -H 'content-type", "\"accepted\":2"),
                ("curl 'http://127.0.0.1:8080/api/v1/query?", "21.5"),
                ("tidegate check", "The configuration is good"),
            ] {
                assert!(!text.starts_with(begins) || printed.contains(says), "{text}: {printed}");
            }
        }
    }
}

#[test]
fn the_commands_about_keys_do_what_it_says() {
    let daemon = Daemon::start(&[]);
    let mut reader = Reader::of(&daemon);
    for command in commands_of("docs/access.md") {
        let printed = reader.types(&command);
        match command.text.split(' ').nth(2) {
            Some("issue") => assert!(printed.starts_with("tgk_"), "{printed}"),
            Some("ls") => assert!(printed.contains("gw-7") && printed.contains("ana"), "{printed}"),
            _ => assert!(command.text.ends_with("revoke gw-7"), "{}", command.text),
        }
    }
}

#[test]
fn the_commands_about_trying_a_client_do_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut reader = Reader::on(folder.path());
    let client = "from tidegate_client.conformance import main\nmain()\n";
    reader.write("my_client.py", client);
    for mut command in commands_of("docs/clients.md") {
        // The whole of it takes long; tests/it/conformance.rs has four clients play it.
        let hello = "conformance --patience '60 s' --scenario hello --";
        let text = command.text.replace("conformance --", hello);
        assert_ne!(text, command.text);
        command.text = text;
        let printed = reader.types(&command);
        assert!(printed.contains("pass  hello"), "{printed}");
    }
}

#[test]
fn the_commands_about_telling_devices_do_what_it_says() {
    let daemon = Daemon::start(&[]);
    let mut reader = Reader::of(&daemon);
    reader.write("wanted.json", "{\"interval_s\": 0.5}");
    let _pump =
        reader.starts("tidegate-example ws://127.0.0.1:8080/api/v1/ingest/ws pump-7 pump.db");
    daemon.until("/api/v1/devices/pump-7", 200);
    for command in commands_of("docs/commands.md") {
        let printed = reader.types(&command);
        for (begins, says) in [
            ("tidegate command send", "acknowledged"),
            ("tidegate command ls", "set-interval"),
            ("tidegate desired get", "interval_s"),
        ] {
            assert!(!command.text.starts_with(begins) || printed.contains(says), "{printed}");
        }
    }
}

#[test]
fn the_commands_for_authors_of_devices_do_what_it_says() {
    let daemon = Daemon::start(&[]);
    let mut reader = Reader::of(&daemon);
    let example = text_of("examples/smallest_client.py");
    reader.write("examples/smallest_client.py", &example);
    std::os::unix::fs::symlink(format!("{ROOT}/proto"), reader.path("proto")).unwrap();
    // The example in the document is the one in the file.
    assert!(text_of("docs/devices.md").contains(&format!("```python\n{example}```")));
    let mut went_on = 0;
    for command in commands_of("docs/devices.md") {
        if command.text.contains(" ws://") {
            let query = "/api/v1/query?device=my-sensor&metric=temperature&from=-1h";
            let rows = |answer: &serde_json::Value| {
                answer["value"].as_array().map_or(0, std::vec::Vec::len)
            };
            let before = serde_json::from_str(&daemon.get(query).1).map_or(0, |it| rows(&it));
            let _running = reader.starts(&command.text);
            daemon.eventually(query, |answer| rows(answer) >= before + 2);
            went_on += 1;
        } else {
            reader.types(&command);
        }
    }
    assert_eq!(went_on, 2);
}

#[test]
fn the_commands_about_presence_do_what_it_says() {
    let daemon = Daemon::start(&[]);
    let mut reader = Reader::of(&daemon);
    for device in ["pump-7", "pump-8"] {
        send(&daemon, &[&format!("{{\"device\":\"{device}\",\"values\":{{\"level\":1}}}}")]);
        daemon.until(&format!("/api/v1/devices/{device}"), 200);
    }
    for command in commands_of("docs/presence.md") {
        let printed = reader.types(&command);
        let both = printed.contains("pump-7") && printed.contains("pump-8");
        assert!(!command.text.ends_with("--new") || both, "{printed}");
    }
    let known = |device: &str| daemon.json(&format!("/api/v1/devices/{device}"))["known"].clone();
    assert_eq!((known("pump-7"), known("pump-8")), (true.into(), true.into()));
}

#[cfg(feature = "mqtt")]
#[test]
fn the_commands_about_what_no_route_understood_do_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    crate::mqtt_quarantine::seven_messages(folder.path());
    let mut reader = Reader::on(folder.path());
    for command in commands_of("docs/mqtt.md") {
        let printed = reader.types(&command);
        assert!(!command.text.contains("show 7") || printed.contains("plant/"), "{printed}");
        assert!(!command.text.contains("--suggest") || printed.contains("decoder ="), "{printed}");
        assert!(!command.text.contains("replay") || printed.starts_with("7 messages"), "{printed}");
    }
}

#[test]
fn the_commands_about_alerts_do_what_it_says() {
    let directory = tempfile::tempdir().unwrap();
    let rule = "[[alerts]]\nname = \"motor hot\"\nkind = \"threshold\"\nmetric = [\"motor.temperature\"]\n\
                above = 80\nseverity = \"critical\"\n";
    std::fs::write(directory.path().join("tidegate.toml"), rule).unwrap();
    let daemon = Daemon::start_in(directory, &[]);
    let mut reader = Reader::of(&daemon);
    send(&daemon, &["{\"device\":\"pump-7\",\"values\":{\"motor.temperature\":81.2}}"]);
    let fired = |answer: &serde_json::Value| answer["counts"]["firing"] == 1;
    let id = daemon.eventually("/api/v1/alerts", fired)["alerts"][0]["id"].to_string();
    for mut command in commands_of("docs/alerts.md") {
        command.text = command.text.replace(" 7", &format!(" {id}"));
        let printed = reader.types(&command);
        assert!(!command.text.contains(" show ") || printed.contains("on my way"), "{printed}");
    }
}

/// What an application with OpenTelemetry's SDK does: all that it knows is in the environment.
const APPLICATION: &str = "
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
provider = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())])
provider.get_meter('application').create_gauge('oil.temperature').set(21.5)
provider.shutdown()
";

#[test]
fn the_commands_about_neighbours_do_what_it_says() {
    // One that asks for keys, and one that asks nobody.
    let (asking, open) = (Daemon::start(&[]), Daemon::start(&[]));
    let (mut guest, mut reader) = (Reader::of(&asking), Reader::of(&open));
    let issue = "tidegate token issue --name any --scope ingest --device '*'";
    let key = guest.shell(issue).output().unwrap().stdout;
    guest.set("KEY", String::from_utf8(key).unwrap().trim());
    // Known, and of no use for this.
    let bearer = format!("Bearer {}", guest.variables["KEY"]);
    let looks = || asking.request("GET", "/api/v1/status", &[("authorization", &bearer)], b"").0;
    eventually("the key is known", || looks() == 403);
    guest.write("application.py", APPLICATION);
    let lines = ["{\"device\":\"pump-7\",\"values\":{\"motor.temperature\":71.5}}"];
    send(&open, &lines);
    reader.write("old/2024.ndjson", &lines.join("\n").replace("71.5", "70.5"));
    reader.write("history.lp", "motor,device=pump-6 temperature=60.5\n");
    let plant = "when;machine;hall;note;starts;level\n1763712000.25;pump-9;north;hm;3;1.5\n";
    reader.write("plant.csv", plant);
    for command in commands_of("docs/neighbours.md") {
        let text = command.text.as_str();
        if text.contains("parquet") && cfg!(not(feature = "parquet")) {
            continue;
        }
        let of_guests = text.contains("$KEY") || text.starts_with("export ");
        let by = if of_guests { &mut guest } else { &mut reader };
        if text.ends_with("temperature=' 'http://127.0.0.1:8080/api/v2/write'") {
            // Refused: the body says why, word by word.
            let left = by.left_by(&command);
            assert_eq!(left.code, Some(22), "{}", left.printed);
            let body = command.prints.join("\n");
            assert!(left.printed.starts_with(&body), "{body} is not what came: {}", left.printed);
        } else {
            let printed = by.types(&command);
            let entered = printed.contains(" 0 faulty records");
            assert!(!text.starts_with("tidegate import") || entered, "{text}: {printed}");
        }
    }
    let application = format!("{ROOT}/.venv-neighbours/bin/python application.py");
    let output = guest.shell(&application).output().unwrap();
    assert!(output.status.success(), "{output:?}; run `make setup-tests`");
    let all = guest.shell("tidegate export --format csv").output().unwrap();
    let all = String::from_utf8(all.stdout).unwrap();
    assert!(all.contains("\npress-7,oil.temperature,"), "{all}");
    assert!(all.contains("\npump-7,motor.state,"), "{all}");
    let pumps = std::fs::read_to_string(reader.path("pumps.csv")).unwrap();
    assert!(pumps.contains("\npump-6,") && pumps.contains("\npump-7,"), "{pumps}");
    if cfg!(feature = "parquet") {
        let parquet = std::fs::read(reader.path("all.parquet")).unwrap();
        assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
    }
}

#[test]
fn the_commands_about_stores_do_what_it_says() {
    let store = Store::start(|request| {
        Reaction::influx_2_conflict(&request.lines, |line| line.contains("device=pump-7"))
    });
    let directory = tempfile::tempdir().unwrap();
    let configuration = format!(
        "[[sinks.influx]]\nname = \"influx\"\nurl = \"{}\"\nbucket = \"b\"\nbatch_age = \"50 ms\"\n",
        store.url()
    );
    std::fs::write(directory.path().join("tidegate.toml"), configuration).unwrap();
    let mut daemon = Daemon::start_in(directory, &["sinks.influx.0.breaker.failures=1"]);
    let mut reader = Reader::of(&daemon);
    send(&daemon, &["{\"device\":\"pump-7\",\"values\":{\"motor.temperature\":71.5}}"]);
    daemon.until_sink("influx", |sink| sink["dead_lettered"] == 1);
    for mut command in commands_of("docs/sinks.md") {
        let text = command.text.clone();
        if text.starts_with("tidegate dead-letters") {
            command.text = text.replace(" 17 ", " 1 ");
            reader.types(&command);
        } else if text == "tidegate status" {
            // It has changed its tokens.
            store.require_token("another");
            send(&daemon, &["{\"device\":\"pump-8\",\"values\":{\"motor.temperature\":71.5}}"]);
            daemon.until_sink("influx", |sink| sink["breaker"] == "open");
            let left = reader.left_by(&command);
            assert_eq!(left.code, Some(1), "{}", left.printed);
        } else {
            if text == "tidegate audit" {
                assert!(daemon.stop().success());
            }
            assert!(text.starts_with("tidegate audit"), "{text}");
            reader.types(&command);
        }
    }
    let exported = std::fs::read_to_string(reader.path("refused.ndjson")).unwrap();
    assert_eq!(exported, "", "the letter was dropped before");
}

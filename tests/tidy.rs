//! Rules about the code, kept by reading it.
#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

/// A file past this many lines before its tests hides a second room.
const LINES_MAX: usize = 500;

/// Rooms that know nothing of sockets, files, threads, clocks, tokio or logging.
const CORE: &[&str] = &[
    "model",
    "wire",
    "decode",
    "routes",
    "sparkplug",
    "admit",
    "aggregate",
    "ledger",
    "rules",
    "promql",
];

/// Parts of an edge that decide without it: like the core, they are told the time and what came.
const PURE: &[&str] = &[
    "src/auth/failures.rs",
    "src/auth/key.rs",
    "src/commands/command.rs",
    "src/commands/desired.rs",
    "src/commands/desk.rs",
    "src/notify/grouping.rs",
    "src/notify/pace.rs",
    "src/notify/patience.rs",
    "src/notify/wording.rs",
    "src/gate/flow.rs",
    "src/gate/round_robin.rs",
    "src/intake/mqtt/backoff.rs",
    "src/intake/mqtt/book/topic.rs",
    "src/intake/mqtt/group.rs",
    "src/intake/mqtt/payload.rs",
    "src/intake/mqtt/unacked.rs",
    "src/web/export/csv.rs",
    "src/web/export/form.rs",
    "src/web/export/lines.rs",
    "src/web/export/ndjson.rs",
    "src/sinks/breaker.rs",
    "src/sinks/influx/answers.rs",
    "src/sinks/influx/bisect.rs",
    "src/sinks/influx/concurrency.rs",
    "src/sinks/influx/lines.rs",
    "src/sinks/influx/letters.rs",
    "src/sinks/influx/names.rs",
    "src/sinks/influx/progress.rs",
    "src/sinks/influx/round.rs",
    "src/sinks/influx/shares.rs",
    "src/sinks/influx/target.rs",
];
/// An address is data; a socket is not.
const OUTSIDE: &[&str] = &[
    "tokio",
    "std::fs",
    "TcpListener",
    "TcpStream",
    "UdpSocket",
    "ToSocketAddrs",
    "std::os::unix::net",
    "std::thread",
    "crate::clock",
    "log::",
    "rusqlite",
    "hyper",
];

/// Who may know whom: a room uses only the rooms named beside it.
const KNOWS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("clock", &["model"]),
    ("pulse", &["clock"]),
    ("systemd", &[]),
    ("auth", &["model", "clock", "config", "metrics", "sqlite", "watched"]),
    ("watched", &["clock"]),
    ("wire", &["model"]),
    ("decode", &["model", "wire"]),
    ("routes", &["model", "wire", "decode"]),
    ("admit", &["model"]),
    ("aggregate", &["model"]),
    ("sparkplug", &["model", "wire", "decode"]),
    ("ledger", &["model"]),
    ("rules", &["model"]),
    ("promql", &["model"]),
    ("spool", &["model", "clock"]),
    ("sqlite", &[]),
    ("notify", &["model", "clock", "rules", "sqlite"]),
    ("sinks", &["model", "clock", "pulse", "wire", "decode", "spool", "ledger", "sqlite"]),
    ("devices", &["model", "live", "sqlite"]),
    ("alerts", &["model", "clock", "pulse", "rules", "spool", "sqlite"]),
    ("live", &["model", "clock", "aggregate", "rules"]),
    ("commands", &["model", "clock", "pulse", "wire", "sqlite", "metrics"]),
    ("gate", &["model", "clock", "pulse", "admit", "ledger", "spool", "wire"]),
    (
        "intake",
        &[
            "model",
            "auth",
            "clock",
            "wire",
            "decode",
            "routes",
            "sparkplug",
            "admit",
            "gate",
            "spool",
            "sqlite",
            "live",
            "commands",
            "metrics",
            "config",
        ],
    ),
    (
        "web",
        &[
            "model", "auth", "clock", "wire", "decode", "routes", "intake", "ledger", "live",
            "commands", "sinks", "notify", "spool", "metrics", "config", "rules", "alerts",
            "watched", "promql",
        ],
    ),
    ("simulate", &["model", "clock", "wire", "decode"]),
    ("conformance", &["model", "clock", "wire", "decode"]),
    ("metrics", &["model", "spool"]),
    ("logging", &["clock", "config"]),
];

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The code of a file without its tests and comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// The room of a file: its first folder under `src`, or its name.
fn room(path: &Path) -> String {
    let inside = path.strip_prefix("src").unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

fn rooms() -> impl Iterator<Item = (PathBuf, String, String)> {
    sources(Path::new("src")).into_iter().map(|path| {
        let (room, code) = (room(&path), code(&path));
        (path, room, code)
    })
}

#[test]
fn the_core_knows_nothing_of_the_outside() {
    let mut broken = Vec::new();
    // What is a test through and through may do more: a stack of a size takes a thread.
    let is_test = |path: &Path| path.ends_with("tests.rs");
    let core = rooms().filter(|(path, room, _)| CORE.contains(&room.as_str()) && !is_test(path));
    for (path, room, code) in core {
        let known = OUTSIDE.iter().filter(|outside| code.contains(**outside));
        broken.extend(known.map(|outside| format!("{} ({room}) knows {outside}", path.display())));
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn pure_parts_of_edges_know_nothing_of_the_outside() {
    let mut broken = Vec::new();
    for file in PURE {
        let code = code(Path::new(file));
        let known = OUTSIDE.iter().filter(|outside| code.contains(**outside));
        broken.extend(known.map(|outside| format!("{file} knows {outside}")));
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn rooms_know_only_those_below_them() {
    let all: Vec<_> = KNOWS.iter().map(|(room, _)| *room).chain(["daemon", "cli"]).collect();
    let mut broken = Vec::new();
    for (path, room, code) in rooms() {
        let Some((_, allowed)) = KNOWS.iter().find(|(name, _)| *name == room) else { continue };
        for other in all.iter().filter(|other| **other != room && !allowed.contains(other)) {
            if code.contains(&format!("crate::{other}::"))
                || code.contains(&format!("crate::{other};"))
            {
                broken.push(format!("{} knows {other}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_room_stands_in_the_table() {
    let shell = ["lib", "main", "daemon", "cli", "config"];
    for (path, room, _) in rooms() {
        let known = KNOWS.iter().any(|(name, _)| *name == room) || shell.contains(&room.as_str());
        assert!(known, "{} is in no ring", path.display());
    }
}

#[test]
fn no_file_hides_a_second_room() {
    let long: Vec<_> = sources(Path::new("src"))
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (text.split("#[cfg(test)]").next().unwrap_or_default().lines().count(), path)
        })
        .filter(|(lines, _)| *lines > LINES_MAX)
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

/// Words after `event = "` in the source.
fn events_said() -> std::collections::BTreeSet<String> {
    let sources = rooms().filter(|(path, ..)| !path.starts_with("src/logging"));
    let said = sources.flat_map(|(_, _, code)| {
        let words =
            code.split("event = \"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
        words.collect::<Vec<_>>()
    });
    said.collect()
}

#[test]
fn every_event_has_an_id_and_stands_in_the_catalogue() {
    let table = fs::read_to_string("src/logging/events.rs").unwrap();
    let entries =
        table.lines().filter_map(|line| line.trim().strip_prefix("(\"")?.strip_suffix("\"),"));
    let known: std::collections::BTreeMap<_, _> =
        entries.map(|entry| entry.split_once("\", \"").unwrap()).collect();
    let catalogue = fs::read_to_string("docs/journal.md").unwrap();
    let mut broken = Vec::new();
    for word in events_said() {
        if !known.contains_key(word.as_str()) {
            broken.push(format!("{word} has no MESSAGE_ID in src/logging/events.rs"));
        }
    }
    for (word, id) in &known {
        let row =
            catalogue.lines().find(|line| line.starts_with(&format!("| `{word}` | `{id}` |")));
        if row.is_none() {
            broken.push(format!("docs/journal.md has no row for {word} with {id}"));
        }
        if *word != "repeated" && !events_said().contains(*word) {
            broken.push(format!("nothing says {word} any more"));
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_dependency_has_a_reason() {
    let manifest = fs::read_to_string("Cargo.toml").unwrap();
    let mut section = "";
    let mut before = "";
    let mut bare = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        } else if ["[dependencies]", "[build-dependencies]"].contains(&section)
            && line.contains('=')
            && !before.starts_with('#')
        {
            bare.push(line);
        }
        before = line;
    }
    assert!(bare.is_empty(), "{bare:#?}");
}

/// Whether the code names the crate: `name::`, `use name;` or `extern crate name as`.
fn names(code: &str, name: &str) -> bool {
    let is_word = |char: char| char.is_alphanumeric() || char == '_';
    code.match_indices(name).any(|(at, _)| {
        let after = &code[at + name.len()..];
        !code[..at].ends_with(is_word) && ["::", ";", " as "].iter().any(|it| after.starts_with(it))
    })
}

#[test]
fn every_dependency_is_used() {
    let manifest: toml::Table = fs::read_to_string("Cargo.toml").unwrap().parse().unwrap();
    let all = |folders: &[&str]| -> String {
        let files = folders.iter().flat_map(|folder| sources(Path::new(folder)));
        files.map(|path| fs::read_to_string(path).unwrap()).collect()
    };
    let build = fs::read_to_string("build.rs").unwrap();
    let code = [
        ("dependencies", rooms().map(|(_, _, code)| code).collect()),
        ("build-dependencies", build),
        ("dev-dependencies", all(&["src", "tests", "benches"])),
    ];
    let mut unused = Vec::new();
    for (kind, code) in code {
        for name in manifest[kind].as_table().unwrap().keys() {
            if !names(&code, &name.replace('-', "_")) {
                unused.push(format!("{name} ({kind})"));
            }
        }
    }
    assert!(unused.is_empty(), "{unused:#?}");
}

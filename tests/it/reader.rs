//! A reader of the documents, who types their commands into a shell beside a real daemon.

use crate::daemon::Daemon;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// Where the documents are.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A command as it stands in a document.
#[derive(Debug)]
pub struct Typed {
    pub text: String,
    /// The lines under it that it prints, of a `console` block.
    pub prints: Vec<String>,
}

pub fn text_of(document: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(document)).unwrap()
}

/// The blocks of a document: the language, and the lines.
pub fn blocks(document: &str) -> Vec<(String, Vec<String>)> {
    let text = text_of(document);
    let mut blocks = Vec::new();
    let mut open: Option<(String, Vec<String>)> = None;
    for line in text.lines() {
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(language)) => open = Some((language.to_owned(), Vec::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some((_, lines)), None) => lines.push(line.to_owned()),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{document}: a block has no end");
    blocks
}

/// Every command of a document, in its order.
pub fn all_of(document: &str) -> Vec<Typed> {
    let mut commands: Vec<Typed> = Vec::new();
    for (language, lines) in blocks(document) {
        let console = match language.split(' ').next().unwrap_or_default() {
            "sh" => false,
            "console" => true,
            _ => continue,
        };
        let mut goes_on = false;
        for line in lines {
            let command = if console { line.strip_prefix("$ ") } else { Some(&*line) };
            match command {
                _ if goes_on => {
                    let last = commands.last_mut().unwrap();
                    last.text = format!("{}\n{line}", last.text);
                }
                Some(command) => {
                    if command.trim().is_empty() || command.trim_start().starts_with('#') {
                        continue;
                    }
                    commands.push(Typed { text: command.to_owned(), prints: Vec::new() });
                }
                None => {
                    commands.last_mut().unwrap().prints.push(line);
                    continue;
                }
            }
            goes_on = commands.last().unwrap().text.ends_with('\\');
        }
    }
    commands
}

/// Somebody with a shell on the daemon's machine, in a folder of their own.
pub struct Reader {
    folder: tempfile::TempDir,
    address: String,
    pub variables: BTreeMap<String, String>,
    /// `export` lines, which hold for what is typed after them.
    exported: String,
}

/// What a command left.
pub struct Left {
    pub code: Option<i32>,
    /// Standard output, then standard error.
    pub printed: String,
}

impl Reader {
    /// At the machine of this daemon.
    pub fn of(daemon: &Daemon) -> Reader {
        let mut reader = Reader::on(daemon.state_dir.path());
        reader.address = daemon.address.to_string();
        reader.set("TIDEGATE_LISTEN", &daemon.address.to_string());
        if daemon.configuration().exists() {
            reader.set("TIDEGATE_CONFIG", &daemon.configuration().display().to_string());
        }
        reader
    }

    /// On a state directory without a daemon.
    pub fn on(state_dir: &Path) -> Reader {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bin")).unwrap();
        let binary = env!("CARGO_BIN_EXE_tidegate");
        std::os::unix::fs::symlink(binary, folder.path().join("bin/tidegate")).unwrap();
        // curl says nothing of an answer that is no success, unless it is told to.
        let curl = "silent\nshow-error\nfail-with-body\n";
        std::fs::write(folder.path().join(".curlrc"), curl).unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}/bin:{ROOT}/.venv/bin:{path}", folder.path().display());
        let home = folder.path().display().to_string();
        let variables = [
            ("PATH", path.as_str()),
            ("HOME", &home),
            ("NO_COLOR", "1"),
            ("PYTHONUNBUFFERED", "1"),
            ("TIDEGATE_STATE_DIR", &state_dir.display().to_string()),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let address = String::new();
        Reader { folder, address, variables: variables.into(), exported: String::new() }
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.insert(name.to_owned(), value.to_owned());
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn shell(&self, command: &str) -> Command {
        let mut script = format!("set -euo pipefail\n{}{command}", self.exported);
        if !self.address.is_empty() {
            script = script.replace("127.0.0.1:8080", &self.address);
        }
        let mut shell = Command::new("bash");
        shell.args(["-c", &script]).envs(&self.variables).current_dir(self.folder.path());
        shell.stdin(Stdio::null());
        shell
    }

    /// Types it, waits for its end, and looks whether it printed what the document says.
    pub fn left_by(&mut self, command: &Typed) -> Left {
        let output = self.shell(&command.text).output().unwrap();
        let printed = [output.stdout, output.stderr].concat();
        let left =
            Left { code: output.status.code(), printed: String::from_utf8(printed).unwrap() };
        for line in &command.prints {
            let begins = begins(line);
            let there = left.printed.lines().any(|line| words(line).starts_with(&begins));
            assert!(there, "{begins:?} is not in what {} printed: {}", command.text, left.printed);
        }
        if command.text.starts_with("export ") {
            self.exported += &format!("{}\n", command.text);
        }
        left
    }

    /// The same of what has to succeed; gives what it printed.
    pub fn types(&mut self, command: &Typed) -> String {
        let left = self.left_by(command);
        assert_eq!(left.code, Some(0), "{}: {}", command.text, left.printed);
        left.printed
    }

    /// Types what has no end.
    pub fn starts(&self, command: &str) -> Running {
        let mut shell = self.shell(&format!("exec 2>&1\n{command}"));
        let mut child = shell.stdout(Stdio::piped()).process_group(0).spawn().unwrap();
        let printed = BufReader::new(child.stdout.take().unwrap());
        Running { child, printed }
    }
}

/// A command that goes on until it is dropped, with all that it started.
pub struct Running {
    child: Child,
    pub printed: BufReader<ChildStdout>,
}

impl Running {
    /// Reads on until it has printed this.
    pub fn until(&mut self, text: &str) {
        let mut seen = String::new();
        while !seen.contains(text) {
            let read = self.printed.read_line(&mut seen).unwrap();
            assert!(read > 0, "it ended without {text:?}: {seen}");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
        self.child.wait().unwrap();
    }
}

/// A line with single spaces.
fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A documented line up to its first figure, or to what it leaves out: figures are another day's.
fn begins(line: &str) -> String {
    let end = line.find(|char: char| char.is_ascii_digit() || char == '…').unwrap_or(line.len());
    words(&line[..end])
}

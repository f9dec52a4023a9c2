//! `tidegate import`: the readings of files through the running daemon's gate, each once.
//!
//! ```text
//! file ─► Source: a portion of whole records ─► Reading: a batch, and faulty lines ─► Sender: until durable
//!            └──────────── State: which bytes go under which number, on disk before they are sent ───┘
//! ```

mod reading;
mod send;
mod source;
mod state;

use super::ask::{Daemon, Whom, wait};
use super::{EXIT_USAGE, fail, printable};
use crate::clock;
use crate::model::Keep;
use crate::wire::Limits;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reading::{Faulty, HEADER_BYTES_MAX, Reading, Said};
use send::{Became, Sender};
use source::Source;
use state::State;
use std::fs::File;
use std::io::{IsTerminal, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Records of a portion: each may be a table of its own.
const RECORDS_MAX: usize = 4000;
/// How often to say how far it is, where there is no terminal.
const SAY_EVERY: Duration = Duration::from_secs(5);
const STDIN: &str = "-";

/// Flags of the import.
#[derive(Debug, Args)]
pub(super) struct Import {
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    said: Said,
    /// The client that batches are counted as [default: the name of the token shown, or the address].
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    /// Show the readings live, too, and judge them by alert rules; else they are for stores only.
    #[arg(long)]
    live: bool,
    /// The files; - is standard input, which can't be gone on with.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// What the imports of all files have in common.
struct Means<'a> {
    daemon: &'a Daemon,
    limits: Limits,
    import: &'a Import,
}

pub(super) fn import(import: &Import) -> ExitCode {
    let daemon = match import.whom.daemon() {
        Ok(daemon) => daemon,
        Err(code) => return code,
    };
    wait(run(&daemon, import)).unwrap_or_else(|code| code)
}

async fn run(daemon: &Daemon, import: &Import) -> ExitCode {
    let limits = send::limits(daemon, import.client.as_deref()).await;
    let means = Means { daemon, limits, import };
    let mut faulty = 0;
    for file in &import.files {
        match means.file(file).await {
            Ok(found) => faulty += found,
            Err(code) => return code,
        }
    }
    match faulty {
        0 => ExitCode::SUCCESS,
        _ => fail(1, format!("{} did not enter", counted(faulty, "faulty record"))),
    }
}

impl Means<'_> {
    /// Imports a file; how many of its records are faulty.
    async fn file(&self, name: &Path) -> Result<u64, ExitCode> {
        let usage = |why: String| fail(EXIT_USAGE, why);
        let failed = |error| fail(1, format!("{}: {error}", name.display()));
        let reading = Reading::of(&self.import.said, name).map_err(usage)?;
        if name == Path::new(STDIN) {
            let state = State::new(0, 0, String::new());
            return self.go_on(name, std::io::stdin().lock(), reading, state, None).await;
        }
        let mut file = File::open(name).map_err(failed)?;
        let (bytes, modified_ns) = state::stamp(&file).map_err(failed)?;
        let new = State::new(bytes, modified_ns, reading.told());
        let path = state::beside(name);
        let known = state::read(&path);
        let known = known.map_err(|error| fail(1, format!("{}: {error}", path.display())))?;
        let state = match known {
            None => new,
            Some(known) if !known.is_of(&new) => {
                return Err(usage(format!(
                    "{} has changed since, or was read in another way: {} says how far it was imported; \
                     delete that to import all of it anew",
                    name.display(),
                    path.display()
                )));
            }
            Some(known) if known.is_done => {
                let path = path.display();
                eprintln!(
                    "{}: was imported before, says {path}; delete that to import it again",
                    name.display()
                );
                return Ok(known.faulty);
            }
            Some(known) => {
                eprintln!("{}: going on at line {}", name.display(), known.line);
                known
            }
        };
        file.rewind().map_err(failed)?;
        self.go_on(name, file, reading, state, Some(&path)).await
    }

    /// Imports what is left of a file.
    async fn go_on(
        &self,
        name: &Path,
        mut file: impl Read + MaybeSeek,
        mut reading: Reading<'_>,
        state: State,
        beside: Option<&Path>,
    ) -> Result<u64, ExitCode> {
        let failed = |error| fail(1, format!("{}: {error}", name.display()));
        let mut source = Source::new(&mut file, reading.ends(), 0, 1);
        if reading.has_header() {
            let header = source.look(1, None).map_err(failed)?;
            let header = header.map_or(&[][..], |header| header.bytes);
            let header = &header[..header.len().min(HEADER_BYTES_MAX)];
            reading
                .header(header)
                .map_err(|why| fail(EXIT_USAGE, format!("{}: {why}", name.display())))?;
            let bytes = header.len();
            source.take(bytes);
        }
        if state.offset > source.offset() {
            file.seek_to(state.offset).map_err(failed)?;
            source = Source::new(&mut file, reading.ends(), state.offset, state.line);
        }
        let sender = Sender {
            daemon: self.daemon,
            client: self.import.client.as_deref(),
            session: state.session,
        };
        let progress = Progress::new(name, &state);
        let mut file = Importing { means: self, name, reading, sender, state, beside, progress };
        file.all(&mut source).await?;
        Ok(file.state.faulty)
    }
}

/// A file that may be sought in.
trait MaybeSeek {
    fn seek_to(&mut self, offset: u64) -> std::io::Result<()>;
}

impl MaybeSeek for File {
    fn seek_to(&mut self, offset: u64) -> std::io::Result<()> {
        self.seek(SeekFrom::Start(offset)).map(drop)
    }
}

impl MaybeSeek for std::io::StdinLock<'_> {
    fn seek_to(&mut self, _offset: u64) -> std::io::Result<()> {
        Err(std::io::ErrorKind::NotSeekable.into())
    }
}

/// A file on its way.
struct Importing<'a> {
    means: &'a Means<'a>,
    name: &'a Path,
    reading: Reading<'a>,
    sender: Sender<'a>,
    state: State,
    beside: Option<&'a Path>,
    progress: Progress,
}

impl Importing<'_> {
    async fn all<R: Read>(&mut self, source: &mut Source<R>) -> Result<(), ExitCode> {
        let mut records = RECORDS_MAX;
        let mut until = self.state.end.filter(|end| *end > source.offset());
        loop {
            let looked = source.look(records, until);
            let looked =
                looked.map_err(|error| fail(1, format!("{}: {error}", self.name.display())))?;
            let Some(portion) = looked else { break };
            let (bytes, count, line) = (portion.bytes.len(), portion.ends.len(), portion.line);
            let (lines, faulty) = self.reading.read(&portion, &self.means.limits);
            self.state.offset = source.offset();
            self.state.line = line;
            let samples = lines.batch.samples() as u64;
            let mut refused = None;
            if samples > 0 {
                self.state.end = Some(source.offset() + bytes as u64);
                self.save()?;
                let keep = if self.means.import.live { Keep::Everywhere } else { Keep::StoresOnly };
                let batch = lines.batch.kept(keep);
                let say = |text: String| self.progress.say(&text);
                match self.sender.send(self.state.seq, &batch, say).await? {
                    Became::Durable => {
                        self.state.seq += 1;
                        self.state.samples += samples;
                    }
                    Became::Refused(why) => refused = Some(why),
                }
            }
            until = None;
            match refused {
                // Which of them it is, is found by sending fewer.
                Some(_) if count > 1 => {
                    records = count / 2;
                    continue;
                }
                Some(why) => self.tell(&[Faulty { line, why }]),
                None => {
                    self.tell(&faulty);
                    records = (records * 2).min(RECORDS_MAX);
                }
            }
            source.take(bytes);
            self.progress.at(source.offset(), self.state.samples);
        }
        self.state.offset = source.offset();
        self.state.line = source.line();
        self.state.end = None;
        self.state.is_done = true;
        self.save()?;
        self.progress.done(&self.state);
        Ok(())
    }

    fn tell(&mut self, faulty: &[Faulty]) {
        self.state.faulty += faulty.len() as u64;
        for Faulty { line, why } in faulty {
            self.progress.say(&format!("{}:{line}: {}", self.name.display(), printable(why)));
        }
    }

    fn save(&self) -> Result<(), ExitCode> {
        let Some(path) = self.beside else { return Ok(()) };
        let saved = state::write(path, &self.state);
        saved.map_err(|error| fail(1, format!("{}: {error}", path.display())))
    }
}

/// Says how far it is: a bar on a terminal, now and then a line elsewhere.
struct Progress {
    bar: Option<ProgressBar>,
    name: String,
    bytes: u64,
    said_at: Instant,
}

impl Progress {
    fn new(name: &Path, state: &State) -> Progress {
        let shown = name.display().to_string();
        let bar = std::io::stderr().is_terminal().then(|| {
            let target = ProgressDrawTarget::stderr();
            let bar = ProgressBar::with_draw_target(Some(state.bytes), target);
            let template = "{prefix} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {msg} {eta}";
            let style = ProgressStyle::with_template(template);
            style.map(|style| bar.set_style(style)).unwrap_or_default();
            bar.with_prefix(printable(&shown))
        });
        Progress { bar, name: shown, bytes: state.bytes, said_at: clock::monotonic() }
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    fn at(&mut self, offset: u64, samples: u64) {
        match &self.bar {
            Some(bar) => {
                bar.set_position(offset);
                bar.set_message(counted(samples, "sample"));
            }
            None if clock::monotonic() - self.said_at >= SAY_EVERY => {
                self.said_at = clock::monotonic();
                let percent = (offset * 100).checked_div(self.bytes);
                let percent = percent.map(|percent| format!("{percent} %, ")).unwrap_or_default();
                eprintln!("{}: {percent}{}", self.name, counted(samples, "sample"));
            }
            None => {}
        }
    }

    fn done(&self, state: &State) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let samples = counted(state.samples, "sample");
        let faulty = counted(state.faulty, "faulty record");
        eprintln!("{}: {samples} entered, {faulty}", self.name);
    }
}

/// `1 sample`, `2 samples`.
fn counted(count: u64, what: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {what}{ending}")
}

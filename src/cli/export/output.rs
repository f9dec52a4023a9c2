//! Where an export goes: standard output, or a file that is whole once it has its name.
//!
//! Until then it is `FILE.part`, and beside it `FILE.part.json` says what is in it: what was asked, and the
//! range that the daemon took that for. Whatever ends the export meanwhile (also of this machine, but for
//! what the disk had not written), the same command cuts off what is torn and goes on.

use super::records::{Scan, named};
use super::{Asked, Format, Range};
use crate::cli::{EXIT_USAGE, fail};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub(super) struct Output {
    to: To,
    range: Option<Range>,
    scan: Scan,
}

enum To {
    /// What of a record has come is held back until it is whole: it can't be taken back.
    Stdout {
        held: Vec<u8>,
        last: Vec<u8>,
    },
    File {
        file: File,
        name: PathBuf,
    },
}

/// What is in a file that is not whole.
#[derive(Debug, Serialize, Deserialize)]
struct Beside {
    asked: Asked,
    range: Range,
}

fn with(name: &Path, suffix: &str) -> PathBuf {
    let mut name = name.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn failed(path: &Path, error: &io::Error) -> ExitCode {
    fail(1, format!("{}: {error}", path.display()))
}

impl Output {
    /// Opens it; a file that is not whole is gone on with.
    pub fn open(name: Option<&Path>, asked: &Asked) -> Result<Output, ExitCode> {
        let Some(name) = name else {
            let to = To::Stdout { held: Vec::new(), last: Vec::new() };
            return Ok(Output { to, range: None, scan: Scan::default() });
        };
        if name.exists() {
            return Err(fail(EXIT_USAGE, format!("{} is there already", name.display())));
        }
        let part = with(name, ".part");
        let beside = fs::read(with(name, ".part.json")).ok();
        let beside: Option<Beside> = beside.and_then(|json| serde_json::from_slice(&json).ok());
        let range = match beside {
            _ if !part.exists() => None,
            Some(beside) if beside.asked == *asked => Some(beside.range),
            _ => {
                let part = part.display();
                let detail = format!("{part} is of another export: finish that, or delete it");
                return Err(fail(EXIT_USAGE, detail));
            }
        };
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(&part);
        let mut file = file.map_err(|error| failed(&part, &error))?;
        let scan = match range {
            Some(_) => Scan::of(&mut file, asked.format).map_err(|error| failed(&part, &error))?,
            None => Scan::default(),
        };
        let mut output = Output { to: To::File { file, name: name.to_owned() }, range, scan };
        output.broken(asked.format)?;
        Ok(output)
    }

    /// The range, once the daemon has told it.
    pub fn range(&self) -> Option<Range> {
        self.range
    }

    /// Bytes of all whole records.
    pub fn bytes(&self) -> u64 {
        self.scan.last().1
    }

    /// For who reads that it did not become whole.
    pub fn kept(&self) -> String {
        match &self.to {
            To::Stdout { .. } => String::new(),
            To::File { name, .. } => {
                let part = with(name, ".part");
                format!("\n{} has what came; the same command goes on with it", part.display())
            }
        }
    }

    /// What the last record names, to go on after it.
    pub fn after(&mut self, format: Format) -> Result<Option<String>, ExitCode> {
        let (begin, end) = self.scan.last();
        let record = match &mut self.to {
            To::Stdout { last, .. } => last.clone(),
            To::File { file, name } => {
                let mut record = vec![0; usize::try_from(end - begin).unwrap_or(0)];
                let read = file
                    .seek(SeekFrom::Start(begin))
                    .and_then(|_| file.read_exact(&mut record))
                    .and_then(|()| file.seek(SeekFrom::Start(end)));
                read.map_err(|error| failed(name, &error))?;
                record
            }
        };
        let named = named(&record, format);
        if named.is_none() && end > 0 && format != Format::Parquet {
            // It is the header: all is to come, and that again.
            self.begin_anew()?;
        }
        Ok(named)
    }

    /// The daemon begins to answer.
    pub fn begin(&mut self, range: Range, asked: &Asked) -> Result<(), ExitCode> {
        if self.range.replace(range) == Some(range) {
            return Ok(());
        }
        if let To::File { name, .. } = &self.to {
            let beside = Beside { asked: asked.clone(), range };
            let path = with(name, ".part.json");
            let json = serde_json::to_vec(&beside).unwrap_or_default();
            let written = File::create(&path).and_then(|mut file| {
                file.write_all(&json)?;
                file.sync_all()
            });
            written.map_err(|error| failed(&path, &error))?;
        }
        Ok(())
    }

    /// What came next.
    pub fn push(&mut self, bytes: &[u8], format: Format) -> Result<(), ExitCode> {
        let before = self.scan.last();
        let from = self.scan.bytes_seen();
        self.scan.push(bytes, format);
        match &mut self.to {
            To::File { file, name } => {
                file.write_all(bytes).map_err(|error| failed(&with(name, ".part"), &error))
            }
            To::Stdout { .. } if format == Format::Parquet => print(bytes),
            To::Stdout { held, last } => {
                let (begin, end) = self.scan.last();
                held.extend_from_slice(bytes);
                if (begin, end) == before {
                    return Ok(());
                }
                // `held` began where the last whole record had ended.
                let began = before.1;
                debug_assert!(from >= began);
                let whole = usize::try_from(end - began).unwrap_or(0);
                let at = usize::try_from(begin.saturating_sub(began)).unwrap_or(0);
                print(&held[..whole])?;
                last.clear();
                last.extend_from_slice(&held[at..whole]);
                held.drain(..whole);
                Ok(())
            }
        }
    }

    /// Cuts off what is torn, to go on from there.
    pub fn broken(&mut self, format: Format) -> Result<(), ExitCode> {
        if format == Format::Parquet {
            return match &self.to {
                To::Stdout { .. } if self.scan.bytes_seen() > 0 => {
                    Err(fail(1, "Parquet that broke off can't be gone on with"))
                }
                _ => self.begin_anew(),
            };
        }
        self.scan.cut();
        let end = self.bytes();
        match &mut self.to {
            To::Stdout { held, .. } => {
                held.clear();
                Ok(())
            }
            To::File { file, name } => {
                let cut = file.set_len(end).and_then(|()| file.seek(SeekFrom::Start(end)));
                cut.map(drop).map_err(|error| failed(name, &error))
            }
        }
    }

    fn begin_anew(&mut self) -> Result<(), ExitCode> {
        self.scan = Scan::default();
        match &mut self.to {
            // Nothing but a header was printed; the daemon tells none to who says what they have.
            To::Stdout { .. } => Err(fail(1, "the export broke off at its beginning: begin anew")),
            To::File { file, name } => {
                let cut = file.set_len(0).and_then(|()| file.rewind());
                cut.map_err(|error| failed(name, &error))
            }
        }
    }

    /// All is there.
    pub fn finish(self) -> Result<(), ExitCode> {
        match self.to {
            To::Stdout { .. } => io::stdout().flush().map_err(|error| fail(1, error)),
            To::File { file, name } => {
                let part = with(&name, ".part");
                let done = file.sync_all().and_then(|()| fs::rename(&part, &name));
                done.map_err(|error| failed(&name, &error))?;
                let beside = with(&name, ".part.json");
                fs::remove_file(&beside).map_err(|error| failed(&beside, &error))
            }
        }
    }
}

fn print(bytes: &[u8]) -> Result<(), ExitCode> {
    io::stdout().write_all(bytes).map_err(|error| fail(1, format!("standard output: {error}")))
}

//! A file as portions of whole records, each of which becomes one batch.
//!
//! A portion is looked at and taken when what became of it is known: one that was refused is looked at again,
//! shorter. Memory: one portion and one record.

use crate::decode::csv_record_end;
use std::io::{self, Read};

/// Bytes of a portion: a batch of them is well below what a message may have.
pub(super) const PORTION_BYTES: usize = 512 << 10;
/// A text that has no end within so many bytes ends with its line.
const RECORD_BYTES_MAX: usize = 1 << 20;
const READ_BYTES: usize = 256 << 10;

/// Where records end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// At line feeds.
    Lines,
    /// At line feeds that are not in a text.
    LineProtocol,
    /// At line feeds that are in no quoted cell.
    Csv { delimiter: u8 },
}

/// Records that follow one another.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Portion<'a> {
    pub bytes: &'a [u8],
    /// Where each of its records ends.
    pub ends: Vec<usize>,
    /// Number of its first line.
    pub line: u64,
}

/// A file that is being read.
pub(super) struct Source<R> {
    file: R,
    ends: Ends,
    buffer: Vec<u8>,
    /// What of the buffer was taken.
    taken: usize,
    /// In the file, of what was taken last.
    offset: u64,
    line: u64,
    is_end: bool,
}

impl<R: Read> Source<R> {
    /// From this place on, where a record begins.
    pub fn new(file: R, ends: Ends, offset: u64, line: u64) -> Source<R> {
        Source { file, ends, buffer: Vec::new(), taken: 0, offset, line, is_end: false }
    }

    pub fn offset(&self) -> u64 {
        self.offset
    }

    pub fn line(&self) -> u64 {
        self.line
    }

    /// The next records: at most so many, and not many bytes; or exactly up to `until`, an offset in the file.
    /// `None` at the end.
    pub fn look(&mut self, records: usize, until: Option<u64>) -> io::Result<Option<Portion<'_>>> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let room = match until {
            Some(until) => usize::try_from(until.saturating_sub(self.offset)).unwrap_or(0),
            None => PORTION_BYTES,
        };
        let mut ends = Vec::new();
        let mut at = 0;
        while at < room && (until.is_some() || ends.len() < records.max(1)) {
            match record_end(&self.buffer[at..], self.ends) {
                Some(end) => at += end,
                None if self.is_end && at == self.buffer.len() => break,
                None if self.is_end => at = self.buffer.len(),
                None => {
                    self.read()?;
                    continue;
                }
            }
            ends.push(at);
        }
        if ends.is_empty() {
            return Ok(None);
        }
        Ok(Some(Portion { bytes: &self.buffer[..at], ends, line: self.line }))
    }

    /// What was looked at, up to one of its ends, is done with.
    pub fn take(&mut self, bytes: usize) {
        let taken = &self.buffer[self.taken..self.taken + bytes];
        self.line += taken.iter().filter(|&&byte| byte == b'\n').count() as u64;
        self.offset += bytes as u64;
        self.taken += bytes;
    }

    fn read(&mut self) -> io::Result<()> {
        let before = self.buffer.len();
        self.buffer.resize(before + READ_BYTES, 0);
        let read = loop {
            match self.file.read(&mut self.buffer[before..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buffer.truncate(before + *read.as_ref().unwrap_or(&0));
        self.is_end = read? == 0;
        Ok(())
    }
}

/// Where the first record ends, after its line feed; `None` if its end has not come.
fn record_end(bytes: &[u8], ends: Ends) -> Option<usize> {
    let line_end = || bytes.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
    match ends {
        Ends::Lines => line_end(),
        Ends::Csv { delimiter } => csv_record_end(bytes, delimiter),
        Ends::LineProtocol => match line_protocol_end(bytes) {
            None if bytes.len() > RECORD_BYTES_MAX => line_end(),
            end => end,
        },
    }
}

/// A text begins with a quote after an equals sign in the fields, which begin after the first space.
fn line_protocol_end(bytes: &[u8]) -> Option<usize> {
    let (mut is_text, mut is_escaped, mut has_fields) = (false, false, false);
    let is_comment = bytes.trim_ascii_start().first() == Some(&b'#');
    for (at, &byte) in bytes.iter().enumerate().take(RECORD_BYTES_MAX) {
        let was_escaped = std::mem::replace(&mut is_escaped, false);
        match byte {
            b'\n' if !is_text => return Some(at + 1),
            _ if was_escaped || is_comment => {}
            b'\\' => is_escaped = true,
            b' ' => has_fields = true,
            b'"' if is_text => is_text = false,
            b'"' if has_fields && at > 0 && bytes[at - 1] == b'=' => is_text = true,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Portions of so many records, taken whole.
    fn parts(text: &str, ends: Ends, records: usize) -> Vec<(u64, String)> {
        let mut source = Source::new(text.as_bytes(), ends, 0, 1);
        let mut parts = Vec::new();
        while let Some(portion) = source.look(records, None).unwrap() {
            let part = (portion.line, String::from_utf8(portion.bytes.to_vec()).unwrap());
            let bytes = portion.bytes.len();
            parts.push(part);
            source.take(bytes);
        }
        assert_eq!(source.offset(), text.len() as u64);
        parts
    }

    #[test]
    fn a_file_is_parted_where_records_end() {
        let part = |line: u64, text: &str| (line, text.to_owned());
        let lines = "a\nb\n\nc";
        assert_eq!(parts(lines, Ends::Lines, 2), [part(1, "a\nb\n"), part(3, "\nc")]);
        let lines = "m f=\"a\nb\" 1\nm\",t=\"x f=1\n# it's \"\nm\\ f=\"a\\\"\n\" 2\n";
        assert_eq!(
            parts(lines, Ends::LineProtocol, 1),
            [
                part(1, "m f=\"a\nb\" 1\n"),
                part(3, "m\",t=\"x f=1\n"),
                part(4, "# it's \"\n"),
                part(5, "m\\ f=\"a\\\"\n"),
                part(6, "\" 2\n"),
            ]
        );
        let csv = "a,\"1\n2\"\r\nb,2\r\n";
        assert_eq!(
            parts(csv, Ends::Csv { delimiter: b',' }, 1),
            [part(1, "a,\"1\n2\"\r\n"), part(3, "b,2\r\n")]
        );
        // A text that nobody closes takes no line with it for ever.
        let open = format!("m f=\"a 1\n{}", "m f=1 2\n".repeat(200_000));
        assert_eq!(
            parts(&open, Ends::LineProtocol, usize::MAX).iter().map(|it| it.1.len()).sum::<usize>(),
            open.len()
        );
        assert_eq!(parts(&open, Ends::LineProtocol, 1)[0].1, "m f=\"a 1\n");
    }

    #[test]
    fn what_was_not_taken_is_looked_at_again_and_a_portion_ends_where_it_is_told() {
        let text = "one\ntwo\nthree\nfour\n";
        let mut source = Source::new(text.as_bytes(), Ends::Lines, 100, 7);
        assert_eq!(source.look(9, None).unwrap().unwrap().ends, [4, 8, 14, 19]);
        let portion = source.look(2, None).unwrap().unwrap();
        assert_eq!((portion.bytes, portion.line), (&b"one\ntwo\n"[..], 7));
        source.take(8);
        assert_eq!((source.offset(), source.line()), (108, 9));
        let portion = source.look(1, Some(119)).unwrap().unwrap();
        assert_eq!((portion.bytes, portion.line), (&b"three\nfour\n"[..], 9));
        source.take(11);
        assert_eq!(source.look(1, None).unwrap(), None);
    }
}

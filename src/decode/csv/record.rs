//! Records and cells (RFC 4180), line by line where a cell has no line feeds.

use std::borrow::Cow;

/// The records of a body, each with the number of the line that it begins with.
pub struct Records<'a> {
    rest: &'a [u8],
    line: usize,
    delimiter: u8,
}

impl<'a> Records<'a> {
    /// From the first record on.
    #[must_use]
    pub fn new(body: &'a [u8], delimiter: u8) -> Records<'a> {
        Records { rest: body, line: 1, delimiter }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = (usize, Result<Vec<Cow<'a, str>>, String>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let end = record_end(self.rest, self.delimiter).unwrap_or(self.rest.len());
        let (record, rest) = self.rest.split_at(end);
        let line = self.line;
        self.line += record.iter().filter(|&&byte| byte == b'\n').count();
        self.rest = rest;
        let record = record.strip_suffix(b"\n").unwrap_or(record);
        let record = record.strip_suffix(b"\r").unwrap_or(record);
        Some((line, cells(record, self.delimiter)))
    }
}

/// A record longer than this is a quote that nobody closed: it ends with its line, so that the lines after it
/// are read.
const RECORD_BYTES_MAX: usize = 1 << 20;

/// Where the first record ends, after its line feed; `None` if its end has not come.
#[must_use]
pub fn record_end(bytes: &[u8], delimiter: u8) -> Option<usize> {
    let (mut is_quoted, mut is_begin) = (false, true);
    for (at, &byte) in bytes.iter().enumerate().take(RECORD_BYTES_MAX) {
        match byte {
            // Two of them in a quoted cell close it and open it again.
            b'"' if is_quoted => is_quoted = false,
            b'"' if is_begin || at > 0 && bytes[at - 1] == b'"' => is_quoted = true,
            b'\n' if !is_quoted => return Some(at + 1),
            _ => {}
        }
        is_begin = byte == delimiter;
    }
    match bytes.len() > RECORD_BYTES_MAX {
        true => bytes.iter().position(|&byte| byte == b'\n').map(|at| at + 1),
        false => None,
    }
}

/// The cells of a record, without its line's end.
fn cells(record: &[u8], delimiter: u8) -> Result<Vec<Cow<'_, str>>, String> {
    let record = std::str::from_utf8(record).map_err(|_| "the record is not UTF-8".to_owned())?;
    let delimiter = char::from(delimiter);
    let mut cells = Vec::new();
    let mut rest = record;
    loop {
        let cell = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (cell, after) = unquoted(quoted)?;
                rest = after;
                cell
            }
            None => {
                let end = rest.find(delimiter).unwrap_or(rest.len());
                let (cell, after) = rest.split_at(end);
                rest = after;
                if cell.contains('"') {
                    return Err(format!(
                        "cell {}: a quote inside a cell that has none around it",
                        cells.len() + 1
                    ));
                }
                Cow::Borrowed(cell)
            }
        };
        cells.push(cell);
        match rest.strip_prefix(delimiter) {
            Some(after) => rest = after,
            None if rest.is_empty() => return Ok(cells),
            None => {
                return Err(format!(
                    "cell {}: something after the quote that ends it",
                    cells.len()
                ));
            }
        }
    }
}

/// A quoted cell, after its first quote, and what is after its last.
fn unquoted(quoted: &str) -> Result<(Cow<'_, str>, &str), String> {
    let mut from = 0;
    let mut has_quotes = false;
    loop {
        let Some(at) = quoted[from..].find('"').map(|at| at + from) else {
            return Err("a quote that is never closed".to_owned());
        };
        if !quoted[at + 1..].starts_with('"') {
            let cell = &quoted[..at];
            let cell = match has_quotes {
                true => Cow::Owned(cell.replace("\"\"", "\"")),
                false => Cow::Borrowed(cell),
            };
            return Ok((cell, &quoted[at + 1..]));
        }
        has_quotes = true;
        from = at + 2;
    }
}

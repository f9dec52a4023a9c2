//! The compression of an answer that goes on for long.

use super::form::Form;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::{self, Write};

/// As fast as the samples come; a better level costs more than the bytes it saves on most networks.
const GZIP_LEVEL: u32 = 3;
const ZSTD_LEVEL: i32 = 1;

/// How a body is written.
pub(super) enum Coding {
    Plain,
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Coding {
    /// What the client says that it takes: zstd, else gzip, else neither.
    pub fn chosen(accept: Option<&str>, form: Form) -> io::Result<Coding> {
        let takes = |wanted: &str| {
            accept.unwrap_or_default().split(',').any(|offer| {
                let (name, weight) = offer.split_once(';').unwrap_or((offer, ""));
                let weight = weight.trim().strip_prefix("q=").map_or(Ok(1.0), str::parse::<f64>);
                name.trim().eq_ignore_ascii_case(wanted) && weight.is_ok_and(|weight| weight > 0.0)
            })
        };
        // Parquet is compressed by itself.
        if !form.goes_on() {
            return Ok(Coding::Plain);
        }
        if takes("zstd") {
            let encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
            return Ok(Coding::Zstd(encoder));
        }
        match takes("gzip") {
            true => Ok(Coding::Gzip(GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL)))),
            false => Ok(Coding::Plain),
        }
    }

    /// The word for it in `Content-Encoding`.
    pub fn name(&self) -> Option<&'static str> {
        match self {
            Coding::Plain => None,
            Coding::Gzip(_) => Some("gzip"),
            Coding::Zstd(_) => Some("zstd"),
        }
    }

    /// What of `plain` and of what came before can be sent.
    pub fn write(&mut self, plain: Vec<u8>) -> io::Result<Vec<u8>> {
        match self {
            Coding::Plain => Ok(plain),
            Coding::Gzip(encoder) => {
                encoder.write_all(&plain)?;
                Ok(std::mem::take(encoder.get_mut()))
            }
            Coding::Zstd(encoder) => {
                encoder.write_all(&plain)?;
                Ok(std::mem::take(encoder.get_mut()))
            }
        }
    }

    /// What is left at the end.
    pub fn finish(&mut self) -> io::Result<Vec<u8>> {
        match std::mem::replace(self, Coding::Plain) {
            Coding::Plain => Ok(Vec::new()),
            Coding::Gzip(encoder) => encoder.finish(),
            Coding::Zstd(encoder) => encoder.finish(),
        }
    }
}

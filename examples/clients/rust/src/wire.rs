//! The messages of `proto/tidegate/v1/ingest.proto` that a client needs, by hand: no generated code.

use std::time::{SystemTime, UNIX_EPOCH};

/// Readings of one device at one time, sent, stored and acknowledged together.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    device: String,
    time: i64,
    columns: Vec<u8>,
}

impl Batch {
    /// Readings of this moment.
    pub fn now() -> Batch {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Batch::at(since.as_nanos() as i64)
    }

    /// Readings of another moment, in nanoseconds since 1970.
    pub fn at(time: i64) -> Batch {
        Batch { time, ..Batch::default() }
    }

    /// Of another device than the client itself.
    pub fn of(mut self, device: &str) -> Batch {
        self.device = device.to_owned();
        self
    }

    /// A number.
    pub fn float(self, metric: &str, unit: &str, value: f64) -> Batch {
        self.column(metric, unit, |column| data(column, 2, &value.to_le_bytes()))
    }

    /// A whole number.
    pub fn int(self, metric: &str, unit: &str, value: i64) -> Batch {
        let mut packed = Vec::new();
        varint(&mut packed, (value << 1 ^ value >> 63) as u64);
        self.column(metric, unit, |column| data(column, 5, &packed))
    }

    /// A truth value.
    pub fn bool(self, metric: &str, value: bool) -> Batch {
        self.column(metric, "", |column| data(column, 6, &[value.into()]))
    }

    /// A text.
    pub fn text(self, metric: &str, value: &str) -> Batch {
        self.column(metric, "", |column| data(column, 7, value.as_bytes()))
    }

    fn column(mut self, metric: &str, unit: &str, values: impl FnOnce(&mut Vec<u8>)) -> Batch {
        let mut column = Vec::new();
        data(&mut column, 1, metric.as_bytes());
        values(&mut column);
        data(&mut column, 9, unit.as_bytes());
        data(&mut self.columns, 4, &column);
        self
    }

    /// The message with this seq.
    pub fn encode(&self, seq: u64) -> Vec<u8> {
        let (mut batch, mut table) = (Vec::new(), Vec::new());
        uint(&mut batch, 1, seq);
        uint(&mut batch, 2, self.time as u64);
        data(&mut table, 1, self.device.as_bytes());
        table.extend(&self.columns);
        data(&mut batch, 3, &table);
        message(2, &batch)
    }
}

pub(crate) fn hello(client: &str, session: u64, resume: u64) -> Vec<u8> {
    let mut hello = Vec::new();
    data(&mut hello, 1, client.as_bytes());
    varint(&mut hello, 2 << 3 | 1);
    hello.extend(session.to_le_bytes());
    uint(&mut hello, 3, resume);
    data(&mut hello, 5, concat!("tidegate-client (rust) ", env!("CARGO_PKG_VERSION")).as_bytes());
    message(1, &hello)
}

pub(crate) fn result(id: u64, done: &Result<Vec<u8>, String>) -> Vec<u8> {
    let mut result = Vec::new();
    uint(&mut result, 1, id);
    uint(&mut result, 2, done.is_ok().into());
    match done {
        Ok(payload) => data(&mut result, 4, payload),
        Err(why) => data(&mut result, 3, why.as_bytes()),
    }
    message(3, &result)
}

pub(crate) fn reported(device: &str, version: u64, done: &Result<Vec<u8>, String>) -> Vec<u8> {
    let mut reported = Vec::new();
    data(&mut reported, 1, device.as_bytes());
    uint(&mut reported, 2, version);
    uint(&mut reported, 3, done.is_ok().into());
    match done {
        Ok(document) => data(&mut reported, 5, document),
        Err(why) => data(&mut reported, 4, why.as_bytes()),
    }
    message(4, &reported)
}

fn message(tag: u64, content: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    varint(&mut message, tag << 3 | 2);
    varint(&mut message, content.len() as u64);
    message.extend(content);
    message
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn uint(out: &mut Vec<u8>, tag: u64, value: u64) {
    if value != 0 {
        varint(out, tag << 3);
        varint(out, value);
    }
}

fn data(out: &mut Vec<u8>, tag: u64, value: &[u8]) {
    varint(out, tag << 3 | 2);
    varint(out, value.len() as u64);
    out.extend(value);
}

/// What the daemon says.
#[derive(Debug, PartialEq)]
pub(crate) enum Downstream {
    Welcome {
        last_seq: u64,
        batches: u64,
        bytes: u64,
    },
    Ack {
        seq: u64,
        batches: u64,
        bytes: u64,
    },
    Refusal {
        seq: u64,
        later_after_ms: Option<u64>,
        why: String,
    },
    Throttle {
        batches: u64,
        bytes: u64,
        min_interval_ms: u64,
    },
    Command {
        id: u64,
        device: String,
        name: String,
        payload: Vec<u8>,
    },
    Goodbye {
        reconnect_after_ms: u64,
    },
    Desired {
        version: u64,
        device: String,
        document: Vec<u8>,
    },
    /// Of a newer daemon.
    Unknown,
}

/// `None`: not a message.
pub(crate) fn downstream(bytes: &[u8]) -> Option<Downstream> {
    let fields = fields(bytes)?;
    let Some((kind, Value::Bytes(content))) =
        fields.into_iter().find(|(tag, _)| (1..=7).contains(tag))
    else {
        return Some(Downstream::Unknown);
    };
    let fields = self::fields(content)?;
    let number = |tag| match fields.iter().find(|(field, _)| *field == tag) {
        Some((_, Value::Number(number))) => Some(*number),
        _ => None,
    };
    let bytes = |tag| match fields.iter().find(|(field, _)| *field == tag) {
        Some((_, Value::Bytes(bytes))) => bytes.to_vec(),
        _ => Vec::new(),
    };
    let text = |tag| String::from_utf8_lossy(&bytes(tag)).into_owned();
    let uint = |tag| number(tag).unwrap_or(0);
    Some(match kind {
        1 => Downstream::Welcome { last_seq: uint(1), batches: uint(2), bytes: uint(3) },
        2 => Downstream::Ack { seq: uint(1), batches: uint(2), bytes: uint(3) },
        3 => Downstream::Refusal { seq: uint(1), later_after_ms: number(4), why: text(5) },
        4 => Downstream::Throttle { batches: uint(1), bytes: uint(2), min_interval_ms: uint(3) },
        5 => Downstream::Command { id: uint(1), device: text(2), name: text(3), payload: bytes(4) },
        6 => Downstream::Goodbye { reconnect_after_ms: uint(3) },
        _ => Downstream::Desired { version: uint(1), device: text(2), document: bytes(3) },
    })
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, Value<'_>)>> {
    fn number(bytes: &mut &[u8]) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = bytes.split_first()?;
            *bytes = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = number(&mut bytes)?;
        let value = match key & 7 {
            0 => Value::Number(number(&mut bytes)?),
            kind @ (1 | 2 | 5) => {
                let len = match kind {
                    1 => 8,
                    2 => usize::try_from(number(&mut bytes)?).ok()?,
                    _ => 4,
                };
                let (value, rest) = bytes.split_at_checked(len)?;
                bytes = rest;
                Value::Bytes(value)
            }
            _ => return None,
        };
        fields.push((key >> 3, value));
    }
    Some(fields)
}

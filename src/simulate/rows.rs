//! Rows of a machine on their way into a batch.

use super::plant::{Kind, Machine};
use crate::model::{Seq, Timestamp};
use crate::wire::Writer;

/// A machine and the rows that were read from it since the last batch.
#[derive(Debug)]
pub(super) struct Recorder {
    machine: Machine,
    times: Vec<i64>,
    /// Row after row.
    cells: Vec<i64>,
}

impl Recorder {
    pub(super) fn new(machine: Machine) -> Recorder {
        Recorder { machine, times: Vec::new(), cells: Vec::new() }
    }

    pub(super) fn read(&mut self, now: Timestamp) {
        self.machine.read(now, &mut self.cells);
        self.times.push(now.0);
    }

    pub(super) fn device(&self) -> &str {
        self.machine.name()
    }

    pub(super) fn rows(&self) -> usize {
        self.times.len()
    }

    pub(super) fn samples(&self) -> usize {
        self.cells.len()
    }

    pub(super) fn clear(&mut self) {
        self.times.clear();
        self.cells.clear();
    }

    /// Writes the rows as a `Table`. The device is left out if it is the client itself.
    pub(super) fn write(&self, out: &mut Writer, scratch: &mut Writer, client: &str, base: i64) {
        if self.machine.name() != client {
            out.delimited(1, self.machine.name().as_bytes());
        }
        out.sints(3, changes(base, self.times.iter().copied()));
        let metrics = self.machine.metrics();
        for (index, metric) in metrics.iter().enumerate() {
            let cells = self.cells.iter().copied().skip(index).step_by(metrics.len());
            out.message(4, scratch, |out| {
                out.delimited(1, metric.name.as_bytes());
                match metric.kind {
                    Kind::Decimal(scale) => {
                        out.sints(3, changes(0, cells));
                        out.uint(4, scale.into());
                    }
                    Kind::Int => out.sints(5, changes(0, cells)),
                    Kind::Bool => out.bools(6, &cells.map(|cell| cell != 0).collect::<Vec<_>>()),
                    Kind::Text(texts) => {
                        for cell in cells {
                            let text = usize::try_from(cell).ok().and_then(|cell| texts.get(cell));
                            out.delimited(7, text.unwrap_or(&"").as_bytes());
                        }
                    }
                }
                if !metric.unit.is_empty() {
                    out.delimited(9, metric.unit.as_bytes());
                }
            });
        }
    }
}

fn changes(
    from: i64,
    values: impl Iterator<Item = i64> + Clone,
) -> impl Iterator<Item = i64> + Clone {
    values.scan(from, |before, value| Some(value - std::mem::replace(before, value)))
}

/// The `tables` fields of a `Batch`: everything in it that does not depend on when it is sent.
pub(super) fn tables(recorders: &[Recorder], client: &str, base: i64) -> Vec<u8> {
    let (mut out, mut table, mut column) = (Writer::new(), Writer::new(), Writer::new());
    for recorder in recorders {
        out.message(3, &mut table, |table| recorder.write(table, &mut column, client, base));
    }
    out.finish()
}

/// What comes before the tables in an `Upstream` message with a batch: keys, lengths, `seq` and
/// `base_time`.
pub(super) fn preamble(seq: Seq, base: i64, tables_bytes: usize) -> Vec<u8> {
    let mut fields = Writer::new();
    fields.uint(1, seq);
    fields.uint(2, base.cast_unsigned());
    let mut upstream = Writer::new();
    upstream.prefix(2, fields.bytes().len() + tables_bytes);
    let mut preamble = upstream.finish();
    preamble.extend_from_slice(fields.bytes());
    preamble
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{self, Limits, Stamp, Upstream};
    use crate::model::Values;

    #[test]
    fn what_is_recorded_is_what_is_read() {
        let start = 1_800_000_000_000_000_000;
        let mut recorder = Recorder::new(Machine::new(1, 1));
        for row in 0..5 {
            recorder.read(Timestamp(start + row * 1_000_000_000));
        }
        let tables = tables(std::slice::from_ref(&recorder), "gateway", start);
        let message = [preamble(3, start, tables.len()), tables].concat();
        let Ok(Upstream::Batch(batch)) = decode::upstream(&message) else { panic!("no batch") };
        let received_at = Timestamp(start);
        let stamp = Stamp { received_at, booted_at: None, client: "gateway" };
        let decoded = decode::batch(batch, &Limits::default(), &stamp).unwrap();
        assert_eq!((decoded.seq, decoded.batch.samples()), (3, recorder.samples()));
        let table = decoded.batch.tables().next().unwrap();
        assert_eq!((table.device(), table.times()), ("pump-002", &recorder.times[..]));
        let column = table.columns().next().unwrap();
        let Values::Floats(values) = column.values() else { panic!("not floats") };
        assert_eq!((column.metric(), column.unit()), ("motor.temperature", "°C"));
        assert_eq!(values[4], recorder.cells[4 * 10] as f64 / 10.0);
    }
}

//! What is done at the door about clocks that are off: readings are taken as they are, moved to the
//! right time, or refused for later; and what clocks show is told to who judges them.
//!
//! A corrected batch is encoded anew, as readings are that come in another form: so its record is
//! complete, and every follower, now or after a restart, reads the same times. It keeps the client's
//! session and number: sent again, it is a duplicate.

use super::Intake;
use super::caps::InForce;
use super::reading::{self, Read};
use super::refusal::{Refusal, Retry};
use crate::decode;
use crate::live::{Remedies, Remedy};
use crate::model::{Batch, ClientId, Seq, Timestamp};
use crate::wire::{Limits, Place, RefusalCode};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// A clock that is off is not set every second; nor is an operator asked that often.
const CLOCK_OFF: Duration = Duration::from_secs(30);
/// How far ahead a clock is, is known in a moment.
const CLOCK_WATCHED: Duration = Duration::from_secs(2);

/// A batch whose times are believed.
pub(super) struct Timed {
    pub batch: Batch,
    /// The record to be stored instead of what came.
    pub payload: Option<Bytes>,
}

impl Intake {
    /// The limits that messages are read by: while something is done about clocks, times of the future
    /// are judged after that.
    pub(super) fn reading_limits<'a>(&self, caps: &'a InForce) -> &'a Limits {
        if self.live.remedies().is_some() { &caps.relaxed } else { &caps.limits.wire }
    }

    /// Reads a message that came after Hello, and looks at its times.
    pub(super) fn read(
        &self,
        caps: &InForce,
        message: &[u8],
        received_at: Timestamp,
        booted_at: Option<Timestamp>,
        client: &ClientId,
    ) -> Read {
        let limits = self.reading_limits(caps);
        match reading::upstream(message, limits, received_at, booted_at, client) {
            Read::Batch { seq, batch, .. } => match self.timed(caps, seq, batch, received_at) {
                Ok(Timed { batch, payload }) => Read::Batch { seq, batch, payload },
                Err(refusal) => Read::Refused { seq, refusal },
            },
            Read::Refused { seq, refusal } if refusal.code == RefusalCode::TimeTooFarAhead => {
                // Whose clock it is, is worth to know.
                let again =
                    reading::upstream(message, &caps.relaxed, received_at, booted_at, client);
                if let Read::Batch { batch, .. } = again {
                    self.tell_clocks(&batch, received_at, |_| true);
                }
                Read::Refused { seq, refusal }
            }
            read => read,
        }
    }

    /// Does what is to be done about the clocks of a batch's devices.
    pub(super) fn timed(
        &self,
        caps: &InForce,
        seq: Seq,
        batch: Batch,
        received_at: Timestamp,
    ) -> Result<Timed, Refusal> {
        let Some(remedies) = self.live.remedies() else {
            return Ok(Timed { batch, payload: None });
        };
        self.tell_clocks(&batch, received_at, |device| remedies.of(device).is_some());
        let latest = received_at.saturating_add(caps.limits.wire.max_ahead).0;
        let mut shifts = false;
        for (index, table) in batch.tables().enumerate() {
            let remedy = remedies.of(table.device());
            let shift = match remedy {
                Some(Remedy::Refuse(offset)) => {
                    return Err(clock_off(table.device(), offset, index));
                }
                Some(Remedy::Shift(shift)) => shift,
                Some(Remedy::Watch) | None => 0,
            };
            shifts |= shift != 0;
            let newest = table.times().iter().copied().max().unwrap_or(i64::MIN);
            if newest.saturating_sub(shift) > latest {
                return Err(too_far_ahead(table.device(), remedy.is_some(), index));
            }
        }
        if !shifts {
            return Ok(Timed { batch, payload: None });
        }
        let batch = shifted(batch, &remedies);
        let payload = Some(reading::record(decode::encode(&batch, seq)));
        Ok(Timed { batch, payload })
    }

    fn tell_clocks(&self, batch: &Batch, received_at: Timestamp, of: impl Fn(&str) -> bool) {
        let tables = batch.tables().filter(|table| table.keep().in_live() && of(table.device()));
        let newest = tables.filter_map(|table| {
            Some((Arc::<str>::from(table.device()), table.times().iter().copied().max()?))
        });
        self.live.clocks_seen(received_at, newest);
    }
}

fn shifted(batch: Batch, remedies: &Remedies) -> Batch {
    batch.shifted(|device| match remedies.of(device) {
        Some(Remedy::Shift(shift)) => shift.saturating_neg(),
        _ => 0,
    })
}

fn clock_off(device: &str, offset: i64, table: usize) -> Refusal {
    let way = if offset > 0 { "ahead" } else { "behind" };
    let seconds = offset.unsigned_abs() as f64 / 1e9;
    Refusal {
        code: RefusalCode::ClockOff,
        retry: Retry::Later(CLOCK_OFF),
        message: format!(
            "the clock of {device} is {seconds:.1} s {way}: keep the batch until the clock is set, or the \
             operator has it corrected (clocks.policy)"
        ),
        at: place(table),
    }
}

fn too_far_ahead(device: &str, is_watched: bool, table: usize) -> Refusal {
    Refusal {
        code: RefusalCode::TimeTooFarAhead,
        // Its clock may be corrected in a moment.
        retry: if is_watched { Retry::Later(CLOCK_WATCHED) } else { Retry::Never },
        message: format!(
            "the clock of {device} is farther ahead than is allowed (limits.ahead_max)"
        ),
        at: place(table),
    }
}

fn place(table: usize) -> Place {
    Place { table: u32::try_from(table).ok(), ..Place::default() }
}

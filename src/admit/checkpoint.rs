//! The memory of admission as bytes: what a checkpoint record of the spool holds.
//!
//! Version 1 is a protobuf message (field numbers below are the format; a newer daemon may add some).
//! Series are not in it: the history knows them.

use super::sessions::Seen;
use super::{Admission, Counts};
use crate::model::{SessionId, Timestamp};
use prost::Message;
use thiserror::Error;

#[derive(Clone, PartialEq, Message)]
struct Checkpoint {
    #[prost(message, repeated, tag = "1")]
    sessions: Vec<Session>,
    #[prost(message, repeated, tag = "2")]
    counts: Vec<ProtocolCounts>,
}

#[derive(Clone, PartialEq, Message)]
struct Session {
    #[prost(string, tag = "1")]
    client: String,
    #[prost(fixed64, tag = "2")]
    session: u64,
    #[prost(uint64, tag = "3")]
    highest: u64,
    /// Pairs of first and last seq.
    #[prost(uint64, repeated, tag = "4")]
    gaps: Vec<u64>,
    #[prost(int64, tag = "5")]
    used_at: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ProtocolCounts {
    #[prost(uint32, tag = "1")]
    protocol: u32,
    #[prost(uint64, tag = "2")]
    samples: u64,
    #[prost(uint64, tag = "3")]
    batches: u64,
    #[prost(uint64, tag = "4")]
    duplicates: u64,
    #[prost(uint64, tag = "5")]
    refused: u64,
}

/// A checkpoint that was not written by this program.
#[derive(Debug, Error)]
#[error("the checkpoint can't be read")]
pub struct CheckpointError(#[from] prost::DecodeError);

impl Admission {
    /// The memory as bytes.
    #[must_use]
    pub fn checkpoint(&self) -> Vec<u8> {
        let sessions = self.sessions.iter().map(|((client, session), seen)| Session {
            client: client.to_string(),
            session: session.0,
            highest: seen.highest,
            gaps: seen.gaps.iter().flat_map(|gap| [*gap.start(), *gap.end()]).collect(),
            used_at: seen.used_at.0,
        });
        let counts = self.tally.by_protocol.iter().map(|(&protocol, counts)| ProtocolCounts {
            protocol: u32::from(protocol),
            samples: counts.samples,
            batches: counts.batches,
            duplicates: counts.duplicates,
            refused: counts.refused,
        });
        Checkpoint { sessions: sessions.collect(), counts: counts.collect() }.encode_to_vec()
    }

    /// Replaces sessions and counts by those of a checkpoint.
    ///
    /// # Errors
    /// If the bytes are no checkpoint; then nothing changed.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), CheckpointError> {
        let checkpoint = Checkpoint::decode(bytes)?;
        let mut sessions = super::Sessions::new(self.sessions.max());
        for session in checkpoint.sessions {
            let gaps = session.gaps.chunks_exact(2).map(|pair| pair[0]..=pair[1]).collect();
            let seen = Seen { highest: session.highest, gaps, used_at: Timestamp(session.used_at) };
            sessions.restore((session.client.into(), SessionId(session.session)), seen);
        }
        self.sessions = sessions;
        self.tally.by_protocol = checkpoint
            .counts
            .into_iter()
            .filter_map(|counts| {
                let protocol = u8::try_from(counts.protocol).ok()?;
                let ProtocolCounts { samples, batches, duplicates, refused, .. } = counts;
                Some((protocol, Counts { samples, batches, duplicates, refused }))
            })
            .collect();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Name, SeriesLimits, Standing};
    use super::*;
    use crate::model::ClientId;

    #[test]
    fn a_checkpoint_restores_sessions_and_counts() {
        let limits = SeriesLimits { new_per_minute: 1, max: 1, seed: 1 };
        let mut before = Admission::new(10, limits);
        let client: ClientId = "gateway".into();
        let name = |seq| Name { client: &client, session: SessionId(9), seq };
        for seq in [1, 2, 5, 9] {
            before.enter(name(seq), Timestamp(seq as i64));
        }
        *before.tally_mut().of(1) = Counts { samples: 1, batches: 2, duplicates: 3, refused: 4 };

        let mut after = Admission::new(10, limits);
        after.restore(&before.checkpoint()).unwrap();
        for seq in 1..12 {
            assert_eq!(
                after.sessions.standing(name(seq)) == Standing::Seen,
                [1, 2, 5, 9].contains(&seq)
            );
        }
        assert_eq!(after.tally(), before.tally());
        assert!(after.restore(b"\xff\xff").is_err());
        assert_eq!(after.tally(), before.tally());
    }
}

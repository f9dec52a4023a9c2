//! The memory of admission as bytes: what a checkpoint record of the spool holds.
//!
//! Version 1 is a protobuf message (field numbers below are the format; a newer daemon may add some).
//! Series are not in it: the history knows them.

use super::clients::Clients;
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
    /// Since 0.2; in an older one clients have sent nothing yet.
    #[prost(message, repeated, tag = "3")]
    clients: Vec<ClientEntry>,
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

/// In the order in which they would be forgotten. Fields that are 0 take no place.
#[derive(Clone, PartialEq, Message)]
struct ClientEntry {
    #[prost(string, tag = "1")]
    client: String,
    #[prost(uint32, tag = "2")]
    protocol: u32,
    #[prost(uint64, tag = "3")]
    samples: u64,
    #[prost(uint64, tag = "4")]
    batches: u64,
    #[prost(uint64, tag = "5")]
    duplicates: u64,
    #[prost(uint64, tag = "6")]
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
        let clients = self.clients.iter().map(|it| ClientEntry {
            client: it.client.to_string(),
            protocol: u32::from(it.protocol),
            samples: it.counts.samples,
            batches: it.counts.batches,
            duplicates: it.counts.duplicates,
            refused: it.counts.refused,
        });
        Checkpoint {
            sessions: sessions.collect(),
            counts: counts.collect(),
            clients: clients.collect(),
        }
        .encode_to_vec()
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
        let mut clients = Clients::new(self.clients.max());
        for entry in checkpoint.clients {
            let Ok(protocol) = u8::try_from(entry.protocol) else { continue };
            let ClientEntry { client, samples, batches, duplicates, refused, .. } = entry;
            let counts = clients.of(&client.into(), protocol);
            *counts = Counts { samples, batches, duplicates, refused };
        }
        self.clients = clients;
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
    use super::super::{Decided, Name, SeriesLimits, Standing};
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

        before.count(&client, 1, Decided::Entered { samples: 7 });
        let mut after = Admission::new(10, limits);
        after.restore(&before.checkpoint()).unwrap();
        assert!(after.clients().eq(before.clients()) && after.clients().count() == 1);
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

    /// Session 9 of "gateway" with seqs 1, 2, 5, 9; 5 samples in 2 batches over protocol 1, 3
    /// duplicates, 4 refused: written by 0.1.0.
    #[test]
    fn a_checkpoint_from_before_clients_were_counted_is_read() {
        let old = b"\x0a\x1c\x0a\x07gateway\x11\x09\0\0\0\0\0\0\0\x18\x09\x22\x04\x03\x04\x06\x08\x28\x09\
                    \x12\x0a\x08\x01\x10\x05\x18\x02\x20\x03\x28\x04";
        let mut after = Admission::new(10, SeriesLimits { new_per_minute: 1, max: 1, seed: 1 });
        after.count(&"later".into(), 1, Decided::Refused);
        after.restore(old).unwrap();
        let counts = Counts { samples: 5, batches: 2, duplicates: 3, refused: 4 };
        assert_eq!(after.tally().total(), counts);
        assert_eq!(after.clients().count(), 0);
        let client: ClientId = "gateway".into();
        let name = |seq| Name { client: &client, session: SessionId(9), seq };
        assert_eq!(after.sessions.standing(name(5)), Standing::Seen);
        assert_eq!(after.sessions.standing(name(6)), Standing::New);
    }
}

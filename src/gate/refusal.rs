//! Why a decoded batch did not enter.

use crate::admit::Objection;
use thiserror::Error;

/// Why a decoded batch did not enter. Who acts: the client, by sending it again later or never
/// (`intake::refusal` has the table).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Admission objects.
    #[error(transparent)]
    Objection(#[from] Objection),
    /// There is no memory for it at the gate.
    #[error(
        "no memory is left for batches on their way to the disk (limits.gate_memory); it is given back as fast as the disk syncs"
    )]
    Overloaded,
    /// The spool has reached its cap.
    #[error(
        "the spool has reached its cap (spool.size_max): the history does not take what it holds; see its sinks in /api/v1/status"
    )]
    SpoolFull,
    /// There is no space on the disk.
    #[error("there is no space left on the spool's disk: the operator has to make room")]
    DiskFull,
    /// The disk refused the write.
    #[error("the spool could not be written: the operator finds the cause in the daemon's log")]
    StorageFailed,
    /// The daemon stops.
    #[error("the daemon stops or restarts")]
    ShuttingDown,
}

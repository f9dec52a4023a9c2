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
    #[error("the intake is full")]
    Overloaded,
    /// The spool has reached its cap.
    #[error("the spool has reached its cap (spool.size_max)")]
    SpoolFull,
    /// There is no space on the disk.
    #[error("there is no space left on the spool's disk")]
    DiskFull,
    /// The disk refused the write.
    #[error("the spool could not be written")]
    StorageFailed,
    /// The daemon stops.
    #[error("the daemon is shutting down")]
    ShuttingDown,
}

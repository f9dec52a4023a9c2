//! By which rules samples become rollups: as they are remembered, and ready for use.

use crate::model::Globs;
use serde::{Deserialize, Serialize};

/// What is folded, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Width of a window, nanoseconds; more than 0.
    pub width: i64,
    /// How long after its end a window takes samples, in its device's own time; nanoseconds.
    pub lateness: i64,
    /// Which devices: what fits these globs.
    pub devices: Vec<String>,
    /// Which metrics: what fits these globs.
    pub metrics: Vec<String>,
}

/// Which samples are selected.
#[derive(Debug)]
pub(super) struct Selection {
    /// Nothing = all.
    devices: Option<Globs>,
    /// Nothing = all.
    metrics: Option<Globs>,
}

impl Selection {
    pub fn of(rules: &Rules) -> Result<Selection, globset::Error> {
        Ok(Selection { devices: Globs::new(&rules.devices)?, metrics: Globs::new(&rules.metrics)? })
    }

    pub fn has_device(&self, name: &str) -> bool {
        self.devices.as_ref().is_none_or(|devices| devices.is_match(name))
    }

    pub fn has_metric(&self, name: &str) -> bool {
        self.metrics.as_ref().is_none_or(|metrics| metrics.is_match(name))
    }
}

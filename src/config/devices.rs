//! Devices: when one is offline, and what is done about clocks that are off.

use super::checked::Checker;
use super::file::Quantity;
use crate::live::ClockPolicy;
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Devices {
    missed: u32,
    reconnect_grace: Quantity,
    inbox: bool,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Clocks {
    policy: String,
    tolerance: Quantity,
    window: Quantity,
}

/// Who is there; see `config/tidegate.toml` for each.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "config/tidegate.toml has a sentence for each, under the same name"
)]
pub struct DevicesConfig {
    pub missed: u32,
    pub reconnect_grace: Duration,
    pub inbox: bool,
}

/// Clocks of devices; see `config/tidegate.toml` for each.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "config/tidegate.toml has a sentence for each, under the same name"
)]
pub struct ClocksConfig {
    pub policy: ClockPolicy,
    pub tolerance: Duration,
    pub window: Duration,
}

impl Checker<'_> {
    pub(super) fn devices(&mut self, file: &Devices) -> DevicesConfig {
        DevicesConfig {
            missed: self.count("devices.missed", file.missed, 1..=1000),
            reconnect_grace: self.duration("devices.reconnect_grace", &file.reconnect_grace),
            inbox: file.inbox,
        }
    }

    pub(super) fn clocks(&mut self, file: &Clocks) -> ClocksConfig {
        let policies = ClockPolicy::ALL.map(|policy| (policy.name(), policy));
        ClocksConfig {
            policy: self.one_of("clocks.policy", &file.policy, &policies),
            tolerance: self.positive("clocks.tolerance", &file.tolerance),
            window: self.positive("clocks.window", &file.window),
        }
    }
}

//! The metrics of devices: set when somebody looks.

use super::{add, clamp};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByState {
    state: &'static str,
}

/// All of them.
pub struct Devices {
    devices: Family<ByState, Gauge>,
    unknown: Gauge,
    clocks_off: Gauge,
}

impl Devices {
    pub(super) fn new(r: &mut Registry) -> Devices {
        Devices {
            devices: add(r, "devices", "Devices known, by whether they are online or offline"),
            unknown: add(r, "devices_unknown", "Devices in the inbox, that no operator knows"),
            clocks_off: add(
                r,
                "device_clocks_off",
                "Devices whose clock is off (clocks.tolerance)",
            ),
        }
    }

    /// How many there are, are online, are not known, and have a clock that is off.
    pub fn set(&self, (all, online, unknown, clocks_off): (usize, usize, usize, usize)) {
        let by = |state| self.devices.get_or_create(&ByState { state }).clone();
        by("online").set(clamp(online as u64));
        by("offline").set(clamp(all.saturating_sub(online) as u64));
        self.unknown.set(clamp(unknown as u64));
        self.clocks_off.set(clamp(clocks_off as u64));
    }
}

//! What of the status is for those who reach some devices only: how the daemon is. Counts of readings,
//! clients, devices, alerts and commands are of the whole plant, and not for them.

use serde_json::{Map, Value as Json};

/// What they are told, by its place; `*` is each of a list. What does not stand here is left out: nothing new
/// is told before somebody has thought of it.
const TOLD: &[&str] = &[
    "version",
    "time",
    "uptime_s",
    "tick_ms",
    "windows",
    "pressure",
    "pressure_of",
    "trouble",
    "spool.bytes",
    "spool.bytes_max",
    "spool.full_in_s",
    "spool.oldest_s",
    "spool.durability",
    "sinks.*.name",
    "sinks.*.kind",
    "sinks.*.send",
    "sinks.*.rollup_window_s",
    "sinks.*.breaker",
    "sinks.*.held",
    "sinks.*.cause",
    "sinks.*.next_probe_s",
    "sinks.*.lag_s",
    "sinks.*.live_lag_s",
    "sinks.*.drain_eta_s",
    "sinks.*.bytes",
    "live.lag_s",
    "tls",
];

/// The status without what is about all devices.
pub(super) fn within_reach(status: &Json) -> Json {
    told(status, "").unwrap_or_default()
}

fn told(value: &Json, place: &str) -> Option<Json> {
    if TOLD.contains(&place) {
        return Some(value.clone());
    }
    let below = |name: &str| match place {
        "" => name.to_owned(),
        place => format!("{place}.{name}"),
    };
    match value {
        Json::Object(members) => {
            let members = members.iter();
            let kept =
                members.filter_map(|(name, it)| Some((name.clone(), told(it, &below(name))?)));
            let kept: Map<_, _> = kept.collect();
            (!kept.is_empty()).then_some(Json::Object(kept))
        }
        Json::Array(items) => {
            let kept: Vec<_> = items.iter().filter_map(|it| told(it, &below("*"))).collect();
            (!kept.is_empty()).then_some(Json::Array(kept))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_about_all_devices_is_left_out() {
        let status = json!({
            "version": "1", "trouble": null, "windows": ["1s"], "news": 1,
            "spool": { "bytes": 1, "next": 7 },
            "sinks": [{ "name": "history", "written": 9, "cause": null }],
            "live": { "lag_s": 0.1, "devices": 200 },
            "intake": { "mqtt": [{ "name": "site" }] },
            "ledger": { "accepted": 9 },
        });
        let expected = json!({
            "version": "1", "trouble": null, "windows": ["1s"],
            "spool": { "bytes": 1 },
            "sinks": [{ "name": "history", "cause": null }],
            "live": { "lag_s": 0.1 },
        });
        assert_eq!(within_reach(&status), expected);
    }
}

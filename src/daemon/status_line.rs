//! How the daemon is, in one line: what `systemctl status` shows.

use super::onlooker::Onlooker;
use super::status::Overview;
use crate::model::Reach;
use crate::web::StatusSource;
use bytesize::ByteSize;
use serde_json::Value;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it is told.
const INTERVAL: Duration = Duration::from_secs(2);

/// Tells the onlooker until `stop`, and that the pipeline runs dry then. It runs where connections are
/// accepted: as long as it is heard of, they are.
pub(super) async fn tell(overview: Arc<Overview>, onlooker: &Onlooker, stop: CancellationToken) {
    let mut interval = tokio::time::interval(INTERVAL / 4);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut ticks: u32 = 0;
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = stop.cancelled() => return onlooker.draining(),
        }
        onlooker.listens();
        if ticks.is_multiple_of(4) {
            onlooker.status(line(&overview.status(&Reach::all())));
        }
        ticks = ticks.wrapping_add(1);
    }
}

/// Devices, rate, spool; then whatever is not as it should be.
fn line(status: &Value) -> String {
    let number = |pointer: &str| status.pointer(pointer).and_then(Value::as_f64).unwrap_or(0.0);
    let (bytes, bytes_max) = (number("/spool/bytes"), number("/spool/bytes_max"));
    let mut line = format!(
        "{} devices, {:.0} samples/s; spool {:.0} % of {}",
        number("/live/devices"),
        number("/intake/samples_per_s"),
        100.0 * bytes / bytes_max.max(1.0),
        ByteSize(bytes_max as u64)
    );
    // Writing to a String does not fail.
    let mut add = |more: std::fmt::Arguments<'_>| line.write_fmt(more).unwrap_or_default();
    if let Some(trouble) = status["trouble"].as_str() {
        add(format_args!("; NOTHING CAN ENTER: {trouble}"));
    }
    if let Some(of) = status["pressure_of"].as_str().filter(|_| number("/pressure") > 0.0) {
        add(format_args!("; pressure {:.0} % ({of})", 100.0 * number("/pressure")));
    }
    let sinks = status["sinks"].as_array().map_or(&[][..], Vec::as_slice);
    if sinks.iter().all(|sink| sink["breaker"] == "closed") {
        add(format_args!("; breakers closed"));
    }
    for sink in sinks.iter().filter(|sink| sink["breaker"] != "closed") {
        let (name, breaker) = (text(&sink["name"]), text(&sink["breaker"]));
        add(format_args!("; breaker of {name} {breaker}"));
        if let Some(cause) = sink["cause"].as_str() {
            add(format_args!(" ({cause})"));
        }
    }
    let brokers = status.pointer("/intake/mqtt").and_then(Value::as_array);
    for broker in brokers.into_iter().flatten().filter(|broker| broker["state"] != "connected") {
        add(format_args!("; broker {} {}", text(&broker["name"]), text(&broker["state"])));
    }
    if status.pointer("/ledger/balanced") == Some(&Value::Bool(false)) {
        add(format_args!("; THE LEDGER DOES NOT BALANCE"));
    }
    line
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use super::line;
    use serde_json::json;

    fn status() -> serde_json::Value {
        json!({
            "pressure": 0.0, "pressure_of": null, "trouble": null,
            "spool": {"bytes": 85_899_346, "bytes_max": 8_589_934_592_u64},
            "live": {"devices": 12}, "intake": {"samples_per_s": 340.2, "mqtt": []},
            "sinks": [{"name": "history", "breaker": "closed"}], "ledger": {"balanced": true},
        })
    }

    #[test]
    fn what_is_well_is_short() {
        let told = "12 devices, 340 samples/s; spool 1 % of 8.0 GiB; breakers closed";
        assert_eq!(line(&status()), told);
    }

    #[test]
    fn what_is_not_well_is_named() {
        let mut status = status();
        status["trouble"] = json!("the disk is full");
        status["pressure"] = json!(0.5);
        status["pressure_of"] = json!("spool");
        let sink = json!({"name": "influx", "breaker": "open", "cause": "connection refused"});
        status["sinks"].as_array_mut().unwrap().push(sink);
        status["intake"]["mqtt"] = json!([{"name": "site", "state": "away"}]);
        status["ledger"]["balanced"] = json!(false);
        let line = line(&status);
        for wanted in [
            "NOTHING CAN ENTER: the disk is full",
            "pressure 50 % (spool)",
            "breaker of influx open (connection refused)",
            "broker site away",
            "THE LEDGER DOES NOT BALANCE",
        ] {
            assert!(line.contains(wanted), "{wanted} in {line}");
        }
    }
}

//! SIGHUP, `systemctl reload`: the configuration is read again while the daemon runs.
//!
//! The whole of it is checked first; with any mistake everything stays as it was. What can be applied is,
//! and whatever else changed is named: it waits for a restart.

use super::Settings;
use crate::daemon::DaemonError;
use crate::logging;
use crate::systemd::Notifier;
use std::collections::BTreeMap;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use toml::Value;

/// What can be applied while the daemon runs: these keys, and what is below them. `log.format` too, but
/// nothing is gained by it.
const APPLIED: [&str; 2] = ["log.level", "log.modules"];

/// Settings by their paths.
type Flat = BTreeMap<String, Value>;

/// Reads the configuration at each SIGHUP, until `stop`.
pub(super) fn on_hangup(
    settings: Settings,
    in_force: &str,
    notifier: Notifier,
    stop: CancellationToken,
) -> Result<impl Future<Output = ()>, DaemonError> {
    let hangup = signal(SignalKind::hangup()).map_err(DaemonError::Runtime)?;
    let reloading = Reloading { settings, in_force: flat(in_force), notifier };
    Ok(reloading.run(hangup, stop))
}

struct Reloading {
    settings: Settings,
    in_force: Flat,
    notifier: Notifier,
}

impl Reloading {
    async fn run(mut self, mut hangup: Signal, stop: CancellationToken) {
        loop {
            tokio::select! {
                _ = hangup.recv() => {}
                () = stop.cancelled() => return,
            }
            self.notifier.reloading();
            self.reload();
            self.notifier.ready();
        }
    }

    fn reload(&mut self) {
        let (config, effective) = match self.settings.read() {
            Ok(read) => read,
            Err(mistakes) => {
                log::error!(event = "reload-refused"; "the configuration stays as it was: {mistakes}");
                return;
            }
        };
        let fresh = flat(&effective);
        let (applied, waiting): (Vec<_>, Vec<_>) =
            changed(&self.in_force, &fresh).into_iter().partition(|path| can_be_applied(path));
        if !applied.is_empty() {
            logging::apply(&config.log);
            self.in_force.retain(|path, _| !can_be_applied(path));
            self.in_force.extend(fresh.into_iter().filter(|(path, _)| can_be_applied(path)));
        }
        let told = if applied.is_empty() { "nothing".to_owned() } else { applied.join(", ") };
        log::info!(event = "reloaded", applied = told; "the configuration was read again; new in force: {told}");
        if !waiting.is_empty() {
            let keys = waiting.join(", ");
            log::warn!(event = "restart-needed", keys; "what changed besides waits for a restart: {keys}");
        }
    }
}

fn can_be_applied(path: &str) -> bool {
    APPLIED.iter().any(|key| {
        path.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// Paths whose values differ.
fn changed(before: &Flat, after: &Flat) -> Vec<String> {
    let mut paths: Vec<_> = before.keys().chain(after.keys()).cloned().collect();
    paths.sort();
    paths.dedup();
    paths.retain(|path| before.get(path) != after.get(path));
    paths
}

fn flat(settings: &str) -> Flat {
    let mut flat = Flat::new();
    // They were written by us.
    let settings: toml::Table = toml::from_str(settings).unwrap_or_default();
    flatten("", Value::Table(settings), &mut flat);
    flat
}

fn flatten(path: &str, value: Value, flat: &mut Flat) {
    let below = |key: String| if path.is_empty() { key } else { format!("{path}.{key}") };
    match value {
        Value::Table(table) => {
            table.into_iter().for_each(|(key, value)| flatten(&below(key), value, flat));
        }
        Value::Array(items) if items.iter().any(Value::is_table) => {
            let numbered = items.into_iter().enumerate();
            numbered.for_each(|(number, item)| flatten(&below(number.to_string()), item, flat));
        }
        value => {
            flat.insert(path.to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{can_be_applied, changed, flat};

    #[test]
    fn what_changed_is_named_by_its_path() {
        let before = "a = 1\n[log]\nlevel = \"info\"\n[[sinks.influx]]\nname = \"x\"\nurl = \"u\"";
        let after = "a = 1\n[log]\nlevel = \"debug\"\nmodules = { gate = \"info\" }\n[[sinks.influx]]\nname = \"x\"\nurl = \"v\"";
        let changed = changed(&flat(before), &flat(after));
        assert_eq!(changed, ["log.level", "log.modules.gate", "sinks.influx.0.url"]);
        let applied: Vec<_> = changed.iter().map(|path| can_be_applied(path)).collect();
        assert_eq!(applied, [true, true, false]);
    }
}

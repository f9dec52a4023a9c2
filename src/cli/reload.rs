//! SIGHUP, `systemctl reload`: the configuration is read again while the daemon runs.
//!
//! The whole of it is checked first; with any mistake everything stays as it was. What can be applied is,
//! and whatever else changed is named: it waits for a restart.

use super::Settings;
use crate::daemon::{DaemonError, Failed, Fresh, Path, Reload};
use crate::logging;
use crate::systemd::Notifier;
use std::collections::{BTreeMap, BTreeSet};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use toml::Value;

/// What can be applied while the daemon runs: these keys, and what is below them, but for the step to TLS
/// or away from it. `log.format` too, but nothing is gained by it.
const APPLIED: &[&str] = &[
    "auth",
    "tls",
    "log.level",
    "log.modules",
    "alerts",
    "alerting.keep",
    "alerting.events_max",
    "limits",
    "live.viewers_max",
    "live.viewers_per_address",
    "live.offline_after",
    "devices",
    "clocks",
    "commands",
    "notify",
    "quarantine",
    "intake.mqtt",
    "sinks.influx",
];

/// What of these can't: sizes of what was made at the start.
const NOT_APPLIED: &[&str] = &["limits.series_max", "limits.gate_memory", "limits.sessions_max"];

/// Lists of which the first block that fits counts: where a block stands is what it is called, for its name
/// may stand there twice.
const ORDERED: &[&str] = &["auth.certificates"];

/// Settings by their paths.
#[derive(Debug, Default, PartialEq)]
struct Flat {
    /// As texts: "not a number" is the same as before, too.
    values: BTreeMap<Path, String>,
    /// Paths of the blocks of lists.
    blocks: BTreeSet<Path>,
}

/// Reads the configuration at each SIGHUP, until `stop`.
pub(super) fn on_hangup(
    settings: Settings,
    in_force: &str,
    reload: Reload,
    notifier: Notifier,
    stop: CancellationToken,
) -> Result<impl Future<Output = ()>, DaemonError> {
    let hangup = signal(SignalKind::hangup()).map_err(DaemonError::Runtime)?;
    let reloading = Reloading { settings, in_force: Flat::read(in_force), reload, notifier };
    Ok(reloading.run(hangup, stop))
}

struct Reloading {
    settings: Settings,
    in_force: Flat,
    reload: Reload,
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
            self.reload().await;
            self.notifier.ready();
        }
    }

    async fn reload(&mut self) {
        let (config, effective) = match self.settings.read() {
            Ok(read) => read,
            Err(mistakes) => {
                log::error!(event = "reload-refused", mistakes = mistakes.0.len(); "the configuration stays as it was: {mistakes}");
                return;
            }
        };
        let fresh = Flat::read(&effective);
        // What the port speaks is what everybody was told to speak.
        let switches = self.in_force.has_tls() != fresh.has_tls();
        let can = |path: &Path| can_be_applied(path) && !(switches && path[0] == "tls");
        let (mut applied, waiting): (BTreeSet<_>, BTreeSet<_>) =
            self.in_force.changed(&fresh).into_iter().partition(can);
        if !applied.is_empty() {
            let log = config.log.clone();
            // Without an answer the daemon stops.
            let asked = Fresh { config, changed: applied.clone() };
            let Some(outcome) = self.reload.apply(asked).await else { return };
            let failed = match outcome {
                Ok(failed) => failed,
                Err(wrong) => {
                    let told = wrong.iter().map(|it| format!("{}: {}", it.path.join("."), it.why));
                    let told = told.collect::<Vec<_>>().join("\n  ");
                    log::error!(event = "reload-refused", mistakes = wrong.len(); "the configuration stays as it was: {told}");
                    return;
                }
            };
            logging::apply(&log);
            let has_failed =
                |path: &Path| failed.iter().any(|failed| path.starts_with(&failed.path));
            applied.retain(|path| !has_failed(path));
            self.in_force.take_over(fresh, &applied);
            for Failed { path, why } in &failed {
                let key = path.join(".");
                log::error!(event = "reload-failed", key = key.as_str(); "{key} stays as it was: {why}");
            }
        }
        if !waiting.is_empty() {
            let keys = names(&waiting);
            log::warn!(event = "restart-needed", keys; "what changed besides waits for a restart: {keys}");
        }
        let told = if applied.is_empty() { "nothing".to_owned() } else { names(&applied) };
        log::info!(event = "reloaded", applied = told; "the configuration was read again; new in force: {told}");
    }
}

fn names(paths: &BTreeSet<Path>) -> String {
    paths.iter().map(|path| path.join(".")).collect::<Vec<_>>().join(", ")
}

fn can_be_applied(path: &[String]) -> bool {
    let is_below = |key: &&str| {
        let keys: Vec<_> = key.split('.').collect();
        path.len() >= keys.len() && path.iter().zip(keys).all(|(a, b)| a == b)
    };
    APPLIED.iter().any(is_below) && !NOT_APPLIED.iter().any(is_below)
}

impl Flat {
    fn read(settings: &str) -> Flat {
        let mut flat = Flat::default();
        // They were written by us.
        let settings: toml::Table = toml::from_str(settings).unwrap_or_default();
        flat.flatten(&Path::new(), Value::Table(settings));
        flat
    }

    fn flatten(&mut self, path: &Path, value: Value) {
        let below = |key: String| path.iter().cloned().chain([key]).collect::<Path>();
        match value {
            Value::Table(table) => {
                table.into_iter().for_each(|(key, value)| self.flatten(&below(key), value));
            }
            Value::Array(items) if items.iter().any(Value::is_table) => {
                let is_ordered = ORDERED.contains(&path.join(".").as_str());
                for (number, item) in items.into_iter().enumerate() {
                    // Names of blocks are unique.
                    let name = item.get("name").and_then(Value::as_str).filter(|_| !is_ordered);
                    let block = below(name.map_or_else(|| number.to_string(), str::to_owned));
                    self.flatten(&block, item);
                    self.blocks.insert(block);
                }
            }
            value => {
                self.values.insert(path.clone(), value.to_string());
            }
        }
    }

    fn has_tls(&self) -> bool {
        let file = ["tls", "certificate_file"].map(str::to_owned);
        self.values.get(&file[..]).is_some_and(|file| file != "\"\"")
    }

    /// Paths whose values differ; of blocks that are new or gone, their own.
    fn changed(&self, fresh: &Flat) -> BTreeSet<Path> {
        let paths = self.values.keys().chain(fresh.values.keys());
        let differ = paths.filter(|path| self.values.get(*path) != fresh.values.get(*path));
        let one_sided: BTreeSet<_> = self.blocks.symmetric_difference(&fresh.blocks).collect();
        let outermost = |path: &Path| {
            (1..path.len()).map(|end| path[..end].to_vec()).find(|it| one_sided.contains(it))
        };
        differ.map(|path| outermost(path).unwrap_or_else(|| path.clone())).collect()
    }

    /// What is at and below these paths is as there from now on.
    fn take_over(&mut self, fresh: Flat, paths: &BTreeSet<Path>) {
        let is_taken = |path: &Path| paths.iter().any(|taken| path.starts_with(taken));
        let Flat { values, blocks } = fresh;
        self.values.retain(|path, _| !is_taken(path));
        self.values.extend(values.into_iter().filter(|(path, _)| is_taken(path)));
        self.blocks.retain(|path| !is_taken(path));
        self.blocks.extend(blocks.into_iter().filter(is_taken));
    }
}

#[cfg(test)]
mod tests {
    use super::{Flat, can_be_applied, names};

    #[test]
    fn what_changed_is_named_by_its_path() {
        let before = "a = 1\n[log]\nlevel = \"info\"\n[[alerts]]\nname = \"x\"\nkind = \"u\"";
        let after = "a = 2\n[log]\nlevel = \"debug\"\nmodules = { gate = \"info\" }\n[[alerts]]\nname = \"x\"\nkind = \"v\"";
        let changed = Flat::read(before).changed(&Flat::read(after));
        assert_eq!(names(&changed), "a, alerts.x.kind, log.level, log.modules.gate");
        let applied: Vec<_> = changed.iter().map(|path| can_be_applied(path)).collect();
        assert_eq!(applied, [false, true, true, true]);
    }

    #[test]
    fn where_the_first_block_counts_another_order_is_a_change() {
        let rule = |name: &str, scope: &str| {
            format!("[[auth.certificates]]\nname = \"{name}\"\nscopes = [\"{scope}\"]\n")
        };
        let before = [rule("*", "ingest"), rule("gateway-*", "view"), rule("*", "view")].concat();
        let after = [rule("gateway-*", "view"), rule("*", "ingest"), rule("*", "view")].concat();
        let changed = Flat::read(&before).changed(&Flat::read(&after));
        let both = ["0.name", "0.scopes", "1.name", "1.scopes"]
            .map(|key| format!("auth.certificates.{key}"));
        assert_eq!(names(&changed), both.join(", "));
    }

    #[test]
    fn a_block_keeps_its_name_wherever_it_stands_and_one_that_is_new_or_gone_is_told_by_it_alone() {
        let block = |name: &str, url: &str| {
            format!(
                "[[sinks.influx]]\nname = \"{name}\"\nurl = \"{url}\"\n[[sinks.influx.tags]]\nk = 1\n"
            )
        };
        let before = [block("a", "u"), block("b.c", "u"), block("d", "u")].concat();
        let after = [block("d", "u"), block("e", "u"), block("a", "v")].concat();
        let (mut before, after) = (Flat::read(&before), Flat::read(&after));
        let mut changed = before.changed(&after);
        assert_eq!(names(&changed), "sinks.influx.a.url, sinks.influx.b.c, sinks.influx.e");
        // What was taken over differs no more; what was not still does.
        let left = changed.pop_last().unwrap();
        before.take_over(
            Flat { values: after.values.clone(), blocks: after.blocks.clone() },
            &changed,
        );
        assert_eq!(before.changed(&after), [left.clone()].into());
        before.take_over(
            Flat { values: after.values.clone(), blocks: after.blocks.clone() },
            &[left].into(),
        );
        assert_eq!(before, after);
    }
}

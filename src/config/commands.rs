//! `[commands]`, checked.

use super::checked::Checker;
use super::file;
use std::time::Duration;

/// Commands to devices; see `config/tidegate.toml` for each.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "config/tidegate.toml has a sentence for each, under the same name"
)]
pub struct CommandsConfig {
    pub keep: Duration,
    pub keep_max: usize,
    pub ttl_max: Duration,
    pub per_device_max: usize,
    pub open_max: usize,
    pub open_memory: usize,
    pub resend: Duration,
}

impl Checker<'_> {
    pub(super) fn commands(&mut self, file: &file::Commands) -> CommandsConfig {
        let count = |check: &mut Self, key, value, range| check.count(key, value, range) as usize;
        CommandsConfig {
            keep: self.positive("commands.keep", &file.keep),
            keep_max: count(self, "commands.keep_max", file.keep_max, 1..=100_000_000),
            ttl_max: self.positive("commands.ttl_max", &file.ttl_max),
            per_device_max: count(self, "commands.per_device_max", file.per_device_max, 1..=10_000),
            open_max: count(self, "commands.open_max", file.open_max, 1..=1_000_000),
            open_memory: self.memory("commands.open_memory", &file.open_memory, 1 << 20..=4 << 30),
            resend: self.positive("commands.resend", &file.resend),
        }
    }
}

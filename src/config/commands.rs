//! `[commands]`, checked.

use super::checked::Checker;
use super::file;
use super::publish::TopicTemplate;
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

/// Where a bridge publishes commands, and where answers come from.
#[derive(Debug, Clone)]
pub struct CommandTopics {
    /// Of a device's commands.
    pub topic: TopicTemplate,
    /// Of its answers; `None` = nobody answers.
    pub results: Option<TopicTemplate>,
}

impl Checker<'_> {
    pub(super) fn command_topics(
        &mut self,
        path: &str,
        file: &file::CommandTopics,
    ) -> Option<CommandTopics> {
        let (topic, results) = (format!("{path}.topic"), format!("{path}.results"));
        if file.topic.is_empty() && !file.results.is_empty() {
            self.wrong(&results, "nobody answers without commands.topic".to_owned());
        }
        let results = self.template(&results, &file.results, &["{device}"]);
        let topic = self.template(&topic, &file.topic, &["{device}"])?;
        if results.as_ref().is_some_and(|results| results.takes(&topic.topic("x", ""))) {
            let problem = "answers would come from where commands go".to_owned();
            self.wrong(&format!("{path}.results"), problem);
        }
        Some(CommandTopics { topic, results })
    }

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

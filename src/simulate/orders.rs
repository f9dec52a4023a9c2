//! What a simulated client does when it is told something, and what it answers.

use super::source::Source;
use crate::model::Timestamp;
use crate::wire::{self, Command, CommandResult, Desired, Reported};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::collections::VecDeque;
use std::time::Duration;

/// Commands whose answers are remembered, in case they come again.
const REMEMBERED: usize = 64;
/// Time between two readings that can be asked for.
const INTERVALS_S: std::ops::RangeInclusive<f64> = 0.02..=3600.0;

/// What was told to a client, and what it is about to answer.
#[derive(Debug, Default)]
pub(super) struct Orders {
    done: VecDeque<CommandResult>,
    answers: VecDeque<Vec<u8>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Interval {
    seconds: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    interval_s: f64,
}

impl Orders {
    /// Does a command, unless it was done before, and answers.
    pub fn command(&mut self, source: &mut Source, command: &Command, now: Timestamp) {
        let result = match self.done.iter().find(|done| done.id == command.id) {
            Some(done) => done.clone(),
            None => {
                let done = done(source, command, now);
                if self.done.len() == REMEMBERED {
                    self.done.pop_front();
                }
                self.done.push_back(done.clone());
                done
            }
        };
        self.answers.push_back(wire::encode_result(&result));
    }

    /// Is set to what is desired, and says what it is set to then.
    pub fn desired(&mut self, source: &mut Source, desired: &Desired) {
        let set = serde_json::from_slice::<Settings>(&desired.document)
            .map_err(|error| error.to_string())
            .and_then(|settings| set_interval(source, settings.interval_s));
        let document = json!({ "interval_s": source.interval().map(|it| it.as_secs_f64()) });
        self.answers.push_back(wire::encode_reported(&Reported {
            device: desired.device.clone(),
            version: desired.version,
            ok: set.is_ok(),
            message: set.err().unwrap_or_default(),
            document: document.to_string().into_bytes(),
        }));
    }

    /// The next answer to be sent.
    pub fn next(&mut self) -> Option<Vec<u8>> {
        self.answers.pop_front()
    }
}

fn done(source: &mut Source, command: &Command, now: Timestamp) -> CommandResult {
    let did = if now >= command.expires_at {
        Err("it came too late".to_owned())
    } else if !source.speaks_for(&command.device) {
        Err(format!("there is no {} here", command.device))
    } else {
        obey(source, command)
    };
    let (ok, message, payload) = match did {
        Ok(Json::Null) => (true, String::new(), Vec::new()),
        Ok(result) => (true, String::new(), result.to_string().into_bytes()),
        Err(message) => (false, message, Vec::new()),
    };
    CommandResult { id: command.id, ok, message, payload }
}

fn obey(source: &mut Source, command: &Command) -> Result<Json, String> {
    match &*command.name {
        "identify" => Ok(json!({ "device": command.device, "lamp": "blinks" })),
        "set-interval" => {
            let wanted: Interval = serde_json::from_slice(&command.payload)
                .map_err(|error| format!("set-interval takes {{\"seconds\": 2.5}}: {error}"))?;
            set_interval(source, wanted.seconds)?;
            Ok(json!({ "seconds": wanted.seconds }))
        }
        name => Err(format!("{name} is not known here; identify and set-interval are")),
    }
}

fn set_interval(source: &mut Source, seconds: f64) -> Result<(), String> {
    if !INTERVALS_S.contains(&seconds) {
        let (min, max) = (INTERVALS_S.start(), INTERVALS_S.end());
        return Err(format!("from {min} to {max} seconds are possible"));
    }
    match source.set_interval(Duration::from_secs_f64(seconds)) {
        true => Ok(()),
        false => Err("it has no interval: it sends as fast as it may".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::plant;

    fn source() -> Source {
        Source::plant("gw", plant(1, 2), Duration::from_secs(10), 1)
    }

    fn command(id: u64, name: &str, payload: &str) -> Command {
        Command {
            id,
            device: "pump-002".into(),
            name: name.into(),
            payload: payload.into(),
            expires_at: Timestamp(100),
        }
    }

    fn answer(orders: &mut Orders) -> CommandResult {
        let bytes = orders.next().unwrap();
        let Ok(crate::decode::Upstream::Result(result)) = crate::decode::upstream(&bytes) else {
            panic!("no result")
        };
        result
    }

    #[tokio::test]
    async fn a_command_is_done_once_however_often_it_comes() {
        let (mut source, mut orders) = (source(), Orders::default());
        orders.command(&mut source, &command(1, "set-interval", "{\"seconds\":2}"), Timestamp(1));
        assert!(answer(&mut orders).ok);
        assert_eq!(source.interval(), Some(Duration::from_secs(2)));
        orders.command(&mut source, &command(2, "set-interval", "{\"seconds\":3}"), Timestamp(1));
        assert!(answer(&mut orders).ok);
        orders.command(&mut source, &command(1, "set-interval", "{\"seconds\":2}"), Timestamp(2));
        assert!(answer(&mut orders).ok, "it says again what it said");
        assert_eq!(source.interval(), Some(Duration::from_secs(3)));
    }

    #[tokio::test]
    async fn what_can_not_be_done_is_answered_too() {
        let (mut source, mut orders) = (source(), Orders::default());
        for (id, name, payload, device, at) in [
            (1, "dance", "", "pump-002", 1),
            (2, "set-interval", "{\"seconds\":-1}", "pump-002", 1),
            (3, "set-interval", "soon", "pump-002", 1),
            (4, "identify", "", "pump-099", 1),
            (5, "identify", "", "pump-002", 100),
        ] {
            let command = Command { device: device.into(), ..command(id, name, payload) };
            orders.command(&mut source, &command, Timestamp(at));
            let said = answer(&mut orders);
            assert!(!said.ok && !said.message.is_empty() && said.id == id, "{said:?}");
        }
    }
}

//! The Sparkplug host of a bridge: what it wants done at the broker is done in order, what it wants
//! remembered goes to the book, who came and went is told to viewers.

use super::errands::Order;
use super::link::{Link, Publication};
use super::quarantine::Quarantine;
use crate::clock;
use crate::decode::Reading;
use crate::live::Live;
use crate::model::Timestamp;
use crate::sparkplug::{Act, CommandError, Heard, Host, Puzzle, Settings, Will};
use std::collections::VecDeque;
use std::sync::Arc;

/// Beside the route's own topics: hosts tell here whether they are there.
const STATE_TOPICS: &str = "spBv1.0/STATE/";
/// Readings that enter as one; more of a message enter as several.
const READINGS_MAX: usize = 1000;

/// A host, and whom it tells.
pub(super) struct Spark {
    bridge: Arc<str>,
    /// Which route it is.
    pub route: usize,
    host: Host,
    quarantine: Quarantine,
    live: Live,
    acts: VecDeque<Act>,
    /// The broker has not said yet that we are subscribed.
    subscribing: bool,
}

/// What came of something that the host was told.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// In parts that can enter one by one.
    pub readings: Vec<Vec<Reading<'static>>>,
    /// Metrics that are none of them, and why the first is not.
    pub refused: usize,
    pub refusal: Option<Puzzle>,
}

impl Spark {
    /// A host that knows what the book remembers of its nodes. Reads a file.
    pub fn new(
        bridge: Arc<str>,
        (route, settings): (usize, Settings),
        quarantine: Quarantine,
        live: Live,
    ) -> Spark {
        let mut host = Host::new(settings);
        match quarantine.remembered(&bridge) {
            Ok(remembered) => {
                for (node, tables) in remembered {
                    if let Err(error) = host.restore(&tables) {
                        log::warn!(bridge = &*bridge, node = node.as_str(), error:err = error; "a Sparkplug node is asked for its birth");
                        quarantine.forget(&bridge, &node);
                    }
                }
            }
            Err(error) => {
                log::warn!(bridge = &*bridge, error:err = error; "Sparkplug nodes are asked for their births");
            }
        }
        let acts = VecDeque::new();
        Spark { bridge, route, host, quarantine, live, acts, subscribing: false }
    }

    /// Whether a message that no route takes is for the host nevertheless.
    pub fn is_state(topic: &str) -> bool {
        topic.starts_with(STATE_TOPICS)
    }

    pub fn will(&mut self) -> Option<Publication> {
        let Will { topic, payload, qos, retain } = self.host.will(clock::now())?;
        Some(Publication { topic, payload: payload.into(), qos, retain })
    }

    /// The broker took the connection, and the route's own subscription.
    pub fn connected(&mut self, link: &dyn Link) {
        (self.acts, self.subscribing) = (self.host.connected(clock::now()).into(), false);
        self.act(link);
    }

    /// The broker answered our subscription.
    pub fn subscribed(&mut self, link: &dyn Link) {
        self.subscribing = false;
        self.act(link);
    }

    /// Takes a message.
    pub fn message(
        &mut self,
        topic: &str,
        payload: &[u8],
        received_at: Timestamp,
        retained: bool,
        link: Option<&dyn Link>,
    ) -> Result<Told, Puzzle> {
        let heard = self.host.message(topic, payload, received_at, retained)?;
        self.tell(&heard, Some("Sparkplug death"));
        Ok(self.heard(heard, link))
    }

    /// The connection is gone. With `None` it is we who go: that says nothing of any device.
    pub fn disconnected(&mut self, why: Option<&'static str>) -> Told {
        self.acts.clear();
        let heard = self.host.disconnected(clock::now());
        if why.is_some() {
            self.tell(&heard, why);
        }
        self.heard(heard, None)
    }

    pub fn tick(&mut self, link: Option<&dyn Link>) -> Told {
        let heard = self.host.tick(clock::now());
        self.tell(&heard, Some("Sparkplug node does not answer"));
        self.heard(heard, link)
    }

    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.host.next_deadline()
    }

    /// What is said before an orderly end.
    pub fn farewell(&mut self, link: &dyn Link) {
        self.acts.clear();
        self.subscribing = false;
        self.acts.extend(self.host.farewell(clock::now()));
        self.act(link);
    }

    /// Whether this is one of its nodes, or a device of one.
    pub fn knows(&self, device: &str) -> bool {
        self.host.knows(device)
    }

    /// What is to be said so that a device does as it is told.
    pub fn acts(&self, device: &str, order: &Order) -> Result<Vec<Act>, CommandError> {
        let now = clock::now();
        match order {
            Order::Rebirth => Ok(vec![self.host.rebirth(device, now)?]),
            Order::Set(values) => values
                .iter()
                .map(|(metric, value)| self.host.command(device, metric, value, now))
                .collect(),
        }
    }

    /// Says it, after what is to be said before.
    pub fn order(&mut self, acts: Vec<Act>, link: &dyn Link) {
        self.acts.extend(acts);
        self.act(link);
    }

    /// Who came and went; `why` is the reason of those who went.
    fn tell(&self, heard: &Heard, why: Option<&'static str>) {
        for presence in &heard.presence {
            let reason = why.filter(|_| !presence.online);
            self.live.presence(&presence.device, presence.online, reason);
        }
    }

    fn heard(&mut self, heard: Heard, link: Option<&dyn Link>) -> Told {
        for node in &heard.remember {
            match self.host.remember(node) {
                Some(tables) => self.quarantine.remember(&self.bridge, &node.to_string(), tables),
                None => self.quarantine.forget(&self.bridge, &node.to_string()),
            }
        }
        self.acts.extend(heard.acts);
        if let Some(link) = link {
            self.act(link);
        }
        let mut readings = heard.readings.into_iter().map(|heard| heard.reading).peekable();
        let mut parts = Vec::new();
        while readings.peek().is_some() {
            parts.push(readings.by_ref().take(READINGS_MAX).collect());
        }
        let refusal = heard.refusals.into_iter().next();
        Told { readings: parts, refused: heard.refused, refusal }
    }

    /// Does what is to be done, up to the next subscription.
    fn act(&mut self, link: &dyn Link) {
        while !self.subscribing
            && let Some(act) = self.acts.pop_front()
        {
            match act {
                Act::Publish { topic, payload, qos, retain } => {
                    link.publish(Publication { topic, payload: payload.into(), qos, retain });
                }
                Act::Subscribe { filter, qos } => {
                    link.subscribe(&[(filter, qos)]);
                    self.subscribing = true;
                }
            }
        }
    }
}

//! What the fold's transitions, people and silences mean for alerts: numbers, states, events.

use super::book::{Happened, Kept, Round};
use super::handle::Counts;
use super::silence::{Ready, Silence};
use crate::model::{Reach, Timestamp};
use crate::rules::{Acknowledgement, Alert, Change, Event, EventKind, State, Transition};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Open alerts and silences.
#[derive(Debug)]
pub(super) struct Desk {
    open: BTreeMap<u64, Kept>,
    by_key: HashMap<(u64, String), u64>,
    silences: Vec<Ready>,
    next_alert: u64,
    next_event: u64,
    next_silence: u64,
    /// When a silence begins or ends next.
    boundary: i64,
    /// What is to be written.
    round: Round,
    events: [u64; 3],
}

/// Why an alert is not acknowledged.
pub(super) type Why = &'static str;

impl Desk {
    /// With what the file has; `next` are the numbers of the next alert, event and silence.
    pub fn new(open: Vec<Kept>, silences: Vec<Ready>, next: [u64; 3]) -> Desk {
        let [next_alert, next_event, next_silence] = next;
        let by_key =
            open.iter().map(|kept| ((kept.fingerprint, kept.key.clone()), kept.alert.id)).collect();
        let open = open.into_iter().map(|kept| (kept.alert.id, kept)).collect();
        let (round, events) = (Round::default(), [0; 3]);
        let boundary = i64::MIN;
        Desk {
            open,
            by_key,
            silences,
            next_alert,
            next_event,
            next_silence,
            boundary,
            round,
            events,
        }
    }

    /// What the fold found, at `now` of the wall's clock.
    pub fn apply(&mut self, transition: &Transition, now: Timestamp) {
        let key = (transition.rule.fingerprint, transition.subject.key());
        let known = self.by_key.get(&key).copied();
        match (transition.change, known) {
            (Change::Pending, None) => self.begin(transition, key, now),
            (Change::Fired, None) => {
                let id = self.next_alert;
                self.begin(transition, key, now);
                self.event(id, EventKind::Fired, transition.at, "", "");
            }
            (Change::Fired, Some(id)) => {
                let mut alert = transition.alert(id);
                alert.silenced = self.is_silenced(&alert, now);
                self.change(id, alert);
                self.event(id, EventKind::Fired, transition.at, "", "");
            }
            (Change::Over { fired }, Some(id)) => {
                self.over(id, transition.at, transition, fired);
                self.by_key.remove(&key);
            }
            // A bug, or a file that somebody changed; what is not open can't be over.
            (Change::Pending, Some(_)) | (Change::Over { .. }, None) => {
                log::warn!(rule = &*transition.rule.name; "an alert is not as the rules have it");
            }
        }
    }

    fn begin(&mut self, transition: &Transition, key: (u64, String), now: Timestamp) {
        let id = self.next_alert;
        self.next_alert += 1;
        let mut alert = transition.alert(id);
        alert.silenced = self.is_silenced(&alert, now);
        let kept = Kept { alert: Arc::new(alert), fingerprint: key.0, key: key.1.clone() };
        self.by_key.insert(key, id);
        self.round.alerts.insert(id, Some(kept.clone()));
        self.open.insert(id, kept);
    }

    fn change(&mut self, id: u64, alert: Alert) {
        if let Some(kept) = self.open.get_mut(&id) {
            kept.alert = Arc::new(alert);
            self.round.alerts.insert(id, Some(kept.clone()));
        }
    }

    fn over(&mut self, id: u64, at: Timestamp, by: &Transition, fired: bool) {
        let Some(kept) = self.open.get(&id) else { return };
        let mut alert = Alert::clone(&kept.alert);
        (alert.state, alert.resolved_at) = (State::Resolved, Some(at));
        alert.value.clone_from(&by.value);
        self.end(id, alert, at, "", fired);
    }

    /// One that has not fired leaves nothing behind.
    fn end(&mut self, id: u64, alert: Alert, at: Timestamp, note: &str, fired: bool) {
        self.change(id, alert);
        if fired {
            self.event(id, EventKind::Resolved, at, "", note);
            self.open.remove(&id);
        } else if let Some(kept) = self.open.remove(&id) {
            self.round.alerts.insert(id, None);
            self.round.vanished.push(kept.alert);
        }
    }

    fn event(&mut self, id: u64, kind: EventKind, at: Timestamp, by: &str, note: &str) {
        let Some(kept) = self.open.get(&id) else { return };
        let event = Event { id: self.next_event, at, kind, alert: kept.alert.clone() };
        self.next_event += 1;
        self.events[kind as usize] += 1;
        let (by, note) = (by.to_owned(), note.to_owned());
        self.round.events.push(Happened { event, by, note });
    }

    /// Somebody takes notice: those that are acknowledged by it, and why others are not.
    pub fn acknowledge(
        &mut self,
        ids: &[u64],
        reach: &Reach,
        by: &str,
        note: &str,
        at: Timestamp,
    ) -> (Vec<u64>, Vec<(u64, Why)>) {
        let (mut done, mut not) = (Vec::new(), Vec::new());
        for id in ids.iter().copied().collect::<std::collections::BTreeSet<_>>() {
            let open = self.open.get(&id);
            if open.is_some_and(|kept| !kept.alert.is_within(reach)) {
                not.push((id, "there is no such alert"));
                continue;
            }
            match open.map(|kept| kept.alert.state) {
                Some(State::Firing) => {
                    let mut alert = Alert::clone(&self.open[&id].alert);
                    alert.state = State::Acknowledged;
                    let (by, note) = (by.to_owned(), note.to_owned());
                    alert.acknowledged = Some(Acknowledgement { by, note, at });
                    self.change(id, alert);
                    done.push(id);
                }
                Some(State::Pending) => not.push((id, "it does not fire yet")),
                Some(State::Acknowledged) => not.push((id, "it is acknowledged already")),
                Some(State::Resolved) | None if id < self.next_alert => {
                    not.push((id, "it is over"));
                }
                Some(State::Resolved) | None => not.push((id, "there is no such alert")),
            }
        }
        for id in &done {
            self.event(*id, EventKind::Acknowledged, at, by, note);
        }
        (done, not)
    }

    /// Alerts of rules that are not there any more, or not as they were, are over; and so are those of
    /// which `holding`, what the rules hold for, knows nothing.
    pub fn resolve_others(
        &mut self,
        names: &HashMap<u64, Arc<str>>,
        holding: &HashSet<(u64, String)>,
        at: Timestamp,
    ) {
        let left: HashSet<&str> = names.values().map(|name| &**name).collect();
        let why = |kept: &Kept| match names.contains_key(&kept.fingerprint) {
            true if holding.contains(&(kept.fingerprint, kept.key.clone())) => None,
            true => Some("what its rule had seen is lost"),
            false if left.contains(&*kept.alert.rule) => Some("the rule was changed"),
            false => Some("the rule was removed"),
        };
        let gone = self.open.values().filter_map(|kept| Some((kept.clone(), why(kept)?)));
        for (kept, note) in gone.collect::<Vec<_>>() {
            let mut alert = Alert::clone(&kept.alert);
            let fired = alert.fired_at.is_some();
            (alert.state, alert.resolved_at) = (State::Resolved, Some(at));
            self.end(alert.id, alert, at, note, fired);
            self.by_key.remove(&(kept.fingerprint, kept.key));
        }
    }

    pub fn silences(&self) -> Vec<Silence> {
        self.silences.iter().map(|ready| ready.silence.clone()).collect()
    }

    /// # Errors
    /// What is wrong with it.
    pub fn silence(&mut self, mut silence: Silence) -> Result<Silence, String> {
        silence.id = self.next_silence;
        let ready = Ready::new(silence.clone())?;
        self.next_silence += 1;
        self.round.silences.insert(silence.id, silence.clone());
        self.silences.push(ready);
        self.boundary = i64::MIN;
        Ok(silence)
    }

    /// Ends it now; nothing if there is none, or it is over.
    pub fn end_silence(&mut self, id: u64, now: Timestamp) -> Option<Silence> {
        let ready = self.silences.iter_mut().find(|ready| ready.silence.id == id)?;
        if ready.silence.is_over(now) {
            return None;
        }
        let silence = &mut ready.silence;
        silence.until = now.0;
        silence.from = silence.from.min(now.0);
        let silence = silence.clone();
        self.round.silences.insert(id, silence.clone());
        self.boundary = i64::MIN;
        Some(silence)
    }

    fn is_silenced(&self, alert: &Alert, now: Timestamp) -> bool {
        self.silences.iter().any(|silence| silence.covers(alert, now))
    }

    /// Looks whether a silence has begun or ended: what fires on after its end fires again.
    pub fn pass(&mut self, now: Timestamp) {
        if now.0 < self.boundary {
            return;
        }
        let changed: Vec<_> = self
            .open
            .values()
            .filter_map(|kept| {
                let silenced = self.is_silenced(&kept.alert, now);
                (silenced != kept.alert.silenced).then(|| (kept.alert.clone(), silenced))
            })
            .collect();
        for (alert, silenced) in changed {
            let (id, state) = (alert.id, alert.state);
            self.change(id, Alert { silenced, ..Alert::clone(&alert) });
            if !silenced && state == State::Firing {
                self.event(id, EventKind::Fired, now, "", "a silence has ended");
            }
        }
        let boundaries =
            self.silences.iter().flat_map(|ready| [ready.silence.from, ready.silence.until]);
        self.boundary = boundaries.filter(|at| *at > now.0).min().unwrap_or(i64::MAX);
    }

    /// Forgets silences that were over then.
    pub fn forget_silences(&mut self, before: Timestamp) {
        self.silences.retain(|ready| !ready.silence.is_over(before));
    }

    /// How many alerts are open.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for kept in self.open.values() {
            counts.add(&kept.alert);
        }
        counts
    }

    /// Events since the start, in the order of their kinds.
    pub fn events(&self) -> [u64; 3] {
        self.events
    }

    pub fn open(&self) -> Vec<Arc<Alert>> {
        self.open.values().map(|kept| kept.alert.clone()).collect()
    }

    /// Whether there is something that others wait for.
    pub fn has_news(&self) -> bool {
        self.round.has_news()
    }

    /// What is to be written.
    pub fn round(&mut self) -> &mut Round {
        self.round.next = [self.next_alert, self.next_event, self.next_silence];
        &mut self.round
    }

    /// It is written: what others are to be told.
    pub fn written(&mut self) -> Vec<Arc<Alert>> {
        let round = std::mem::take(&mut self.round);
        let resolved = round.events.iter().map(|happened| &happened.event.alert);
        let resolved = resolved.filter(|alert| alert.state == State::Resolved).cloned();
        let open = round.alerts.into_values().flatten().map(|kept| kept.alert);
        let mut told: BTreeMap<u64, Arc<Alert>> = open.map(|alert| (alert.id, alert)).collect();
        told.extend(resolved.map(|alert| (alert.id, alert)));
        told.extend(round.vanished.into_iter().map(|alert| (alert.id, alert)));
        told.into_values().collect()
    }

    /// The number of the last event.
    pub fn last_event(&self) -> u64 {
        self.next_event - 1
    }
}

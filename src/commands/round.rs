//! One round of the thread: what came is taken up, what changed is written down as one, and only then is
//! anybody told and anything handed over.

use super::book::{BookError, Changes};
use super::command::{Answer, Carrier, Command, State, Via, Wish};
use super::desired::{DOCUMENTS_BYTES_MAX, DOCUMENTS_MAX, Desired, Reported};
use super::handle::CommandsError;
use super::lines::{Errand, News, Place, Reply};
use super::worker::{Answered, Asked, LATE_MAX, Request, Worker};
use crate::model::Timestamp;
use crate::wire;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

pub(super) struct Round<'w> {
    worker: &'w mut Worker,
    now: Timestamp,
    created: Vec<(Command, Answered<Command>)>,
    /// Commands that are over, and who waits for that.
    over: Vec<(Command, Option<Answered<Command>>)>,
    /// To be handed over: as it was, as it is, and where.
    handed: Vec<(Command, Command, Place)>,
    /// Other rows that changed.
    rows: Vec<Command>,
    desired: HashMap<Arc<str>, Desired>,
    /// Who waits for a document to be set, and whether it changed.
    set: Vec<(Desired, Answered<Desired>)>,
    /// Documents to be delivered.
    delivered: Vec<(Arc<str>, Place)>,
    /// What there are more of documents after this round, and of their bytes.
    more: (usize, i64),
}

impl<'w> Round<'w> {
    pub fn make(worker: &'w mut Worker, requests: Vec<Request>, now: Timestamp) {
        let mut round = Round {
            worker,
            now,
            created: Vec::new(),
            over: Vec::new(),
            handed: Vec::new(),
            rows: Vec::new(),
            desired: HashMap::new(),
            set: Vec::new(),
            delivered: Vec::new(),
            more: (0, 0),
        };
        for request in requests {
            round.request(request);
        }
        let news = round.worker.lines.news();
        round.news(news);
        for command in round.worker.desk.expire(now) {
            round.is_over(command, None);
        }
        round.carry();
        round.finish();
    }

    fn request(&mut self, request: Request) {
        let store = |error: BookError| CommandsError::Store(error.to_string());
        match request {
            Request::Create(wish, answer) => self.create(wish, answer),
            Request::Configure(settings, answer) => {
                self.worker.configure(settings);
                // Who asked may have gone.
                answer.send(()).unwrap_or_default();
            }
            // Who asked may have gone, here and below.
            Request::Get(id, answer) => {
                let found = self.find(id);
                drop(answer.send(found.map_err(store)));
            }
            Request::List { device, before, limit, answer } => {
                let found = self.worker.book.commands_of(&device, before, limit);
                drop(answer.send(found.map_err(store)));
            }
            Request::Cancel { id, by, answer } => self.cancel(id, &by, answer),
            Request::SetDesired { device, document, by, answer } => {
                self.set_desired(device, document, by, answer);
            }
            Request::Desired { device, answer } => {
                let found = self.desired_of(&device);
                drop(answer.send(found.map_err(store)));
            }
        }
    }

    /// A command as it is now; what the book has of one may be older.
    fn find(&self, id: u64) -> Result<Option<Command>, BookError> {
        let newer = self.worker.desk.get(id).or_else(|| self.worker.unwritten.get(&id));
        newer.map_or_else(|| self.worker.book.command(id), |command| Ok(Some(command.clone())))
    }

    fn create(&mut self, wish: Wish, answer: Answered<Command>) {
        let worker = &mut *self.worker;
        let command = Command::new(worker.next_id, wish, self.now);
        if let Err(full) = worker.desk.has_room(&command.device, command.bytes()) {
            drop(answer.send(Err(full.into())));
            return;
        }
        worker.next_id += 1;
        worker.desk.add(command.clone());
        worker.near.insert(command.device.clone());
        worker.look_soon();
        self.created.push((command, answer));
    }

    fn cancel(&mut self, id: u64, by: &str, answer: Answered<Command>) {
        match self.worker.desk.cancel(id, by, self.now) {
            Ok(Some(command)) => self.is_over(command, Some(answer)),
            Err(error) => drop(answer.send(Err(error.into()))),
            Ok(None) => drop(answer.send(Err(match self.find(id) {
                Ok(Some(command)) => super::CancelError::Final(command.state).into(),
                Ok(None) => CommandsError::Unknown { id },
                Err(error) => CommandsError::Store(error.to_string()),
            }))),
        }
    }

    /// A document with what this round changed of it.
    fn desired_of(&self, device: &str) -> Result<Option<Desired>, BookError> {
        let changed = self.desired.get(device);
        changed.map_or_else(|| self.worker.book.desired(device), |it| Ok(Some(it.clone())))
    }

    fn set_desired(
        &mut self,
        device: Arc<str>,
        document: String,
        by: String,
        answer: Answered<Desired>,
    ) {
        let before = match self.desired_of(&device) {
            Ok(before) => before,
            Err(error) => return drop(answer.send(Err(CommandsError::Store(error.to_string())))),
        };
        let worker = &*self.worker;
        let is_new = before.is_none();
        let bytes = worker.document_bytes + document.len() as u64;
        if (is_new && worker.documents >= DOCUMENTS_MAX) || bytes > DOCUMENTS_BYTES_MAX {
            return drop(answer.send(Err(CommandsError::DesiredFull)));
        }
        let desired = match &before {
            Some(before) if before.document == document => before.clone(),
            before => Desired {
                device,
                version: before.as_ref().map_or(1, |before| before.version + 1),
                document,
                by,
                at: self.now,
                carrier: before.as_ref().and_then(|before| before.carrier.clone()),
                reported: before.as_ref().and_then(|before| before.reported.clone()),
            },
        };
        self.change(before.as_ref(), desired.clone());
        self.set.push((desired, answer));
    }

    fn change(&mut self, before: Option<&Desired>, after: Desired) {
        let bytes = |desired: &Desired| desired.bytes().cast_signed();
        self.more.0 += usize::from(before.is_none());
        self.more.1 += bytes(&after) - before.map_or(0, bytes);
        self.desired.insert(after.device.clone(), after);
    }

    fn news(&mut self, news: News) {
        let News { changed, answers, reports, replies } = news;
        if changed.as_ref().is_none_or(|changed| !changed.is_empty()) {
            self.lines_changed(changed);
        }
        for answer in answers {
            self.answer(answer);
        }
        for (device, reported) in reports {
            self.report(&device, reported);
        }
        for (id, reply) in replies {
            self.reply(id, reply);
        }
    }

    fn lines_changed(&mut self, changed: Option<HashSet<Carrier>>) {
        let worker = &mut *self.worker;
        worker.lines.with_open(|open| {
            worker.desk.lost(|line| !open.contains(&line));
            worker.pending.lost(|line| !open.contains(&line));
            worker.asked.retain(|_, asked| open.contains(&asked.line));
        });
        worker.look_soon();
        let clients = changed.into_iter().flatten().filter_map(|carrier| match carrier {
            Carrier::Client(name) => Some(name),
            Carrier::Bridge(_) => None,
        });
        worker.near.extend(clients);
    }

    fn answer(&mut self, answer: Answer) {
        let id = answer.id;
        if let Some(command) = self.worker.desk.answer(answer.clone(), self.now) {
            return self.is_over(command, None);
        }
        if !self.worker.late.contains(&id) {
            return;
        }
        self.worker.late.retain(|late| *late != id);
        match self.find(id) {
            Ok(Some(mut command)) if command.state == State::Expired => {
                log::info!(id, device:% = command.device, ok = answer.ok; "command: an answer came when its time to live was over");
                command.answered_late(answer);
                self.rows.push(command);
            }
            Ok(_) => {}
            Err(error) => log::warn!(id, error:err = error; "a late answer could not be noted"),
        }
    }

    fn report(&mut self, device: &Arc<str>, mut reported: Reported) {
        let desired = match self.desired_of(device) {
            Ok(Some(desired)) => desired,
            Ok(None) => return,
            Err(error) => {
                log::warn!(device:% = device, error:err = error; "what a device reported could not be noted");
                return;
            }
        };
        if desired.reported.as_ref().is_some_and(|before| reported.says_the_same(before)) {
            return;
        }
        let bytes = reported.document.as_ref().map_or(0, String::len) as u64;
        if self.worker.document_bytes + bytes > DOCUMENTS_BYTES_MAX {
            reported.document = None;
            reported.message.push_str(" (there was no room for its document)");
        }
        log::info!(device:% = device, version = reported.version, desired = desired.version, ok = reported.ok, message = reported.message.as_str(); "desired: the device reports");
        let after = Desired { reported: Some(reported), ..desired.clone() };
        self.change(Some(&desired), after);
        self.worker.near.insert(device.clone());
        self.worker.look_soon();
    }

    /// A bridge says what it thinks of a command that it was asked for, or sent.
    fn reply(&mut self, id: u64, reply: Reply) {
        let asked = self.worker.asked.remove(&id);
        match (reply, asked) {
            (Reply::Can(via), Some(Asked { line, carrier })) => {
                let place = self.worker.lines.place(&carrier).filter(|place| place.line == line);
                if let Some(place) = place {
                    self.hand(id, &carrier, via, place);
                }
            }
            (Reply::Later(why), Some(_)) => {
                self.worker.desk.note(id, None, why);
            }
            (Reply::Never(why), Some(_)) => {
                if let Some(command) = self.worker.desk.refuse(id, why, self.now) {
                    self.is_over(command, None);
                }
            }
            (Reply::Note(note), _) => {
                let noted = self.worker.desk.note(id, None, note);
                self.rows.extend(noted.cloned());
            }
            (Reply::Can(_) | Reply::Later(_) | Reply::Never(_), None) => {}
        }
    }

    /// Hands over what is due to the devices whose carriers are known.
    fn carry(&mut self) {
        for device in std::mem::take(&mut self.worker.near) {
            let carrier = Carrier::Client(device.clone());
            self.carry_to(&device, &carrier);
        }
        for (device, carrier) in std::mem::take(&mut self.worker.found) {
            self.carry_to(&device, &carrier);
        }
    }

    fn carry_to(&mut self, device: &Arc<str>, carrier: &Carrier) {
        for id in self.worker.desk.due(device, self.now) {
            let Some(place) = self.worker.lines.place(carrier) else { return };
            if !place.asks {
                self.hand(id, carrier, Via::Ws, place);
                continue;
            }
            let asked = Asked { line: place.line, carrier: carrier.clone() };
            if let Some(command) = self.worker.desk.get(id)
                && self.worker.asked.get(&id).is_none_or(|before| before.line != asked.line)
            {
                place.hand(Errand::Ask(on_wire(command)));
                self.worker.asked.insert(id, asked);
            }
        }
        if let Carrier::Client(_) = carrier
            && let Some(place) = self.worker.lines.place(carrier)
            && self.worker.pending.wants(device, place.line)
        {
            self.deliver(device, carrier, place);
        }
    }

    fn hand(&mut self, id: u64, carrier: &Carrier, via: Via, place: Place) {
        let worker = &mut *self.worker;
        let Some(before) = worker.desk.get(id).cloned() else { return };
        if let Some(after) = worker.desk.hand(id, place.line, carrier, via, self.now) {
            self.handed.push((before, after, place));
        }
    }

    /// The document is read when it is written down who may report of it.
    fn deliver(&mut self, device: &Arc<str>, carrier: &Carrier, place: Place) {
        let desired = match self.desired_of(device) {
            Ok(Some(desired)) => desired,
            Ok(None) => return,
            Err(error) => {
                log::warn!(device:% = device, error:err = error; "a desired document can't be read");
                return;
            }
        };
        let after = Desired { carrier: Some(carrier.clone()), ..desired.clone() };
        self.change(Some(&desired), after);
        self.delivered.push((device.clone(), place));
    }

    fn is_over(&mut self, command: Command, answer: Option<Answered<Command>>) {
        let worker = &mut *self.worker;
        worker.asked.remove(&command.id);
        if command.state == State::Expired && command.attempts > 0 {
            worker.late.push_back(command.id);
            if worker.late.len() > LATE_MAX
                && let Some(id) = worker.late.pop_front()
            {
                worker.lines.forget_answer(id);
            }
        } else {
            worker.lines.forget_answer(command.id);
        }
        self.over.push((command, answer));
    }

    /// Writes down what changed; then tells, and hands over.
    fn finish(mut self) {
        let Round { worker, created, over, handed, rows, desired, .. } = &mut self;
        let created = created.iter().map(|(command, _)| command);
        let over_now = over.iter().map(|(command, _)| command);
        let handed = handed.iter().map(|(_, after, _)| after);
        // What is later in the list is newer.
        let earlier = worker.unwritten.values().chain(created).chain(rows.iter());
        let commands: Vec<_> = earlier.chain(handed).chain(over_now).collect();
        let desired: Vec<_> = desired.values().collect();
        if commands.is_empty() && desired.is_empty() {
            return;
        }
        match worker.book.write(&Changes { commands, desired }) {
            Ok(()) => {
                self.worker.unwritten.clear();
                self.done();
            }
            Err(error) => self.not_done(&error),
        }
    }

    fn done(self) {
        let Round { worker, now, created, over, handed, desired, set, delivered, more, .. } = self;
        worker.documents += more.0;
        worker.document_bytes = worker.document_bytes.saturating_add_signed(more.1);
        for (command, answer) in created {
            log::info!(
                id = command.id, device:% = command.device, name = command.name.as_str(),
                by = command.by.as_str(), delivery = command.delivery.name(),
                ttl_s = command.expires_at.since(now).as_secs();
                "command: asked for"
            );
            drop(answer.send(Ok(command)));
        }
        for (command, answer) in over {
            tell_over(worker, &command);
            if let Some(answer) = answer {
                drop(answer.send(Ok(command)));
            }
        }
        for (_, after, place) in handed {
            if let Some(carrier) = after.carrier.clone() {
                worker.lines.await_answer(after.id, carrier);
            }
            log::info!(id = after.id, device:% = after.device, attempt = after.attempts; "command: sent");
            place.hand(Errand::Command(on_wire(&after)));
        }
        for (device, desired) in &desired {
            let set_now = set.iter().any(|(it, _)| it.device == *device && it.at == now);
            if set_now {
                worker.near.insert(device.clone());
                worker.look_soon();
            }
            worker.lines.await_reports(device, desired.carrier.clone());
            worker.pending.look(desired, set_now);
        }
        for (device, place) in delivered {
            let Some(desired) = desired.get(&device) else { continue };
            worker.pending.delivered(&device, place.line);
            place.hand(Errand::Desired(wire::Desired {
                version: desired.version,
                device: device.to_string(),
                document: desired.document.clone().into_bytes(),
            }));
        }
        for (desired, answer) in set {
            log::info!(device:% = desired.device, version = desired.version, by = desired.by.as_str(); "desired: set");
            drop(answer.send(Ok(desired)));
        }
    }

    /// Nothing was written: nothing is promised, and nothing handed over.
    fn not_done(self, error: &BookError) {
        log::error!(error:% = error; "commands could not be written down");
        let problem = || CommandsError::Store(error.to_string());
        let worker = self.worker;
        for (before, _, _) in self.handed {
            worker.desk.put_back(before);
        }
        for (command, answer) in self.created {
            worker.desk.remove(command.id);
            drop(answer.send(Err(problem())));
        }
        for (command, answer) in self.over {
            tell_over(worker, &command);
            if let Some(answer) = answer {
                drop(answer.send(Ok(command.clone())));
            }
            worker.unwritten.insert(command.id, command);
        }
        for (_, answer) in self.set {
            drop(answer.send(Err(problem())));
        }
    }
}

fn tell_over(worker: &Worker, command: &Command) {
    let took = match command.state {
        State::Acknowledged | State::Failed => {
            command.sent_at.zip(command.finished_at).map(|(sent, end)| end.since(sent))
        }
        _ => None,
    };
    let via = command.via.map_or("none", Via::name);
    worker.metrics.commands.over(via, command.state.name(), took);
    log::info!(
        id = command.id, device:% = command.device, name = command.name.as_str(),
        by = command.by.as_str(), via, attempts = command.attempts,
        outcome = command.state.name(), message = command.message.as_str();
        "command: over"
    );
}

fn on_wire(command: &Command) -> wire::Command {
    wire::Command {
        id: command.id,
        device: command.device.to_string(),
        name: command.name.clone(),
        payload: command.arguments.clone().unwrap_or_default().into_bytes(),
        expires_at: command.expires_at,
    }
}

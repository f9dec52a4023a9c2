//! Lines for the journal: each field of a line is one of the journal's, and events have their `MESSAGE_ID`.

use super::events;
use log::kv::{self, Key, Source, Value, VisitSource};
use log::{Log, Record};
use systemd_journal_logger::{JournalLog, connected_to_journal};

/// What `journalctl -t` asks for.
const IDENTIFIER: &str = "tidegate";

/// The journal, where stderr is connected to it and it answers.
pub(super) fn connect() -> Option<JournalLog> {
    let journal = connected_to_journal().then(JournalLog::empty)?.ok()?;
    Some(journal.with_syslog_identifier(IDENTIFIER.to_owned()))
}

/// Sends a line; what can't be sent is lost, because there is nobody else to tell.
pub(super) fn write(journal: &JournalLog, record: &Record<'_>) {
    let event = record.key_values().get(Key::from_str("event")).map(|event| event.to_string());
    match event.as_deref().and_then(events::message_id) {
        None => journal.log(record),
        Some(id) => {
            let fields = WithId { fields: record.key_values(), id };
            journal.log(&record.to_builder().key_values(&fields).build());
        }
    }
}

/// The fields of a line, and its id.
struct WithId<'a> {
    fields: &'a dyn Source,
    id: &'static str,
}

impl Source for WithId<'_> {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn VisitSource<'kvs>) -> Result<(), kv::Error> {
        self.fields.visit(visitor)?;
        visitor.visit_pair(Key::from_str("message_id"), Value::from(self.id))
    }
}

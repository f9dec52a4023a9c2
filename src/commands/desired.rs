//! What a device should be set to: a document, versioned; delivered until the device reports it.

use super::command::Carrier;
use super::desk::LineId;
use crate::model::Timestamp;
use std::collections::HashMap;
use std::sync::Arc;

/// Devices that have a document.
pub(super) const DOCUMENTS_MAX: usize = 100_000;
/// Bytes of all documents, desired and reported.
pub(super) const DOCUMENTS_BYTES_MAX: u64 = 1 << 30;
/// The longest document, here and as a device reports it: a message that holds it is within
/// [`crate::wire::CONTROL_BYTES_MAX`].
pub const DOCUMENT_BYTES_MAX: usize = 48 * 1024;

/// What a device should be set to, and what it says that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// Which device.
    pub device: Arc<str>,
    /// Rises with each change.
    pub version: u64,
    /// JSON.
    pub document: String,
    /// Who wanted it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// To whom it was delivered last: it may report for the device.
    pub carrier: Option<Carrier>,
    /// What the device said last.
    pub reported: Option<Reported>,
}

/// What a device says that it is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported {
    /// The version of which it speaks; 0 = of none.
    pub version: u64,
    /// Whether it took it.
    pub ok: bool,
    /// For people.
    pub message: String,
    /// What it is set to: JSON, if it says so.
    pub document: Option<String>,
    /// When it said so first.
    pub at: Timestamp,
}

impl Desired {
    /// Bytes of the documents.
    pub(super) fn bytes(&self) -> u64 {
        let reported = self.reported.as_ref().and_then(|reported| reported.document.as_ref());
        (self.document.len() + reported.map_or(0, String::len)) as u64
    }
}

impl Reported {
    /// Whether it is no news beside the other.
    #[must_use]
    pub fn says_the_same(&self, other: &Reported) -> bool {
        Reported { at: other.at, ..self.clone() } == *other
    }
}

/// Which devices have not reported the version that they should have. Each is delivered once in a
/// conversation.
#[derive(Debug, Default)]
pub(super) struct Pending(HashMap<Arc<str>, Option<LineId>>);

impl Pending {
    /// Takes note of a document, or of what was reported of it.
    pub fn look(&mut self, desired: &Desired, changed: bool) {
        let reported = desired.reported.as_ref().map_or(0, |reported| reported.version);
        if reported >= desired.version {
            self.0.remove(&desired.device);
        } else if changed {
            self.0.insert(desired.device.clone(), None);
        } else {
            self.0.entry(desired.device.clone()).or_insert(None);
        }
    }

    /// Whether it is to be delivered in this conversation.
    pub fn wants(&self, device: &str, line: LineId) -> bool {
        self.0.get(device).is_some_and(|on| *on != Some(line))
    }

    pub fn delivered(&mut self, device: &str, line: LineId) {
        if let Some(on) = self.0.get_mut(device) {
            *on = Some(line);
        }
    }

    /// These conversations are over.
    pub fn lost(&mut self, is_lost: impl Fn(LineId) -> bool) {
        for on in self.0.values_mut().filter(|on| on.is_some_and(&is_lost)) {
            *on = None;
        }
    }

    /// Devices to which nothing was delivered in a conversation that goes on.
    pub fn waiting(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.iter().filter(|(_, on)| on.is_none()).map(|(device, _)| device)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desired(version: u64, reported: u64) -> Desired {
        let reported = Reported {
            version: reported,
            ok: true,
            message: String::new(),
            document: None,
            at: Timestamp(2),
        };
        Desired {
            device: "d".into(),
            version,
            document: "{}".into(),
            by: "ana".into(),
            at: Timestamp(1),
            carrier: None,
            reported: Some(reported),
        }
    }

    #[test]
    fn a_document_is_delivered_once_in_a_conversation_until_it_is_reported() {
        let mut pending = Pending::default();
        let (one, two) = (LineId(1), LineId(2));
        pending.look(&desired(2, 1), true);
        assert!(pending.wants("d", one));
        pending.delivered("d", one);
        assert!(!pending.wants("d", one) && pending.wants("d", two));
        // It says again that it has the older one: it knows.
        pending.look(&desired(2, 1), false);
        assert!(!pending.wants("d", one));
        pending.look(&desired(3, 1), true);
        assert!(pending.wants("d", one), "a newer one is delivered at once");
        pending.delivered("d", one);
        assert_eq!(pending.waiting().count(), 0);
        pending.lost(|line| line == one);
        assert_eq!(pending.waiting().count(), 1);
        pending.look(&desired(3, 3), false);
        assert_eq!((pending.len(), pending.wants("d", two)), (0, false));
        // It was set back to its factory's.
        pending.look(&desired(3, 0), false);
        assert!(pending.wants("d", two));
    }

    #[test]
    fn the_same_report_is_no_news() {
        let report = |version, at| Reported {
            version,
            ok: true,
            message: String::new(),
            document: None,
            at: Timestamp(at),
        };
        assert!(report(1, 5).says_the_same(&report(1, 9)));
        assert!(!report(1, 5).says_the_same(&report(2, 5)));
    }
}

//! Notifications out: who wants to be told of alerts is told, by webhook or e-mail.
//!
//! ```text
//!  journal of alerts ──► grouping ──► notify.db ──► webhook, e-mail
//!   (on disk, of others)  (pure)      (messages)     (until they are taken, or given up)
//! ```
//!
//! Each channel follows the journal at a position of its own. Events wait in groups, of one rule and one
//! kind each ([`grouping`]); a group that is due becomes a message, and message and position are written
//! in one transaction before the first attempt. So each event is in exactly one message, whatever
//! happens, and each message is delivered at least once: its id stays the same over retries and
//! restarts, and tells a receiver that he has it already.
//!
//! Who does not take his messages costs only himself: one message of a channel is under way, what comes
//! meanwhile is counted in its groups, and of events [`grouping::HELD_MAX`] are in memory; the others are
//! numbers. What is given up is a dead letter, for people to send again or drop.

mod book;
mod channel;
mod email;
mod grouping;
mod handle;
mod pace;
mod patience;
mod running;
mod webhook;
mod wording;

pub(crate) use book::FORMAT;
pub use book::{BookError, Letter};
pub use email::{EmailTarget, Mailbox, Tls, mailbox};
pub use grouping::{HELD_MAX, Wanted};
pub use handle::{Notify, OpenError, Settings, TestError, View};
pub use running::{Channels, Opened, open};
pub use webhook::WebhookTarget;

use crate::rules;
use std::error::Error;
use std::time::Duration;

/// Channels that there may be: each may hold as many events in memory as it may.
pub const CHANNELS_MAX: usize = 50;

/// The journal of the alerts' events, which is on disk.
pub trait Journal: Send + Sync + 'static {
    /// Events with greater ids than this, in order; at most so many. Blocks: it reads a file.
    ///
    /// # Errors
    /// It can't be read now; the same may be asked again.
    fn after(&self, id: u64, max: usize)
    -> Result<Vec<rules::Event>, Box<dyn Error + Send + Sync>>;

    /// The id of the newest event; 0 if there is none.
    fn changed(&self) -> tokio::sync::watch::Receiver<u64>;
}

/// One way out.
#[derive(Debug, Clone)]
pub struct Channel {
    /// What rules call it.
    pub name: String,
    /// Which events it is told.
    pub wanted: Wanted,
    /// Where to.
    pub target: Target,
}

/// Where a channel's messages go.
#[derive(Debug, Clone)]
pub enum Target {
    /// A signed POST.
    Webhook(WebhookTarget),
    /// An e-mail.
    Email(EmailTarget),
}

impl Target {
    /// As in configuration and JSON.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Target::Webhook(_) => "webhook",
            Target::Email(_) => "email",
        }
    }

    /// Where to, without anything secret.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Target::Webhook(webhook) => webhook.place(),
            Target::Email(email) => email.place(),
        }
    }

    /// Whether the other end answers: connects and greets, delivers nothing.
    ///
    /// # Errors
    /// Why not.
    pub async fn reach(&self) -> Result<(), Undelivered> {
        match self {
            Target::Webhook(target) => webhook::Webhook::new(target)?.reach().await,
            Target::Email(target) => email::Email::new(target.clone()).reach().await,
        }
    }
}

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// A secret can't be had; the administrator acts.
    #[error("{path} can't be used: {fault}")]
    Secret {
        /// Its file.
        path: String,
        /// What is wrong with it.
        fault: String,
    },
    /// Nobody is there, or he hung up.
    #[error("{0}")]
    Unreachable(String),
    /// No answer came in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// He answers, and does not take it now; the same may do later.
    #[error("{said}")]
    Later {
        /// What he said.
        said: String,
        /// When he wants to be asked again.
        after: Option<Duration>,
    },
    /// He does not take this message: more attempts will hardly help.
    #[error("{0}")]
    Refused(String),
    /// Some recipients have it, others do not.
    #[error("{failed} of {all} recipients did not get it: {first}")]
    Some {
        /// Recipients without it.
        failed: usize,
        /// All.
        all: usize,
        /// Why the first has it not.
        first: Box<Undelivered>,
    },
}

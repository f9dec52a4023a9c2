//! Who a request is from.

use super::{Scope, Scopes};
use crate::model::{Reach, Timestamp};
use std::sync::Arc;

/// Who a request is from, and what they may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name of the key, the subject of the JWT, the name in the certificate.
    pub name: Arc<str>,
    /// What they may do.
    pub scopes: Scopes,
    /// To which devices.
    pub reach: Reach,
    /// How they showed it.
    pub how: How,
    /// Until when.
    pub expires_at: Option<Timestamp>,
}

/// How a caller showed who they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum How {
    /// Not at all: nobody is asked.
    Anonymous,
    /// By the key with this id.
    Key(Arc<str>),
    /// By a JWT.
    Jwt,
    /// By a browser's cookie, got for the key with this id if it was a key.
    Session {
        /// Names the session; not what the cookie says.
        id: Arc<str>,
        /// The key that was shown at the login.
        key: Option<Arc<str>>,
    },
    /// By a client certificate.
    Certificate,
    /// By being able to read the state directory.
    Local,
}

impl How {
    /// As it is told.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            How::Anonymous => "anonymous",
            How::Key(_) => "key",
            How::Jwt => "jwt",
            How::Session { .. } => "session",
            How::Certificate => "certificate",
            How::Local => "local",
        }
    }

    /// Whether they say themselves who acts: nobody was asked, or it is whoever has this machine, and
    /// might be anybody anyway.
    #[must_use]
    pub fn says_who(&self) -> bool {
        matches!(self, How::Anonymous | How::Local)
    }
}

impl Caller {
    /// Somebody who was not asked: they may do everything.
    #[must_use]
    pub fn anonymous() -> Caller {
        Caller {
            name: "anonymous".into(),
            scopes: [Scope::Admin].into_iter().collect(),
            reach: Reach::all(),
            how: How::Anonymous,
            expires_at: None,
        }
    }

    /// Whether they may call themselves so when they send: by their own name, or that of a device that
    /// they reach.
    #[must_use]
    pub fn may_be(&self, client: &str) -> bool {
        *client == *self.name || self.reach.allows(client)
    }
}

//! Who may come: turns what a request shows into a caller.
//!
//! ```text
//!  key, JWT, cookie, certificate name, address ──► Door ──► Caller { name, scopes, reach }
//!                                                   └─────► Pass: a caller's long connection, ended when the
//!                                                           caller may no longer
//! ```
//!
//! The door says who somebody is; `web::surface` says what that is enough for.

mod book;
mod caller;
mod change;
mod door;
mod failures;
mod guard;
mod jwt;
mod jwt_keys;
mod key;
mod keys_file;
mod local;
mod pass;
mod records;
mod scope;
mod sessions;
mod trail;
mod uses;

pub use book::BookError;
pub(crate) use book::FORMAT;
pub use caller::{Caller, How};
pub use change::Change;
pub use door::{Denied, Door, DoorError, Shown};
pub use jwt::{JwtAlgorithm, JwtSettings, Verifier};
pub use jwt_keys::JwtError;
pub use keys_file::{Key, KeysError, NewKey, issue, list, revoke};
pub use local::local_key;
pub use pass::Pass;
pub use records::Records;
pub use scope::{Scope, Scopes};
pub use sessions::{Begun, SESSIONS_MAX, SessionError, Sessions};
pub use trail::{Entry, Note, Trail};
pub use uses::Uses;

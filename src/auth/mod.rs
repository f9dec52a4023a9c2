//! Who may come: turns what a request shows into a caller.
//!
//! ```text
//!  key, JWT, cookie, certificate name, address ──► Door ──► Caller { name, scopes, reach }
//!                                                   └─────► Pass: a caller's long connection, ended when the
//!                                                           caller may no longer
//! ```
//!
//! The door says who somebody is; `web::surface` says what that is enough for.

mod caller;
mod door;
mod failures;
mod key;
mod keys_file;
mod local;
mod pass;
mod scope;

pub use caller::{Caller, How};
pub use door::{Denied, Door, DoorError, Shown};
pub use keys_file::{Key, KeysError, NewKey, issue, list, revoke};
pub use local::local_key;
pub use pass::Pass;
pub use scope::{Scope, Scopes};

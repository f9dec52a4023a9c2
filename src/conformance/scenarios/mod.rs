//! What a client is put through. Each scenario is a script; the umpire looks at every message in it.

mod answers;
mod connection;
mod flow;
mod keeping;

use super::{Bench, Fault};
use std::pin::Pin;

/// One thing that can happen to a client.
#[derive(Debug)]
pub struct Scenario {
    /// Names it on the command line.
    pub name: &'static str,
    /// What happens, and what the client does then, if it does well.
    pub what: &'static str,
    /// Whether it needs two clients, or more, at the same time.
    pub two_clients: bool,
    pub(super) play: Play,
}

type Play = fn(Bench) -> Pin<Box<dyn Future<Output = Result<(), Fault>>>>;

macro_rules! scenarios {
    ($($name:literal $play:path, $what:literal $(, $several:ident)?;)*) => {
        /// All of them.
        pub const SCENARIOS: &[Scenario] = &[
            $(Scenario {
                name: $name,
                what: $what,
                two_clients: false $(|| stringify!($several).len() > 0)?,
                play: |bench| Box::pin($play(bench)),
            },)*
        ];
    };
}

scenarios! {
    "hello" connection::hello,
        "the first message is Hello with name, token and a session of its own; nothing is sent before Welcome", several;
    "ping" connection::ping,
        "a ping is answered";
    "resume" answers::resume,
        "after a broken connection all that Welcome.last_seq does not cover is sent again, the same, in order";
    "acks" answers::acks,
        "receipts come late, together and twice; nothing is sent again meanwhile, nothing is taken for settled";
    "refused-for-good" answers::refused_for_good,
        "a batch that is refused for good is dropped and told, and not sent again; those after it go on";
    "refused-for-later" answers::refused_for_later,
        "after a refusal for later nothing is sent for that time, then all that is held, oldest first";
    "unknown" answers::unknown,
        "messages, fields and codes of newer daemons are passed over";
    "credit-batches" flow::credit_batches,
        "no more batches are unanswered than the credit says, none at 0";
    "credit-bytes" flow::credit_bytes,
        "no more bytes are unanswered than the credit says";
    "throttle" flow::throttle,
        "at most one batch is sent in Throttle.min_interval_ms, until it is 0 again";
    "cut-off" connection::cut_off,
        "the connection breaks at every stage: in the handshake, after Hello, after a batch, within a frame";
    "backoff" connection::backoff,
        "it waits longer after each failure, with a random part, and begins anew after a Welcome", several;
    "goodbye" connection::goodbye,
        "the daemon restarts: the client comes back when it was told to, and sends again";
    "close-codes" connection::close_codes,
        "after codes that say so, or are not known, it comes back and sends again";
    "stay-away" connection::stay_away,
        "after codes that say so it does not come back by itself", several;
    "restart" keeping::restart,
        "killed and started again, it goes on with the session and the seqs in its buffer";
    "long-outage" keeping::long_outage,
        "the daemon is away until the buffer is full: the oldest batches are given up, and that is told";
    "command" answers::command,
        "a command that it does not know is answered, each time it comes";
    "desired" answers::desired,
        "what it should be set to is reported with its version, or passed over";
}

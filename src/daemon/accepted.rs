//! What each client had sent below a position of the log: asked when a store has to say whose the
//! samples were that it never saw.

use super::stores::fold;
use crate::admit::{Admission, SeriesLimits};
use crate::config::Config;
use crate::ledger::{Accepted, AcceptedBelow};
use crate::model::Position;
use crate::spool::Spool;

/// By the log itself: the checkpoint at the beginning of the position's segment, and the records after it.
pub(super) fn accepted_below(config: &Config, spool: &Spool) -> AcceptedBelow {
    let (clients_max, spool) = (config.limits.sessions_max, spool.clone());
    AcceptedBelow::new(move |position| tell(&spool, clients_max, position))
}

fn tell(spool: &Spool, clients_max: usize, position: Position) -> Vec<Accepted> {
    let mut admission =
        Admission::new(clients_max, SeriesLimits { new_per_minute: 0, max: 0, seed: 0 });
    if let Err(error) = spool.records_below(position, &mut |record| fold(&mut admission, record)) {
        log::warn!(error:err = error; "the spool could not be read for the ledger: whose samples were not seen is told later");
        return Vec::new();
    }
    let told = admission.clients().map(|told| Accepted {
        client: told.client.clone(),
        protocol: told.protocol,
        samples: told.counts.samples,
    });
    told.collect()
}

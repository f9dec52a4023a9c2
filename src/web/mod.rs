//! The HTTP surface: one listener for devices, dashboard and API.
//!
//! warp routes, hyper serves: warp's own server has no timeouts, no connection limit and 133 KB
//! buffers per WebSocket (docs/decisions.md), so `server` runs its own accept loop and upgrades
//! WebSockets itself before warp sees them.

mod alerts;
mod assets;
mod boards;
mod body;
mod breaker;
mod commands;
mod credentials;
mod dead_letters;
mod desired;
mod devices;
mod dialect;
mod entry;
mod export;
mod history;
mod influx;
mod ingest;
mod items;
mod keys;
mod ledger;
mod live;
mod notifications;
mod openapi;
mod otlp;
mod places;
mod post;
mod problem;
mod prometheus;
#[cfg(feature = "mqtt")]
mod quarantine;
mod remote_write;
mod routes;
mod rules;
mod server;
mod session;
mod silences;
mod state;
mod surface;
mod trail;
mod unshared;
mod upgrade;
mod wary;

pub use boards::Boards;
pub use dead_letters::DeadLetters;
pub(crate) use export::EXPORTS_MAX;
pub use export::Exports;
pub use history::{TimeUnit, columns, csv, parse_time, round_width};
pub(crate) use prometheus::ANSWER_BYTES_MAX;
#[cfg(feature = "mqtt")]
pub use quarantine::Quarantined;
pub(crate) use server::{ADDRESSES_MAX, RECEIVE_BUFFER_BYTES};
pub use server::{
    AddressLimits, PROXY_HEADER_FIXED_BYTES, ProxyHeader, ProxyHeaderError, ServerOptions, Tls,
    TlsChange, TlsError, proxy_header_rest_bytes, read_proxy_header, serve,
};
pub use state::{App, StatusSource};
pub use surface::{ForReach, Needs, ROWS, Row};

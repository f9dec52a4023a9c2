//! Tidegate: telemetry that is durable before it is acknowledged, and seen while it happens.
//!
//! ```text
//!  devices, gateways                                                       viewers
//!       │                                                                      ▲
//!    intake ──► decode ──► admit ──► SPOOL ──┬──► aggregate ──► live ──► frames┘ (never waits)
//!   ws   http  (pure)     (pure)     (disk)  └──► sinks/history (embedded, on this machine)
//!    └──────── gate: the only way in ──────┘      followers of the log, each at its own position
//! ```
//!
//! Everything before the log earns its place in it; everything after the log is a fold over it.
//!
//! Three rings, and who may know whom (kept by `tests/tidy.rs`):
//!
//! * **Core**, plain synchronous Rust, told the time: [`model`], [`wire`], [`decode`], [`routes`],
//!   [`sparkplug`], [`admit`], [`aggregate`], [`ledger`], [`rules`].
//! * **Edges**, one outside thing each: [`spool`] (files), [`gate`] (the thread that owns the log),
//!   [`intake`] (devices), [`commands`] (what they are told), [`sinks`] (stores), [`live`]
//!   (viewers), [`alerts`] (what rules find), [`notify`] (people), [`web`] (HTTP), [`clock`];
//!   [`systemd`] (the service manager); `sqlite`, what their database files have in common; `pulse`,
//!   signs of life of threads.
//! * **Shell**, knows everybody, decides nothing: [`config`], [`daemon`], [`cli`], [`logging`],
//!   [`metrics`]; [`simulate`], a client of the outside like any other; and [`conformance`], a daemon of
//!   the outside that tries clients.
#![warn(missing_docs)]

pub mod admit;
pub mod aggregate;
pub mod alerts;
pub mod auth;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod conformance;
pub mod daemon;
pub mod decode;
pub mod devices;
pub mod gate;
pub mod intake;
pub mod ledger;
pub mod live;
pub mod logging;
pub mod metrics;
pub mod model;
pub mod notify;
pub mod promql;
mod pulse;
pub mod routes;
pub mod rules;
pub mod simulate;
pub mod sinks;
pub mod sparkplug;
pub mod spool;
mod sqlite;
pub mod systemd;
mod watched;
pub mod web;
pub mod wire;

/// The allocator: it returns memory to the system and does not fragment under many connections.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

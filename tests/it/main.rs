//! Stories about the whole daemon: the real binary, real sockets, real files, real signals.
#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

mod abuse;
mod abuse_bodies;
mod abuse_content;
mod access;
mod access_reach;
mod alerts;
mod alerts_trouble;
mod audit;
mod authorisation;
mod bad_input;
mod boards;
mod client;
mod clients;
mod clients_under_way;
mod commands;
#[cfg(feature = "mqtt")]
mod commands_mqtt;
mod conformance;
mod daemon;
mod damage;
mod dead_letters;
mod disk;
mod documents;
mod drill;
mod examples;
mod export;
mod fairness;
mod http_in;
mod import;
mod keep;
mod kill_nine;
mod ledger;
mod lines;
mod lines_between;
mod lines_clients;
mod live_resume;
mod load;
mod monitoring;
#[cfg(feature = "mqtt")]
mod mosquitto;
#[cfg(feature = "mqtt")]
mod mqtt_alerts;
#[cfg(feature = "mqtt")]
mod mqtt_in;
#[cfg(feature = "mqtt")]
mod mqtt_mending;
#[cfg(feature = "mqtt")]
mod mqtt_outage;
#[cfg(feature = "mqtt")]
mod mqtt_pressure;
#[cfg(feature = "mqtt")]
mod mqtt_publish;
#[cfg(feature = "mqtt")]
mod mqtt_publishers;
#[cfg(feature = "mqtt")]
mod mqtt_quarantine;
#[cfg(feature = "mqtt")]
mod mqtt_retained;
mod notify;
#[cfg(feature = "mqtt")]
mod notify_mail;
mod operator;
mod otlp;
mod plant;
mod port;
mod presence;
mod prometheus;
mod promql;
mod promql_limits;
mod proxies;
#[cfg(feature = "mqtt")]
mod publisher;
mod reader;
mod receiver;
mod reload;
mod reload_auth;
mod reload_devices;
#[cfg(feature = "mqtt")]
mod reload_mqtt;
mod reload_notify;
mod reload_sinks;
mod reload_tls;
mod remote_write;
mod session;
mod shutdown;
mod sink_breaker;
mod sink_crash;
mod sink_crash_room;
mod sink_neighbours;
mod sink_outage;
mod sink_pressure;
mod sink_refusals;
mod sink_rollups;
mod sinks_checked;
mod small_spool;
#[cfg(feature = "mqtt")]
mod sparkplug_nodes;
mod store;
mod tls;
mod tls_clients;
mod trouble;
mod upgrade;
mod victoria;
mod viewer;
mod viewers;

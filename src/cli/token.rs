//! `tidegate token`: API keys are made, listed and taken back in the keys file, whether or not the daemon
//! runs; one that does reads it within two seconds.

use super::ask::{Whom, wait};
use super::table::{cut, seconds, write_table};
use super::{EXIT_USAGE, Settings, fail, printable};
use crate::auth::{self, Key, KeysError, NewKey, Scope, Scopes};
use crate::clock;
use crate::config::{AuthConfig, parse_duration};
use crate::model::{NAME_BYTES_MAX, NANOS_PER_MILLI, Reach, Timestamp, check_name};
use clap::{Args, Subcommand};
use serde_json::Value as Json;
use std::collections::HashMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Of a name, so that the uid has room beside it.
const HAND_BYTES_MAX: usize = 100;

/// What to do with keys.
#[derive(Debug, Args)]
pub(super) struct TokenCommand {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a key, and print it: once, it is kept nowhere.
    Issue(Issue),
    /// List the keys, with those that are good no more.
    Ls,
    /// Take a key back; the connections that it let in end within two seconds.
    Revoke {
        /// Its name, if there is one such key, or its id.
        key: String,
    },
}

#[derive(Debug, Args)]
struct Issue {
    /// Whose it is: of a device, the name that it sends by.
    #[arg(long)]
    name: String,
    /// What they may: ingest (send), view (look), command (act on devices and alerts), admin (all).
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_parser = scope)]
    scopes: Vec<Scope>,
    /// To which devices, as a glob; several times for several [default: all, and for ingest alone the
    /// device of its name].
    #[arg(long = "device", value_name = "GLOB")]
    devices: Vec<String>,
    /// For how long it is good: "90 d" [default: until it is revoked].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    expires: Option<Duration>,
}

fn scope(text: &str) -> Result<Scope, String> {
    let known = || Scope::ALL.map(Scope::name).join(", ");
    Scope::named(text).ok_or_else(|| format!("there are: {}", known()))
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text).filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| format!("\"{text}\" is not a time, like \"90 d\""))
}

pub(super) fn token(command: &TokenCommand) -> ExitCode {
    let config = match command.settings.load() {
        Ok((config, _)) => config.auth,
        Err(code) => return code,
    };
    match &command.action {
        Action::Issue(issue) => issue.done(&config),
        Action::Ls => list(&config, &command.settings),
        Action::Revoke { key } => revoke(&config, key),
    }
}

/// Who makes a key, or takes it back, and not as whom: the name, which they could say to be another, and
/// the uid, which they can't.
fn hand() -> String {
    let said = ["SUDO_USER", "USER", "LOGNAME"].into_iter().filter_map(|it| std::env::var(it).ok());
    let name = said.into_iter().find(|name| check_name(name, HAND_BYTES_MAX).is_ok());
    let uid = rustix::process::getuid().as_raw();
    name.map_or_else(|| format!("uid {uid}"), |name| format!("{name} (uid {uid})"))
}

fn failed(error: &KeysError) -> ExitCode {
    fail(ExitCode::FAILURE, error)
}

/// Makes the first key of an administrator, unless there is one; its text.
pub(super) fn issue_admin(path: &Path) -> Result<Option<String>, KeysError> {
    let now = clock::now();
    let has_admin = |key: &Arc<Key>| key.is_good(now) && key.scopes.has(Scope::Admin);
    if auth::list(path)?.iter().any(has_admin) {
        return Ok(None);
    }
    let scopes = [Scope::Admin].into_iter().collect();
    let by = &*hand();
    let new = NewKey { name: "admin", scopes, reach: Reach::all(), expires_at: None, by };
    auth::issue(path, &new, now).map(Some)
}

impl Issue {
    fn done(&self, config: &AuthConfig) -> ExitCode {
        if let Err(error) = check_name(&self.name, NAME_BYTES_MAX) {
            return fail(EXIT_USAGE, format!("--name: {error}"));
        }
        let scopes: Scopes = self.scopes.iter().copied().collect();
        let is_device = scopes.given().all(|scope| scope == Scope::Ingest);
        let reach = match self.devices.is_empty() {
            true if is_device => Reach::only(&self.name),
            true => Ok(Reach::all()),
            false => Reach::new(&self.devices),
        };
        let reach = match reach {
            Ok(reach) => reach,
            Err(error) => return fail(EXIT_USAGE, format!("--device: {error}")),
        };
        let now = clock::now();
        let expires_at = self.expires.map(|expires| now.saturating_add(expires));
        let devices = reach.globs().join(", ");
        let new = NewKey { name: &self.name, scopes, reach, expires_at, by: &hand() };
        match auth::issue(&config.keys_file, &new, now) {
            Ok(text) => {
                println!("{text}");
                let until = expires_at.map_or("it is revoked".to_owned(), seconds);
                eprintln!(
                    "The key of {}, good until {until}, for the devices {}. It is shown this once; its hash is in {}.",
                    printable(&self.name),
                    printable(&devices),
                    config.keys_file.display()
                );
                ExitCode::SUCCESS
            }
            Err(error) => failed(&error),
        }
    }
}

fn list(config: &AuthConfig, settings: &Settings) -> ExitCode {
    let keys = match auth::list(&config.keys_file) {
        Ok(keys) => keys,
        Err(error) => return failed(&error),
    };
    let used = last_used(settings);
    let heads =
        ["ID", "NAME", "SCOPES", "DEVICES", "STATE", "ISSUED", "EXPIRES", "LAST USED", "BY"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    let now = clock::now();
    for key in keys {
        let scopes: Vec<_> = key.scopes.given().map(Scope::name).collect();
        let state = match (key.revoked_at, key.is_good(now)) {
            (Some(_), _) => "revoked",
            (None, true) => "good",
            (None, false) => "expired",
        };
        // Without the daemon nobody knows when they were used.
        let last_used = match used.as_ref().map(|used| used.get(&*key.id)) {
            None => "?".to_owned(),
            Some(None) => "never".to_owned(),
            Some(Some(at)) => seconds(*at),
        };
        rows.push(vec![
            key.id.to_string(),
            cut(&key.name),
            scopes.join(" "),
            cut(&key.reach.globs().join(" ")),
            state.to_owned(),
            seconds(key.issued_at),
            key.expires_at.map_or("never".to_owned(), seconds),
            last_used,
            cut(&key.by),
        ]);
    }
    // Who does not read on needs no more.
    write_table(&mut std::io::stdout().lock(), &rows).unwrap_or_default();
    ExitCode::SUCCESS
}

/// When each key was last used, by its id, if the daemon of this machine tells us.
fn last_used(settings: &Settings) -> Option<HashMap<String, Timestamp>> {
    let whom = Whom { settings: settings.clone(), url: None, token_file: None };
    let (config, _) = settings.load().ok()?;
    // Port 0 is nobody's address.
    if config.listen.port() == 0 {
        return None;
    }
    let daemon = whom.daemon().ok()?;
    let answer = wait(daemon.get("/api/v1/keys")).ok()?.ok().filter(|it| it.status == 200)?;
    let told: Json = serde_json::from_slice(&answer.body).ok()?;
    let keys = told["keys"].as_array()?.iter().filter_map(|key| {
        let at = key["last_used_at"].as_i64()?;
        Some((key["id"].as_str()?.to_owned(), Timestamp(at.saturating_mul(NANOS_PER_MILLI))))
    });
    Some(keys.collect())
}

fn revoke(config: &AuthConfig, wanted: &str) -> ExitCode {
    let keys = match auth::list(&config.keys_file) {
        Ok(keys) => keys,
        Err(error) => return failed(&error),
    };
    let is_meant = |key: &&Arc<Key>| *key.id == *wanted || *key.name == *wanted;
    let meant: Vec<_> = keys.iter().filter(is_meant).collect();
    let left: Vec<_> = meant.iter().filter(|key| key.revoked_at.is_none()).collect();
    let wanted = printable(wanted);
    let key = match left[..] {
        [key] => key,
        [] if meant.is_empty() => return fail(1, format!("there is no key {wanted}")),
        [] => return fail(1, format!("the key {wanted} was revoked before")),
        _ => {
            let ids: Vec<_> = left.iter().map(|key| &*key.id).collect();
            let ids = ids.join(", ");
            return fail(EXIT_USAGE, format!("there are several keys {wanted}; say which: {ids}"));
        }
    };
    match auth::revoke(&config.keys_file, &key.id, &hand(), clock::now()) {
        Ok(_) => {
            println!("revoked {} ({})", printable(&key.name), key.id);
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error),
    }
}

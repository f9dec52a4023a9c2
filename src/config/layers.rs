//! Lays the administrator's file, the environment and the flags over the embedded manual.

use super::MANUAL;
use super::checked::{Config, check};
use super::file::File;
use std::fmt;
use std::path::PathBuf;
use thiserror::Error;
use toml::{Table, Value};

/// Where settings come from, besides the embedded manual; later ones win.
#[derive(Debug, Default, Clone)]
pub struct Sources {
    /// The administrator's file.
    pub file: Option<PathBuf>,
    /// Variables named `TIDEGATE_…`, as the process has them.
    pub environment: Vec<(String, String)>,
    /// Flags: path of a key and its value.
    pub flags: Vec<(String, String)>,
}

/// One thing that the administrator has to mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Path of the key: `spool.size_max`; or the source, if it could not be read at all.
    pub path: String,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.problem)
    }
}

/// The configuration can't be used; the administrator acts, before any port opens.
#[derive(Debug, Error)]
#[error("the configuration has {} mistake(s):{}", .0.len(), .0.iter().map(|m| format!("\n  {m}")).collect::<String>())]
pub struct ConfigError(pub Vec<Mistake>);

/// Reads all layers and checks the result. Also gives the effective settings as TOML.
///
/// # Errors
/// All mistakes at once.
pub fn load(sources: &Sources) -> Result<(Config, String), ConfigError> {
    let mut mistakes = Vec::new();
    let mut settings: Table =
        toml::from_str(MANUAL).map_err(|error| one("embedded defaults", &error))?;
    if let Some(path) = &sources.file {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| one(&name, &error))?;
        let file: Table = toml::from_str(&text).map_err(|error| one(&name, &error))?;
        overlay(&mut settings, file, "", &mut mistakes);
    }
    for (name, value) in &sources.environment {
        if let Some(key) = name.strip_prefix("TIDEGATE_") {
            let path = key.to_ascii_lowercase().replace("__", ".");
            // Variables that the command itself reads, not settings.
            if path != "config" {
                set(&mut settings, &path, value, name, &mut mistakes);
            }
        }
    }
    for (path, value) in &sources.flags {
        set(&mut settings, path, value, &format!("--{path}"), &mut mistakes);
    }
    let effective = toml::to_string(&settings).map_err(|error| one("settings", &error))?;
    let config = match settings.try_into::<File>() {
        Ok(file) => check(&file, &mut mistakes),
        Err(error) => {
            mistakes.push(Mistake { path: "settings".to_owned(), problem: error.to_string() });
            None
        }
    };
    match config {
        Some(config) if mistakes.is_empty() => Ok((config, effective)),
        _ => Err(ConfigError(mistakes)),
    }
}

fn one(path: &str, error: &dyn fmt::Display) -> ConfigError {
    ConfigError(vec![Mistake { path: path.to_owned(), problem: error.to_string() }])
}

/// Replaces values of `base` by those of `over`; a key that the manual does not have, or that has
/// another type there, is a mistake.
fn overlay(base: &mut Table, over: Table, prefix: &str, mistakes: &mut Vec<Mistake>) {
    for (key, value) in over {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) => overlay(base, over, &path, mistakes),
            (Some(known), value) if known.same_type(&value) => *known = value,
            (Some(known), value) => mistakes.push(Mistake {
                path,
                problem: format!("must be a {}, not a {}", known.type_str(), value.type_str()),
            }),
            (None, _) => mistakes.push(Mistake { problem: unknown(&key, base), path }),
        }
    }
}

fn unknown(key: &str, base: &Table) -> String {
    let known: Vec<_> = base.keys().map(String::as_str).collect();
    format!("there is no such key as \"{key}\"; known here: {}", known.join(", "))
}

/// Sets one key by its path from text, which is read as the type that the key has.
fn set(settings: &mut Table, path: &str, text: &str, source: &str, mistakes: &mut Vec<Mistake>) {
    let mut wrong = |problem| mistakes.push(Mistake { path: source.to_owned(), problem });
    let mut keys = path.split('.').peekable();
    let mut table = settings;
    while let Some(key) = keys.next() {
        let Some(known) = table.get_mut(key) else {
            return wrong(format!("there is no such key as {path}"));
        };
        match known {
            Value::Table(next) if keys.peek().is_some() => table = next,
            Value::String(value) if keys.peek().is_none() => return text.clone_into(value),
            Value::Integer(value) if keys.peek().is_none() => {
                return match text.parse() {
                    Ok(number) => *value = number,
                    Err(_) => wrong(format!("\"{text}\" is not a whole number")),
                };
            }
            Value::Array(value) if keys.peek().is_none() => {
                *value =
                    text.split(',').map(|item| Value::String(item.trim().to_owned())).collect();
                return;
            }
            _ => return wrong(format!("{path} is not one value")),
        }
    }
}

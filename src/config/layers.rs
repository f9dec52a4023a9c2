//! Lays the administrator's file, the environment and the flags over the embedded manual.

use super::MANUAL;
use super::checked::{Config, check};
use super::file::File;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use thiserror::Error;
use toml::{Table, Value};

/// Variables that commands read themselves, as paths.
const READ_BY_COMMANDS: [&str; 2] = ["config", "token_file"];

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
    let manual = toml::from_str(MANUAL).map_err(|error| one("embedded defaults", &error))?;
    let mut layers = Layers::over(manual);
    if let Some(path) = &sources.file {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| one(&name, &error))?;
        let file = toml::from_str(&text).map_err(|error| one(&name, &error))?;
        layers.overlay(file);
    }
    for (path, value, name) in in_order(&sources.environment) {
        layers.set(&path, value, name);
    }
    for (path, value) in &sources.flags {
        layers.set(path, value, &format!("--{path}"));
    }
    let Layers { settings, mut mistakes, .. } = layers;
    let effective = toml::to_string(&settings).map_err(|error| one("settings", &error))?;
    let config = match settings.try_into::<File>() {
        Ok(file) => {
            let beside = sources.file.as_deref().and_then(Path::parent);
            check(&file, beside, &mut mistakes)
        }
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

/// Settings in the environment as path, value and name; those of a first block before those of a
/// second, because a block is made when its number is next.
fn in_order(environment: &[(String, String)]) -> Vec<(String, &str, &str)> {
    let mut settings: Vec<_> = environment
        .iter()
        .filter_map(|(name, value)| {
            let path = name.strip_prefix("TIDEGATE_")?.to_ascii_lowercase().replace("__", ".");
            // A variable that the command itself reads is no setting.
            (!READ_BY_COMMANDS.contains(&path.as_str())).then_some((
                path,
                value.as_str(),
                name.as_str(),
            ))
        })
        .collect();
    settings.sort_by(|(a, ..), (b, ..)| natural(a, b));
    settings
}

/// Orders paths as people do: 2 before 10.
fn natural(a: &str, b: &str) -> Ordering {
    let keys = |path: &str| -> Vec<(u64, String)> {
        path.split('.').map(|key| (key.parse().unwrap_or(u64::MAX), key.to_owned())).collect()
    };
    keys(a).cmp(&keys(b))
}

/// The settings so far.
struct Layers {
    settings: Table,
    shape: Shape,
    mistakes: Vec<Mistake>,
}

/// What the manual says of tables that are not simply as they stand there. Paths are without the
/// numbers of blocks.
#[derive(Default)]
struct Shape {
    /// What each new block of a list of blocks begins as, by the list's path: the block that the
    /// manual has there.
    templates: BTreeMap<String, Table>,
    /// Tables that are empty in the manual: the administrator makes up their keys, the values are texts.
    maps: BTreeSet<String>,
}

impl Shape {
    fn template(&self, path: &str) -> Option<&Table> {
        self.templates.get(&without_numbers(path))
    }

    fn is_map(&self, path: &str) -> bool {
        self.maps.contains(&without_numbers(path))
    }

    /// Takes the blocks out of the manual; lists of blocks become empty.
    fn take(&mut self, table: &mut Table, prefix: &str) {
        if table.is_empty() {
            self.maps.insert(prefix.to_owned());
        }
        for (key, value) in table.iter_mut() {
            let path = below(prefix, key);
            match value {
                Value::Table(table) => self.take(table, &path),
                Value::Array(blocks) if matches!(blocks.first(), Some(Value::Table(_))) => {
                    if let Some(Value::Table(mut block)) = blocks.drain(..).next() {
                        self.take(&mut block, &path);
                        self.templates.insert(path, block);
                    }
                }
                _ => {}
            }
        }
    }
}

fn without_numbers(path: &str) -> String {
    let keys: Vec<_> = path.split('.').filter(|key| key.parse::<usize>().is_err()).collect();
    keys.join(".")
}

impl Layers {
    /// Begins with the manual; its lists of blocks become empty.
    fn over(mut manual: Table) -> Layers {
        let mut shape = Shape::default();
        shape.take(&mut manual, "");
        Layers { settings: manual, shape, mistakes: Vec::new() }
    }

    /// Replaces values by those of the administrator's file.
    fn overlay(&mut self, file: Table) {
        overlay(&mut self.settings, file, "", &self.shape, &mut self.mistakes);
    }

    /// Sets one key by its path from text; `source` is named if it is wrong.
    fn set(&mut self, path: &str, text: &str, source: &str) {
        if let Err(problem) = set(&mut self.settings, path, text, &self.shape) {
            self.mistakes.push(Mistake { path: source.to_owned(), problem });
        }
    }
}

fn below(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }
}

/// Replaces values of `base` by those of `over`; a key that the manual does not have, or that has
/// another type there, is a mistake.
fn overlay(
    base: &mut Table,
    over: Table,
    prefix: &str,
    shape: &Shape,
    mistakes: &mut Vec<Mistake>,
) {
    for (key, value) in over {
        let path = below(prefix, &key);
        let mut wrong = |problem| mistakes.push(Mistake { path: path.clone(), problem });
        match (base.get_mut(&key), value) {
            (_, value @ Value::String(_)) if shape.is_map(prefix) => {
                base.insert(key, value);
            }
            (_, value) if shape.is_map(prefix) => {
                wrong(format!("must be a string, not a {}", value.type_str()));
            }
            (None, _) => wrong(unknown(&key, base)),
            (Some(Value::Table(base)), Value::Table(over)) => {
                overlay(base, over, &path, shape, mistakes);
            }
            (Some(Value::Array(blocks)), value) if shape.template(&path).is_some() => {
                let Value::Array(over) = value else {
                    wrong(format!("is a list of blocks, each of which begins with [[{path}]]"));
                    continue;
                };
                for block in over {
                    add_block(blocks, block, &path, shape, mistakes);
                }
            }
            (Some(Value::Float(known)), Value::Integer(whole)) => *known = whole as f64,
            (Some(known), value) if known.same_type(&value) => *known = value,
            (Some(known), value) => {
                wrong(format!("must be a {}, not a {}", known.type_str(), value.type_str()));
            }
        }
    }
}

/// Appends a block to the list at `path`: its template, with what it says itself.
fn add_block(
    blocks: &mut Vec<Value>,
    block: Value,
    path: &str,
    shape: &Shape,
    mistakes: &mut Vec<Mistake>,
) {
    let mut added = shape.template(path).cloned().unwrap_or_default();
    let path = format!("{path}.{}", blocks.len());
    match block {
        Value::Table(block) => overlay(&mut added, block, &path, shape, mistakes),
        other => mistakes.push(Mistake {
            path,
            problem: format!("must be a block, not a {}", other.type_str()),
        }),
    }
    blocks.push(Value::Table(added));
}

fn unknown(key: &str, base: &Table) -> String {
    let known: Vec<_> = base.keys().map(String::as_str).collect();
    format!("there is no such key as \"{key}\"; known here: {}", known.join(", "))
}

/// Sets one key by its path from text, which is read as the type that the key has. Blocks of a list
/// have numbers; the next number makes a new one.
fn set(settings: &mut Table, path: &str, text: &str, shape: &Shape) -> Result<(), String> {
    let mut table = settings;
    let (mut rest, mut so_far) = (path, String::new());
    while let Some((key, after)) = rest.split_once('.').filter(|_| !shape.is_map(&so_far)) {
        so_far = below(&so_far, key);
        let next = table.get_mut(key).ok_or_else(|| format!("there is no such key as {path}"))?;
        (table, rest) = match (next, shape.template(&so_far)) {
            (Value::Table(next), _) => (next, after),
            (Value::Array(blocks), Some(template)) => {
                let (number, after) =
                    after.split_once('.').ok_or_else(|| format!("{path} is not one value"))?;
                let block = numbered(blocks, number, &so_far, template)?;
                so_far = below(&so_far, number);
                (block, after)
            }
            _ => return Err(format!("{path} is not one value")),
        };
    }
    if shape.is_map(&so_far) {
        table.insert(rest.to_owned(), Value::String(text.to_owned()));
        return Ok(());
    }
    let known = table.get_mut(rest).ok_or_else(|| format!("there is no such key as {path}"))?;
    match known {
        Value::String(value) => text.clone_into(value),
        Value::Integer(value) => {
            *value = text.parse().map_err(|_| format!("\"{text}\" is not a whole number"))?;
        }
        Value::Float(value) => {
            *value = text.parse().map_err(|_| format!("\"{text}\" is not a number"))?;
        }
        Value::Boolean(value) => {
            *value = text.parse().map_err(|_| format!("\"{text}\" is neither true nor false"))?;
        }
        Value::Array(value) if shape.template(path).is_none() => {
            *value = text.split(',').map(|item| Value::String(item.trim().to_owned())).collect();
        }
        _ => return Err(format!("{path} is not one value")),
    }
    Ok(())
}

fn numbered<'a>(
    blocks: &'a mut Vec<Value>,
    number: &str,
    path: &str,
    template: &Table,
) -> Result<&'a mut Table, String> {
    let count = blocks.len();
    let number = number.parse().ok().filter(|number| *number <= count);
    let number: usize = number.ok_or_else(|| {
        format!("{path} is followed by a number, of which the next is {count}: {path}.{count}")
    })?;
    if number == count {
        blocks.push(Value::Table(template.clone()));
    }
    blocks[number].as_table_mut().ok_or_else(|| format!("{path}.{number} is no block"))
}

#[cfg(test)]
#[cfg(feature = "influx")]
#[path = "layers_tests.rs"]
mod tests;

#[cfg(test)]
#[cfg(not(feature = "influx"))]
mod tests {
    use super::{Sources, load};

    #[test]
    fn a_sink_that_was_not_built_is_refused() {
        let flag = |key: &str, value: &str| (format!("sinks.influx.0.{key}"), value.to_owned());
        let flags = vec![flag("url", "http://db"), flag("bucket", "b")];
        let error = load(&Sources { flags, ..Sources::default() }).unwrap_err();
        assert!(error.to_string().contains("was built without the InfluxDB sink"), "{error}");
        load(&Sources::default()).unwrap();
    }
}

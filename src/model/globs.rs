//! Which names are meant: those that fit a glob, and none with `!` before it. Pure.

use globset::{Glob, GlobSet};

/// What stands before a glob of names that are not wanted.
const NOT: char = '!';

/// Some names.
#[derive(Debug, Clone)]
pub struct Globs {
    /// Nothing = all.
    wanted: Option<GlobSet>,
    unwanted: GlobSet,
}

impl Globs {
    /// The names that fit one of `globs`, and none of those that begin with `!`; where all do, all other
    /// names. `None` = every name.
    ///
    /// # Errors
    /// One is no glob, or they are too much together.
    pub fn new(globs: &[String]) -> Result<Option<Globs>, globset::Error> {
        let (mut wanted, mut unwanted) = (GlobSet::builder(), GlobSet::builder());
        let mut is_all = globs.iter().all(|glob| glob.starts_with(NOT));
        for glob in globs {
            match glob.strip_prefix(NOT) {
                Some(glob) => unwanted.add(Glob::new(glob)?),
                None => wanted.add(Glob::new(glob)?),
            };
            is_all |= glob == "*";
        }
        let wanted = if is_all { None } else { Some(wanted.build()?) };
        let globs = Globs { wanted, unwanted: unwanted.build()? };
        Ok((globs.wanted.is_some() || !globs.unwanted.is_empty()).then_some(globs))
    }

    /// Whether the name is one of them.
    #[must_use]
    pub fn is_match(&self, name: &str) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| wanted.is_match(name))
            && !self.unwanted.is_match(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(globs: &[&str], name: &str) -> bool {
        let globs: Vec<_> = globs.iter().map(|&glob| glob.to_owned()).collect();
        Globs::new(&globs).unwrap().is_none_or(|globs| globs.is_match(name))
    }

    #[test]
    fn an_exclamation_mark_takes_names_out() {
        for (globs, name, expected) in [
            (&["*"][..], "pump-1", true),
            (&["pump-*"], "pump-1", true),
            (&["pump-*"], "fan-1", false),
            (&["*", "!tidegate-drill-*"], "pump-1", true),
            (&["*", "!tidegate-drill-*"], "tidegate-drill-7", false),
            (&["!fan-*", "pump-*"], "pump-1", true),
            (&["!fan-*", "pump-*"], "door", false),
            (&["!fan-*"], "door", true),
            (&["!fan-*"], "fan-1", false),
            (&["pump-*", "!pump-1"], "pump-1", false),
        ] {
            assert_eq!(fits(globs, name), expected, "{globs:?} {name}");
        }
        assert!(Globs::new(&["!{".to_owned()]).is_err());
    }
}

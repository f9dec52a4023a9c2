//! Which devices somebody may write or see. Pure.

use super::Globs;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// All devices, or those whose names fit some globs. Equal if spelled alike; cheap to clone.
#[derive(Debug, Clone)]
pub struct Reach {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Sorted.
    spelled: Vec<String>,
    /// `None` = every name.
    globs: Option<Globs>,
}

impl Reach {
    /// Every device.
    #[must_use]
    pub fn all() -> Reach {
        Reach { inner: Arc::new(Inner { spelled: vec!["*".to_owned()], globs: None }) }
    }

    /// The devices whose names fit one of `globs` and none of those that begin with `!`. No globs at
    /// all = no device.
    ///
    /// # Errors
    /// One is no glob, or they are too much together.
    pub fn new(globs: &[String]) -> Result<Reach, globset::Error> {
        let mut spelled = globs.to_vec();
        spelled.sort_unstable();
        spelled.dedup();
        let globs = match globs.is_empty() {
            // A name is never empty.
            true => Globs::new(&[String::new()])?,
            false => Globs::new(globs)?,
        };
        Ok(Reach { inner: Arc::new(Inner { spelled, globs }) })
    }

    /// The device of that name and no other, whatever characters it has.
    ///
    /// # Errors
    /// It is too long to be looked for.
    pub fn only(name: &str) -> Result<Reach, globset::Error> {
        let mut glob = String::with_capacity(name.len());
        for character in name.chars() {
            if "?*[]{}\\!,".contains(character) {
                glob.push('\\');
            }
            glob.push(character);
        }
        Reach::new(&[glob])
    }

    /// Whether the device is one of them.
    #[must_use]
    pub fn allows(&self, device: &str) -> bool {
        self.inner.globs.as_ref().is_none_or(|globs| globs.is_match(device))
    }

    /// Whether that is every device.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.inner.globs.is_none()
    }

    /// As it was spelled, sorted.
    #[must_use]
    pub fn globs(&self) -> &[String] {
        &self.inner.spelled
    }
}

impl PartialEq for Reach {
    fn eq(&self, other: &Reach) -> bool {
        self.is_all() && other.is_all() || self.inner.spelled == other.inner.spelled
    }
}

impl Eq for Reach {}

impl Hash for Reach {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.is_all() {
            true => "*".hash(state),
            false => self.inner.spelled.hash(state),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(globs: &[&str]) -> Reach {
        Reach::new(&globs.iter().map(|&glob| glob.to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn no_globs_reach_no_device_and_a_star_reaches_all() {
        for (globs, device, expected) in [
            (&[][..], "pump-1", false),
            (&["*"], "pump-1", true),
            (&["pump-*"], "pump-1", true),
            (&["pump-*"], "fan-1", false),
            (&["*", "!fan-*"], "fan-1", false),
        ] {
            assert_eq!(reach(globs).allows(device), expected, "{globs:?} {device}");
        }
        assert!(reach(&["*"]).is_all() && Reach::all().is_all());
        assert!(!reach(&[]).is_all() && !reach(&["*", "!fan-*"]).is_all());
    }

    #[test]
    fn only_one_device_is_reached_by_its_name_however_it_is_written() {
        let names =
            ["pump-1", "*", "!pump-1", "a*", "[ab]", "{a,b}", "a\\b", "?", "öl/1", "a,b", "**"];
        for name in names {
            let only = Reach::only(name).unwrap();
            let reached =
                names.iter().chain(&["a", "b", "ab", "pump-2"]).filter(|it| only.allows(it));
            assert_eq!(reached.collect::<Vec<_>>(), [&name]);
            assert!(!only.is_all());
        }
    }

    #[test]
    fn equal_reaches_are_spelled_alike_in_any_order() {
        assert_eq!(reach(&["a", "b", "a"]), reach(&["b", "a"]));
        assert_eq!(reach(&["*", "a"]), Reach::all());
        assert_ne!(reach(&["a"]), reach(&["b"]));
        assert_ne!(reach(&[]), Reach::all());
    }
}

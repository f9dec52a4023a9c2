//! What a caller may do. Pure.

use std::fmt;

/// One of the things that a caller may be let to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Send readings, and be sent commands.
    Ingest,
    /// See readings, alerts and how the daemon is.
    View,
    /// Act on the plant: commands, alerts, devices, boards.
    Command,
    /// Act on the daemon: rules, sinks, quarantine, keys. Includes the others.
    Admin,
}

impl Scope {
    /// All there are.
    pub const ALL: [Scope; 4] = [Scope::Ingest, Scope::View, Scope::Command, Scope::Admin];

    /// As people and tokens write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Scope::Ingest => "ingest",
            Scope::View => "view",
            Scope::Command => "command",
            Scope::Admin => "admin",
        }
    }

    /// The scope of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Scope> {
        Scope::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Some scopes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scopes(u8);

impl Scopes {
    /// Those that are in force: with admin every one.
    pub fn in_force(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |&scope| self.has(scope))
    }

    /// Those that were given: admin alone where that is what was said.
    pub fn given(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |&scope| self.holds(scope))
    }

    /// Whether this one is in force.
    #[must_use]
    pub fn has(self, scope: Scope) -> bool {
        self.holds(scope) || self.holds(Scope::Admin)
    }

    fn holds(self, scope: Scope) -> bool {
        self.0 >> scope as u8 & 1 == 1
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Scopes {
        Scopes(scopes.into_iter().fold(0, |bits, scope| bits | 1 << scope as u8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_includes_the_others_and_nothing_else_does() {
        for one in Scope::ALL {
            assert_eq!(Scope::named(one.name()), Some(one));
            for other in Scope::ALL {
                let has = Scopes::from_iter([one]).has(other);
                assert_eq!(has, one == other || one == Scope::Admin, "{one} {other}");
            }
        }
        let admin = Scopes::from_iter([Scope::Admin]);
        assert_eq!((admin.given().count(), admin.in_force().count()), (1, 4));
        assert_eq!(Scopes::default().in_force().count(), 0);
        assert_eq!(Scope::named("Admin"), None);
    }
}

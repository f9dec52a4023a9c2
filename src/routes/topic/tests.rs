use super::*;
use proptest::prelude::*;

fn matches(pattern: &str, topic: &str) -> bool {
    Pattern::new(pattern).unwrap().matches(topic).is_some()
}

#[test]
fn wildcards_are_those_of_the_standard() {
    // The examples of section 4.7.
    for (pattern, topic, expected) in [
        ("sport/tennis/player1/#", "sport/tennis/player1", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
        ("sport/#", "sport", true),
        ("#", "sport", true),
        ("sport/tennis/+", "sport/tennis/player1", true),
        ("sport/tennis/+", "sport/tennis/player1/ranking", false),
        ("sport/+", "sport", false),
        ("sport/+", "sport/", true),
        ("+/+", "/finance", true),
        ("/+", "/finance", true),
        ("+", "/finance", false),
        ("#", "$SYS/broker/uptime", false),
        ("+/monitor/Clients", "$SYS/monitor/Clients", false),
        ("$SYS/#", "$SYS/broker/uptime", true),
        ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
        ("{first}/monitor", "$SYS/monitor", false),
        ("{all#}", "$SYS/monitor", false),
        ("a{b}/c", "$SYS/c", false),
        ("$SYS/{all#}", "$SYS/monitor", true),
        ("ACCOUNTS", "Accounts", false),
        ("a/b", "a/b", true),
        ("a/b", "a/b/", false),
        ("a//b", "a//b", true),
        ("a/+/b", "a//b", true),
        ("+", "", false),
    ] {
        assert_eq!(matches(pattern, topic), expected, "{pattern} {topic}");
    }
}

#[test]
fn captures_are_what_stands_in_their_place() {
    let check = |pattern: &str, topic: &str, expected: Option<&[&str]>| {
        let compiled = Pattern::new(pattern).unwrap();
        let captures = compiled.matches(topic);
        let found = captures.map(|captures| {
            (0..compiled.names.len()).map(|number| captures.get(number)).collect::<Vec<_>>()
        });
        assert_eq!(found.as_deref(), expected, "{pattern} {topic}");
    };
    check("site/{site}/+/{device}/{m}", "site/a/x/pump/t", Some(&["a", "pump", "t"]));
    check("site/{site}/x", "site//x", None);
    check("dev-{id}/t", "dev-7/t", Some(&["7"]));
    check("dev-{id}/t", "dev-/t", None);
    check("dev-{id}/t", "xdev-7/t", None);
    check("{a}-{b}", "x-y-z", Some(&["x", "y-z"]));
    check("{a}-{b}.c", "-x-y.c.c", Some(&["-x", "y.c"]));
    check("{a}-{b}-{c}", "ö-ü-ä", Some(&["ö", "ü", "ä"]));
    check("{a}-{b}-{c}", "x-y", None);
    check("{a}-{b}", "--b", Some(&["-", "b"]));
    check("p{{{a}}}", "p{7}", Some(&["7"]));
    check("z/{device#}", "z/kitchen/lamp", Some(&["kitchen/lamp"]));
    check("z/{device#}", "z", None);
    check("z/{device#}", "z/", None);
    check("{device}_{n}/{rest#}", "a_b/c//d", Some(&["a", "b", "c//d"]));
}

#[test]
fn the_filter_has_wildcards_for_captures() {
    for (pattern, filter) in [
        ("site/{site}/+/{device}/{metric}", "site/+/+/+/+"),
        ("dev-{id}/#", "+/#"),
        ("a/{rest#}", "a/#"),
        ("/a//b/", "/a//b/"),
        ("#", "#"),
    ] {
        assert_eq!(Pattern::new(pattern).unwrap().filter(), filter);
    }
}

#[test]
fn mistakes_in_patterns_are_told() {
    for (pattern, problem) in [
        ("", "is missing"),
        ("a/#/b", "may only be the last level"),
        ("a/{x#}/b", "may only be the last level"),
        ("a+/b", "stand alone between slashes"),
        ("a/b#", "stand alone between slashes"),
        ("{a}{b}", "nothing tells where {b} begins"),
        ("{a}/{a}", "{a} is there twice"),
        ("{}/a", "a capture is named by"),
        ("{a-b}", "a capture is named by"),
        ("{x#}y", "a capture is named by"),
        ("{a", "nothing closes"),
        ("a\0", "control character"),
        ("$share/g/a", "a shared subscription"),
        ("{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}", "more captures than the 8"),
    ] {
        let told = Pattern::new(pattern).unwrap_err();
        assert!(told.contains(problem), "{pattern}: {told}");
    }
    assert!(Pattern::new(&"x".repeat(70_000)).is_err());
}

/// Matching as the standard tells it, slowly: level by level, each by trying every length.
mod naive {
    /// A level: texts and, between them, captures (`None`).
    pub(super) type Parts = Vec<Option<String>>;

    #[derive(Debug, Clone)]
    pub(super) enum Level {
        Any,
        Parts(Parts),
    }

    pub(super) fn level(level: &Level, text: &str) -> bool {
        match level {
            Level::Any => true,
            Level::Parts(parts) => all(parts, text),
        }
    }

    fn all(parts: &[Option<String>], text: &str) -> bool {
        match parts.split_first() {
            None => text.is_empty(),
            Some((Some(literal), rest)) => {
                text.strip_prefix(literal.as_str()).is_some_and(|text| all(rest, text))
            }
            Some((None, rest)) => {
                let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
                ends.into_iter().any(|end| all(rest, &text[end..]))
            }
        }
    }
}

fn text() -> impl Strategy<Value = String> {
    "[ab-]{1,2}"
}

fn a_level() -> impl Strategy<Value = naive::Level> {
    let parts =
        (prop::option::of(text()), prop::collection::vec(text(), 0..3), any::<(bool, bool)>());
    let parts = parts.prop_map(|(prefix, between, (captures, ends))| {
        let mut parts: naive::Parts = prefix.into_iter().map(Some).collect();
        if captures {
            for text in between {
                parts.extend([None, Some(text)]);
            }
            if ends || parts.is_empty() {
                parts.push(None);
            }
        }
        naive::Level::Parts(parts)
    });
    prop_oneof![1 => Just(naive::Level::Any), 4 => parts]
}

fn topic() -> impl Strategy<Value = String> {
    let level = prop_oneof![4 => "[ab-]{0,5}", 1 => Just("$".to_owned())];
    prop::collection::vec(level, 1..4).prop_map(|levels| levels.join("/"))
}

proptest! {
    #[test]
    fn matching_is_as_the_naive_model_has_it(
        levels in prop::collection::vec(a_level(), 1..4),
        rest in any::<bool>(),
        topic in topic(),
    ) {
        // Written out, with captures numbered.
        let mut count = 0;
        let mut written = Vec::new();
        for level in &levels {
            written.push(match level {
                naive::Level::Any => "+".to_owned(),
                naive::Level::Parts(parts) => {
                    parts.iter().map(|part| part.clone().unwrap_or_else(|| {
                        count += 1;
                        format!("{{c{count}}}")
                    })).collect()
                }
            });
        }
        if rest {
            written.push("#".to_owned());
        }
        let written = written.join("/");
        prop_assume!(!written.is_empty() && count <= CAPTURES_MAX);
        let pattern = Pattern::new(&written).unwrap();

        let texts: Vec<&str> = topic.split('/').collect();
        let long_enough = if rest { texts.len() >= levels.len() } else { texts.len() == levels.len() };
        let wild_first = match &levels[0] {
            naive::Level::Any => true,
            naive::Level::Parts(parts) => parts.contains(&None),
        };
        let expected = !topic.is_empty()
            && long_enough
            && levels.iter().zip(&texts).all(|(level, text)| naive::level(level, text))
            && !(topic.starts_with('$') && wild_first);
        let captures = pattern.matches(&topic);
        prop_assert_eq!(captures.is_some(), expected, "{} {}", written, topic);

        // What was captured, put in its place, gives the topic again.
        if let Some(captures) = captures {
            let mut number = 0;
            for (level, text) in levels.iter().zip(&texts) {
                if let naive::Level::Parts(parts) = level {
                    let filled: String = parts.iter().map(|part| part.clone().unwrap_or_else(|| {
                        number += 1;
                        captures.get(number - 1).to_owned()
                    })).collect();
                    prop_assert_eq!(&filled, text);
                }
            }
        }
    }

    #[test]
    fn no_pattern_and_no_topic_panics(pattern in "[ab+#{}/$\\-]{0,12}|\\PC*", topic in "\\PC*") {
        if let Ok(pattern) = Pattern::new(&pattern) {
            let captures = pattern.matches(&topic);
            prop_assert!(captures.is_none() || !topic.is_empty());
        }
    }
}

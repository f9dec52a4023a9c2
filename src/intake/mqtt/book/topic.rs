//! Which topics a filter means.

/// Whether a topic fits a filter: `+` stands for one level, `#` at the end for all that follow and for
/// the level before it. Neither stands for a first level that begins with `$` [MQTT-4.7.2-1].
#[must_use]
pub fn fits(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for part in filter.split('/') {
        match (part, levels.next()) {
            ("#", _) | ("+", Some(_)) => {}
            (part, Some(level)) if part == level => {}
            _ => return false,
        }
        if part == "#" {
            return true;
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn filters_mean_what_the_specification_says() {
        for (filter, topic, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/b/c", "a/b", false),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("a/#", "ab", false),
            ("#", "a/b", true),
            ("#", "/", true),
            ("+", "a", true),
            ("+", "/a", false),
            ("+/+", "/a", true),
            ("/+", "/a", true),
            ("a/+/c", "a/b/c", true),
            ("a/+/c", "a//c", true),
            ("a/+", "a", false),
            ("a/+/#", "a", false),
            ("a/+/#", "a/b", true),
            ("#", "$SYS/up", false),
            ("+/up", "$SYS/up", false),
            ("$SYS/#", "$SYS/up", true),
            ("a", "A", false),
        ] {
            assert_eq!(fits(filter, topic), expected, "{filter} {topic}");
        }
    }
}

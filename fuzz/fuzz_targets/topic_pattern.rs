//! Any text as a pattern and a topic, one per line. A pattern that is accepted subscribes to a valid filter,
//! and takes only topics that the filter matches.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::routes::{Route, RouteSpec, suggest};

/// Section 4.7 of the standard, level by level.
fn filter_matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) => return true,
            (Some("+"), Some(_)) => {}
            (Some(level), Some(text)) if level == text => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

fuzz_target!(|text: &str| {
    let (pattern, topic) = text.split_once('\n').unwrap_or((text, text));
    let spec = RouteSpec {
        topic: pattern.to_owned(),
        decoder: "ignore".to_owned(),
        ..RouteSpec::default()
    };
    let Ok(route) = Route::new(&spec) else { return };
    let levels: Vec<_> = route.filter().split('/').collect();
    for (number, level) in levels.iter().enumerate() {
        assert!(*level == "+" || !level.contains('+'));
        assert!(!level.contains('#') || (*level == "#" && number + 1 == levels.len()));
    }
    if route.takes(topic).is_some() {
        assert!(filter_matches(route.filter(), topic), "{} {topic}", route.filter());
    }
    assert!(!suggest(topic, b"21.5").is_empty());
});

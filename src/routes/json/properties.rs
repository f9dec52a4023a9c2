//! Any JSON under any pointers, beside a model that reads a tree of it.

use super::tests::{read, route};
use crate::decode::Content::{self, Bool, Float, Text};
use crate::routes::{Route, RouteSpec};
use proptest::prelude::*;

/// A value by its path, as the model below reads a message.
fn flattened(value: &serde_json::Value, path: &str, out: &mut Vec<(String, Content<'static>)>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        serde_json::Value::Null | serde_json::Value::String(_) => {}
        serde_json::Value::Bool(truth) => out.push((path.to_owned(), Bool(*truth))),
        serde_json::Value::Number(number) => {
            out.push((path.to_owned(), Float(number.as_f64().unwrap())));
        }
        serde_json::Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                flattened(item, &below(&index.to_string()), out);
            }
        }
        serde_json::Value::Object(entries) => {
            for (key, value) in entries {
                flattened(value, &below(key), out);
            }
        }
    }
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        (-1e9..1e9).prop_map(Into::into),
        "[a-z\\\\\"]{0,4}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map("[a-d\\\\\"é]{1,2}", inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Without pointers: what a tree of the message has, in its order.
    #[test]
    fn all_values_are_those_of_the_tree(value in any_json(), object in any::<bool>()) {
        let value = if object { serde_json::json!({ "top": value }) } else { value };
        let mut expected = Vec::new();
        flattened(&value, "", &mut expected);
        let route = route("may_be_empty = true");
        let payload = value.to_string();
        let readings = read(&route, payload.as_bytes()).unwrap();
        let found: Vec<_> = readings
            .iter()
            .flat_map(|reading| &reading.values)
            .map(|value| (value.metric.clone().into_owned(), value.content.clone()))
            .collect();
        prop_assert!(readings.len() <= 1);
        prop_assert_eq!(found, expected);
    }

    /// With pointers: exactly the values below one and below no ignored one.
    #[test]
    fn pointed_values_are_those_of_the_tree(
        value in any_json(),
        values in prop::collection::vec("(/([a-d]|\\*|0|1)){1,3}", 1..4),
        ignore in prop::collection::vec("(/([a-d]|\\*|0|1)){1,3}", 0..3),
    ) {
        let is_below = |pointer: &str, path: &str| {
            let tokens: Vec<_> = pointer.split('/').skip(1).collect();
            let steps: Vec<_> = if path.is_empty() { vec![] } else { path.split('.').collect() };
            tokens.len() <= steps.len()
                && tokens.iter().zip(&steps).all(|(token, step)| *token == "*" || token == step)
        };
        let mut expected = Vec::new();
        flattened(&value, "", &mut expected);
        expected.retain(|(path, _)| {
            values.iter().any(|pointer| is_below(pointer, path))
                && !ignore.iter().any(|pointer| is_below(pointer, path))
        });
        let route = Route::new(&RouteSpec {
            topic: "plant/{site}/{device}".into(),
            decoder: "json".into(),
            values,
            ignore,
            may_be_empty: true,
            ..RouteSpec::default()
        });
        let (route, payload) = (route.unwrap(), value.to_string());
        let readings = read(&route, payload.as_bytes()).unwrap();
        let mut found: Vec<_> = readings
            .iter()
            .flat_map(|reading| &reading.values)
            .map(|value| (value.metric.clone().into_owned(), value.content.clone()))
            .collect();
        // Texts that are pointed at are taken, which the model leaves out.
        found.retain(|(_, content)| !matches!(content, Text(_)));
        prop_assert_eq!(found, expected);
    }

    /// What serde_json takes for JSON is JSON, whatever the route; nothing panics.
    #[test]
    fn no_bytes_panic(
        value in any_json(),
        cut in 0..200_usize,
        flip in prop::option::of((0..200_usize, any::<u8>())),
    ) {
        let mut bytes = value.to_string().into_bytes();
        bytes.truncate(cut);
        if let Some((at, byte)) = flip
            && let Some(place) = bytes.get_mut(at)
        {
            *place = byte;
        }
        for more in [
            "may_be_empty = true",
            "root = \"/*\"\ntime = \"/*/a\"\ndevice = \"{/*/b}\"\ntexts = true",
            "values = [\"/a\", \"/*/*\"]\nignore = [\"/b\"]\nrename = { \"/a\" = \"x\" }\nintegers = [\"/*\"]",
        ] {
            let route = route(more);
            match read(&route, &bytes) {
                Ok(readings) => {
                    prop_assert!(readings.iter().all(|reading| !reading.values.is_empty()));
                    // A byte order mark and a zero byte at the end are forgiven, and where a message
                    // may be empty, that it has no payload.
                    let is_nothing = bytes.trim_ascii().is_empty();
                    if !is_nothing && !bytes.contains(&0) && !bytes.starts_with(&[0xef]) {
                        prop_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok());
                    }
                }
                Err(puzzle) => prop_assert!(!puzzle.to_string().is_empty()),
            }
        }
    }
}

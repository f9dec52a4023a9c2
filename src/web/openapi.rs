//! `GET /api/v1/openapi.json`: the HTTP surface as an OpenAPI 3.1 document, for programs.
//!
//! It is written by hand, a file for each part of the surface in `openapi/`, with its `paths` and the
//! `schemas` that they use. Here they are put together, with what all paths have in common: how the entry
//! refuses, and that nobody is asked who they are where no scope is needed.

use serde_json::{Map, Value as Json, json};
use std::sync::OnceLock;

/// What is said once: the title, parameters, headers and responses of many paths.
const BASE: &str = include_str!("openapi/base.json");

const PARTS: [&str; 17] = [
    include_str!("openapi/access.json"),
    include_str!("openapi/alerts.json"),
    include_str!("openapi/boards.json"),
    include_str!("openapi/commands.json"),
    include_str!("openapi/daemon.json"),
    include_str!("openapi/devices.json"),
    include_str!("openapi/export.json"),
    include_str!("openapi/history.json"),
    include_str!("openapi/influx.json"),
    include_str!("openapi/ingest.json"),
    include_str!("openapi/live.json"),
    include_str!("openapi/notifications.json"),
    include_str!("openapi/otlp.json"),
    include_str!("openapi/prometheus.json"),
    include_str!("openapi/quarantine.json"),
    include_str!("openapi/remote_write.json"),
    include_str!("openapi/sinks.json"),
];

/// The document. It is put together when it is first asked for.
pub(super) fn document() -> &'static str {
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    DOCUMENT.get_or_init(|| whole().to_string())
}

fn whole() -> Json {
    let mut whole = read(BASE);
    for part in PARTS {
        let mut part = read(part);
        extend(&mut whole["components"]["schemas"], part["schemas"].take());
        extend(&mut whole["paths"], part["paths"].take());
    }
    let paths = whole["paths"].as_object_mut().into_iter().flatten();
    for (_, path) in paths {
        for (method, operation) in path.as_object_mut().into_iter().flatten() {
            refuse(method, operation);
        }
    }
    whole
}

/// A test reads each of them: none is empty.
fn read(text: &str) -> Json {
    serde_json::from_str(text).unwrap_or_default()
}

fn extend(whole: &mut Json, part: Json) {
    if let (Json::Object(whole), Json::Object(part)) = (whole, part) {
        whole.extend(part);
    }
}

/// Adds the answers of the entry, before any route.
fn refuse(method: &str, operation: &mut Json) {
    let response = |name: &str| json!({ "$ref": format!("#/components/responses/{name}") });
    let mut refusals = Map::new();
    refusals.insert("431".to_owned(), response("HeadTooLarge"));
    if operation["x-scope"] == "none" {
        operation["security"] = json!([]);
    } else {
        refusals.insert("401".to_owned(), response("Unauthorized"));
        refusals.insert("403".to_owned(), response("Problem"));
        refusals.insert("429".to_owned(), response("Later"));
    }
    if method != "get" {
        // A page of another host.
        refusals.insert("403".to_owned(), response("Problem"));
    }
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    for (status, response) in refusals {
        responses.entry(status).or_insert(response);
    }
}

#[cfg(test)]
mod tests {
    use super::super::surface::{Needs, ROWS};
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_row_of_the_surface_is_in_the_document_and_nothing_else() {
        let document: Json = serde_json::from_str(document()).unwrap();
        let mut told = BTreeSet::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                let scope = operation["x-scope"].as_str().unwrap_or("missing");
                told.insert(format!("{} {path} {scope}", method.to_uppercase()));
            }
        }
        let rows = ROWS.iter().map(|row| {
            let scope = match row.needs {
                Needs::Nothing => "none",
                Needs::Scope(scope) => scope.name(),
            };
            format!("{} {} {scope}", row.method, row.path)
        });
        let rows: BTreeSet<_> = rows.collect();
        let missing: Vec<_> = rows.difference(&told).collect();
        let too_many: Vec<_> = told.difference(&rows).collect();
        assert!(missing.is_empty() && too_many.is_empty(), "{missing:#?} {too_many:#?}");
    }

    #[test]
    fn what_is_referred_to_is_there_and_what_is_there_is_referred_to() {
        let document: Json = serde_json::from_str(document()).unwrap();
        let mut used = BTreeSet::new();
        references(&document, &mut used);
        let mut there = BTreeSet::new();
        for kind in ["schemas", "parameters", "headers", "responses"] {
            let named = document["components"][kind].as_object().unwrap();
            there.extend(named.keys().map(|name| format!("#/components/{kind}/{name}")));
        }
        assert_eq!(used, there);
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_its_parameters_and_what_it_answers() {
        let document: Json = serde_json::from_str(document()).unwrap();
        let mut names = BTreeSet::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                let at = format!("{method} {path}");
                assert!(names.insert(operation["operationId"].as_str().unwrap()), "{at}");
                assert!(!operation["summary"].as_str().unwrap().is_empty(), "{at}");
                let responses = operation["responses"].as_object().unwrap();
                assert!(responses.keys().any(|status| status < &"300".to_owned()), "{at}");
                let in_path = path.matches('{').count();
                let parameters = operation["parameters"].as_array();
                let told = parameters.into_iter().flatten().filter(|parameter| {
                    let name = parameter["$ref"].as_str().and_then(|it| it.rsplit('/').next());
                    let shared = name.map(|name| &document["components"]["parameters"][name]);
                    shared.unwrap_or(parameter)["in"] == "path"
                });
                assert_eq!(told.count(), in_path, "{at}");
            }
        }
    }

    fn references(json: &Json, into: &mut BTreeSet<String>) {
        match json {
            Json::Object(object) => {
                for (key, value) in object {
                    match value.as_str() {
                        Some(name) if key == "$ref" => _ = into.insert(name.to_owned()),
                        _ => references(value, into),
                    }
                }
            }
            Json::Array(array) => array.iter().for_each(|value| references(value, into)),
            _ => {}
        }
    }
}

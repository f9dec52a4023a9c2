use super::*;

/// Every mistake of a route, as `key: problem`.
fn mistakes(spec: &str) -> Vec<String> {
    let spec: RouteSpec = toml::from_str(spec).unwrap();
    let mistakes = Route::new(&spec).err().unwrap_or_default();
    mistakes.iter().map(ToString::to_string).collect()
}

fn check(spec: &str, expected: &[&str]) {
    let found = mistakes(spec);
    assert_eq!(found.len(), expected.len(), "{spec}\n{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{spec}\n{found}");
    }
}

#[test]
fn mistakes_are_told_all_at_once_with_their_keys() {
    check("", &["topic: is missing", "decoder: is missing: json, scalar, tidegate"]);
    check(
        "topic = \"a/#/b\"\ndecoder = \"xml\"\nqos = 3",
        &["qos: 3 is none", "topic: \"#\" may only be", "decoder: \"xml\" is none of"],
    );
    let json = |more: &str| format!("topic = \"p/{{device}}\"\ndecoder = \"json\"\n{more}");
    check(&json(""), &[]);
    check(&json("device = \"{site}\""), &["device: {site}: the topic has only {device}"]);
    check(&json("device = \"{/a~2}\""), &["device: \"/a~2\" is no JSON pointer"]);
    check(&json("device = \"{}\""), &["device: \"{}\" has a meaning only in the metric"]);
    check(
        &json("tags = { a = \"\", b = \"{x}\" }"),
        &["tags.a: is empty", "tags.b: {x}: the topic"],
    );
    check(&json("values = [\"a\", \"/b\"]"), &["values.0: \"a\" is no JSON pointer"]);
    check(&json("root = \"/r\"\nvalues = [\"/b\"]"), &["values.0: \"/b\" is not below the root"]);
    check(&json("root = \"/r/*\"\nvalues = [\"/r/0/t\", \"/r/*/t\"]"), &[]);
    check(&json("rename = { a = \"b\" }"), &["rename.a: \"a\" is no JSON pointer"]);
    check(&json("time_format = \"h\""), &["time_format: \"h\" is none of"]);
    check(&json("time = \"/t\"\ntime_zone = \"CET\""), &["time_zone: \"CET\" is neither"]);
    check(&json("numbers = \"int\""), &["numbers: \"int\" is none of"]);
    check(&json("unit = \"a\\nb\""), &["unit: the name has a control character"]);
    check("topic = \"a\"\ndecoder = \"json\"", &["device: {device}: the topic has no captures"]);
    check(
        "topic = \"a/{device}\"\ndecoder = \"scalar\"",
        &["metric: {metric}: the topic has only"],
    );
    check(
        "topic = \"a/{device}\"\ndecoder = \"scalar\"\nmetric = \"{/x}\"",
        &["metric: {/x}: only messages of json"],
    );
    check(
        "topic = \"a/{device}\"\ndecoder = \"scalar\"\nmetric = \"m\"\nvalues = [\"/a\"]\ntime = \"/t\"",
        &[
            "values: means nothing to the decoder \"scalar\"",
            "time: means nothing to the decoder \"scalar\"",
        ],
    );
    check("topic = \"a\"\ndecoder = \"tidegate\"", &[]);
    check("topic = \"a\"\ndecoder = \"tidegate\"\nmetric = \"m\"", &["metric: means nothing to"]);
    check("topic = \"#\"\ndecoder = \"ignore\"", &[]);
    check("topic = \"#\"\ndecoder = \"ignore\"\ndevice = \"d\"", &["device: means nothing to"]);
    for good in ["spBv1.0/#", "spBv1.0/plant/#", "spBv1.0/{group}/#"] {
        check(&format!("topic = \"{good}\"\ndecoder = \"sparkplug\""), &[]);
    }
    check("topic = \"spAv1.0/#\"\ndecoder = \"sparkplug\"", &["topic: must be \"spBv1.0/#\""]);
    check("topic = \"spBv1.0/a/b/#\"\ndecoder = \"sparkplug\"", &["topic: must be \"spBv1.0/#\""]);
    check(
        "topic = \"spBv1.0/#\"\ndecoder = \"sparkplug\"\ndevice = \"{node}/{x}\"",
        &["device: {x} is none of"],
    );
}

#[test]
fn wildcards_that_would_multiply_are_refused() {
    let values: Vec<_> = (0..64)
        .map(|bits| {
            let token = |n: usize| {
                if bits >> (n % 6) & 1 == 0 { "*".to_owned() } else { format!("k{n}{bits}") }
            };
            (0..12).map(|n| format!("/{}", token(n))).collect::<String>()
        })
        .collect();
    let spec = RouteSpec {
        topic: "{device}".into(),
        decoder: "json".into(),
        values,
        ..RouteSpec::default()
    };
    let mistakes = Route::new(&spec).unwrap_err();
    assert_eq!(mistakes[0].to_string(), "values: too many pointers with \"*\" in different places");
}

#[test]
fn a_key_that_no_route_has_is_refused() {
    assert!(toml::from_str::<RouteSpec>("topic = \"a\"\nvalue = [\"/a\"]").is_err());
}

#[test]
fn a_capture_is_found_by_its_name() {
    let spec = RouteSpec {
        topic: "in/{client}/{session}".into(),
        decoder: "tidegate".into(),
        ..RouteSpec::default()
    };
    let route = Route::new(&spec).unwrap();
    let captures = route.takes("in/gw/5").unwrap();
    assert_eq!(route.captured(&captures, "client"), Some("gw"));
    assert_eq!(route.captured(&captures, "session"), Some("5"));
    assert_eq!(route.captured(&captures, "device"), None);
    assert_eq!((route.filter(), route.qos(), route.decoder()), ("in/+/+", 1, Decoder::Tidegate));
    assert!(route.takes("in/gw").is_none());
}

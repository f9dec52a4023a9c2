use super::*;
use std::collections::BTreeMap;

fn spec(toml: &str) -> Spec {
    toml::from_str(toml).unwrap_or_else(|error| panic!("{toml}: {error}"))
}

#[test]
fn rules_make_sense_or_say_why_not() {
    let good = [
        "name='a'\nkind='threshold'\nabove=80\nbelow=nan\nhysteresis=5.0\nfor='5 m'",
        "name='a'\nkind='threshold'\nbelow=1.0\nabove=1.0",
        "name='a'\nkind='change'\nabove=5.0",
        "name='a'\nkind='absence'\nafter='5 m'\ntags={site='north'}",
        "name='a'\nkind='flatline'\nover='30 m'\ntolerance=0.1",
        "name='a'\nkind='text'\nequals=['fault', true]",
        "name='a'\nkind='offline'\ndevice=['pump-*','!pump-1']",
        "name='a'\nkind='daemon'\nwhat='spool'\nabove=0.5",
    ];
    for toml in good {
        Rule::new(&spec(toml)).unwrap_or_else(|wrong| panic!("{toml}: {wrong:?}"));
    }
    let check = |toml: &str, keys: &[&str]| {
        let wrong = Rule::new(&spec(toml)).err().unwrap_or_default();
        let mut found: Vec<_> = wrong.iter().map(|wrong| wrong.key.as_str()).collect();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found, keys, "{toml}: {wrong:?}");
    };
    check("", &["kind", "name"]);
    check("name='a'\nkind='treshold'\nseverity='bad'", &["kind", "severity"]);
    check("name='a'\nkind='threshold'", &["above"]);
    check("name='a'\nkind='threshold'\nabove=nan", &["above"]);
    check("name='a'\nkind='threshold'\nabove=inf", &["above"]);
    check("name='a'\nkind='threshold'\nabove=1.0\nbelow=2.0", &["below"]);
    check("name='a'\nkind='threshold'\nabove=2.0\nbelow=1.0\nhysteresis=0.6", &["hysteresis"]);
    check("name='a'\nkind='threshold'\nabove=2.0\nhysteresis=-1.0", &["hysteresis"]);
    check("name='a'\nkind='threshold'\nabove=2.0\nover='1 m'\nequals=['x']", &["equals", "over"]);
    check("name='a'\nkind='change'\nbelow=1.0\nper='0 s'\nover='x'", &["over", "per"]);
    check("name='a'\nkind='absence'", &["after"]);
    check("name='a'\nkind='flatline'\ntolerance=nan", &["over", "tolerance"]);
    check("name='a'\nkind='text'", &["equals"]);
    check("name='a'\nkind='offline'\nmetric=['x']\nfor='400 d'", &["for", "metric"]);
    check("name='a'\nkind='daemon'\nwhat='x'", &["what"]);
    check("name='a'\nkind='daemon'\nwhat='disk'\nabove=1.0\ndevice=['x']", &["above", "device"]);
    check("name='a'\nkind='offline'\ndevice=['{']\ntext='{x}'", &["device", "text"]);
    check("name='a'\nkind='offline'\ndevice=[]", &["device"]);
    let long = "x".repeat(2000);
    check(&format!("name='{long}'\nkind='offline'\nnotify=['{long}']"), &["name", "notify"]);
}

#[test]
fn a_fingerprint_is_of_what_is_judged() {
    let base = Spec {
        name: "hot".to_owned(),
        kind: "threshold".to_owned(),
        above: Some(80.0),
        ..Spec::default()
    };
    let print = |spec: &Spec| Rule::new(spec).unwrap().fingerprint;
    let with = |change: fn(&mut Spec)| {
        let mut spec = base.clone();
        change(&mut spec);
        print(&spec)
    };
    let changes: [fn(&mut Spec); 9] = [
        |it| it.name = "cold".to_owned(),
        |it| it.above = Some(81.0),
        |it| (it.above, it.below) = (None, Some(80.0)),
        |it| it.hysteresis = 1.0,
        |it| it.hold = "1 s".to_owned(),
        |it| it.device = vec!["a".to_owned()],
        |it| it.metric = vec!["a".to_owned()],
        |it| it.tags = BTreeMap::from([("a".to_owned(), "b".to_owned())]),
        |it| (it.kind, it.per) = ("change".to_owned(), "1 s".to_owned()),
    ];
    let mut all: Vec<_> = changes.into_iter().map(with).chain([print(&base)]).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 10);
    let same: [fn(&mut Spec); 4] = [
        |it| it.severity = "critical".to_owned(),
        |it| it.text = "hot".to_owned(),
        |it| it.runbook = "x".to_owned(),
        |it| it.hold = "0 s".to_owned(),
    ];
    assert!(same.into_iter().all(|change| with(change) == print(&base)));
    // It is stored: it must not change with a release.
    assert_eq!(format!("{:x}", print(&base)), "f541e23f13c00779");
}

#[test]
fn what_is_serialized_is_what_was_meant() {
    let spec = spec("name='a'\nkind='text'\nequals=['fault', true]\nabove=nan\nfor='5 s'");
    let json = serde_json::to_value(&spec).unwrap();
    assert_eq!(json["equals"], serde_json::json!(["fault", true]));
    assert_eq!((&json["for"], json.get("above")), (&"5 s".into(), None));
    let back: Spec = serde_json::from_value(json).unwrap();
    assert_eq!(back, Spec { above: None, ..spec });
}

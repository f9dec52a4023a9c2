//! Layers over the manual: what wins, and what each mistake says.

use super::{Mistake, Sources, load};
use crate::config::{Config, ConfigError, InfluxConfig};
use crate::sinks::breaker;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

fn read(
    file: &str,
    environment: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<(Config, String), ConfigError> {
    let mut given = tempfile::NamedTempFile::new().unwrap();
    given.write_all(file.as_bytes()).unwrap();
    let owned = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>()
    };
    load(&Sources {
        file: Some(given.path().to_owned()),
        environment: owned(environment),
        flags: owned(flags),
    })
}

fn sinks(file: &str) -> Vec<InfluxConfig> {
    read(file, &[], &[]).unwrap().0.sinks.influx
}

#[track_caller]
fn check_mistakes(mistakes: &[Mistake], expected: &[(&str, &str)]) {
    let paths: Vec<_> = mistakes.iter().map(|mistake| mistake.path.as_str()).collect();
    let expected_paths: Vec<_> = expected.iter().map(|(path, _)| *path).collect();
    assert_eq!(paths, expected_paths, "{mistakes:#?}");
    for (mistake, (_, said)) in mistakes.iter().zip(expected) {
        assert!(mistake.problem.contains(said), "\"{said}\" is not in: {mistake}");
    }
}

#[track_caller]
fn check(file: &str, expected: &[(&str, &str)]) {
    check_mistakes(&read(file, &[], &[]).unwrap_err().0, expected);
}

const ONE: &str = "[[sinks.influx]]\nurl = \"http://db:8086\"\nbucket = \"north\"\n";

#[test]
fn the_manual_alone_is_good_and_has_no_sink() {
    let (config, effective) = read("", &[], &[]).unwrap();
    assert!(config.sinks.influx.is_empty());
    assert_eq!(config.sinks.dead_letters_bytes_max, 256 << 20);
    assert_eq!(config.sinks.dead_letters_age_max, Some(Duration::from_secs(30 * 86_400)));
    // What is printed can be used as a file.
    assert_eq!(read(&effective, &[], &[]).unwrap().1, effective);
}

#[test]
fn a_block_makes_a_sink_of_what_the_manual_says_and_what_it_says() {
    let file = format!(
        "{ONE}org = \"plant\"\nbacklog_share = 0.25\n[sinks.influx.breaker]\nfailures = 9\n"
    );
    let sinks = sinks(&format!(
        "{file}[[sinks.influx]]\nname = \"b\"\nurl = \"https://x/y\"\nbucket = \"c\"\ntoken_file = \"/etc/token\"\n"
    ));
    let [first, second] = &sinks[..] else { panic!("{sinks:?}") };
    assert_eq!(
        (first.name.as_str(), first.org.as_str(), first.backlog_share),
        ("influx", "plant", 0.25)
    );
    assert_eq!(
        first.write_url.as_str(),
        "http://db:8086/api/v2/write?org=plant&bucket=north&precision=ns"
    );
    assert_eq!(
        first.breaker,
        breaker::Settings { failures_in_a_row: 9, ..breaker::Settings::default() }
    );
    assert_eq!((first.token_file.as_deref(), first.batch_samples), (None, 10_000));
    assert_eq!((second.name.as_str(), second.backlog_share), ("b", 0.5));
    assert_eq!(second.token_file.as_deref(), Some(Path::new("/etc/token")));
    // The manual and the code agree.
    assert_eq!(second.breaker, breaker::Settings::default());
    assert_eq!(
        (second.target().timeout, second.target().connections_max),
        (Duration::from_secs(10), 4)
    );
}

#[test]
fn a_whole_number_will_do_for_a_share() {
    assert_eq!(
        sinks(&format!("{ONE}[sinks.influx.breaker]\nfailure_rate = 1\n"))[0].breaker.failure_rate,
        1.0
    );
}

#[test]
fn mistakes_in_a_block_are_named_by_its_number() {
    let two = format!("{ONE}[[sinks.influx]]\n");
    check(
        &two,
        &[
            ("sinks.influx.1.name", "the name of sinks.influx.0 already"),
            ("sinks.influx.1.url", "is missing; it is like"),
            ("sinks.influx.1.bucket", "is missing"),
        ],
    );
    check(&format!("{ONE}adress = 1\n"), &[("sinks.influx.0.adress", "known here: backlog_share")]);
    check(
        &format!("{ONE}batch_samples = \"many\"\n"),
        &[("sinks.influx.0.batch_samples", "must be a integer")],
    );
    check(
        &format!("{ONE}breaker.patience = 1\n"),
        &[("sinks.influx.0.breaker.patience", "known here: backoff")],
    );
    check("[sinks.influx]\nurl = \"http://db\"\n", &[("sinks.influx", "[[sinks.influx]]")]);
    check(
        "[sinks]\ninflux = [1]\n",
        &[
            ("sinks.influx.0", "must be a block"),
            ("sinks.influx.0.url", "missing"),
            ("sinks.influx.0.bucket", "missing"),
        ],
    );
}

#[test]
fn every_key_of_a_block_is_checked_even_without_an_address() {
    let file = "[[sinks.influx]]\nname = \"History\"\nmeasurement = \"\"\ndevices = []\nmetrics = [\"[\"]\n\
                batch_samples = 0\nbatch_bytes = \"1 KiB\"\nbatch_age = \"soon\"\nrequests_max = 100\n\
                timeout = \"0 s\"\nbacklog_share = 1.5\nsend = \"all\"\nrollup_window = \"1500 ms\"\n\
                rollup_silence = \"0 s\"\n[sinks.influx.breaker]\nfailures = 0\n\
                failure_rate = -0.1\nbackoff = \"2 m\"\nbackoff_max = \"1 m\"\nfix_interval = \"0 s\"\n\
                unreachable_max = \"0 s\"\n";
    let key = |key: &str| format!("sinks.influx.0.{key}");
    let expected = [
        (key("name"), "1 to 32 of a-z"),
        (key("url"), "is missing"),
        (key("bucket"), "any name will do"),
        (key("measurement"), "the name is empty"),
        (key("timeout"), "more than nothing"),
        (key("devices"), "empty list"),
        (key("metrics"), "\"[\" is not a glob"),
        (key("rollup_window"), "1.5s must be whole seconds"),
        (key("rollup_silence"), "more than nothing"),
        (key("send"), "\"all\" is none of \"raw\", \"rollups\""),
        (key("batch_samples"), "0 is outside"),
        (key("batch_bytes"), "1024 is outside"),
        (key("batch_age"), "not a duration"),
        (key("requests_max"), "100 is outside"),
        (key("backlog_share"), "1.5 is outside"),
        (key("breaker.failures"), "0 is outside"),
        (key("breaker.failure_rate"), "-0.1 is outside"),
        (key("breaker.unreachable_max"), "more than nothing"),
        (key("breaker.fix_interval"), "more than nothing"),
        (key("breaker.backoff_max"), "at least backoff"),
    ];
    let expected: Vec<_> = expected.iter().map(|(path, said)| (path.as_str(), *said)).collect();
    check(file, &expected);
    check(
        "[sinks]\ndead_letters_size_max = \"0 B\"\ndead_letters_age_max = \"old\"\n",
        &[
            ("sinks.dead_letters_age_max", "not a duration"),
            ("sinks.dead_letters_size_max", "outside"),
        ],
    );
    check(
        &format!("{ONE}name = \"history\"\n"),
        &[("sinks.influx.0.name", "embedded store's name")],
    );
}

#[test]
fn a_password_in_an_address_is_refused_and_not_repeated() {
    let error =
        read("[[sinks.influx]]\nurl = \"http://me:hunter2@db\"\nbucket = \"b\"\n", &[], &[]);
    let error = error.unwrap_err();
    check_mistakes(&error.0, &[("sinks.influx.0.url", "name it in token_file")]);
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[test]
fn environment_and_flags_reach_into_blocks_and_make_new_ones() {
    // In whatever order the process has them.
    let environment = [
        ("TIDEGATE_SINKS__INFLUX__1__NAME", "second"),
        ("TIDEGATE_SINKS__INFLUX__1__URL", "http://two"),
        ("TIDEGATE_SINKS__INFLUX__1__BUCKET", "b"),
        ("TIDEGATE_SINKS__INFLUX__0__URL", "http://one"),
        ("TIDEGATE_SINKS__INFLUX__0__BREAKER__FAILURE_RATE", "0.75"),
        ("TIDEGATE_CONFIG", "/etc/tidegate/tidegate.toml"),
        ("TIDEGATE_TOKEN_FILE", "/root/key"),
    ];
    let flags = [
        ("sinks.influx.0.bucket", "a"),
        ("sinks.influx.0.requests_max", "2"),
        ("sinks.influx.1.devices", "pump-*, fan-*"),
    ];
    let sinks = read("", &environment, &flags).unwrap().0.sinks.influx;
    let [first, second] = &sinks[..] else { panic!("{sinks:?}") };
    assert_eq!(
        (first.url.as_str(), first.bucket.as_str(), first.requests_max),
        ("http://one", "a", 2)
    );
    assert_eq!(first.breaker.failure_rate, 0.75);
    assert_eq!((second.name.as_str(), second.url.as_str()), ("second", "http://two"));
    let devices = second.devices.as_ref().unwrap();
    assert!(devices.is_match("pump-1") && devices.is_match("fan-1") && !devices.is_match("x"));
    // After those of the file.
    let flags = [
        ("sinks.influx.1.name", "x"),
        ("sinks.influx.1.url", "http://x"),
        ("sinks.influx.1.bucket", "y"),
    ];
    assert_eq!(read(ONE, &[], &flags).unwrap().0.sinks.influx.len(), 2);
}

#[test]
fn paths_that_lead_nowhere_are_mistakes() {
    let flags = [
        ("sinks.influx.1.url", "http://x"),
        ("sinks.influx.first.url", "http://x"),
        ("sinks.influx", "http://x"),
        ("sinks.influx.0", "http://x"),
        ("sinks.influx.0.breaker", "open"),
        ("sinks.influx.0.uri", "http://x"),
        ("sinks.influx.0.backlog_share", "half"),
        ("spool.size_max.x", "1"),
        ("nothing", "1"),
    ];
    let expected = [
        ("--sinks.influx.1.url", "of which the next is 0: sinks.influx.0"),
        ("--sinks.influx.first.url", "followed by a number"),
        ("--sinks.influx", "is not one value"),
        ("--sinks.influx.0", "is not one value"),
        ("--sinks.influx.0.breaker", "is not one value"),
        ("--sinks.influx.0.uri", "no such key"),
        ("--sinks.influx.0.backlog_share", "\"half\" is not a number"),
        ("--spool.size_max.x", "is not one value"),
        ("--nothing", "no such key"),
    ];
    let mistakes = read("", &[], &flags).unwrap_err().0;
    check_mistakes(&mistakes[..expected.len()], &expected);
}

#[test]
fn the_tenth_block_comes_after_the_second() {
    let mut environment = Vec::new();
    for number in (0..12).rev() {
        let name = |key: &str| format!("TIDEGATE_SINKS__INFLUX__{number}__{key}");
        environment.push((name("NAME"), format!("s{number}")));
        environment.push((name("URL"), "http://x".to_owned()));
        environment.push((name("BUCKET"), "b".to_owned()));
    }
    let environment: Vec<_> = environment.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let sinks = read("", &environment, &[]).unwrap().0.sinks.influx;
    let names: Vec<_> = sinks.iter().map(|sink| sink.name.clone()).collect();
    assert_eq!(names, (0..12).map(|number| format!("s{number}")).collect::<Vec<_>>());
}

#[test]
fn what_a_sink_may_hold_is_added_to_the_worst_case() {
    let requests = |config: &Config| {
        let lines = crate::config::worst_case_memory(config);
        lines.iter().find(|line| line.what == "requests to stores").unwrap().bytes
    };
    assert_eq!(requests(&read("", &[], &[]).unwrap().0), 0);
    let one = 2 * 2 * 4 * (2 * (2 << 20) + 10_000 * 40 * 2);
    assert_eq!(requests(&read(ONE, &[], &[]).unwrap().0), one);
}

#[test]
fn a_sink_gets_every_sample_or_rollups_of_whole_seconds() {
    use crate::config::RollupsConfig;
    assert_eq!(sinks(ONE)[0].rollups, None);
    let rollups = |keys: &str| sinks(&format!("{ONE}send = \"rollups\"\n{keys}"))[0].rollups;
    let (window, silence) = (Duration::from_secs(60), Duration::from_secs(3600));
    assert_eq!(rollups(""), Some(RollupsConfig { window, silence }));
    let window = Duration::from_secs(3600);
    assert_eq!(rollups("rollup_window = \"1 h\""), Some(RollupsConfig { window, silence }));
    for wrong in ["0 s", "999 ms", "61 m", "1 d"] {
        check(
            &format!("{ONE}rollup_window = \"{wrong}\"\n"),
            &[("sinks.influx.0.rollup_window", "whole seconds, from \"1 s\" to \"1 h\"")],
        );
    }
    // What it folds is added to the worst case: of each series a window, and those of the lateness.
    let windows = |keys: &str| {
        let config =
            read(&format!("{ONE}{keys}"), &[], &[("limits.series_max", "1000")]).unwrap().0;
        let lines = crate::config::worst_case_memory(&config);
        lines.iter().find(|line| line.what.starts_with("open windows")).unwrap().bytes
    };
    assert_eq!(windows(""), 0);
    assert_eq!(windows("send = \"rollups\"\n"), 1000 * (200 + 2 * 112));
    assert_eq!(windows("send = \"rollups\"\nrollup_window = \"1 s\"\n"), 1000 * (200 + 3 * 112));
}

//! Answers as the servers give them, and what they mean.

use super::{
    Answer, Cause, Fix, Meaning, Refused, RefusedLine, TokenFault, Unreached, answered, unreached,
};
use crate::model::Timestamp;
use crate::sinks::breaker::FailureKind;
use std::io;
use std::path::Path;
use std::time::Duration;

/// 2026-11-21T08:00:00Z.
const NOW: Timestamp = Timestamp(1_795_248_000_000_000_000);

fn meaning(status: u16, body: &str, retry_after: Option<&str>) -> Meaning {
    answered(&Answer { status, body: body.as_bytes(), retry_after }, NOW)
}

fn check(status: u16, body: &str, expected: Meaning) {
    assert_eq!(meaning(status, body, None), expected, "{status} {body}");
}

fn rejected(words: &str, line: Option<u32>) -> Meaning {
    Meaning::Rejected { words: words.into(), line }
}

#[test]
fn any_success_is_a_success() {
    check(204, "", Meaning::Done);
    check(200, "{}", Meaning::Done);
    check(202, "", Meaning::Done);
}

#[test]
fn influxdb_2_refuses_all_for_a_line_that_it_can_not_read() {
    check(
        400,
        r#"{"code":"invalid","message":"unable to parse 'm,t= v=1 5': missing tag value"}"#,
        rejected("unable to parse 'm,t= v=1 5': missing tag value", None),
    );
}

#[test]
fn influxdb_2_drops_some_and_stores_the_rest() {
    let conflict = r#"failure writing points to database: partial write: field type conflict: input field "v" on measurement "m" is type integer, already exists as type float dropped=7"#;
    check(
        422,
        &format!(r#"{{"code":"unprocessable entity","message":{conflict:?}}}"#),
        Meaning::Partial { refused: Refused::Counted(7), words: conflict.into() },
    );
    check(
        422,
        r#"{"code":"unprocessable entity","message":"failure writing points to database"}"#,
        Meaning::Partial {
            refused: Refused::Untold,
            words: "failure writing points to database".into(),
        },
    );
}

const CONFLICT: &str = "invalid column type for column 'temp', expected iox::column_type::field::float, got iox::column_type::field::string";

#[test]
fn influxdb_3_lists_the_lines_that_it_did_not_store() {
    let line = |number: u32| {
        format!(
            r#"{{"original_line":"home,room=Sunroom temp=hi 1735549200","line_number":{number},"error_message":"{CONFLICT}"}}"#
        )
    };
    let body = |lines: &[String]| {
        format!(
            r#"{{"error":"partial write of line protocol occurred","data":[{}]}}"#,
            lines.join(",")
        )
    };
    let refused = |line| RefusedLine { line, words: CONFLICT.into() };
    let partial = |lines, complete| Meaning::Partial {
        refused: Refused::Listed { lines, complete },
        words: "partial write of line protocol occurred".into(),
    };
    let two = vec![refused(1), refused(4)];
    check(400, &body(&[line(2), line(5)]), partial(two.clone(), true));
    // The same with 422, if a limit of the catalog was met.
    check(422, &body(&[line(2), line(5)]), partial(two, true));
    let hundred: Vec<_> = (1..=100).map(line).collect();
    check(400, &body(&hundred), partial((0..100).map(refused).collect(), false));
    // A list whose numbers say nothing: we have to find out.
    let unknown = Meaning::Partial {
        refused: Refused::Untold,
        words: "partial write of line protocol occurred".into(),
    };
    check(400, &body(&[line(0)]), unknown);
}

#[test]
fn influxdb_3_refuses_all_and_names_a_line() {
    for error in ["parsing failed for write_lp endpoint", "line protocol parsing error"] {
        check(
            400,
            &format!(
                r#"{{"error":"{error}","data":{{"original_line":"cpu,host=a val= 123","line_number":2,"error_message":"No fields were provided"}}}}"#
            ),
            rejected(&format!("{error}: No fields were provided"), Some(1)),
        );
    }
    check(
        400,
        r#"{"code":"invalid","message":"line protocol parsing error"}"#,
        rejected("line protocol parsing error", None),
    );
    check(400, "no data in request", rejected("no data in request", None));
}

#[test]
fn too_large_is_to_be_split() {
    check(
        413,
        r#"{"code":"request too large","message":"unable to read data: points batch is too large"}"#,
        Meaning::TooLarge,
    );
    check(413, "<html>413 Request Entity Too Large</html>", Meaning::TooLarge);
}

#[track_caller]
fn check_fix(status: u16, body: &str, fix: Fix, said: &str) {
    let meaning = meaning(status, body, Some("7"));
    let Meaning::Misconfigured { cause } = &meaning else { panic!("{meaning:?}") };
    assert!(matches!(cause, Cause::ToFix { fix: found, .. } if *found == fix), "{cause:?}");
    assert!(cause.to_string().contains(said), "{cause}");
    assert_eq!(meaning.failure().unwrap().kind, FailureKind::Misconfigured);
}

#[test]
fn what_somebody_must_fix_says_what() {
    let unauthorized = r#"{"code":"unauthorized","message":"unauthorized access"}"#;
    check_fix(401, unauthorized, Fix::Token, "token_file");
    check_fix(401, "", Fix::Token, "token_file");
    check_fix(
        403,
        r#"{"code":"forbidden","message":"insufficient permissions for write"}"#,
        Fix::Permission,
        "insufficient permissions for write",
    );
    check_fix(
        404,
        r#"{"code":"not found","message":"bucket \"plant\" not found"}"#,
        Fix::Bucket,
        r#"bucket "plant" not found"#,
    );
    check_fix(404, "404 page not found", Fix::Bucket, "look at bucket, org and url");
    check_fix(405, r#"{"error":"unsupported method"}"#, Fix::Address, "look at url");
    check_fix(301, "", Fix::Address, "look at url");
    // Neither of these is about lines, though they come with 400.
    check_fix(
        400,
        r#"remoteAddr: "127.0.0.1:5"; requestURI: /x; unsupported path requested: "/x""#,
        Fix::Address,
        "unsupported path requested",
    );
    check_fix(
        400,
        "Client sent an HTTP request to an HTTPS server.\n",
        Fix::Address,
        "HTTPS server",
    );
    let page = "<html>\r\n<head><title>400 The plain HTTP request was sent to HTTPS port</title>";
    check_fix(400, page, Fix::Address, "HTTPS port");
    check_fix(407, "", Fix::Request, "407");
    check_fix(418, "", Fix::Request, "418");
}

#[test]
fn victoriametrics_says_what_it_can_not_read_in_plain_text() {
    let said = "cannot read gzipped data: unexpected EOF";
    check(400, said, rejected(said, None));
}

#[track_caller]
fn check_wait(status: u16, retry_after: Option<&str>, expected: Option<u64>) {
    let meaning = meaning(status, r#"{"code":"unavailable","message":"busy"}"#, retry_after);
    let (Meaning::SlowDown { after, cause } | Meaning::Unavailable { after, cause }) = &meaning
    else {
        panic!("{meaning:?}")
    };
    assert_eq!(matches!(meaning, Meaning::SlowDown { .. }), [429, 503].contains(&status));
    assert_eq!(*after, expected.map(Duration::from_secs), "{retry_after:?}");
    assert_eq!(cause.to_string(), format!("the store answers {status}: busy"));
    let failure = meaning.failure().unwrap();
    assert_eq!((failure.kind, failure.retry_after), (FailureKind::Unavailable, *after));
}

#[test]
fn a_store_says_how_long_to_wait() {
    check_wait(429, Some("30"), Some(30));
    check_wait(503, Some(" 0 "), Some(0));
    check_wait(503, None, None);
    check_wait(503, Some("Sat, 21 Nov 2026 08:01:30 GMT"), Some(90));
    check_wait(503, Some("Sat, 21 Nov 2026 07:00:00 GMT"), Some(0));
    check_wait(429, Some("soon"), None);
    check_wait(429, Some("-5"), None);
    for status in [408, 500, 502, 504, 507] {
        check_wait(status, None, None);
    }
    check_wait(500, Some("2"), Some(2));
}

#[test]
fn no_answer_has_its_words() {
    for (what, said) in [
        (Unreached::Timeout, "does not answer in time"),
        (Unreached::Refused, "nothing listens"),
        (Unreached::NoConnection, "no connection"),
        (Unreached::Reset, "broke"),
        (Unreached::NoSuchName, "does not resolve"),
        (Unreached::Tls, "certificate"),
        (Unreached::Other, "can't be reached"),
    ] {
        let kind = match what {
            Unreached::Timeout => FailureKind::Unanswered,
            Unreached::Refused | Unreached::NoConnection | Unreached::NoSuchName => {
                FailureKind::Unreachable
            }
            _ => FailureKind::Unavailable,
        };
        let failure = unreached(what).failure().unwrap();
        assert_eq!(failure.kind, kind);
        assert!(failure.cause.to_string().contains(said), "{}", failure.cause);
    }
}

#[test]
fn what_is_missing_on_this_side_must_be_fixed_here() {
    let token = |fault| Unreached::TokenFile { path: Path::new("/etc/token").into(), fault };
    let unreadable = |kind| token(TokenFault::Unreadable(kind));
    for (what, said) in [
        (unreadable(io::ErrorKind::NotFound), "/etc/token can't be read: there is no such file"),
        (unreadable(io::ErrorKind::PermissionDenied), "can't be read: the daemon's user may not"),
        (unreadable(io::ErrorKind::IsADirectory), "can't be read: is a directory"),
        (token(TokenFault::Empty), "token_file /etc/token is empty"),
        (token(TokenFault::NoToken), "something else than one token"),
        (Unreached::NoAuthorities, "install ca-certificates"),
    ] {
        let failure = unreached(what).failure().unwrap();
        assert_eq!(failure.kind, FailureKind::Misconfigured);
        assert!(failure.cause.to_string().contains(said), "{}", failure.cause);
    }
}

#[test]
fn a_refusal_of_lines_is_no_failure_of_the_store() {
    for meaning in [meaning(204, "", None), meaning(400, "x", None), meaning(413, "", None)] {
        assert_eq!(meaning.failure(), None);
    }
}

#[test]
fn words_are_one_short_line() {
    let Meaning::Rejected { words, .. } = meaning(400, &"ö\n".repeat(2000), None) else {
        panic!("not rejected")
    };
    assert!(words.len() <= 1024 && !words.contains('\n'), "{words}");
}

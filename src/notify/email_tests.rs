use super::*;

fn email(from: &str, to: &[&str]) -> Email {
    Email::new(EmailTarget {
        host: "127.0.0.1".to_owned(),
        port: 25,
        tls: Tls::Plain,
        ca_file: None,
        login: None,
        from: mailbox(from).unwrap(),
        to: to.iter().map(|to| mailbox(to).unwrap()).collect(),
        timeout: Duration::from_secs(30),
    })
}

fn message(summary: &str, body: &str) -> Message {
    Message {
        id: "0123".to_owned(),
        made_at: Timestamp(1_795_230_000_000_000_000),
        events: 1,
        summary: summary.to_owned(),
        body: body.to_owned(),
        done: Vec::new(),
        attempts: 0,
        since: None,
        reason: String::new(),
    }
}

fn written(summary: &str, body: &str) -> String {
    let email =
        email("Kühlhaus <tidegate@plant.example>", &["a@plant.example", "B <b@plant.example>"]);
    String::from_utf8(email.written(&message(summary, body)).unwrap()).unwrap()
}

#[test]
fn a_letter_has_the_headers_of_one_that_a_machine_wrote() {
    let text = written("[critical] pump-7: hot", "[critical] pump-7: hot\n");
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    for expected in [
        "From: =?utf-8?b?S8O8aGxoYXVz?= <tidegate@plant.example>",
        "To: a@plant.example, B <b@plant.example>",
        "Date: Sat, 21 Nov 2026 03:00:00 +0000",
        "Message-ID: <0123@tidegate>",
        "Subject: [critical] pump-7: hot",
        "Tidegate-Delivery: 0123",
        "Auto-Submitted: auto-generated",
        "Content-Type: text/plain; charset=utf-8",
    ] {
        assert!(head.contains(expected), "{expected} in {head}");
    }
    assert_eq!(body, "[critical] pump-7: hot\r\n");
}

#[test]
fn no_name_begins_a_header_of_its_own() {
    let hostile = "pump\r\nBcc: evil@example.org\r\n\r\nbody\nX: 1\rY: 2\u{85}\u{2028}Z: 3 \u{fc}";
    let text = written(hostile, hostile);
    let (head, _) = text.split_once("\r\n\r\n").unwrap();
    assert!(!head.contains('\u{85}'));
    // A line that is not folded begins with a name; these are all.
    let names: Vec<_> = head
        .split("\r\n")
        .filter(|line| !line.starts_with(' '))
        .map(|line| line.split(':').next().unwrap())
        .collect();
    let expected = [
        "From",
        "Date",
        "Message-ID",
        "Subject",
        "Content-Type",
        "Tidegate-Delivery",
        "Auto-Submitted",
        "To",
        "Content-Transfer-Encoding",
    ];
    let mut all = names.clone();
    all.sort_unstable();
    let mut expected = expected.to_vec();
    expected.push("MIME-Version");
    expected.sort_unstable();
    all.retain(|name| *name != "MIME-Version");
    expected.retain(|name| *name != "MIME-Version");
    assert_eq!(all, expected, "{head}");
    assert!(head.is_ascii() && !head.replace("\r\n", "").contains(['\r', '\n']), "{head}");
}

#[test]
fn an_address_with_a_line_break_is_none() {
    for text in ["a@b.example\r\nBcc: c@d.example", "A\n <a@b.example>", "a", "", "<a@b.example"] {
        assert_eq!(mailbox(text), None, "{text:?}");
    }
}

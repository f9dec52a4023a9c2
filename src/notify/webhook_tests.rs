use super::*;
use crate::model::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// For who is never answered.
const IMPATIENCE: Duration = Duration::from_secs(1);

fn message() -> Message {
    Message {
        id: "0123".to_owned(),
        made_at: Timestamp(7),
        events: 1,
        summary: "[critical] pump-7".to_owned(),
        body: "{\"summary\":\"Kühlung\"}".to_owned(),
        done: Vec::new(),
        attempts: 0,
        since: None,
        reason: String::new(),
    }
}

/// Delivers to a receiver that gives this answer (hangs if there is none); gives the request, too.
async fn delivered(answer: &str, secret: Option<&str>) -> (Result<(), Undelivered>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let directory = tempfile::tempdir().unwrap();
    let secret_file = secret.map(|secret| {
        let path = directory.path().join("secret");
        std::fs::write(&path, secret).unwrap();
        path
    });
    let target = WebhookTarget {
        url: Url::parse(&format!("http://127.0.0.1:{port}/hooks/hunter2?key=hunter2")).unwrap(),
        secret_file,
        timeout: if answer.is_empty() { IMPATIENCE } else { PATIENCE },
    };
    assert_eq!(target.place(), format!("http://127.0.0.1:{port}"));
    let webhook = Webhook::new(&target).unwrap();
    let mut request = Vec::new();
    let receive = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        while !request.ends_with(b"}") {
            assert!(socket.read_buf(&mut request).await.unwrap() > 0);
        }
        socket.write_all(answer.as_bytes()).await.unwrap();
        if answer.is_empty() {
            std::future::pending::<()>().await;
        }
        socket.shutdown().await.unwrap();
        drop(socket);
        std::future::pending::<()>().await;
    };
    let message = message();
    let outcome = tokio::select! {
        outcome = webhook.deliver(&message) => outcome,
        () = receive => unreachable!(),
    };
    (outcome, String::from_utf8(request).unwrap())
}

fn answer(status: &str, more: &str) -> String {
    format!("HTTP/1.1 {status}\r\nConnection: close\r\n{more}\r\n")
}

#[tokio::test]
async fn a_message_is_posted_and_signed() {
    let (outcome, request) = delivered(&answer("204 No Content", ""), Some(" s3cret\n")).await;
    assert_eq!(outcome, Ok(()));
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, message().body);
    assert!(head.starts_with("POST /hooks/hunter2?key=hunter2 HTTP/1.1\r\n"), "{head}");
    let value = |name: &str| {
        let line = head.lines().find(|line| {
            line.split_once(": ").is_some_and(|(key, _)| key.eq_ignore_ascii_case(name))
        });
        line.unwrap_or_else(|| panic!("{name}: {head}")).split_once(": ").unwrap().1.to_owned()
    };
    assert_eq!(value("tidegate-delivery"), "0123");
    assert_eq!(value("content-type"), "application/json");
    let expected = signature(b"s3cret", &value("tidegate-timestamp"), body);
    assert_eq!(value("tidegate-signature"), expected);
}

#[test]
fn a_signature_is_that_of_everybody_else() {
    // printf '1700000000.{}' | openssl dgst -sha256 -hmac s3cret
    assert_eq!(
        signature(b"s3cret", "1700000000", "{}"),
        "sha256=97926816e98fbb41ccb1673225ff29a2f35369099990e1b1561651e7bd097ebf"
    );
}

#[tokio::test]
async fn answers_mean_what_they_mean() {
    let of = async |status: &str, more: &str| delivered(&answer(status, more), None).await.0;
    for (status, more) in [("200 OK", ""), ("202 Accepted", "Content-Length: 0\r\n")] {
        assert_eq!(of(status, more).await, Ok(()), "{status}");
    }
    for status in ["400 Bad Request", "413 Content Too Large", "422 Unprocessable Content"] {
        let outcome = of(status, "").await;
        assert!(matches!(outcome, Err(Undelivered::Refused(_))), "{status} {outcome:?}");
    }
    let moved = "Location: http://127.0.0.1:1/\r\n";
    for (status, more) in [
        ("500 Internal Server Error", ""),
        ("401 Unauthorized", ""),
        ("404 Not Found", ""),
        ("302 Found", moved),
        ("503 Service Unavailable", "Retry-After: soon\r\n"),
    ] {
        let outcome = of(status, more).await;
        assert!(
            matches!(outcome, Err(Undelivered::Later { after: None, .. })),
            "{status} {outcome:?}"
        );
    }
    let asked = of("429 Too Many Requests", "Retry-After: 77\r\n").await;
    let Err(Undelivered::Later { said, after }) = asked else { panic!("{asked:?}") };
    assert_eq!((after, said.contains("429")), (Some(Duration::from_secs(77)), true));
}

#[tokio::test]
async fn what_is_said_of_a_failure_has_no_secret() {
    let (hung, _) = delivered("", None).await;
    assert_eq!(hung, Err(Undelivered::Timeout(IMPATIENCE)));
    let answer = format!("{}it's the\r\n\u{1b}[31mdatabase", answer("500 Oops", ""));
    let said = delivered(&answer, None).await.0.unwrap_err().to_string();
    assert!(said.contains("it's the") && !said.contains(char::is_control), "{said:?}");
    // It has a port, which nobody else can get, and never listens.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let target = WebhookTarget {
        url: Url::parse(&format!("http://127.0.0.1:{port}/hunter2?hunter2")).unwrap(),
        secret_file: None,
        timeout: PATIENCE,
    };
    let away = Webhook::new(&target).unwrap().deliver(&message()).await.unwrap_err();
    assert!(matches!(away, Undelivered::Unreachable(_)), "{away:?}");
    let away = away.to_string();
    assert!(away.contains("refused") && !away.contains("hunter2"), "{away}");
}

#[tokio::test]
async fn a_secret_that_is_not_there_sends_nothing() {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in
        [("missing", None), ("empty", Some(" \n")), ("long", Some(&*"x".repeat(9000)))]
    {
        let path = directory.path().join(name);
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let error = secret(&path).await.unwrap_err();
        assert!(matches!(error, Undelivered::Secret { .. }), "{error:?}");
        assert!(error.to_string().contains(name), "{error}");
    }
}

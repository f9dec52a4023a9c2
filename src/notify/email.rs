//! E-mail by SMTP: the crate lettre writes it and speaks to the server.
//!
//! A connection for each message: they are rare. All recipients stand in its header; if the server
//! refuses one of them, the others get it one by one, and who has it does not get it again.

use super::Undelivered;
use super::book::Message;
use super::webhook::{chain, secret};
use super::wording::line;
use crate::model::Timestamp;
use lettre::address::Envelope;
pub use lettre::message::Mailbox;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{self, Certificate, CertificateStore, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

/// Of what a server says.
const SAID_CHARS_MAX: usize = 300;

/// How the connection is kept secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// From the first byte.
    Implicit,
    /// By STARTTLS, without which nothing is said.
    Starttls,
    /// Not at all.
    Plain,
}

/// Where e-mails go.
#[derive(Debug, Clone)]
pub struct EmailTarget {
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How it is spoken to.
    pub tls: Tls,
    /// Authorities that sign it; `None` = those of the machine.
    pub ca_file: Option<PathBuf>,
    /// Name and file of the password; `None` = it wants none.
    pub login: Option<(String, PathBuf)>,
    /// The sender.
    pub from: Mailbox,
    /// Who gets it; not empty.
    pub to: Vec<Mailbox>,
    /// How long one message may take.
    pub timeout: Duration,
}

impl EmailTarget {
    /// The server.
    #[must_use]
    pub fn place(&self) -> String {
        let scheme = if self.tls == Tls::Implicit { "smtps" } else { "smtp" };
        format!("{scheme}://{}:{}", self.host, self.port)
    }
}

/// Reads `name@example.org` or `Name <name@example.org>`.
#[must_use]
pub fn mailbox(text: &str) -> Option<Mailbox> {
    if text.contains(char::is_control) {
        return None;
    }
    text.parse().ok()
}

/// Sends e-mails.
#[derive(Debug)]
pub(super) struct Email(EmailTarget);

type Smtp = AsyncSmtpTransport<Tokio1Executor>;

impl Email {
    pub fn new(target: EmailTarget) -> Email {
        Email(target)
    }

    /// Delivers a message; who has it is added to those who have it already, also if others have not.
    pub async fn deliver(&self, message: &mut Message) -> Result<(), Undelivered> {
        let timeout = self.0.timeout;
        let sending = tokio::time::timeout(timeout, self.send(message));
        sending.await.unwrap_or(Err(Undelivered::Timeout(timeout)))
    }

    async fn send(&self, message: &mut Message) -> Result<(), Undelivered> {
        let smtp = self.smtp().await?;
        let text = self.written(message)?;
        let all = self.0.to.iter();
        let missing: Vec<&Mailbox> =
            all.filter(|to| !message.done.contains(&to.email.to_string())).collect();
        let refused = match self.hand_over(&smtp, &missing, &text).await {
            Ok(()) => return Ok(()),
            Err(refused @ Undelivered::Refused(_)) if missing.len() > 1 => refused,
            Err(error) => return Err(error),
        };
        let mut failed = Vec::new();
        for to in &missing {
            match self.hand_over(&smtp, &[*to], &text).await {
                Ok(()) => message.done.push(to.email.to_string()),
                Err(error) => failed.push(error),
            }
        }
        let count = failed.len();
        match failed.into_iter().next() {
            None => Ok(()),
            Some(_) if count == missing.len() => Err(refused),
            Some(first) => Err(Undelivered::Some {
                failed: count,
                all: self.0.to.len(),
                first: Box::new(first),
            }),
        }
    }

    async fn hand_over(
        &self,
        smtp: &Smtp,
        to: &[&Mailbox],
        text: &[u8],
    ) -> Result<(), Undelivered> {
        let recipients = to.iter().map(|to| to.email.clone()).collect();
        let envelope = Envelope::new(Some(self.0.from.email.clone()), recipients);
        let envelope = envelope.map_err(|error| Undelivered::Refused(error.to_string()))?;
        smtp.send_raw(&envelope, text).await.map(drop).map_err(|error| self.said(&error))
    }

    /// The message as it goes over the wire.
    fn written(&self, message: &Message) -> Result<Vec<u8>, Undelivered> {
        let made = Timestamp(message.made_at.0.max(0));
        let date = UNIX_EPOCH + made.since(Timestamp(0));
        let mut mail = lettre::Message::builder()
            .from(self.0.from.clone())
            .date(date)
            .message_id(Some(format!("<{}@tidegate>", message.id)))
            // No line break in it may begin another header.
            .subject(line(&message.summary, SAID_CHARS_MAX))
            .header(ContentType::TEXT_PLAIN)
            .raw_header(header("Tidegate-Delivery", &message.id))
            // No answer of a machine, please.
            .raw_header(header("Auto-Submitted", "auto-generated"));
        for to in &self.0.to {
            mail = mail.to(to.clone());
        }
        mail.header(ContentTransferEncoding::QuotedPrintable)
            .body(message.body.clone())
            .map(|mail| mail.formatted())
            .map_err(|error| Undelivered::Refused(chain(&error)))
    }

    /// Whether the server greets us, and lets us in.
    pub async fn reach(&self) -> Result<(), Undelivered> {
        let smtp = self.smtp().await?;
        let testing = tokio::time::timeout(self.0.timeout, smtp.test_connection()).await;
        match testing {
            Err(_) => Err(Undelivered::Timeout(self.0.timeout)),
            Ok(Err(error)) => Err(self.said(&error)),
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(Undelivered::Unreachable("it does not answer".to_owned())),
        }
    }

    /// Files are read for each message: a new password works with the next.
    async fn smtp(&self) -> Result<Smtp, Undelivered> {
        let EmailTarget { host, port, tls, login, timeout, .. } = &self.0;
        let mut smtp = Smtp::builder_dangerous(host).port(*port).timeout(Some(*timeout));
        smtp = smtp.tls(match tls {
            Tls::Plain => client::Tls::None,
            Tls::Starttls => client::Tls::Required(self.trust().await?),
            Tls::Implicit => client::Tls::Wrapper(self.trust().await?),
        });
        if let Some((user, file)) = login {
            let wrong = || Undelivered::Secret {
                path: file.display().to_string(),
                fault: "it is not UTF-8".to_owned(),
            };
            let password = String::from_utf8(secret(file).await?).map_err(|_| wrong())?;
            smtp = smtp.credentials(Credentials::new(user.clone(), password));
        }
        Ok(smtp.build())
    }

    async fn trust(&self) -> Result<TlsParameters, Undelivered> {
        let (host, ca_file) = (self.0.host.clone(), self.0.ca_file.clone());
        // Reads the machine's certificates, which are files.
        let made = tokio::task::spawn_blocking(move || {
            let mut trust = TlsParameters::builder(host);
            if let Some(file) = &ca_file {
                let wrong =
                    |fault: String| Undelivered::Secret { path: file.display().to_string(), fault };
                let pem = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
                let authority =
                    Certificate::from_pem(&pem).map_err(|error| wrong(chain(&error)))?;
                trust =
                    trust.certificate_store(CertificateStore::None).add_root_certificate(authority);
            }
            trust.build_rustls().map_err(|error| Undelivered::Unreachable(chain(&error)))
        });
        made.await.map_err(|error| Undelivered::Unreachable(error.to_string()))?
    }

    /// What a server's answer means to us.
    fn said(&self, error: &lettre::transport::smtp::Error) -> Undelivered {
        let said = line(&chain(error), SAID_CHARS_MAX);
        if error.is_timeout() {
            return Undelivered::Timeout(self.0.timeout);
        }
        match error.status() {
            // Not of the message, but of who we are: it can be mended while the message waits.
            Some(status) if matches!(u16::from(status), 421 | 530 | 534 | 535 | 538) => {
                Undelivered::Later { said, after: None }
            }
            Some(_) if error.is_permanent() => Undelivered::Refused(said),
            Some(_) => Undelivered::Later { said, after: None },
            None => Undelivered::Unreachable(said),
        }
    }
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

#[cfg(test)]
#[path = "email_tests.rs"]
mod tests;

//! `[notify]` and its channels, checked.

use super::checked::Checker;
use super::file;
use crate::notify::{
    CHANNELS_MAX, Channel, EmailTarget, Mailbox, Target, Tls, Wanted, WebhookTarget, mailbox,
};
use crate::rules::Severity;
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::{Host, Url};

const NAME_BYTES_MAX: usize = 32;
const RECIPIENTS_MAX: usize = 50;
/// Where mail is handed in, and where with TLS from the first byte.
const SUBMISSION: u16 = 587;
const SUBMISSIONS: u16 = 465;

/// Who is told of alerts; see `config/tidegate.toml` for each.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "config/tidegate.toml has a sentence for each, under the same name"
)]
pub struct NotifyConfig {
    pub group_wait: Duration,
    pub group_interval: Duration,
    pub messages_per_hour: u32,
    pub give_up_after: Duration,
    /// `None` = no links.
    pub page_url: Option<String>,
    /// Webhooks, then e-mails.
    pub channels: Vec<Channel>,
}

impl Checker<'_> {
    pub(super) fn notify(&mut self, file: &file::Notify) -> NotifyConfig {
        let mut names: Vec<&str> = Vec::new();
        let webhooks = file.webhook.iter().map(|webhook| ("webhook", &webhook.name));
        let emails = file.email.iter().map(|email| ("email", &email.name));
        let paths = (0..file.webhook.len()).chain(0..file.email.len());
        for (number, (kind, name)) in paths.zip(webhooks.chain(emails)) {
            let path = format!("notify.{kind}.{number}.name");
            let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            if !(1..=NAME_BYTES_MAX).contains(&name.len()) || !name.bytes().all(allowed) {
                self.wrong(&path, format!("\"{name}\" must be 1 to 32 of a-z, 0-9 and \"-\""));
            }
            if names.contains(&name.as_str()) {
                self.wrong(&path, format!("\"{name}\" is the name of another channel already"));
            }
            names.push(name);
        }
        if names.len() > CHANNELS_MAX {
            self.wrong("notify", format!("there may be {CHANNELS_MAX} channels"));
        }
        let mut channels = Vec::new();
        for (number, webhook) in file.webhook.iter().enumerate() {
            channels.extend(self.webhook(&format!("notify.webhook.{number}"), webhook));
        }
        for (number, email) in file.email.iter().enumerate() {
            channels.extend(self.email(&format!("notify.email.{number}"), email));
        }
        NotifyConfig {
            group_wait: self.duration("notify.group_wait", &file.group_wait),
            group_interval: self.duration("notify.group_interval", &file.group_interval),
            messages_per_hour: self.count(
                "notify.messages_per_hour",
                file.messages_per_hour,
                1..=3600,
            ),
            give_up_after: self.positive("notify.give_up_after", &file.give_up_after),
            page_url: self.page_url(&file.page_url),
            channels,
        }
    }

    fn page_url(&mut self, text: &str) -> Option<String> {
        if text.is_empty() {
            return None;
        }
        match Url::parse(text) {
            Ok(url) if is_http(&url) && url.fragment().is_none() => Some(url.to_string()),
            _ => {
                let problem =
                    format!("\"{text}\" is not the page's address, like \"https://plant.example\"");
                self.wrong("notify.page_url", problem);
                None
            }
        }
    }

    /// Nothing if there is no address to send to; then a mistake is noted.
    fn webhook(&mut self, path: &str, file: &file::Webhook) -> Option<Channel> {
        let key = |key: &str| format!("{path}.{key}");
        let wanted = self.wanted(path, &file.severity_min, file.resolved, file.acknowledged);
        let timeout = self.positive(&key("timeout"), &file.timeout);
        // What is written is not repeated: it may be what lets one in.
        let url = match Url::parse(&file.url) {
            _ if file.url.is_empty() => {
                Err("is missing; it is like \"https://chat.example/hooks/7\"")
            }
            Ok(url) if !is_http(&url) => Err("must begin with http:// or https://"),
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                Err("must not carry a user or password; messages are signed with secret_file")
            }
            Ok(url) => Ok(url),
            Err(_) => Err("is not a URL like \"https://chat.example/hooks/7\""),
        };
        let url = url.map_err(|problem| self.wrong(&key("url"), problem.to_owned())).ok()?;
        let target = WebhookTarget { url, secret_file: given(&file.secret_file), timeout };
        Some(Channel { name: file.name.clone(), wanted, target: Target::Webhook(target) })
    }

    /// Nothing if it can't be known where to send to, or who; then a mistake is noted.
    fn email(&mut self, path: &str, file: &file::Email) -> Option<Channel> {
        let key = |key: &str| format!("{path}.{key}");
        let wanted = self.wanted(path, &file.severity_min, file.resolved, file.acknowledged);
        let timeout = self.positive(&key("timeout"), &file.timeout);
        let said = [("auto", None), ("starttls", Some(Tls::Starttls)), ("none", Some(Tls::Plain))];
        let tls = self.one_of(&key("tls"), &file.tls, &said);
        let server = self.smtp(&key("smtp"), &file.smtp, tls);
        let login = match (file.user.as_str(), given(&file.password_file)) {
            ("", None) => None,
            (user, Some(file)) if !user.is_empty() => Some((user.to_owned(), file)),
            _ => {
                self.wrong(&key("password_file"), "user and password_file go together".to_owned());
                None
            }
        };
        let from = self.mailbox(&key("from"), &file.from);
        if !(1..=RECIPIENTS_MAX).contains(&file.to.len()) {
            let problem = format!("must name 1 to {RECIPIENTS_MAX} recipients");
            self.wrong(&key("to"), problem);
        }
        let to = file.to.iter().filter_map(|to| self.mailbox(&key("to"), to)).collect();
        let (host, port, tls) = server?;
        let target = EmailTarget {
            host,
            port,
            tls,
            ca_file: given(&file.ca_file),
            login,
            from: from?,
            to,
            timeout,
        };
        Some(Channel { name: file.name.clone(), wanted, target: Target::Email(target) })
    }

    /// Host, port, and how it is spoken to.
    fn smtp(&mut self, path: &str, text: &str, said: Option<Tls>) -> Option<(String, u16, Tls)> {
        let wrong = "is not a server like \"smtp://mail.example:587\" or \"smtps://mail.example\"";
        let parts = Url::parse(text).ok().filter(|url| {
            matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none()
        });
        let Some(url) = parts else {
            self.wrong(path, if text.is_empty() { "is missing" } else { wrong }.to_owned());
            return None;
        };
        if !url.username().is_empty() || url.password().is_some() {
            self.wrong(
                path,
                "must not carry a user or password; see user and password_file".to_owned(),
            );
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        // The host of a scheme that is none of the web's is not read as an address.
        let is_loopback = match Host::parse(url.host_str().unwrap_or_default()) {
            Ok(Host::Ipv4(address)) => address.is_loopback(),
            Ok(Host::Ipv6(address)) => address.is_loopback(),
            Ok(Host::Domain(name)) => name == "localhost",
            Err(_) => false,
        };
        match (url.scheme(), said) {
            _ if host.is_empty() => self.wrong(path, wrong.to_owned()),
            ("smtps", None) => {
                return Some((host, url.port().unwrap_or(SUBMISSIONS), Tls::Implicit));
            }
            ("smtps", Some(_)) => {
                self.wrong(path, "smtps:// is TLS from the first byte: tls is \"auto\"".to_owned());
            }
            ("smtp", said) => {
                let auto = if is_loopback { Tls::Plain } else { Tls::Starttls };
                return Some((host, url.port().unwrap_or(SUBMISSION), said.unwrap_or(auto)));
            }
            _ => self.wrong(path, wrong.to_owned()),
        }
        None
    }

    fn mailbox(&mut self, path: &str, text: &str) -> Option<Mailbox> {
        let read = mailbox(text);
        if read.is_none() {
            let like = "like \"ops@plant.example\" or \"Plant <ops@plant.example>\"";
            self.wrong(path, format!("\"{}\" is no address {like}", text.escape_debug()));
        }
        read
    }

    fn wanted(&mut self, path: &str, severity: &str, resolved: bool, acknowledged: bool) -> Wanted {
        let all = [Severity::Info, Severity::Warning, Severity::Critical];
        let all = all.map(|severity| (severity.name(), severity));
        let severity_min = self.one_of(&format!("{path}.severity_min"), severity, &all);
        Wanted { severity_min, resolved, acknowledged }
    }
}

fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.has_host()
}

fn given(path: &Path) -> Option<PathBuf> {
    (!path.as_os_str().is_empty()).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::layers::{Sources, load};
    use super::*;

    /// What becomes of these settings: the channels, or all mistakes as text.
    fn check(settings: &[&str]) -> Result<Vec<Channel>, String> {
        let flags = settings.iter().map(|setting| {
            let (key, value) = setting.split_once('=').unwrap();
            (format!("notify.{key}"), value.to_owned())
        });
        let flags = flags.collect();
        match load(&Sources { flags, ..Sources::default() }) {
            Ok((config, _)) => Ok(config.notify.channels),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn without_anything_nobody_is_told() {
        assert!(check(&[]).unwrap().is_empty());
    }

    #[test]
    fn how_a_mail_server_is_spoken_to_is_safe_unless_it_is_said_otherwise() {
        for (smtp, tls, expected) in [
            ("smtp://mail.example", "auto", ("mail.example", 587, Tls::Starttls)),
            ("smtp://mail.example:25", "none", ("mail.example", 25, Tls::Plain)),
            ("smtps://mail.example", "auto", ("mail.example", 465, Tls::Implicit)),
            ("smtps://mail.example:4650", "auto", ("mail.example", 4650, Tls::Implicit)),
            ("smtp://localhost:25", "auto", ("localhost", 25, Tls::Plain)),
            ("smtp://127.0.0.1:25", "auto", ("127.0.0.1", 25, Tls::Plain)),
            ("smtp://[::1]:25", "auto", ("::1", 25, Tls::Plain)),
            ("smtp://127.0.0.1", "starttls", ("127.0.0.1", 587, Tls::Starttls)),
            ("smtp://10.0.0.1", "auto", ("10.0.0.1", 587, Tls::Starttls)),
        ] {
            let channels = check(&[
                &format!("email.0.smtp={smtp}"),
                &format!("email.0.tls={tls}"),
                "email.0.from=Tidegate <tidegate@plant.example>",
                "email.0.to=a@plant.example,b@plant.example",
            ]);
            let channels = channels.unwrap();
            let Target::Email(email) = &channels[0].target else { panic!("{channels:?}") };
            assert_eq!((email.host.as_str(), email.port, email.tls), expected, "{smtp} {tls}");
            assert_eq!(email.to.len(), 2);
        }
    }

    #[test]
    fn every_mistake_is_told_with_its_key_and_no_secret() {
        let mistakes = check(&[
            "webhook.0.url=https://user:hunter2@chat.example/",
            "webhook.0.severity_min=bad",
            "webhook.1.url=ftp://chat.example/hunter2",
            "webhook.1.name=Ops",
            "email.0.name=webhook",
            "email.0.smtp=smtps://mail.example",
            "email.0.tls=none",
            "email.0.user=plant",
            "email.0.from=nobody",
            "page_url=plant.example",
            "messages_per_hour=0",
        ]);
        let mistakes = mistakes.unwrap_err();
        for expected in [
            "notify.webhook.0.url: must not carry a user",
            "notify.webhook.0.severity_min",
            "notify.webhook.1.url: must begin with http",
            "notify.webhook.1.name: \"Ops\" must be",
            "notify.email.0.name: \"webhook\" is the name of another channel",
            "notify.email.0.smtp: smtps:// is TLS",
            "notify.email.0.password_file: user and password_file go together",
            "notify.email.0.from: \"nobody\" is no address",
            "notify.email.0.to: must name 1 to 50",
            "notify.page_url",
            "notify.messages_per_hour",
        ] {
            assert!(mistakes.contains(expected), "{expected}: {mistakes}");
        }
        assert!(!mistakes.contains("hunter2"), "{mistakes}");
    }
}

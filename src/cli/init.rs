//! `tidegate init`: the first configuration file, made of the embedded manual.
//!
//! What is not answered stays as a comment with its default: the file says what can be said, and an
//! upgrade that changes a default is not held up by it.

use super::token::issue_admin;
use super::{EXIT_CONFIG, fail};
use crate::config::{Anonymous, Config, MANUAL, Sources, load};
use std::fmt::Write as _;
use std::io::{self, BufRead, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The unit whose socket the daemon gets.
const SOCKET_UNIT: &str = "/usr/lib/systemd/system/tidegate.socket";
/// What tells it to listen elsewhere.
const SOCKET_DROP_IN: &str = "/etc/systemd/system/tidegate.socket.d/tidegate-init.conf";

/// Flags; what is not given is asked for on a terminal, and else left as it is by default.
#[derive(Debug, clap::Args)]
pub(super) struct Init {
    /// The file to write.
    #[arg(long, value_name = "FILE", default_value = super::check::CONFIG_PATH)]
    config: PathBuf,
    /// Address and port to listen on.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Directory of everything durable.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// How long the history keeps samples: "30 d".
    #[arg(long, value_name = "TIME")]
    retention: Option<String>,
    /// Everybody who reaches the address may come: only in a network that you trust.
    #[arg(long)]
    anywhere: bool,
    /// Make no key of an administrator: whoever reaches the loopback address may do everything.
    #[arg(long)]
    no_key: bool,
    /// Write the file although there is one that says something.
    #[arg(long)]
    force: bool,
    /// Ask nothing.
    #[arg(long)]
    yes: bool,
}

pub(super) fn init(init: &Init) -> ExitCode {
    match begin(init) {
        Ok(told) => {
            print!("{told}");
            ExitCode::SUCCESS
        }
        Err(problem) => fail(EXIT_CONFIG, problem),
    }
}

fn begin(init: &Init) -> Result<String, String> {
    if !init.force && says_something(&init.config) {
        return Err(format!("{} has settings already; --force replaces it", init.config.display()));
    }
    let answers = answers(init)?;
    let config = put(&init.config, &filled(MANUAL, &answers), may_listen(init))?;
    let mut told = format!("wrote {}\n", init.config.display());
    if let Some(listen) =
        init.listen.map(|listen| listen.to_string()).or_else(|| said(&answers, "listen"))
    {
        told += &listen_there(&init.config, &listen)?;
    }
    if !init.anywhere && !init.no_key {
        told += &first_key(&config)?;
    }
    told += "next:\n  tidegate check\n  systemctl enable --now tidegate.socket tidegate\n";
    Ok(told)
}

/// With this the daemon would not start.
fn may_listen(init: &Init) -> impl Fn(&Config) -> Result<(), String> {
    let makes_key = !init.no_key;
    move |config| {
        let is_asked = makes_key || config.auth.anonymous == Anonymous::Anywhere;
        match is_asked || config.listen.ip().is_loopback() {
            true => Ok(()),
            false => Err(format!(
                "{} is not a loopback address, and nobody could be asked for a token: leave out --no-key, \
                 or say --anywhere if everybody in that network may come",
                config.listen
            )),
        }
    }
}

/// Makes a key for the administrator, unless there is one, and says how to use it.
fn first_key(config: &Config) -> Result<String, String> {
    let path = &config.auth.keys_file;
    let Some(key) = issue_admin(path).map_err(|error| error.to_string())? else {
        return Ok(format!("{} has a key of an administrator already\n", path.display()));
    };
    Ok(format!(
        "wrote {}, with the key of the administrator, which is shown this once:\n\n  {key}\n\n\
         Log in with it on the page, http://{}/. Commands on this machine need none, for who may read {}.\n\
         Devices and people get their own: tidegate token issue --name gw-7 --scope ingest\n\n",
        path.display(),
        config.listen,
        config.state_dir.display()
    ))
}

/// Keys and their values as TOML.
type Answers = Vec<(&'static str, String)>;

fn said(answers: &Answers, key: &str) -> Option<String> {
    let (_, value) = answers.iter().find(|(known, _)| *known == key)?;
    Some(value.trim_matches('"').to_owned())
}

fn answers(init: &Init) -> Result<Answers, String> {
    let asking = !init.yes && io::stdin().is_terminal() && io::stdout().is_terminal();
    let mut answers = Answers::new();
    let mut take = |key, question: &str, given: Option<String>| -> Result<(), String> {
        let answer = match given {
            Some(given) => Some(given),
            None if asking => ask(question).map_err(|error| error.to_string())?,
            None => None,
        };
        answers.extend(answer.map(|answer| (key, format!("{answer:?}"))));
        Ok(())
    };
    let listen = init.listen.map(|listen| listen.to_string());
    take("listen", "Listen on which address and port? [127.0.0.1:8080]", listen)?;
    let state_dir = init.state_dir.as_ref().map(|directory| directory.display().to_string());
    // Where a service manager has its own place for it, another one is a matter of the unit, too.
    if state_dir.is_some() {
        take("state_dir", "", state_dir)?;
    }
    take("history.retention", "Keep samples how long? [30 d]", init.retention.clone())?;
    if init.anywhere {
        take("auth.anonymous", "", Some("anywhere".to_owned()))?;
    }
    Ok(answers)
}

/// The line that was typed; nothing for an empty one.
fn ask(question: &str) -> io::Result<Option<String>> {
    print!("{question} ");
    io::stdout().flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let answer = line.trim();
    Ok((!answer.is_empty()).then(|| answer.to_owned()))
}

/// Whether there is a file with a key in it, or one that can't be read as such.
fn says_something(path: &Path) -> bool {
    let Ok(text) = std::fs::read_to_string(path) else { return path.exists() };
    toml::from_str::<toml::Table>(&text).map_or(true, |table| !table.is_empty())
}

/// The manual with these answers; all other keys are comments, and blocks of lists (brokers, stores)
/// with their headers.
fn filled(manual: &str, answers: &Answers) -> String {
    let (mut text, mut section, mut in_block) = (String::new(), String::new(), false);
    let mut lists = Vec::<&str>::new();
    for line in manual.lines() {
        let is_comment = line.trim_start().starts_with('#') || line.trim().is_empty();
        if let Some(header) = line.strip_prefix('[') {
            let name = header.trim_matches(['[', ']']);
            if header.starts_with('[') {
                lists.push(name);
            }
            // Tables of a block stand behind it: sinks.influx.breaker behind sinks.influx.
            in_block = lists.iter().any(|list| name.starts_with(list));
            name.clone_into(&mut section);
        }
        let key = line.split_once(" = ").map(|(key, _)| match section.as_str() {
            "" => key.to_owned(),
            section => format!("{section}.{key}"),
        });
        let answer = key.as_deref().filter(|_| !in_block && !is_comment).and_then(|key| {
            let (_, value) = answers.iter().find(|(known, _)| *known == key)?;
            Some(format!("{} = {value}", key.rsplit('.').next().unwrap_or(key)))
        });
        // Writing to a String does not fail.
        let written = match answer {
            Some(answer) => writeln!(text, "{answer}"),
            None if is_comment => writeln!(text, "{line}"),
            None if line.starts_with('[') && !in_block => writeln!(text, "{line}"),
            None => writeln!(text, "#{line}"),
        };
        debug_assert!(written.is_ok());
    }
    text
}

/// Checks the text as the daemon would, and puts it there in one step.
fn put(
    path: &Path,
    text: &str,
    may: impl Fn(&Config) -> Result<(), String>,
) -> Result<Config, String> {
    let fault = |error: io::Error| format!("{}: {error}", path.display());
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory).map_err(fault)?;
    let mut fresh =
        tempfile::Builder::new().suffix(".toml").tempfile_in(directory).map_err(fault)?;
    fresh.write_all(text.as_bytes()).map_err(fault)?;
    let file = Some(fresh.path().to_owned());
    let loaded = load(&Sources { file, ..Sources::default() });
    let (config, _) = loaded.map_err(|error| error.to_string())?;
    may(&config)?;
    // Readable for the daemon, whoever it is: secrets are not in it, but in files of their own.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(fresh.path(), mode).map_err(fault)?;
    fresh.as_file().sync_all().map_err(fault)?;
    fresh.persist(path).map_err(|error| fault(error.error))?;
    Ok(config)
}

/// Where systemd opens the socket, it must be told, too.
fn listen_there(config: &Path, listen: &str) -> Result<String, String> {
    let is_installed = config == Path::new(super::check::CONFIG_PATH);
    if !is_installed || !Path::new(SOCKET_UNIT).exists() {
        return Ok(String::new());
    }
    let path = Path::new(SOCKET_DROP_IN);
    let text = format!("# By tidegate init.\n[Socket]\nListenStream=\nListenStream={listen}\n");
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    made.and_then(|()| std::fs::write(path, text))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(format!(
        "wrote {} (systemctl daemon-reload; systemctl restart tidegate.socket)\n",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::{Answers, Init, MANUAL, begin, filled, put, says_something};
    use crate::config::{Sources, load};
    use clap::Parser;

    fn effective(answers: &Answers) -> String {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tidegate.toml");
        put(&file, &filled(MANUAL, answers), |_| Ok(())).unwrap();
        load(&Sources { file: Some(file), ..Sources::default() }).unwrap().1
    }

    #[test]
    fn without_answers_nothing_differs_from_the_defaults() {
        assert_eq!(effective(&Answers::new()), load(&Sources::default()).unwrap().1);
        let text = filled(MANUAL, &Answers::new());
        assert_eq!(text.lines().count(), MANUAL.lines().count());
    }

    #[test]
    fn answers_are_in_force_and_nothing_else() {
        let answers = vec![
            ("listen", "\"127.0.0.1:9000\"".to_owned()),
            ("history.retention", "\"7 d\"".to_owned()),
        ];
        let (before, after) = (load(&Sources::default()).unwrap().1, effective(&answers));
        let differing: Vec<_> =
            before.lines().zip(after.lines()).filter(|(a, b)| a != b).map(|(_, b)| b).collect();
        assert_eq!(differing, ["listen = \"127.0.0.1:9000\"", "retention = \"7 d\""]);
    }

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        init: Init,
    }

    fn said(file: &std::path::Path, flags: &[&str]) -> Result<String, String> {
        let file = file.to_str().unwrap();
        let words = ["init", "--yes", "--config", file];
        begin(&Arguments::parse_from(words.iter().chain(flags)).init)
    }

    #[test]
    fn a_mistake_is_refused_and_nothing_written() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tidegate.toml");
        for (flags, problem) in [
            (&["--no-key", "--listen", "0.0.0.0:80"][..], "not a loopback address"),
            (&["--retention", "soon"], "history.retention"),
        ] {
            let error = said(&file, flags).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_administrator_gets_a_key_once() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tidegate.toml");
        let first = said(&file, &["--listen", "0.0.0.0:80"]).unwrap();
        assert_eq!(first.matches("tgk_").count(), 1, "{first}");
        let again = said(&file, &["--force"]).unwrap();
        assert!(again.contains("already") && !again.contains("tgk_"), "{again}");
        let keys = crate::auth::list(&directory.path().join("keys.toml")).unwrap();
        assert!(keys.len() == 1 && &*keys[0].name == "admin");
    }

    #[test]
    fn nobody_is_asked_where_the_administrator_says_so() {
        for flags in [&["--no-key"][..], &["--anywhere", "--listen", "0.0.0.0:80"]] {
            let directory = tempfile::tempdir().unwrap();
            let told = said(&directory.path().join("tidegate.toml"), flags).unwrap();
            assert!(!told.contains("tgk_") && !directory.path().join("keys.toml").exists());
        }
    }

    #[test]
    fn a_file_of_comments_says_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tidegate.toml");
        assert!(!says_something(&file));
        std::fs::write(&file, "# nothing\n").unwrap();
        assert!(!says_something(&file));
        std::fs::write(&file, "listen = \"127.0.0.1:1\"\n").unwrap();
        assert!(says_something(&file));
    }
}

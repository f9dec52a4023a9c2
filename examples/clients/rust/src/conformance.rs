//! What `tidegate conformance` runs: docs/clients.md says what it has to do.

use std::env::var;
use std::io::{self, Write};
use std::path::PathBuf;
use tidegate_client::{Batch, Client, Event, Options};

fn main() -> io::Result<()> {
    let part = |name: &str| var(format!("CONFORMANCE_{name}")).map_err(io::Error::other);
    let number = |name: &str| part(name)?.parse::<u64>().map_err(io::Error::other);
    let client = Client::start(Options {
        url: part("URL")?,
        name: part("CLIENT")?,
        token: Some(part("TOKEN")?).filter(|token| !token.is_empty()),
        buffer: PathBuf::from(part("DIR")?).join("buffer.log"),
        held_max: number("BUFFER")? as usize,
        on_event: Box::new(|event| {
            let line = match event {
                Event::Kept(seq) => format!("kept {seq}\n"),
                Event::Refused(seq, _) => format!("refused {seq}\n"),
                Event::GaveUp(seq) => format!("gave-up {seq}\n"),
            };
            io::stdout().write_all(line.as_bytes()).ok();
        }),
        ..Options::default()
    })?;
    let first = number("FIRST")?;
    for reading in first..first + number("READINGS")? {
        client.send(&Batch::now().int("conformance", "", reading as i64))?;
    }
    client.flush()
}

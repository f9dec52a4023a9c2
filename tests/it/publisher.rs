//! Publishers that nobody here wrote, each a process that does what lines tell it: `tests/publishers`.

use crate::daemon::PATIENCE;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex};
use tidegate::clock;

/// A program and what runs it.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// A virtual environment of that name, or nothing for Node.
    pub environment: Option<&'static str>,
    pub script: &'static str,
    pub arguments: &'static [&'static str],
}

impl Program {
    const fn python(environment: &'static str, script: &'static str) -> Program {
        Program { environment: Some(environment), script, arguments: &[] }
    }

    const fn node(arguments: &'static [&'static str]) -> Program {
        Program { environment: None, script: "node_sparkplug_client.mjs", arguments }
    }
}

pub const PAHO: Program = Program::python("paho", "json_paho.py");
pub const COMMANDED: Program = Program::python("paho", "commanded_paho.py");
pub const AIOMQTT: Program = Program::python("paho", "json_aiomqtt.py");
pub const PYSPARKPLUG: Program = Program::python("pysparkplug", "node_pysparkplug.py");
pub const SPB_WRAPPER: Program = Program::python("spb-wrapper", "node_spb_wrapper.py");
pub const TAHU: Program = Program::python("tahu", "node_tahu.py");
pub const SPARKPLUG_CLIENT: Program = Program::node(&[]);
pub const SPARKPLUG_CLIENT_DEFLATE: Program = Program::node(&["--compress", "DEFLATE"]);
pub const SPARKPLUG_CLIENT_GZIP: Program = Program::node(&["--compress", "GZIP"]);

/// A publisher at work.
pub struct Publisher {
    child: Child,
    stdin: ChildStdin,
    answers: Receiver<String>,
    heard: Arc<(Mutex<Vec<String>>, Condvar)>,
}

impl Publisher {
    /// Starts one that publishes to this port.
    pub fn start(program: Program, port: u16, id: &str) -> Publisher {
        Publisher::start_with(program, port, id, &[])
    }

    /// The same with more arguments.
    pub fn start_with(program: Program, port: u16, id: &str, arguments: &[&str]) -> Publisher {
        let root = env!("CARGO_MANIFEST_DIR");
        let interpreter = match program.environment {
            Some(environment) => format!("{root}/.venv-{environment}/bin/python"),
            None => "node".to_owned(),
        };
        let child = Command::new(&interpreter)
            .arg(format!("{root}/tests/publishers/{}", program.script))
            .args(["--port", &port.to_string(), "--id", id])
            .args(program.arguments)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child =
            child.unwrap_or_else(|error| panic!("{interpreter}: {error}; run tests/setup"));
        let (sender, answers) = channel();
        let heard: Arc<(Mutex<Vec<String>>, Condvar)> = Arc::default();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let told = heard.clone();
        std::thread::spawn(move || {
            for line in lines {
                match line.strip_prefix("heard ") {
                    Some(line) => {
                        told.0.lock().unwrap().push(line.to_owned());
                        told.1.notify_all();
                    }
                    // Nobody waits for it any more when the test is over.
                    None => drop(sender.send(line)),
                }
            }
        });
        Publisher { stdin: child.stdin.take().unwrap(), child, answers, heard }
    }

    /// Tells it a line; returns what it answers once the broker has all of it.
    pub fn tell(&mut self, line: &str) -> String {
        self.order(line);
        self.answer(line)
    }

    /// Tells it a line and does not wait for the answer.
    pub fn order(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").unwrap();
    }

    /// The answer to a line that was ordered.
    pub fn answer(&mut self, line: &str) -> String {
        let answer = self.next(line);
        let rest = answer.strip_prefix("ok");
        rest.unwrap_or_else(|| panic!("{line:?}: {answer}")).trim().to_owned()
    }

    /// The same, which must be that it could not be done.
    pub fn refusal(&mut self, line: &str) -> String {
        let answer = self.next(line);
        assert!(answer.starts_with("error"), "{line:?}: {answer}");
        answer
    }

    fn next(&mut self, line: &str) -> String {
        self.answers.recv_timeout(PATIENCE * 2).unwrap_or_else(|error| {
            panic!("no answer to {line:?}: {error}; heard {:?}", self.heard.0.lock().unwrap())
        })
    }

    /// What it told by itself so far.
    pub fn heard(&self) -> Vec<String> {
        self.heard.0.lock().unwrap().clone()
    }

    /// Waits until it has told something so often.
    pub fn until_heard(&self, wanted: impl Fn(&[String]) -> bool) {
        let deadline = clock::monotonic() + PATIENCE * 2;
        let mut heard = self.heard.0.lock().unwrap();
        while !wanted(&heard) {
            let left = deadline.saturating_duration_since(clock::monotonic());
            let last = heard.len().saturating_sub(5);
            assert!(!left.is_zero(), "of {} lines the last are {:?}", heard.len(), &heard[last..]);
            heard = self.heard.1.wait_timeout(heard, left).unwrap().0;
        }
    }

    /// Ends it without a word to the broker.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        // Gone already if the test has killed it.
        self.child.kill().and_then(|()| self.child.wait()).ok();
    }
}

//! `tidegate conformance`: tells the author of a client what it does wrong.

use super::run::runtime;
use super::{EXIT_USAGE, fail, printable};
use crate::config::parse_duration;
use crate::conformance::{self, Bench, SCENARIOS, Scenario, Verdict};
use clap::Args;
use futures_util::StreamExt;
use serde_json::{Value as Json, json};
use std::io::Write;
use std::net::SocketAddr;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

/// Flags of the trial.
#[derive(Debug, Args)]
pub(super) struct Conformance {
    /// Where to listen for the client. With a port other than 0, one scenario plays at a time, and those
    /// that need two clients are left out.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Only this scenario; may be given more than once.
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,
    /// So many scenarios at a time.
    #[arg(long, value_name = "N", default_value_t = 4)]
    jobs: usize,
    /// What takes a client longer is taken to never come.
    #[arg(long, value_name = "TIME", default_value = "20 s", value_parser = duration)]
    patience: Duration,
    /// Print the verdicts as JSON.
    #[arg(long)]
    json: bool,
    /// Print the scenarios and end.
    #[arg(long)]
    list: bool,
    /// The client's program and its arguments; docs/clients.md says what it has to do.
    #[arg(last = true, required_unless_present = "list")]
    command: Vec<String>,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| format!("\"{text}\" is not a duration, like \"10 s\""))
}

pub(super) fn conformance(asked: Conformance) -> ExitCode {
    let scenarios = match chosen(&asked.scenario) {
        Ok(scenarios) => scenarios,
        Err(name) => return fail(EXIT_USAGE, format!("there is no scenario {name} (--list)")),
    };
    if asked.list {
        return match list(&scenarios) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => ended(&error),
        };
    }
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, format!("the runtime could not be started: {error}")),
    };
    // Any text; a client that shows it has read its part.
    let token = format!("tg_conformance_{:016x}", rand::random::<u64>());
    let bench = Bench {
        command: asked.command,
        listen: asked.listen,
        token,
        patience: asked.patience,
        stderr: None,
    };
    let (scenarios, jobs) = match asked.listen.port() {
        0 => (scenarios, asked.jobs),
        _ => (scenarios.into_iter().filter(|it| !it.two_clients).collect(), 1),
    };
    let told = runtime.block_on(async {
        let mut verdicts = pin!(conformance::run(bench, scenarios, jobs));
        let mut all = Vec::new();
        while let Some(verdict) = verdicts.next().await {
            if !asked.json {
                tell(&verdict)?;
            }
            all.push(verdict);
        }
        end(&all, asked.json)
    });
    match told {
        Ok(code) => code,
        Err(error) => ended(&error),
    }
}

fn chosen(names: &[String]) -> Result<Vec<&'static Scenario>, &String> {
    if names.is_empty() {
        return Ok(SCENARIOS.iter().collect());
    }
    let of = |name| SCENARIOS.iter().find(|it| it.name == name);
    names.iter().map(|name| of(name.as_str()).ok_or(name)).collect()
}

fn list(scenarios: &[&Scenario]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for scenario in scenarios {
        writeln!(out, "{:<18} {}", scenario.name, scenario.what)?;
    }
    Ok(())
}

fn tell(verdict: &Verdict) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let Scenario { name, what, .. } = verdict.scenario;
    let seconds = verdict.took.as_secs_f64();
    let Some(fault) = &verdict.fault else {
        writeln!(out, "pass  {name:<18} {seconds:>4.1} s  {what}")?;
        return out.flush();
    };
    writeln!(out, "FAIL  {name:<18} {seconds:>4.1} s  {}", printable(&fault.to_string()))?;
    writeln!(out, "      the scenario: {what}")?;
    writeln!(out, "      the contract: {}", fault.contract())?;
    for line in &verdict.stderr {
        writeln!(out, "      its stderr:   {}", printable(line))?;
    }
    out.flush()
}

fn end(verdicts: &[Verdict], as_json: bool) -> std::io::Result<ExitCode> {
    let failed = verdicts.iter().filter(|verdict| verdict.fault.is_some()).count();
    let mut out = std::io::stdout().lock();
    if as_json {
        let scenarios: Vec<_> = verdicts.iter().map(verdict_json).collect();
        let passed = verdicts.len() - failed;
        let all = json!({ "scenarios": scenarios, "passed": passed, "failed": failed });
        writeln!(out, "{all:#}")?;
    } else {
        writeln!(out, "{} of {} passed", verdicts.len() - failed, verdicts.len())?;
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn verdict_json(verdict: &Verdict) -> Json {
    let fault = verdict.fault.as_ref();
    json!({
        "name": verdict.scenario.name,
        "what": verdict.scenario.what,
        "pass": fault.is_none(),
        "fault": fault.map(ToString::to_string),
        "contract": fault.map(conformance::Fault::contract),
        "stderr": verdict.stderr,
        "seconds": verdict.took.as_secs_f64(),
    })
}

/// The output could not be written. Whoever reads it may have seen enough.
fn ended(error: &std::io::Error) -> ExitCode {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => fail(1, error),
    }
}

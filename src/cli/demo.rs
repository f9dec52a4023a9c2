//! `tidegate demo`: the daemon, and a plant that speaks to it over a real socket.

use super::run::{end, runtime, stop_on_signal};
use super::simulate::{PlantArguments, spawn};
use super::{EXIT_USAGE, Settings, fail};
use crate::config::{Anonymous, AuthConfig};
use crate::daemon;
use crate::logging;
use clap::Args;
use std::process::ExitCode;
use tokio_util::sync::CancellationToken;

/// Flags of the demo.
#[derive(Debug, Args)]
pub(super) struct Demo {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    plant: PlantArguments,
}

pub(super) fn demo(mut demo: Demo) -> ExitCode {
    // Without a directory of its own the demo leaves nothing behind.
    let temporary = match demo.settings.state_dir {
        Some(_) => None,
        None => match tempfile::Builder::new().prefix("tidegate-demo-").tempdir() {
            Ok(directory) => Some(directory),
            Err(error) => return fail(1, format!("no temporary directory can be made: {error}")),
        },
    };
    if let Some(directory) = &temporary {
        demo.settings.state_dir = Some(directory.path().to_owned());
    }
    let (mut config, _) = match demo.settings.load() {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    if !config.listen.ip().is_loopback() {
        return fail(EXIT_USAGE, "the demo listens on a loopback address only");
    }
    // Keys and issuers of the installed daemon are not asked for here.
    config.auth = AuthConfig {
        anonymous: Anonymous::Anywhere,
        keys_file: config.state_dir.join("keys.toml"),
        jwt: None,
        certificates: Vec::new(),
        ..config.auth
    };
    logging::start(&config.log);
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, format!("the runtime could not be started: {error}")),
    };
    let ended = runtime.block_on(async {
        let stop = CancellationToken::new();
        let daemon = daemon::start(config, stop.clone()).await?;
        stop_on_signal(&stop)?;
        let address = daemon.address();
        println!("Tidegate demo: {} simulated devices. Open http://{address}/", demo.plant.devices);
        println!(
            "This is a demo: nobody is asked for a token, whoever reaches it may do everything."
        );
        let plant = spawn(&demo.plant, format!("ws://{address}/api/v1/ingest/ws"), &stop);
        let (ended, _report) = tokio::join!(daemon.run(), plant);
        ended
    });
    end(runtime);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, error),
    }
}

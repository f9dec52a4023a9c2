//! `tidegate run`: the daemon until SIGTERM or SIGINT.

use super::{EXIT_DATA, Settings, fail, reload};
use crate::daemon::{self, DaemonError};
use crate::logging;
use crate::systemd::Service;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// After the deadline of the shutdown, until threads are left behind.
const LAST_CALL: Duration = Duration::from_secs(3);

pub(super) fn run(settings: &Settings) -> ExitCode {
    let service = match Service::from_environment() {
        Ok(service) => service,
        Err(error) => return fail(1, error),
    };
    let (config, effective) = match settings.load() {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    logging::start(&config.log);
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, format!("the runtime could not be started: {error}")),
    };
    let ended = runtime.block_on(async {
        let stop = CancellationToken::new();
        let notifier = service.notifier.clone();
        let daemon = daemon::start_as(config, service, stop.clone()).await?;
        stop_on_signal(&stop)?;
        let reloads =
            reload::on_hangup(settings.clone(), &effective, daemon.reload(), notifier, stop)?;
        tokio::join!(daemon.run(), reloads).0
    });
    end(runtime);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ DaemonError::Newer(_)) => fail(EXIT_DATA, error),
        Err(error) => fail(1, error),
    }
}

/// The runtime of everything that waits for sockets.
pub(super) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    keep_pages_small();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// Where the kernel hands out huge pages unasked (`transparent_hugepage=always`, Debian's default), the first byte
/// of each thread's stack takes 2 MiB, and what the allocator gives back stays with us: 41 MiB were resident
/// instead of 7 before anything came. A kernel that has no such thing has nothing to be told.
fn keep_pages_small() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        log::debug!(error:err = error; "huge pages stay on");
    }
}

/// A thread of the pipeline that hangs, on a disk say, must not keep the process: what it has not
/// stored is in the spool. It gets a little time to stop where it is.
pub(super) fn end(runtime: tokio::runtime::Runtime) {
    runtime.shutdown_timeout(LAST_CALL);
}

/// Cancels `stop` at the first SIGTERM or SIGINT.
pub(super) fn stop_on_signal(stop: &CancellationToken) -> Result<(), DaemonError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(DaemonError::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(DaemonError::Runtime)?;
    let stop = stop.clone();
    #[expect(clippy::disallowed_methods, reason = "lives as long as the process, holds nothing")]
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        log::info!(event = "stopping"; "{name}: the pipeline runs dry, then the daemon stops");
        stop.cancel();
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn pages_are_small_before_a_thread_is_started() {
        let _runtime = super::runtime().unwrap();
        assert!(rustix::thread::transparent_huge_pages_are_disabled().unwrap());
    }
}

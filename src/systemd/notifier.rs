//! `sd_notify`: one datagram for each state. A service manager that does not take it is said once.

use sd_notify::NotifyState;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Tells the service manager; without one, nobody. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Notifier {
    watchdog: Option<Duration>,
    failed: Arc<AtomicBool>,
}

impl Notifier {
    /// As the environment has it (`NOTIFY_SOCKET`, `WATCHDOG_USEC`).
    #[must_use]
    pub fn from_environment() -> Notifier {
        Notifier { watchdog: sd_notify::watchdog_enabled(), ..Notifier::default() }
    }

    /// How long the service manager waits for the next [`Notifier::feed`] before it restarts us.
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// We serve; also after a reload.
    pub fn ready(&self) {
        self.tell(&[NotifyState::Ready]);
    }

    /// The line that `systemctl status` shows.
    pub fn status(&self, line: &str) {
        // A line break would begin the next assignment.
        let line = line.replace(['\n', '\r'], " ");
        self.tell(&[NotifyState::Status(&line)]);
    }

    /// The watchdog is fed.
    pub fn feed(&self) {
        if self.watchdog.is_some() {
            self.tell(&[NotifyState::Watchdog]);
        }
    }

    /// The configuration is read again, until [`Notifier::ready`].
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            // In one datagram: systemd 253 and newer wants both together (Type=notify-reload).
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            Err(_) => self.tell(&[NotifyState::Reloading]),
        }
    }

    /// We end.
    pub fn stopping(&self) {
        self.tell(&[NotifyState::Stopping]);
    }

    /// We need more time, and say so again within this.
    pub fn extend(&self, by: Duration) {
        let by = u32::try_from(by.as_micros()).unwrap_or(u32::MAX);
        self.tell(&[NotifyState::ExtendTimeoutUsec(by)]);
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(states)
            && !self.failed.swap(true, Ordering::Relaxed)
        {
            log::warn!(error:err = error; "the service manager can't be told how we are");
        }
    }
}

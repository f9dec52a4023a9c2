//! The register of devices: what is known of them beside their readings, over restarts.
//!
//! ```text
//!   live ── states that changed ──► queue of one batch ──► thread ──► devices.db
//!   devices.db ──► at the start ──► live
//! ```
//!
//! Guarantees: live never waits for it while the daemon runs; what an operator says is written within
//! a second, a state that changed within five, the last receipt of a device that only goes on within
//! a minute. Losing the file costs comfort (labels of operators, who is known, learned intervals),
//! never readings, and never a start: a damaged one is set aside, and with one that can't be opened the
//! daemon goes on without.
//!
//! Full-case: a batch that finds the queue taken stays with live, which offers it again with all that
//! changed since. What can't be written is kept, of each device the last state, and tried again with
//! what comes next.

mod file;

pub(crate) use file::FORMAT;
pub use file::{DEVICES_MAX, FileError};

use crate::live::{DeviceState, KnownDevice, Live};
use file::File;
use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

/// An opened register.
#[derive(Debug)]
pub struct Register {
    file: File,
}

impl Register {
    /// Opens the file or makes it, and reads what it knows.
    ///
    /// # Errors
    /// [`FileError`]; a damaged file is none: it is set aside and said in the log.
    pub fn open(path: &Path) -> Result<(Register, Vec<KnownDevice>), FileError> {
        let (file, known, set_aside) = File::open(path)?;
        if let Some(set_aside) = set_aside {
            log::error!(
                path:% = set_aside.path.display(), bytes = set_aside.bytes;
                "the register of devices was damaged: it was set aside and a new one begun; what operators \
                 said of devices is lost, readings are not"
            );
        }
        Ok((Register { file }, known))
    }

    /// Starts the thread that writes what changes. It ends after live has.
    ///
    /// # Errors
    /// If the system has no thread to give.
    pub fn start(self, live: &Live) -> std::io::Result<JoinHandle<()>> {
        // Full: live keeps what changed.
        let (saver, changes) = sync_channel(1);
        live.save_devices(saver);
        std::thread::Builder::new().name("devices".to_owned()).spawn(|| run(self.file, changes))
    }
}

fn run(mut file: File, changes: Receiver<Vec<DeviceState>>) {
    let mut unwritten: HashMap<String, DeviceState> = HashMap::new();
    let mut failing = false;
    for batch in changes {
        unwritten.extend(batch.into_iter().map(|device| (device.id.clone(), device)));
        let failed = match file.write(unwritten.values()) {
            Ok(()) => {
                unwritten.clear();
                if failing {
                    log::info!("the register of devices can be written again");
                }
                false
            }
            Err(error) => {
                if !failing {
                    log::warn!(error:err = error; "the register of devices can't be written; it is tried again");
                }
                true
            }
        };
        failing = failed;
    }
    if !unwritten.is_empty() {
        log::warn!(devices = unwritten.len(); "the register of devices ends, and some could not be written");
    }
}

#[cfg(test)]
mod tests;

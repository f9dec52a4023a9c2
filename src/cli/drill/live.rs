//! A viewer of the drill's device, over SSE as a browser is.

use super::device::METRIC;
use crate::cli::ask::{Daemon, Stream};
use crate::clock;
use hyper::Method;
use serde_json::Value as Json;
use std::time::Duration;
use tokio::time::timeout;

/// Until the first frame, which is the state so far.
const SNAPSHOT_MAX: Duration = Duration::from_secs(5);

pub(super) struct Viewer {
    stream: Stream,
    device: String,
    text: String,
}

impl Viewer {
    /// Returns when the daemon has told the state so far.
    pub async fn open(daemon: &Daemon, device: &str) -> Result<Viewer, String> {
        let path = format!("/api/v1/live?device={device}");
        let stream = daemon.open(Method::GET, &path, None).await.map_err(|it| it.to_string())?;
        let mut viewer = Viewer { stream, device: device.to_owned(), text: String::new() };
        let first = timeout(SNAPSHOT_MAX, async {
            while viewer.next().await?["type"] != "snapshot" {}
            Ok::<_, String>(())
        });
        first.await.unwrap_or_else(|_| Err("no snapshot came over SSE".to_owned()))?;
        Ok(viewer)
    }

    /// Waits until this value is the last that the viewer sees: how long.
    pub async fn sees(&mut self, value: f64, patience: Duration) -> Result<Duration, String> {
        let began = clock::monotonic();
        let seeing = timeout(patience, async {
            loop {
                let frame = self.next().await?;
                if last(&frame, &self.device) == Some(value) {
                    return Ok(clock::monotonic() - began);
                }
            }
        });
        let late = || Err(format!("not seen within {:.1} s", patience.as_secs_f64()));
        seeing.await.unwrap_or_else(|_| late())
    }

    async fn next(&mut self) -> Result<Json, String> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                let frame = data.and_then(|data| serde_json::from_str(data).ok());
                self.text = rest.to_owned();
                if let Some(frame) = frame {
                    return Ok(frame);
                }
                continue;
            }
            let bytes = self.stream.next().await.ok_or("the SSE stream ended")?;
            self.text.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
}

/// The last value of the device in a frame: the end of its newest rollup.
fn last(frame: &Json, device: &str) -> Option<f64> {
    let devices = frame["data"]["devices"].as_array()?;
    let found = devices.iter().find(|it| it["device"] == device)?;
    found["rollups"][METRIC].as_array()?.last()?[6].as_f64()
}

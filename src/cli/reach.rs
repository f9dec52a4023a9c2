//! Tries each sink with a write of nothing: whether its store would take more, or why not.
//!
//! A store looks at address, token and bucket before it looks at lines. A body without any is then
//! good (VictoriaMetrics: 204), or refused for having none (InfluxDB 2: 400 "writing requires points",
//! InfluxDB 3: 400 "no data in request"); either way nothing is written and nothing is in the way.

use crate::config::InfluxConfig;
use crate::sinks::influx::answers::Cause;

/// For each sink, whether it can be written now.
#[cfg(feature = "influx")]
pub(super) fn each(sinks: &[InfluxConfig]) -> std::io::Result<Vec<Result<(), Cause>>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(futures_util::future::join_all(sinks.iter().map(one))))
}

/// Without the feature the configuration has no sink.
#[cfg(not(feature = "influx"))]
pub(super) fn each(_: &[InfluxConfig]) -> std::io::Result<Vec<Result<(), Cause>>> {
    Ok(Vec::new())
}

/// Whether one sink can be written now.
#[cfg(feature = "influx")]
pub(super) async fn one(sink: &InfluxConfig) -> Result<(), Cause> {
    use crate::sinks::influx::answers::{Meaning, Unreached, answered, unreached};
    use crate::sinks::influx::transport::{Http, Transport};
    let reply = match Http::new(&sink.target()) {
        Ok(http) => http.write(nothing()).await,
        Err(_) => Err(Unreached::Other),
    };
    let meaning = match &reply {
        Ok(reply) => answered(&reply.answer(), crate::clock::now()),
        Err(why) => unreached(why.clone()),
    };
    match meaning {
        Meaning::Done | Meaning::Partial { .. } | Meaning::Rejected { .. } | Meaning::TooLarge => {
            Ok(())
        }
        Meaning::SlowDown { cause, .. }
        | Meaning::Unavailable { cause, .. }
        | Meaning::Misconfigured { cause } => Err(cause),
    }
}

/// No lines, gzip'd.
#[cfg(feature = "influx")]
fn nothing() -> bytes::Bytes {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.finish().unwrap_or_default().into()
}

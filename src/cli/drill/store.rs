//! Asks a sink's store whether it has what the drill's device sent, where it can be asked.

use super::device::METRIC;
use crate::config::InfluxConfig;
use crate::model::Globs;
use crate::sinks::influx::transport::Http;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use url::Url;

/// A store that can be written and perhaps asked.
pub(super) struct Store {
    http: Http,
    export: Url,
    query: Url,
    bucket: String,
    selected: bool,
}

/// What it has of what was sent.
#[derive(Debug, PartialEq)]
pub(super) enum Has {
    /// So many of them, and who says so.
    Found(usize, &'static str),
    /// It has no way to ask that we know.
    CanNotBeAsked,
    /// The sink's filters leave the drill's readings out.
    NotSelected,
}

impl Store {
    pub fn new(sink: &InfluxConfig, device: &str) -> Option<Store> {
        let http = Http::new(&sink.target()).ok()?;
        let base = sink.write_url.path().strip_suffix("/api/v2/write")?.to_owned();
        let mut export = sink.write_url.clone();
        export.set_path(&format!("{base}/api/v1/export"));
        let selector = format!("{{device=\"{device}\"}}");
        export.query_pairs_mut().clear().append_pair("match[]", &selector);
        let mut query = sink.write_url.clone();
        query.set_path(&format!("{base}/api/v2/query"));
        query.query_pairs_mut().clear().append_pair("org", &sink.org);
        let fits = |globs: &Option<Globs>, name: &str| {
            globs.as_ref().is_none_or(|globs| globs.is_match(name))
        };
        let selected = fits(&sink.devices, device) && fits(&sink.metrics, METRIC);
        Some(Store { http, export, query, bucket: sink.bucket.clone(), selected })
    }

    /// How many of these readings it has.
    pub async fn has(&self, device: &str, sent: &[(i64, f64)]) -> Has {
        if !self.selected {
            return Has::NotSelected;
        }
        match self.http.read(self.export.clone(), None).await {
            Ok(reply) if reply.status == 200 => {
                return Has::Found(exported(&reply.body, sent), "VictoriaMetrics");
            }
            _ => {}
        }
        let bucket = Json::from(self.bucket.as_str());
        let (_, field) = METRIC.split_once('.').unwrap_or(("", METRIC));
        let flux = format!(
            "from(bucket: {bucket}) |> range(start: -1d, stop: 1d) |> filter(fn: (r) => r.device == \
             \"{device}\" and r._field == \"{field}\") |> group() |> count()"
        );
        match self.http.read(self.query.clone(), Some(flux)).await {
            Ok(reply) if reply.status == 200 => Has::Found(counted(&reply.body), "InfluxDB 2"),
            _ => Has::CanNotBeAsked,
        }
    }
}

/// Readings that are in VictoriaMetrics' export with their times and values; once, however often.
fn exported(body: &[u8], sent: &[(i64, f64)]) -> usize {
    let mut found = BTreeMap::new();
    for line in String::from_utf8_lossy(body).lines() {
        let series: Json = serde_json::from_str(line).unwrap_or_default();
        let numbers = |key: &str| series[key].as_array().cloned().unwrap_or_default();
        for (time, value) in numbers("timestamps").iter().zip(numbers("values")) {
            found.insert(time.as_i64(), value.as_f64());
        }
    }
    let is_there =
        |(time, value): &&(i64, f64)| found.get(&Some(time / 1_000_000)) == Some(&Some(*value));
    sent.iter().filter(is_there).count()
}

/// The number in the column `_value` of an annotated CSV.
fn counted(body: &[u8]) -> usize {
    let text = String::from_utf8_lossy(body);
    let mut lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let column = lines.next().and_then(|head| head.split(',').position(|it| it == "_value"));
    let cell = column.and_then(|column| lines.next()?.split(',').nth(column)?.parse().ok());
    cell.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stores_answer_is_counted() {
        let sent = [(1_763_712_000_001_000_000, 1.0), (1_763_712_000_002_000_000, 2.0)];
        let export = |values: &str| {
            let times = "[1763712000001,1763712000002,1763712000002]";
            format!("{{\"metric\":{{}},\"values\":{values},\"timestamps\":{times}}}\n")
        };
        assert_eq!(exported(export("[1,2,2]").as_bytes(), &sent), 2);
        assert_eq!(exported(export("[1,3,3]").as_bytes(), &sent), 1, "another value");
        assert_eq!(exported(b"", &sent), 0);
        let csv = "#datatype,string,long,long\r\n,result,table,_value\r\n,_result,0,240\r\n\r\n";
        assert_eq!((counted(csv.as_bytes()), counted(b"\r\n")), (240, 0));
    }
}

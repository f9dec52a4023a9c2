//! What readers ask.

use super::file::Book;
use super::{BookError, Detail, Filter, Happened};
use crate::model::Timestamp;
use crate::rules::{Alert, Event, EventKind};
use rusqlite::types::Value as Sql;
use rusqlite::{OptionalExtension, Row, params, params_from_iter};
use std::sync::Arc;

impl Book {
    /// Alerts below this number, the newest first.
    pub fn list(
        &self,
        filter: &Filter,
        before: Option<u64>,
        max: usize,
    ) -> Result<Vec<Alert>, BookError> {
        let mut sql = "SELECT body FROM alert WHERE id<?".to_owned();
        let before = before.map_or(i64::MAX, |id| i64::try_from(id).unwrap_or(i64::MAX));
        let mut values = vec![Sql::Integer(before)];
        if !filter.states.is_empty() {
            let names: Vec<_> = filter.states.iter().map(|_| "?").collect();
            sql += &format!(" AND state IN ({})", names.join(","));
            values.extend(filter.states.iter().map(|state| Sql::Text((*state).to_owned())));
            if !filter.states.contains(&"resolved") {
                // Finds the index of those that are open.
                sql += " AND resolved_at IS NULL";
            }
        }
        let texts = [
            ("rule", filter.rule.clone()),
            ("device", filter.device.clone()),
            ("severity", filter.severity.map(str::to_owned)),
        ];
        for (column, text) in texts {
            if let Some(text) = text {
                sql += &format!(" AND {column}=?");
                values.push(Sql::Text(text));
            }
        }
        sql += " ORDER BY id DESC";
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params_from_iter(values), |row| {
            Ok(Alert::of_stored(&row.get::<_, String>(0)?))
        })?;
        let is_within = |alert: &Alert| filter.reach.as_ref().is_none_or(|it| alert.is_within(it));
        let found = rows.filter_map(Result::transpose);
        let found = found.filter(|alert| alert.as_ref().map_or(true, is_within)).take(max);
        Ok(found.collect::<rusqlite::Result<_>>()?)
    }

    /// One alert with its events.
    pub fn detail(&self, id: u64) -> Result<Option<Detail>, BookError> {
        let Ok(id) = i64::try_from(id) else { return Ok(None) };
        let mut statement = self.connection.prepare_cached("SELECT body FROM alert WHERE id=?")?;
        let body: Option<String> = statement.query_row([id], |row| row.get(0)).optional()?;
        let Some(alert) = body.and_then(|body| Alert::of_stored(&body)) else { return Ok(None) };
        let sql = "SELECT id, at, kind, by, note, body FROM event WHERE alert=? ORDER BY id";
        let mut statement = self.connection.prepare_cached(sql)?;
        let events = statement.query_map([id], happened)?;
        let events = events.filter_map(Result::transpose).collect::<rusqlite::Result<_>>()?;
        Ok(Some(Detail { alert, events }))
    }

    /// Events after this number, the oldest first.
    pub fn after(&self, id: u64, max: usize) -> Result<Vec<Happened>, BookError> {
        let sql = "SELECT id, at, kind, by, note, body FROM event WHERE id>? ORDER BY id LIMIT ?";
        let mut statement = self.connection.prepare_cached(sql)?;
        let id = i64::try_from(id).unwrap_or(i64::MAX);
        let max = i64::try_from(max).unwrap_or(i64::MAX);
        let events = statement.query_map(params![id, max], happened)?;
        Ok(events.filter_map(Result::transpose).collect::<rusqlite::Result<_>>()?)
    }
}

fn happened(row: &Row<'_>) -> rusqlite::Result<Option<Happened>> {
    let kind: String = row.get(2)?;
    let kinds = [EventKind::Fired, EventKind::Acknowledged, EventKind::Resolved];
    let kind = kinds.into_iter().find(|it| it.name() == kind);
    let alert = Alert::of_stored(&row.get::<_, String>(5)?).map(Arc::new);
    let (Some(kind), Some(alert)) = (kind, alert) else { return Ok(None) };
    let id = row.get::<_, i64>(0)?.cast_unsigned();
    let event = Event { id, at: Timestamp(row.get(1)?), kind, alert };
    Ok(Some(Happened { event, by: row.get(3)?, note: row.get(4)? }))
}

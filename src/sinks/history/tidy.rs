//! What a writer does between flushes: compaction, retention, giving space back; a slice at a time.

use super::HistoryError;
use super::file;
use super::writer::Writer;
use crate::model::Timestamp;

/// How often to look for something to do when nothing was flushed.
const LOOK_NS: i64 = 30_000_000_000;
/// Pages given back to the file system by one slice: 2 MiB.
const VACUUM_PAGES: i64 = 256;
/// Free pages up to this are kept: the next flush needs them (32 MiB).
const FREE_PAGES_KEPT: i64 = 4096;
const PAGE_BYTES: u64 = 8192;

impl Writer {
    /// One slice of tidying; returns whether there was anything to do.
    pub(super) fn tidy(&mut self, now: Timestamp) -> Result<bool, HistoryError> {
        if let Some(job) = self.job.take() {
            let segments = job.segment_ids();
            match self.go_on(job) {
                Err(error) if file::is_damage(&error) => self.give_up(segments),
                Err(error) => {
                    self.forget_outputs(&segments);
                    self.look_at = Timestamp(now.0.saturating_add(LOOK_NS));
                    return Err(error.into());
                }
                Ok(()) => {}
            }
            return Ok(true);
        }
        if now < self.look_at {
            return Ok(false);
        }
        match self.find_work(now) {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            // Not in a chunk but in what holds the file together: flushes would fail too.
            Err(HistoryError::Store(error)) if file::is_damage(&error) => {
                self.begin_anew()?;
                return Ok(true);
            }
            Err(error) => return Err(error),
        }
        self.look_at = Timestamp(now.0.saturating_add(LOOK_NS));
        Ok(false)
    }

    fn find_work(&mut self, now: Timestamp) -> Result<bool, HistoryError> {
        Ok(self.expire(now)? || self.plan(now)? || self.give_back()?)
    }

    /// A job that failed is begun anew later: what it has written so far goes away.
    fn forget_outputs(&mut self, segments: &[i64]) {
        for &id in segments {
            if self.segments.get(&id).is_none_or(|segment| segment.level >= 0) {
                continue;
            }
            self.segments.remove(&id);
            // If this fails too, the next start deletes them; until then nobody sees them.
            if let Err(error) = file::delete_segment(&self.connection, id) {
                log::debug!(segment = id, error:% = error; "an unfinished segment stays for now");
            }
        }
    }

    /// Deletes the oldest segment if it is too old, or the file too big.
    fn expire(&mut self, now: Timestamp) -> Result<bool, HistoryError> {
        let cutoff = self.options.retention.map_or(i64::MIN, |keep| now.saturating_sub(keep).0);
        let too_big = match self.options.bytes_max {
            // A sixteenth of room for the next flush.
            Some(max) => self.live_bytes()? > max - max / 16,
            None => false,
        };
        let oldest = self
            .segments
            .values()
            .filter(|segment| segment.level >= 0 && !self.untouchable.contains(&segment.id))
            .filter(|segment| self.job.as_ref().is_none_or(|job| !job.has_source(segment.id)))
            .min_by_key(|segment| segment.t1);
        let Some(&oldest) = oldest.filter(|segment| segment.t1 < cutoff || too_big) else {
            return Ok(false);
        };
        let transaction = self.connection.transaction()?;
        let result = file::delete_segment(&transaction, oldest.id).and_then(|()| {
            let floor = file::get_meta(&transaction, "floor")?.unwrap_or(i64::MIN);
            file::put_meta(&transaction, "floor", floor.max(oldest.t1.saturating_add(1)))?;
            transaction.commit()
        });
        match result {
            Err(error) if file::is_damage(&error) => {
                self.untouchable.insert(oldest.id);
            }
            Err(error) => return Err(error.into()),
            Ok(()) => {
                self.segments.remove(&oldest.id);
            }
        }
        Ok(true)
    }

    fn pages(&self, pragma: &str) -> rusqlite::Result<i64> {
        self.connection.pragma_query_value(None, pragma, |row| row.get(0))
    }

    fn live_bytes(&self) -> rusqlite::Result<u64> {
        let live = self.pages("page_count")? - self.pages("freelist_count")?;
        Ok(live.unsigned_abs() * PAGE_BYTES)
    }

    /// Gives free pages back to the file system if there are more than the next hour will need.
    fn give_back(&mut self) -> Result<bool, HistoryError> {
        let (pages, free) = (self.pages("page_count")?, self.pages("freelist_count")?);
        let too_big =
            self.options.bytes_max.is_some_and(|max| pages.unsigned_abs() * PAGE_BYTES > max);
        if free == 0 || (!too_big && free < FREE_PAGES_KEPT.max(pages / 3)) {
            return Ok(false);
        }
        let mut statement =
            self.connection.prepare(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
        Ok(true)
    }
}

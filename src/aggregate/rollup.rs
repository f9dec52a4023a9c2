//! A rollup: what one series did in one window.

use crate::model::Position;
use std::num::NonZeroU32;
use std::sync::Arc;

/// Longer texts are cut to this many bytes in rollups; the history has them whole.
pub const TEXT_BYTES_MAX: usize = 256;

/// The state of a series over one window. Never empty: it tells of at least one sample.
///
/// Its size is guarded by a test: there are several of them per series.
#[derive(Debug, Clone, PartialEq)]
pub enum Rollup {
    /// Of floats, integers, and truth values as 0 and 1.
    Number(Numbers),
    /// Of texts.
    Text(Box<Texts>),
}

/// A rollup of numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Numbers {
    /// How many samples; stops at the largest number.
    pub count: NonZeroU32,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
    /// All values added up.
    pub sum: f64,
    /// The value with the earliest timestamp; of equal ones, the first in the log.
    pub first: f64,
    /// The value with the latest timestamp; of equal ones, the last in the log.
    pub last: f64,
    /// Timestamp of `first`, nanoseconds.
    pub first_time: i64,
    /// Timestamp of `last`, nanoseconds.
    pub last_time: i64,
    /// The last record of the log that changed it.
    pub touched: Position,
}

/// A rollup of texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Texts {
    /// How many samples; stops at the largest number.
    pub count: NonZeroU32,
    /// How many samples differ from the one before them in this window.
    pub changes: u32,
    /// The text with the earliest timestamp.
    pub first: Arc<str>,
    /// The text with the latest timestamp; of equal ones, the last in the log.
    pub last: Arc<str>,
    /// Timestamp of `first`, nanoseconds.
    pub first_time: i64,
    /// Timestamp of `last`, nanoseconds.
    pub last_time: i64,
    /// The last record of the log that changed it.
    pub touched: Position,
}

impl Rollup {
    /// How many samples it tells of.
    #[must_use]
    pub fn count(&self) -> u32 {
        match self {
            Rollup::Number(numbers) => numbers.count.get(),
            Rollup::Text(texts) => texts.count.get(),
        }
    }

    /// Timestamp of its earliest sample, nanoseconds.
    #[must_use]
    pub fn first_time(&self) -> i64 {
        match self {
            Rollup::Number(numbers) => numbers.first_time,
            Rollup::Text(texts) => texts.first_time,
        }
    }

    /// Timestamp of its latest sample, nanoseconds.
    #[must_use]
    pub fn last_time(&self) -> i64 {
        match self {
            Rollup::Number(numbers) => numbers.last_time,
            Rollup::Text(texts) => texts.last_time,
        }
    }

    /// The last record of the log that changed it.
    #[must_use]
    pub fn touched(&self) -> Position {
        match self {
            Rollup::Number(numbers) => numbers.touched,
            Rollup::Text(texts) => texts.touched,
        }
    }

    /// Adds what `other` tells. For equal timestamps `other` is the later one in the log.
    ///
    /// Associative, and for parts whose times don't interleave also commutative, as far as floats
    /// add up exactly. A rollup of the other kind replaces this one.
    pub fn merge(&mut self, other: &Rollup) {
        match (&mut *self, other) {
            (Rollup::Number(mine), Rollup::Number(other)) => mine.merge(other),
            (Rollup::Text(mine), Rollup::Text(other)) => mine.merge(other),
            _ => *self = other.clone(),
        }
    }

    /// Bytes on the heap beside its own; texts that are shared count for each.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Rollup::Number(_) => 0,
            Rollup::Text(texts) => size_of::<Texts>() + texts.first.len() + texts.last.len() + 32,
        }
    }
}

impl Numbers {
    /// Of one sample.
    #[must_use]
    pub fn one(time: i64, value: f64, touched: Position) -> Numbers {
        Numbers {
            count: NonZeroU32::MIN,
            min: value,
            max: value,
            sum: value,
            first: value,
            last: value,
            first_time: time,
            last_time: time,
            touched,
        }
    }

    fn merge(&mut self, other: &Numbers) {
        self.count = self.count.saturating_add(other.count.get());
        self.min = if other.min < self.min { other.min } else { self.min };
        self.max = if other.max > self.max { other.max } else { self.max };
        self.sum += other.sum;
        if other.first_time < self.first_time {
            (self.first, self.first_time) = (other.first, other.first_time);
        }
        if other.last_time >= self.last_time {
            (self.last, self.last_time) = (other.last, other.last_time);
        }
        self.touched = self.touched.max(other.touched);
    }
}

impl Texts {
    /// Of one sample. `known` is a text that it may be equal to, shared if it is.
    pub(super) fn one(time: i64, text: &str, known: Option<&Arc<str>>, touched: Position) -> Texts {
        let text = cut(text);
        let text = match known {
            Some(known) if **known == *text => known.clone(),
            _ => text.into(),
        };
        Texts {
            count: NonZeroU32::MIN,
            changes: 0,
            first: text.clone(),
            last: text,
            first_time: time,
            last_time: time,
            touched,
        }
    }

    /// Adds a sample that is the last in the log.
    pub(super) fn add(&mut self, time: i64, text: &str) {
        if time >= self.last_time && *self.last == *cut(text) {
            self.count = self.count.saturating_add(1);
            self.last_time = time;
        } else {
            let sample = Texts::one(time, text, Some(&self.first), self.touched);
            self.merge(&sample);
        }
    }

    fn merge(&mut self, other: &Texts) {
        let boundary = if other.first_time < self.first_time {
            other.last != self.first
        } else {
            self.last != other.first
        };
        self.count = self.count.saturating_add(other.count.get());
        self.changes =
            self.changes.saturating_add(other.changes).saturating_add(u32::from(boundary));
        if other.first_time < self.first_time {
            (self.first, self.first_time) = (other.first.clone(), other.first_time);
        }
        if other.last_time >= self.last_time {
            (self.last, self.last_time) = (other.last.clone(), other.last_time);
        }
        self.touched = self.touched.max(other.touched);
    }
}

/// The text, cut to [`TEXT_BYTES_MAX`] at the end of a character.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_rollup_is_small() {
        assert_eq!(size_of::<Rollup>(), 72);
    }

    #[test]
    fn of_equal_times_the_first_in_the_log_is_first_and_the_last_is_last() {
        let mut rollup = Numbers::one(5, 1.0, Position(1));
        rollup.merge(&Numbers::one(5, 2.0, Position(2)));
        assert_eq!((rollup.first, rollup.last, rollup.touched), (1.0, 2.0, Position(2)));
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = "ä".repeat(200);
        let texts = Texts::one(0, &text, None, Position(0));
        assert_eq!(&*texts.last, "ä".repeat(128));
        let odd = format!("x{text}");
        assert_eq!(Texts::one(0, &odd, None, Position(0)).last.len(), 255);
    }

    fn merged(parts: &[Rollup]) -> Rollup {
        let mut whole = parts[0].clone();
        parts[1..].iter().for_each(|part| whole.merge(part));
        whole
    }

    proptest! {
        /// Values are small whole numbers, so that sums are exact.
        #[test]
        fn numbers_merge_in_any_order(
            values in prop::collection::vec(-1000_i32..1000, 2..20), turn in 0_usize..20,
        ) {
            let mut parts: Vec<_> = (0_i64..).zip(&values)
                .map(|(t, &v)| Rollup::Number(Numbers::one(t, f64::from(v), Position(t as u64))))
                .collect();
            let forward = merged(&parts);
            let turn = turn % parts.len();
            parts.rotate_left(turn);
            prop_assert_eq!(&merged(&parts), &forward);
            parts.reverse();
            prop_assert_eq!(&merged(&parts), &forward);
            let (left, right) = parts.split_at(parts.len() / 2);
            prop_assert_eq!(merged(&[merged(left), merged(right)]), forward);
        }

        /// Neighbours in time may be merged in any grouping, and either into the other.
        #[test]
        fn texts_merge_in_any_grouping(
            values in prop::collection::vec("[ab]", 3..20), split in 1_usize..19,
        ) {
            let parts: Vec<_> = (0_i64..).zip(&values)
                .map(|(t, v)| Rollup::Text(Box::new(Texts::one(t, v, None, Position(0)))))
                .collect();
            let whole = merged(&parts);
            let (left, right) = parts.split_at(split.min(parts.len() - 1));
            prop_assert_eq!(&merged(&[merged(left), merged(right)]), &whole);
            prop_assert_eq!(&merged(&[merged(right), merged(left)]), &whole);
            let changes = values.windows(2).filter(|pair| pair[0] != pair[1]).count();
            let Rollup::Text(texts) = whole else { panic!("not texts") };
            prop_assert_eq!(texts.changes as usize, changes);
        }
    }
}

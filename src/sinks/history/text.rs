//! A column of texts as codes into a dictionary: states and messages repeat.

use hashbrown::HashTable;
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;

/// Dictionaries up to this size are searched in a row; beyond, a hash table is kept.
const LINEAR_ENTRIES_MAX: usize = 8;

/// Texts, each different one held once.
#[derive(Debug, Clone, Default)]
pub(super) struct TextColumn {
    codes: Vec<u32>,
    entries: Vec<Arc<str>>,
    /// Empty while `entries` is small, and in columns that were only read.
    index: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
}

impl TextColumn {
    pub(super) fn with_capacity(values: usize) -> TextColumn {
        TextColumn { codes: Vec::with_capacity(values), ..TextColumn::default() }
    }

    /// From codes that all lie within `entries`.
    pub(super) fn from_parts(codes: Vec<u32>, entries: Vec<Arc<str>>) -> TextColumn {
        TextColumn { codes, entries, ..TextColumn::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.codes.len()
    }

    pub(super) fn get(&self, index: usize) -> &Arc<str> {
        &self.entries[self.codes[index] as usize]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<str>> {
        self.codes.iter().map(|&code| &self.entries[code as usize])
    }

    /// Appends a text; returns the bytes of it that were not held yet.
    pub(super) fn push(&mut self, text: &str) -> usize {
        // A state usually stays what it was.
        if let Some(&last) = self.codes.last()
            && &*self.entries[last as usize] == text
        {
            self.codes.push(last);
            return 0;
        }
        let before = self.entries.len();
        let code = self.code(text);
        self.codes.push(code);
        if self.entries.len() > before { text.len() } else { 0 }
    }

    fn code(&mut self, text: &str) -> u32 {
        if self.entries.len() <= LINEAR_ENTRIES_MAX {
            if let Some(code) = self.entries.iter().position(|entry| &**entry == text) {
                return code as u32;
            }
            self.entries.push(text.into());
            return self.entries.len() as u32 - 1;
        }
        let TextColumn { entries, index, hasher, .. } = self;
        let hash_of = |code: &u32| hasher.hash_one(&*entries[*code as usize]);
        if index.len() < entries.len() {
            for code in index.len() as u32..entries.len() as u32 {
                index.insert_unique(hash_of(&code), code, hash_of);
            }
        }
        let hash = hasher.hash_one(text);
        if let Some(&code) = index.find(hash, |&code| &*entries[code as usize] == text) {
            return code;
        }
        let code = entries.len() as u32;
        entries.push(text.into());
        index.insert_unique(hash, code, |code| hasher.hash_one(&*entries[*code as usize]));
        code
    }

    pub(super) fn append(&mut self, other: &TextColumn, range: Range<usize>) {
        let mut known = vec![None; other.entries.len()];
        for &code in &other.codes[range] {
            let code = code as usize;
            let own = match known[code] {
                Some(own) => own,
                None => *known[code].insert(self.code(&other.entries[code])),
            };
            self.codes.push(own);
        }
    }

    pub(super) fn slice(&self, range: Range<usize>) -> TextColumn {
        TextColumn::from_parts(self.codes[range].to_vec(), self.entries.clone())
    }

    pub(super) fn gather(&self, indices: &[u32]) -> TextColumn {
        let codes = indices.iter().map(|&index| self.codes[index as usize]).collect();
        TextColumn::from_parts(codes, self.entries.clone())
    }

    /// Codes and dictionary of a range, with only the entries that occur in it, in the order in
    /// which they first do.
    pub(super) fn compact(&self, range: Range<usize>) -> (Vec<u32>, Vec<&str>) {
        let mut known = vec![None; self.entries.len()];
        let mut entries: Vec<&str> = Vec::new();
        let codes = self.codes[range]
            .iter()
            .map(|&code| {
                *known[code as usize].get_or_insert_with(|| {
                    entries.push(&self.entries[code as usize]);
                    entries.len() as u32 - 1
                })
            })
            .collect();
        (codes, entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_texts_come_back_in_order_and_are_held_once() {
        let mut column = TextColumn::default();
        let texts: Vec<String> = (0..100).map(|i| format!("state {}", i * i % 37)).collect();
        let held: usize = texts.iter().map(|text| column.push(text)).sum();
        assert!(column.iter().map(|text| &**text).eq(texts.iter().map(String::as_str)));
        let mut different = texts.clone();
        different.sort();
        different.dedup();
        assert_eq!(column.entries.len(), different.len());
        assert_eq!(held, different.iter().map(String::len).sum::<usize>());

        let mut joined = column.slice(90..100);
        joined.append(&column, 0..10);
        assert_eq!(&**joined.get(10), "state 0");
        let (codes, entries) = joined.compact(10..12);
        assert_eq!((codes, entries), (vec![0, 1], vec!["state 0", "state 1"]));
    }
}

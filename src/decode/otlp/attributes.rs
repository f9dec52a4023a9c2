//! Attributes: those of a resource become the device and tags, those of a data point become tags.

use super::OtlpNaming;
use crate::decode::fault::{Counted, FaultKind};
use crate::decode::histogram::number_text;
use crate::decode::items::ItemFaultKind;
use crate::wire::Limits;
use std::borrow::Cow;

/// A key, and what it has.
pub(super) struct Attribute<'a> {
    pub key: Cow<'a, str>,
    pub value: AttributeValue<'a>,
}

pub(super) enum AttributeValue<'a> {
    /// A text, a truth value or a number.
    Text(Cow<'a, str>),
    /// A list, a map or bytes.
    NotText,
}

/// As an attribute that is not there.
impl Default for AttributeValue<'_> {
    fn default() -> Self {
        AttributeValue::Text(Cow::Borrowed(""))
    }
}

impl AttributeValue<'_> {
    pub(super) fn bool(value: bool) -> Self {
        AttributeValue::Text(Cow::Borrowed(if value { "true" } else { "false" }))
    }

    pub(super) fn int(value: i64) -> Self {
        AttributeValue::Text(Cow::Owned(value.to_string()))
    }

    pub(super) fn double(value: f64) -> Self {
        AttributeValue::Text(Cow::Owned(number_text(value)))
    }
}

/// A key and a value.
type Tag<'a> = (Cow<'a, str>, Cow<'a, str>);

impl<'a> Attribute<'a> {
    /// Key and text, `None` if it is empty: as good as not there.
    fn tag(self) -> Result<Option<Tag<'a>>, ItemFaultKind> {
        match self.value {
            AttributeValue::Text(text) => Ok((!text.is_empty()).then_some((self.key, text))),
            AttributeValue::NotText => {
                Err(ItemFaultKind::NotText { key: self.key.chars().take(KEY_CHARS).collect() })
            }
        }
    }
}

/// Of a key that is at fault, so much is told.
const KEY_CHARS: usize = 100;

/// Adds the tag of a data point's attribute.
pub(super) fn add_tag<'a>(
    tags: &mut Vec<(Cow<'a, str>, Cow<'a, str>)>,
    attribute: Attribute<'a>,
    limits: &Limits,
) -> Result<(), ItemFaultKind> {
    if let Some(tag) = attribute.tag()? {
        if tags.len() == limits.tags {
            return Err(FaultKind::TooMany { what: Counted::Tags, max: limits.tags }.into());
        }
        tags.push(tag);
    }
    Ok(())
}

/// What the points of a resource have in common.
#[derive(Default)]
pub(super) struct Origin<'a> {
    /// `None` = the client.
    pub device: Option<Cow<'a, str>>,
    pub tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

/// Makes an origin of the attributes of a resource.
pub(super) struct OriginOf<'a, 'c> {
    naming: OtlpNaming<'c>,
    limits: &'c Limits,
    /// Those that may become the device or a tag.
    wanted: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a, 'c> OriginOf<'a, 'c> {
    pub(super) fn new(naming: OtlpNaming<'c>, limits: &'c Limits) -> OriginOf<'a, 'c> {
        OriginOf { naming, limits, wanted: Vec::new() }
    }

    pub(super) fn add(&mut self, attribute: Attribute<'a>) -> Result<(), ItemFaultKind> {
        let is_device = self.naming.device_attributes.iter().any(|key| *key == attribute.key);
        if !is_device && !self.is_tag(&attribute.key) {
            return Ok(());
        }
        let Some(tag) = attribute.tag()? else { return Ok(()) };
        // Before anything is done for each of them.
        if self.wanted.len() == self.limits.tags + self.naming.device_attributes.len() {
            let max = self.limits.tags;
            return Err(FaultKind::TooMany { what: Counted::Tags, max }.into());
        }
        self.wanted.push(tag);
        Ok(())
    }

    pub(super) fn finish(mut self) -> Origin<'a> {
        let keys = self.naming.device_attributes.iter();
        let device =
            keys.filter_map(|wanted| self.wanted.iter().position(|(key, _)| key == wanted));
        let device = device.take(1).next().map(|at| self.wanted.remove(at).1);
        let mut tags = std::mem::take(&mut self.wanted);
        tags.retain(|(key, _)| self.is_tag(key));
        Origin { device, tags }
    }

    fn is_tag(&self, key: &str) -> bool {
        self.naming.resource_tags.is_none_or(|globs| globs.is_match(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_with_very_many_attributes_is_not_read_to_its_end() {
        let limits = Limits { tags: 3, ..Limits::default() };
        let mut tags = Vec::new();
        let mut add = || {
            let attribute = Attribute { key: "k".into(), value: AttributeValue::bool(true) };
            add_tag(&mut tags, attribute, &limits)
        };
        assert!([add(), add(), add()].iter().all(Result::is_ok) && add().is_err());
    }
}

//! The labels of a series.

use std::sync::Arc;

/// The label that holds the metric.
pub const METRIC_NAME: &str = "__name__";
/// The label that holds the device.
pub const DEVICE: &str = "device";
/// What goes before a tag whose key is one of those.
const EXPORTED: &str = "exported_";

/// A name and a value.
type Label = (Arc<str>, Arc<str>);

/// Labels in the order of their names, each name once, no value empty. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Arc<[Label]>);

impl Default for Labels {
    fn default() -> Labels {
        Labels(Arc::from([]))
    }
}

impl Labels {
    /// Of these, in whatever order; of equal names the first counts, empty values are left out.
    #[must_use]
    pub fn new(mut labels: Vec<Label>) -> Labels {
        labels.retain(|(_, value)| !value.is_empty());
        labels.sort_by(|a, b| a.0.cmp(&b.0));
        labels.dedup_by(|later, first| later.0 == first.0);
        Labels(labels.into())
    }

    /// Those of a series of the history.
    #[must_use]
    pub fn of_series(device: &Arc<str>, metric: &Arc<str>, tags: &[(&str, &str)]) -> Labels {
        let mut labels = Vec::with_capacity(tags.len() + 2);
        labels.push((METRIC_NAME.into(), metric.clone()));
        labels.push((DEVICE.into(), device.clone()));
        for (key, value) in tags {
            let key = match *key {
                METRIC_NAME | DEVICE => format!("{EXPORTED}{key}").into(),
                key => key.into(),
            };
            labels.push((key, (*value).into()));
        }
        Labels::new(labels)
    }

    /// The value of a label; empty if there is none.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| &**key == name).map_or("", |(_, value)| value)
    }

    /// All, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Those that `stays` says.
    #[must_use]
    pub fn filtered(&self, stays: impl Fn(&str) -> bool) -> Labels {
        if self.0.iter().all(|(name, _)| stays(name)) {
            return self.clone();
        }
        Labels(self.0.iter().filter(|(name, _)| stays(name)).cloned().collect())
    }

    /// All but the metric.
    #[must_use]
    pub fn without_name(&self) -> Labels {
        self.filtered(|name| name != METRIC_NAME)
    }

    /// With this label set; an empty value takes it away.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Labels {
        let others = self.0.iter().filter(|(key, _)| &**key != name).cloned();
        Labels::new(others.chain([(name.into(), value.into())]).collect())
    }
}

/// A series of the history while it is decided whether it is meant, before its labels are made.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Its device.
    pub device: &'a str,
    /// Its metric.
    pub metric: &'a str,
    /// Its tags.
    pub tags: &'a [(&'a str, &'a str)],
}

impl View<'_> {
    /// The value of a label; empty if there is none.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        let tag = |key: &str| {
            let tag = self.tags.iter().find(|(name, _)| *name == key);
            tag.map_or("", |(_, value)| *value)
        };
        match name {
            METRIC_NAME => self.metric,
            DEVICE => self.device,
            _ => match name.strip_prefix(EXPORTED) {
                Some(key @ (METRIC_NAME | DEVICE)) if !tag(key).is_empty() => tag(key),
                _ => tag(name),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_does_not_hide_the_device_or_the_metric() {
        let tags = [("device", "x"), ("__name__", "y"), ("area", "north"), ("empty", "")];
        let labels = Labels::of_series(&"pump".into(), &"flow".into(), &tags);
        let all: Vec<_> = labels.iter().collect();
        let expected = [
            ("__name__", "flow"),
            ("area", "north"),
            ("device", "pump"),
            ("exported___name__", "y"),
            ("exported_device", "x"),
        ];
        assert_eq!(all, expected);
        let view = View { device: "pump", metric: "flow", tags: &tags };
        for (name, value) in expected {
            assert_eq!(view.get(name), value, "{name}");
        }
        assert_eq!(view.get("empty"), "");
        assert_eq!(view.get("nothing"), "");
        assert_eq!(view.get("exported_area"), "");
    }

    #[test]
    fn labels_are_set_and_taken_away() {
        let labels = Labels::new(vec![("b".into(), "2".into()), ("a".into(), "1".into())]);
        assert_eq!(labels.with("a", "").iter().collect::<Vec<_>>(), [("b", "2")]);
        assert_eq!(labels.with("c", "3").get("c"), "3");
        assert_eq!(labels.with("a", "9").get("a"), "9");
        assert_eq!(labels.without_name(), labels);
    }
}

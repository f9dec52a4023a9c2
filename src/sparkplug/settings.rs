//! How a host is set up: all of it is the administrator's choice.

use crate::wire::Limits;
use std::time::Duration;
use thiserror::Error;

/// A lost message is usually a late one: brokers reorder by milliseconds, radio links by seconds.
pub const REORDER_TIMEOUT: Duration = Duration::from_secs(5);
/// A node that does not answer a rebirth request is asked again no sooner.
pub const REBIRTH_INTERVAL_MIN: Duration = Duration::from_secs(30);
/// Nodes whose tables are remembered are asked to confirm them one after the other, at this pace.
pub const CONFIRM_INTERVAL: Duration = Duration::from_millis(500);
/// The metric that tells of a device whether it is online.
pub const ONLINE_METRIC: &str = "online";
/// The template of device names.
pub const DEVICE: &str = "{group}/{node}/{device}";

/// A host's settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Names the host in its STATE topic; empty: it publishes no STATE, and is nobody's primary host.
    pub host_id: String,
    /// What devices are called.
    pub naming: Naming,
    /// The Boolean metric that tells at birth and death whether a device is online; empty: none.
    pub online_metric: String,
    /// How long a message that came too early waits for those before it.
    pub reorder_timeout: Duration,
    /// The least time between two rebirth requests to one node.
    pub rebirth_interval_min: Duration,
    /// The least time between two requests to confirm a remembered table; zero: none are asked to.
    pub confirm_interval: Duration,
    /// What names, texts, times and compressed payloads must keep.
    pub limits: Limits,
    /// How much may be remembered.
    pub caps: Caps,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            host_id: String::new(),
            naming: Naming::default(),
            online_metric: ONLINE_METRIC.to_owned(),
            reorder_timeout: REORDER_TIMEOUT,
            rebirth_interval_min: REBIRTH_INTERVAL_MIN,
            confirm_interval: CONFIRM_INTERVAL,
            limits: Limits::default(),
            caps: Caps::default(),
        }
    }
}

/// What a host may hold; more is refused and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Nodes.
    pub nodes: usize,
    /// Devices of one node.
    pub devices: usize,
    /// Metrics in the tables of one node and its devices.
    pub node_metrics: usize,
    /// Bytes of all tables.
    pub table_bytes: usize,
    /// Messages of one node that wait for an earlier one.
    pub held_messages: usize,
    /// Bytes of all messages that wait.
    pub held_bytes: usize,
    /// Metrics in one message.
    pub message_metrics: usize,
    /// Values that one array, data set or template becomes.
    pub elements: usize,
    /// Values that one message becomes.
    pub message_values: usize,
}

impl Default for Caps {
    fn default() -> Caps {
        Caps {
            nodes: 10_000,
            devices: 4096,
            node_metrics: 65_536,
            table_bytes: 256 << 20,
            held_messages: 64,
            held_bytes: 32 << 20,
            message_metrics: 65_536,
            elements: 1024,
            message_values: 262_144,
        }
    }
}

/// Names of devices, from a template such as `{group}/{node}/{device}`.
///
/// A node's own metrics belong to the device named by the template without `{device}` and without
/// the text before it: `{group}/{node}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    device: Vec<Part>,
    node: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Group,
    Node,
    Device,
}

/// Why a template is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NamingError {
    /// A brace that nothing closes or opens.
    #[error("a brace is not closed or not opened")]
    Brace,
    /// Something else than the three there are.
    #[error("{{{name}}} is not known; there are {{group}}, {{node}} and {{device}}")]
    Unknown {
        /// As written.
        name: String,
    },
    /// Nodes, or devices of a node, would share a name.
    #[error("{{node}} and {{device}} must both stand in it, or readings of several would mix")]
    Missing,
}

impl Default for Naming {
    fn default() -> Naming {
        use Part::{Device, Group, Node};
        let slash = || Part::Text("/".to_owned());
        Naming {
            device: vec![Group, slash(), Node, slash(), Device],
            node: vec![Group, slash(), Node],
        }
    }
}

impl Naming {
    /// Reads a template.
    ///
    /// # Errors
    /// [`NamingError`] says what is wrong with it.
    pub fn new(template: &str) -> Result<Naming, NamingError> {
        let mut device = Vec::new();
        let mut rest = template;
        while let Some(at) = rest.find(['{', '}']) {
            if at > 0 {
                device.push(Part::Text(rest[..at].to_owned()));
            }
            let inside = rest[at..].strip_prefix('{').ok_or(NamingError::Brace)?;
            let (name, after) = inside.split_once('}').ok_or(NamingError::Brace)?;
            device.push(match name {
                "group" => Part::Group,
                "node" => Part::Node,
                "device" => Part::Device,
                _ => return Err(NamingError::Unknown { name: name.to_owned() }),
            });
            rest = after;
        }
        if !rest.is_empty() {
            device.push(Part::Text(rest.to_owned()));
        }
        if !device.contains(&Part::Node) || !device.contains(&Part::Device) {
            return Err(NamingError::Missing);
        }
        let mut node: Vec<Part> = Vec::new();
        let mut parts = device.iter().peekable();
        while let Some(part) = parts.next() {
            if *part == Part::Device {
                match node.last() {
                    Some(Part::Text(_)) => drop(node.pop()),
                    // `{device}` leads: the text after it goes.
                    None if matches!(parts.peek(), Some(Part::Text(_))) => drop(parts.next()),
                    _ => {}
                }
            } else {
                node.push(part.clone());
            }
        }
        Ok(Naming { device, node })
    }

    /// The device of a node's own metrics, or of a device's.
    #[must_use]
    pub fn device(&self, group: &str, node: &str, device: Option<&str>) -> String {
        let parts = if device.is_some() { &self.device } else { &self.node };
        parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.as_str(),
                Part::Group => group,
                Part::Node => node,
                Part::Device => device.unwrap_or_default(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_names_devices_and_nodes() {
        let check = |template: &str, device: &str, node: &str| {
            let naming = Naming::new(template).unwrap();
            assert_eq!(naming.device("G", "N", Some("D")), device, "{template}");
            assert_eq!(naming.device("G", "N", None), node, "{template}");
        };
        check(DEVICE, "G/N/D", "G/N");
        check("{node}.{device}", "N.D", "N");
        check("{device}@{node}", "D@N", "N");
        check("plant {group}: {node}{device}!", "plant G: ND!", "plant G: N!");
        assert_eq!(Naming::new(DEVICE), Ok(Naming::default()));
        assert_eq!(Naming::new("{group}/{device}"), Err(NamingError::Missing));
        assert_eq!(Naming::new("{group}/{node}"), Err(NamingError::Missing));
        assert_eq!(
            Naming::new("{node/{device}"),
            Err(NamingError::Unknown { name: "node/{device".into() })
        );
        assert_eq!(Naming::new("{node}/{device"), Err(NamingError::Brace));
        assert_eq!(Naming::new("node}/{device}"), Err(NamingError::Brace));
    }
}

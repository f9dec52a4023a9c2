//! Topics of Sparkplug B: `spBv1.0/group/type/node[/device]` and `spBv1.0/STATE/host_id`.

use super::NodeId;

/// The namespace (tck-id-topic-structure-namespace-a).
pub(super) const NAMESPACE: &str = "spBv1.0";

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic<'t> {
    /// A host says whether it is online.
    State { host_id: &'t str },
    /// A node or one of its devices says something.
    Edge { verb: Verb, group: &'t str, node: &'t str, device: Option<&'t str> },
    /// A host tells a node or device to do something.
    Command,
}

/// What a node says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Birth,
    Data,
    Death,
}

impl<'t> Topic<'t> {
    /// Reads a topic; `None` if it is none of Sparkplug B.
    pub(super) fn read(topic: &'t str) -> Option<Topic<'t>> {
        let mut levels = topic.split('/');
        if levels.next() != Some(NAMESPACE) {
            return None;
        }
        let group = levels.next().filter(|group| !group.is_empty())?;
        let kind = levels.next().filter(|kind| !kind.is_empty())?;
        let node = levels.next();
        if group == "STATE" && node.is_none() {
            return Some(Topic::State { host_id: kind });
        }
        let node = node.filter(|node| !node.is_empty())?;
        let device = levels.next();
        if device == Some("") || levels.next().is_some() {
            return None;
        }
        let (of, verb) = kind.split_at_checked(1)?;
        if (of, device.is_some()) != ("N", false) && (of, device.is_some()) != ("D", true) {
            return None;
        }
        let verb = match verb {
            "BIRTH" => Verb::Birth,
            "DATA" => Verb::Data,
            "DEATH" => Verb::Death,
            "CMD" => return Some(Topic::Command),
            _ => return None,
        };
        Some(Topic::Edge { verb, group, node, device })
    }
}

/// Where a host says whether it is online (tck-id-host-topic-phid-birth-topic).
pub(super) fn state(host_id: &str) -> String {
    format!("{NAMESPACE}/STATE/{host_id}")
}

/// Where a node or device is told what to do.
pub(super) fn command(node: &NodeId, device: Option<&str>) -> String {
    match device {
        None => format!("{NAMESPACE}/{}/NCMD/{}", node.group, node.node),
        Some(device) => format!("{NAMESPACE}/{}/DCMD/{}/{device}", node.group, node.node),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_say_who_speaks_of_whom() {
        let edge = |verb, group, node, device| Some(Topic::Edge { verb, group, node, device });
        let check = |topic: &str, expected: Option<Topic<'_>>| {
            assert_eq!(Topic::read(topic), expected, "{topic}");
        };
        check("spBv1.0/G/NBIRTH/N", edge(Verb::Birth, "G", "N", None));
        check("spBv1.0/G/DDATA/N/D", edge(Verb::Data, "G", "N", Some("D")));
        check("spBv1.0/G/DDEATH/N/D", edge(Verb::Death, "G", "N", Some("D")));
        check("spBv1.0/G/NCMD/N", Some(Topic::Command));
        check("spBv1.0/STATE/scada", Some(Topic::State { host_id: "scada" }));
        // A group may be called so.
        check("spBv1.0/STATE/NDATA/N", edge(Verb::Data, "STATE", "N", None));
        for not in [
            "spAv1.0/G/NBIRTH/N",
            "spBv1.0/G/NBIRTH",
            "spBv1.0/G/NBIRTH/N/D",
            "spBv1.0/G/DBIRTH/N",
            "spBv1.0/G/DBIRTH/N/D/E",
            "spBv1.0/G/DBIRTH/N/",
            "spBv1.0//NBIRTH/N",
            "spBv1.0/G/nbirth/N",
            "spBv1.0/G/ÄDATA/N",
            "STATE/scada",
            "spBv1.0/STATE/",
            "",
        ] {
            check(not, None);
        }
    }
}

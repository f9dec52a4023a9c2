//! A node's tables as bytes, to be kept over a restart.
//!
//! ```text
//! magic     4   "TGSB"
//! version   1   1
//! node          group, node: text
//! bdSeq         number + 1, or 0 for none
//! devices       count (the node itself first), then of each:
//!     id        text; the node's own is empty
//!     metrics   count, then of each:
//!         name      text, as the birth told it
//!         datatype  1; 0: not told
//!         unit      text
//!         alias     number + 1, or 0 for none
//! checksum  4   CRC-32C of all before, little endian
//! ```
//!
//! Numbers and the lengths of texts are varints of up to 10 bytes, least bits first. What can not be
//! read is forgotten: the node is asked for a rebirth, as if it had never been known.

use super::Settings;
use super::datatype::DataType;
use super::heard::NodeId;
use super::node::{Life, Node};
use super::scope::Scope;
use super::table::Table;
use crate::decode::protobuf::{Malformed, utf8, varint};
use thiserror::Error;

const MAGIC: &[u8; 4] = b"TGSB";
const VERSION: u8 = 1;

/// Remembered bytes that are not what they were, or more than may be held. Forget them; the node
/// will be asked for a rebirth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the remembered tables are damaged, of another version, or too large")]
pub struct Damaged;

impl From<Malformed> for Damaged {
    fn from(_: Malformed) -> Damaged {
        Damaged
    }
}

/// The tables of a node.
pub(super) fn write(node: &Node) -> Vec<u8> {
    let mut bytes = [MAGIC.as_slice(), &[VERSION]].concat();
    text(&mut bytes, &node.id.group);
    text(&mut bytes, &node.id.node);
    option(&mut bytes, node.bdseq);
    let mut devices: Vec<_> = node.devices.iter().filter(|(_, device)| device.born).collect();
    devices.sort_by_key(|(id, _)| *id);
    number(&mut bytes, devices.len() as u64 + 1);
    let own = std::iter::once(("", &node.own));
    for (id, scope) in own.chain(devices.into_iter().map(|(id, scope)| (&**id, scope))) {
        text(&mut bytes, id);
        number(&mut bytes, scope.table.entries.len() as u64);
        for entry in &scope.table.entries {
            text(&mut bytes, &entry.told);
            bytes.push(entry.datatype.map_or(0, DataType::number));
            text(&mut bytes, &entry.unit);
            option(&mut bytes, entry.alias);
        }
    }
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// The node whose tables these are, recalled.
pub(super) fn read(bytes: &[u8], settings: &Settings) -> Result<Node, Damaged> {
    let (body, checksum) = bytes.split_last_chunk().ok_or(Damaged)?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*checksum) {
        return Err(Damaged);
    }
    let body = body.strip_prefix(MAGIC).ok_or(Damaged)?;
    let mut rest = body.strip_prefix(&[VERSION]).ok_or(Damaged)?;
    let rest = &mut rest;
    let id = NodeId { group: read_text(rest)?.into(), node: read_text(rest)?.into() };
    let mut node = Node::new(id, settings).map_err(|_| Damaged)?;
    node.bdseq = read_option(rest)?;
    let mut metrics_left = settings.caps.node_metrics;
    for index in 0..varint(rest)? {
        let device = read_text(rest)?;
        let scope = match index {
            0 => &mut node.own,
            _ if node.devices.len() == settings.caps.devices => return Err(Damaged),
            _ => {
                let scope = Scope::new(settings, &node.id, Some(device)).map_err(|_| Damaged)?;
                node.devices.entry(device.into()).or_insert(scope)
            }
        };
        scope.table = read_table(rest, metrics_left, settings.limits.name_bytes)?;
        scope.born = true;
        metrics_left -= scope.table.entries.len();
    }
    if !rest.is_empty() {
        return Err(Damaged);
    }
    node.life = Life::Recalled;
    Ok(node)
}

fn read_table(rest: &mut &[u8], max: usize, name_bytes: usize) -> Result<Table, Damaged> {
    let mut table = Table::default();
    for _ in 0..varint(rest)? {
        let told = read_text(rest)?;
        let (&datatype, after) = rest.split_first().ok_or(Damaged)?;
        *rest = after;
        let unit = read_text(rest)?;
        let alias = read_option(rest)?;
        let datatype = DataType::from_number(datatype.into());
        table.add(told, datatype, unit, alias, max).map_err(|_| Damaged)?;
    }
    table.name_all(name_bytes);
    Ok(table)
}

fn number(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    number(bytes, text.len() as u64);
    bytes.extend_from_slice(text.as_bytes());
}

/// The largest number there is can't be told from none, and is taken for none.
fn option(bytes: &mut Vec<u8>, value: Option<u64>) {
    number(bytes, value.and_then(|value| value.checked_add(1)).unwrap_or(0));
}

fn read_option(rest: &mut &[u8]) -> Result<Option<u64>, Damaged> {
    Ok(varint(rest)?.checked_sub(1))
}

fn read_text<'b>(rest: &mut &'b [u8]) -> Result<&'b str, Damaged> {
    let len = usize::try_from(varint(rest)?).map_err(|_| Damaged)?;
    let (head, after) = rest.split_at_checked(len).ok_or(Damaged)?;
    *rest = after;
    Ok(utf8(head)?)
}

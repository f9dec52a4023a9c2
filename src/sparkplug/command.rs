//! Commands: what a host tells nodes and devices to do.

use super::datatype::DataType;
use super::heard::{Act, NodeId};
use super::node::REBIRTH;
use super::proto::{Payload, payload::Metric, payload::metric::Value};
use super::topic;
use crate::decode::Content;
use crate::model::Timestamp;
use prost::Message;
use thiserror::Error;

/// Why a command can't be sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CommandError {
    /// No such device was born.
    #[error("no Sparkplug device {device} is known")]
    UnknownDevice {
        /// As asked for.
        device: String,
    },
    /// The device is not online.
    #[error("{device} is offline")]
    Offline {
        /// As asked for.
        device: String,
    },
    /// Its birth had no such metric (tck-id-operational-behavior-data-commands-dcmd-metric-name).
    #[error("{device} has no metric {metric}")]
    UnknownMetric {
        /// As asked for.
        device: String,
        /// As asked for.
        metric: String,
    },
    /// The value does not fit the metric's datatype (…-dcmd-metric-value).
    #[error("the value is not a {datatype}")]
    WrongType {
        /// What it should be.
        datatype: DataType,
    },
}

/// Asks a node for a rebirth (tck-id-operational-behavior-data-commands-ncmd-rebirth-value).
pub(super) fn rebirth(node: &NodeId, now: Timestamp) -> Act {
    publish(node, None, REBIRTH, DataType::Boolean, Value::BooleanValue(true), now)
}

/// Sets a metric.
pub(super) fn set(
    node: &NodeId,
    device: Option<&str>,
    metric: &str,
    datatype: DataType,
    content: &Content<'_>,
    now: Timestamp,
) -> Result<Act, CommandError> {
    let value = value(datatype, content).ok_or(CommandError::WrongType { datatype })?;
    Ok(publish(node, device, metric, datatype, value, now))
}

/// By name: a command may go by alias too, but every node knows its names.
fn publish(
    node: &NodeId,
    device: Option<&str>,
    metric: &str,
    datatype: DataType,
    value: Value,
    now: Timestamp,
) -> Act {
    let timestamp = u64::try_from(now.as_millis()).ok();
    let metric = Metric {
        name: Some(metric.to_owned()),
        timestamp,
        datatype: Some(datatype.number().into()),
        value: Some(value),
        ..Metric::default()
    };
    let payload = Payload { timestamp, metrics: vec![metric], ..Payload::default() };
    // tck-id-topics-ncmd-mqtt: QoS 0, not retained.
    let topic = topic::command(node, device);
    Act::Publish { topic, payload: payload.encode_to_vec(), qos: 0, retain: false }
}

/// The value in the field of its datatype, if it fits.
fn value(datatype: DataType, content: &Content<'_>) -> Option<Value> {
    use DataType as D;
    let int = |min: i64, max: i64| match content {
        Content::Int(value) if (min..=max).contains(value) => Some(*value),
        _ => None,
    };
    Some(match datatype {
        D::Int8 => Value::IntValue(int(i8::MIN.into(), i8::MAX.into())? as u32),
        D::Int16 => Value::IntValue(int(i16::MIN.into(), i16::MAX.into())? as u32),
        D::Int32 => Value::IntValue(int(i32::MIN.into(), i32::MAX.into())? as u32),
        D::UInt8 => Value::IntValue(int(0, u8::MAX.into())? as u32),
        D::UInt16 => Value::IntValue(int(0, u16::MAX.into())? as u32),
        D::UInt32 => Value::IntValue(int(0, u32::MAX.into())? as u32),
        D::Int64 => Value::LongValue(int(i64::MIN, i64::MAX)?.cast_unsigned()),
        D::UInt64 | D::DateTime => Value::LongValue(int(0, i64::MAX)?.cast_unsigned()),
        D::Float => Value::FloatValue(number(content)? as f32),
        D::Double => Value::DoubleValue(number(content)?),
        D::Boolean => match content {
            Content::Bool(value) => Value::BooleanValue(*value),
            _ => return None,
        },
        D::String | D::Text | D::UUID => match content {
            Content::Text(text) => Value::StringValue(text.clone().into_owned()),
            _ => return None,
        },
        _ => return None,
    })
}

fn number(content: &Content<'_>) -> Option<f64> {
    match content {
        Content::Float(value) => Some(*value),
        Content::Int(value) => Some(*value as f64),
        _ => None,
    }
}

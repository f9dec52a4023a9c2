//! The other ends of a broker, for `benches/mqtt.py`: a publisher of made-up messages, and the floor
//! that the bridge is measured against, a subscriber that counts and does nothing.
//!
//! `cargo bench --bench mqtt_peer -- publish PORT json|sparkplug|native QOS COUNT`
//! `cargo bench --bench mqtt_peer -- floor PORT QOS COUNT` prints what its CPU time per message was.

use rumqttc_v5::{
    AsyncClient, Broker, Event, Incoming, MqttOptions, Outgoing, PublishOptions, QoS,
};
use std::error::Error;
use tidegate::clock;
use tidegate::decode;
use tidegate::model::{BatchBuilder, NANOS_PER_SECOND};
use tidegate::wire::Writer;

/// Devices that take turns.
const DEVICES: usize = 100;
/// Metrics of a Sparkplug message.
const METRICS: u64 = 20;
/// Samples of a native batch.
const SAMPLES: i64 = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match words[..] {
        ["publish", port, kind, qos, count] => {
            runtime.block_on(publish(port.parse()?, kind, self::qos(qos), count.parse()?))
        }
        ["floor", port, qos, count] => {
            runtime.block_on(floor(port.parse()?, self::qos(qos), count.parse()?))
        }
        // `cargo bench` without arguments: there is nothing to measure without a broker.
        _ => {
            println!("see benches/mqtt.py");
            Ok(())
        }
    }
}

fn qos(digit: &str) -> QoS {
    if digit == "0" { QoS::AtMostOnce } else { QoS::AtLeastOnce }
}

fn options(name: &str, port: u16) -> MqttOptions {
    let mut options = MqttOptions::new(name, Broker::tcp("127.0.0.1", port));
    options.set_max_packet_size(Some(1 << 20)).set_receive_maximum(Some(1000));
    options
}

/// Subscribes to everything and counts until it has so many.
async fn floor(port: u16, qos: QoS, count: usize) -> Result<(), Box<dyn Error>> {
    let (client, mut events) = AsyncClient::builder(options("floor", port)).capacity(64).build();
    for filter in ["bench/#", "spBv1.0/#"] {
        client.subscribe(filter, qos).await?;
    }
    let (mut messages, mut started) = (0, clock::monotonic());
    let mut before = cpu_us()?;
    while messages < count {
        match events.poll().await? {
            Event::Incoming(Incoming::SubAck(_)) => println!("subscribed"),
            Event::Incoming(Incoming::Publish(_)) => {
                if messages == 0 {
                    (started, before) = (clock::monotonic(), cpu_us()?);
                }
                messages += 1;
            }
            _ => {}
        }
    }
    let (took, cpu) = (started.elapsed().as_secs_f64(), cpu_us()? - before);
    println!("{:.0} messages/s, {:.2} CPU-us per message", count as f64 / took, cpu / count as f64);
    Ok(())
}

/// CPU time of this process, in microseconds.
fn cpu_us() -> Result<f64, Box<dyn Error>> {
    let told = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds: f64 = told.split(' ').next().unwrap_or_default().parse()?;
    Ok(nanoseconds / 1000.0)
}

/// Publishes so many messages as fast as the broker takes them.
async fn publish(port: u16, kind: &str, qos: QoS, count: usize) -> Result<(), Box<dyn Error>> {
    let (client, mut events) =
        AsyncClient::builder(options("publisher", port)).capacity(64).build();
    let start = clock::now().0;
    let kind = kind.to_owned();
    let births = if kind == "sparkplug" { DEVICES } else { 0 };
    let closing = client.clone();
    let sending = async move {
        if kind == "sparkplug" {
            for device in 0..DEVICES {
                let topic = format!("spBv1.0/bench/NBIRTH/node-{device}");
                let options = PublishOptions::new(QoS::AtMostOnce);
                client.publish(topic, birth(start), options).await?;
            }
        }
        for number in 0..count {
            let device = number % DEVICES;
            let time = start + number as i64 * 1_000_000;
            let (topic, payload) = match &*kind {
                "json" => (format!("bench/json/dev-{device}"), json(time, number)),
                "native" => (format!("bench/native/dev-{device}"), native(device, time)),
                _ => {
                    let seq = (number / DEVICES + 1) as u64 % 256;
                    (format!("spBv1.0/bench/NDATA/node-{device}"), data(time, seq, number))
                }
            };
            client.publish(topic, payload, PublishOptions::new(qos)).await?;
        }
        Ok::<_, Box<dyn Error>>(())
    };
    let polling = async move {
        let (mut sent, mut answered) = (0, 0);
        loop {
            match events.poll().await? {
                Event::Outgoing(Outgoing::Publish(_)) => sent += 1,
                Event::Incoming(Incoming::PubAck(_)) => answered += 1,
                Event::Outgoing(Outgoing::Disconnect) => return Ok((sent, answered)),
                _ => continue,
            }
            // Only then: a farewell passes messages that wait for their turn.
            let is_answered = qos == QoS::AtMostOnce || answered == count;
            if sent == count + births && is_answered {
                closing.try_disconnect()?;
            }
        }
    };
    let ((), (sent, answered)) = tokio::try_join!(sending, polling)?;
    println!("{sent} sent, {answered} acknowledged");
    Ok(())
}

/// About 100 bytes.
fn json(time: i64, number: usize) -> Vec<u8> {
    let wobble = (number * 7 % 100) as f64 / 10.0;
    format!(
        r#"{{"ts":{},"temperature":{:.1},"humidity":{:.1},"battery":{},"link":"ok","running":true}}"#,
        time / 1_000_000, 20.0 + wobble, 40.0 + wobble, 100 - number % 7
    )
    .into_bytes()
}

/// A `Batch` of one device: ten metrics, ten rows.
fn native(device: usize, time: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    let rows = SAMPLES / 10;
    let times = (0..rows).map(|row| time + row * NANOS_PER_SECOND / 10_000);
    builder.table(&format!("native-{device}"), &mut [], times).expect("a table fits");
    for metric in 0..10 {
        let values = (0..rows).map(|row| 70.0 + (row * 7 % 10) as f64 / 10.0);
        builder.floats(&format!("motor.m{metric}"), "", values, &[]).expect("a column fits");
    }
    decode::encode(&builder.finish(), 0)
}

/// NBIRTH of Sparkplug B: METRICS doubles with names and aliases, bdSeq 0, seq 0.
fn birth(time: i64) -> Vec<u8> {
    let millis = (time / 1_000_000) as u64;
    let mut payload = Writer::new();
    payload.uint(1, millis);
    payload.delimited(2, &metric(Some("bdSeq"), None, millis, 4, Value::Long(0)));
    for alias in 1..=METRICS {
        let name = format!("Inputs/m{alias}");
        let value = Value::Double(alias as f64);
        payload.delimited(2, &metric(Some(&name), Some(alias), millis, 10, value));
    }
    payload.uint(3, 0);
    payload.finish()
}

/// NDATA: all metrics by alias.
fn data(time: i64, seq: u64, number: usize) -> Vec<u8> {
    let millis = (time / 1_000_000) as u64;
    let mut payload = Writer::new();
    payload.uint(1, millis);
    for alias in 1..=METRICS {
        let value = Value::Double(alias as f64 + (number % 100) as f64 / 10.0);
        payload.delimited(2, &metric(None, Some(alias), millis, 10, value));
    }
    payload.uint(3, seq);
    payload.finish()
}

enum Value {
    Long(u64),
    Double(f64),
}

fn metric(
    name: Option<&str>,
    alias: Option<u64>,
    millis: u64,
    datatype: u64,
    value: Value,
) -> Vec<u8> {
    let mut metric = Writer::new();
    if let Some(name) = name {
        metric.delimited(1, name.as_bytes());
    }
    if let Some(alias) = alias {
        metric.uint(2, alias);
    }
    metric.uint(3, millis);
    metric.uint(4, datatype);
    match value {
        Value::Long(value) => {
            metric.uint(11, value);
            metric.finish()
        }
        Value::Double(value) => {
            let mut bytes = metric.finish();
            // Field 13, eight bytes: the writer has only packed doubles.
            bytes.push(13 << 3 | 1);
            bytes.extend(value.to_le_bytes());
            bytes
        }
    }
}

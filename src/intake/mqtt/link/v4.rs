//! MQTT 3.1.1.

use super::trim::Mark;
use super::{
    CONNECT_TIMEOUT, Connect, DISCONNECT_TIMEOUT, End, Event, Inbox, Link, PACKETS_AT_ONCE,
    Publication, Queued, Raw, Running, Window, stream,
};
use rumqttc_v4::{
    AckMode, AsyncClient, Broker, ConnectReturnCode, ConnectionError, Event as Heard, EventLoop,
    LastWill, ManualAck, MqttOptions, Outgoing, Packet, PubAck, Publish, PublishOptions, QoS,
    StateError, SubscribeFilter, SubscribeReasonCode,
};
use std::future::Future;
use std::pin::Pin;

struct V4 {
    client: AsyncClient,
    queued: Queued,
    window: Window,
}

pub(super) fn open(connect: Connect) -> (Box<dyn Link>, Running) {
    let Connect { broker, target, password, will, mut inbox } = connect;
    let mark = Mark::new();
    let address = Broker::tcp(target.host.clone(), target.port);
    let mut options = MqttOptions::new(broker.client_id.clone(), address);
    let bytes_max = broker.message_bytes_max;
    options
        .set_keep_alive(broker.keep_alive_s())
        .set_clean_session(!broker.persistent)
        .set_ack_mode(AckMode::Manual)
        .set_max_request_batch(PACKETS_AT_ONCE)
        .set_read_batch_size(PACKETS_AT_ONCE)
        // `trim` has the limit.
        .set_max_packet_size(usize::MAX, usize::MAX)
        .set_socket_connector(move |_, _| {
            let target = target.clone();
            async move { stream::connect(&target, 4, bytes_max, mark).await }
        });
    match (&broker.username, password) {
        (Some(name), Some(password)) => drop(options.set_credentials(name, password)),
        (Some(name), None) => drop(options.set_username(name)),
        (None, _) => {}
    }
    if let Some(will) = will {
        let Publication { topic, payload, qos, retain } = will;
        options.set_last_will(LastWill::new(topic, payload, of_number(qos), retain));
    }
    // At most one acknowledgement per packet identifier is ever in it.
    let (client, mut events) = AsyncClient::builder(options).unbounded().build();
    let mut network = events.network_options();
    network.set_connection_timeout(CONNECT_TIMEOUT.as_secs());
    events.set_network_options(network);
    let (queued, window) = (Queued::default(), inbox.brake.window.clone());
    let sent = queued.clone();
    let running = async move {
        loop {
            if let Err(end) = turn(&mut events, &mut inbox, mark, &sent).await {
                return end;
            }
        }
    };
    (Box::new(V4 { client, queued, window }), Box::pin(running))
}

async fn turn(
    events: &mut EventLoop,
    inbox: &mut Inbox,
    mark: Mark,
    queued: &Queued,
) -> Result<(), End> {
    match inbox.awaited(events.poll()).await?.map_err(end)? {
        Heard::Incoming(Packet::Publish(publish)) => {
            inbox.deliver(raw(publish), mark).await?;
        }
        Heard::Incoming(Packet::ConnAck(answer)) => {
            inbox.tell(Event::Connected { session_present: answer.session_present });
        }
        Heard::Incoming(Packet::SubAck(answer)) => {
            let told = answer.return_codes.iter().map(|code| match code {
                SubscribeReasonCode::Success(_) => None,
                SubscribeReasonCode::Failure => Some("the broker refused it".to_owned()),
            });
            inbox.tell(Event::Subscribed(told.collect()));
        }
        Heard::Outgoing(Outgoing::Publish(_)) => queued.one_less(),
        Heard::Incoming(_) | Heard::Outgoing(_) => {}
    }
    Ok(())
}

fn raw(publish: Publish) -> Raw {
    Raw {
        topic: publish.topic,
        payload: publish.payload,
        qos: publish.qos as u8,
        retained: publish.retain,
        dup: publish.dup,
        packet: publish.pkid,
        content_type: None,
        properties: Vec::new(),
    }
}

fn of_number(qos: u8) -> QoS {
    match qos {
        0 => QoS::AtMostOnce,
        _ => QoS::AtLeastOnce,
    }
}

fn end(error: ConnectionError) -> End {
    match error {
        ConnectionError::RequestsDone | ConnectionError::DisconnectTimeout => End::Closed,
        ConnectionError::ConnectionRefused(code) => match code {
            ConnectReturnCode::BadUserNamePassword => {
                End::Refused("the broker does not know this user name and password".to_owned())
            }
            ConnectReturnCode::NotAuthorized => {
                End::Refused("the broker does not let this user in".to_owned())
            }
            ConnectReturnCode::RefusedProtocolVersion => {
                End::Refused("the broker does not speak MQTT 3.1.1 (version = 4)".to_owned())
            }
            ConnectReturnCode::BadClientId => {
                End::Refused("the broker does not accept the client_id".to_owned())
            }
            ConnectReturnCode::ServiceUnavailable | ConnectReturnCode::Success => {
                End::Lost("the broker says that it is not available".to_owned())
            }
        },
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => {
            End::Lost(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()))
        }
        ConnectionError::Io(error) => End::Lost(error.to_string()),
        ConnectionError::MqttState(StateError::ConnectionAborted) => End::Dropped,
        ConnectionError::MqttState(error) => End::Lost(match error {
            StateError::AwaitPingResp => "the broker did not answer our ping".to_owned(),
            StateError::Io(error) => error.to_string(),
            other => other.to_string(),
        }),
        other => End::Lost(other.to_string()),
    }
}

impl Link for V4 {
    fn ack(&self, packet: u16) {
        self.window.one_less();
        // Refused only when the connection has ended: the broker sends again what it acknowledges.
        drop(self.client.try_manual_ack(ManualAck::PubAck(PubAck::new(packet))));
    }

    fn subscribe(&self, filters: &[(String, u8)]) {
        let filters = filters
            .iter()
            .map(|(filter, qos)| SubscribeFilter::new(filter.clone(), of_number(*qos)));
        drop(self.client.try_subscribe_many(filters));
    }

    fn publish(&self, publication: Publication) {
        let Publication { topic, payload, qos, retain } = publication;
        let options = PublishOptions::new(of_number(qos)).retain(retain);
        self.queued.one_more();
        if self.client.try_publish(topic, payload, options).is_err() {
            self.queued.one_less();
        }
    }

    fn publish_tracked(
        &self,
        publication: Publication,
    ) -> Pin<Box<dyn Future<Output = bool> + Send>> {
        let Publication { topic, payload, qos, retain } = publication;
        let options = PublishOptions::new(of_number(qos)).retain(retain);
        self.queued.one_more();
        match self.client.try_publish_tracked(topic, payload, options) {
            Ok(notice) => Box::pin(async move { notice.wait_completion_async().await.is_ok() }),
            Err(_) => {
                self.queued.one_less();
                Box::pin(std::future::ready(false))
            }
        }
    }

    fn queued(&self) -> usize {
        self.queued.count()
    }

    fn disconnect(&self) {
        drop(self.client.try_disconnect_with_timeout(DISCONNECT_TIMEOUT));
    }
}

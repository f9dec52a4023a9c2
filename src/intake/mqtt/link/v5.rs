//! MQTT 5.

use super::trim::Mark;
use super::{
    CONNECT_TIMEOUT, Connect, DISCONNECT_TIMEOUT, End, Event, Inbox, Link, PACKETS_AT_ONCE,
    Publication, Queued, Raw, Running, Window, stream,
};
use rumqttc_v5::{
    AckMode, AsyncClient, Broker, ConnectProperties, ConnectReturnCode, ConnectionError,
    DisconnectReasonCode, Event as Heard, EventLoop, LastWill, ManualAck, MqttOptions, Outgoing,
    Packet, PersistedAckMode, PersistedSession, PubAck, Publish, PublishOptions, QoS,
    RetainForwardRule, SessionStore, SessionStoreError, SessionStoreKey, StateError,
    SubscribeFilter, SubscribeReasonCode,
};
use std::future::Future;
use std::pin::Pin;

struct V5 {
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
    let mut properties = ConnectProperties::new();
    properties.session_expiry_interval = broker.persistent.then(|| broker.session_expiry_s());
    properties.receive_maximum = Some(broker.receive_maximum);
    options
        .set_connect_properties(properties)
        .set_keep_alive(broker.keep_alive_s())
        .set_clean_start(!broker.persistent)
        .set_ack_mode(AckMode::Manual)
        .set_connect_timeout(CONNECT_TIMEOUT)
        .set_max_request_batch(PACKETS_AT_ONCE)
        .set_read_batch_size(PACKETS_AT_ONCE)
        // `trim` has the limit. A broker that is told one does not deliver what is larger, and nobody
        // ever hears of it.
        .set_unlimited_incoming_packet_size()
        .set_socket_connector(move |_, _| {
            let target = target.clone();
            async move { stream::connect(&target, 5, bytes_max, mark).await }
        });
    if broker.persistent {
        options.set_session_store(NothingUnderWay { session_expiry: broker.session_expiry_s() });
    }
    match (&broker.username, password) {
        (Some(name), Some(password)) => drop(options.set_credentials(name, password)),
        (Some(name), None) => drop(options.set_username(name)),
        (None, _) => {}
    }
    if let Some(will) = will {
        let Publication { topic, payload, qos, retain } = will;
        options.set_last_will(LastWill::new(topic, payload, of_number(qos), retain, None));
    }
    // At most one acknowledgement per packet identifier is ever in it.
    let (client, mut events) = AsyncClient::builder(options).unbounded().build();
    let (queued, window) = (Queued::default(), inbox.brake.window.clone());
    let sent = queued.clone();
    let running = async move {
        loop {
            if let Err(end) = turn(&mut events, &mut inbox, mark, &sent).await {
                return end;
            }
        }
    };
    (Box::new(V5 { client, queued, window }), Box::pin(running))
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
            // It has served: else a copy of the session would be made with every write.
            events.options.clear_session_store();
            inbox.tell(Event::Connected { session_present: answer.session_present });
        }
        Heard::Incoming(Packet::SubAck(answer)) => {
            inbox.tell(Event::Subscribed(answer.return_codes.iter().map(why_not).collect()));
        }
        Heard::Outgoing(Outgoing::Publish(_)) => queued.one_less(),
        Heard::Incoming(_) | Heard::Outgoing(_) | Heard::Auth(_) => {}
    }
    Ok(())
}

fn why_not(code: &SubscribeReasonCode) -> Option<String> {
    use SubscribeReasonCode as Code;
    let why = match code {
        Code::Success(_) => return None,
        Code::NotAuthorized => "this user may not subscribe to it",
        Code::TopicFilterInvalid => "the broker does not accept this filter",
        Code::QuotaExceeded => "the broker's quota is exceeded",
        Code::SharedSubscriptionsNotSupported => "the broker has no shared subscriptions",
        Code::WildcardSubscriptionsNotSupported => "the broker has no wildcards",
        Code::Failure
        | Code::Unspecified
        | Code::ImplementationSpecific
        | Code::PkidInUse
        | Code::SubscriptionIdNotSupported => "the broker refused it",
    };
    Some(why.to_owned())
}

fn raw(publish: Publish) -> Raw {
    let (content_type, properties) = match publish.properties {
        Some(properties) => (properties.content_type, properties.user_properties),
        None => (None, Vec::new()),
    };
    Raw {
        topic: publish.topic,
        payload: publish.payload,
        qos: publish.qos as u8,
        retained: publish.retain,
        dup: publish.dup,
        packet: publish.pkid,
        content_type,
        properties,
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
        ConnectionError::ConnectionRefused(code)
        | ConnectionError::MqttState(StateError::ConnFail { reason: code }) => refused(code),
        ConnectionError::Timeout(_) => {
            End::Lost(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()))
        }
        ConnectionError::Io(error) => End::Lost(error.to_string()),
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, reason_string }) => {
            disconnected(reason_code, reason_string)
        }
        ConnectionError::MqttState(StateError::ConnectionAborted) => End::Dropped,
        ConnectionError::MqttState(error) => End::Lost(match error {
            StateError::AwaitPingResp => "the broker did not answer our ping".to_owned(),
            StateError::Io(error) => error.to_string(),
            other => other.to_string(),
        }),
        other => End::Lost(other.to_string()),
    }
}

fn refused(code: ConnectReturnCode) -> End {
    use ConnectReturnCode as Code;
    let why = match code {
        Code::BadUserNamePassword => "the broker does not know this user name and password",
        Code::NotAuthorized => "the broker does not let this user in",
        Code::Banned => "the broker has banned this client",
        Code::RefusedProtocolVersion | Code::UnsupportedProtocolVersion => {
            "the broker does not speak MQTT 5; say version = 4"
        }
        Code::BadClientId | Code::ClientIdentifierNotValid => {
            "the broker does not accept the client_id"
        }
        Code::ServiceUnavailable | Code::ServerUnavailable | Code::ServerBusy => {
            return End::Lost("the broker says that it is not available".to_owned());
        }
        other => return End::Refused(format!("the broker refuses the connection ({other:?})")),
    };
    End::Refused(why.to_owned())
}

fn disconnected(code: DisconnectReasonCode, told: Option<String>) -> End {
    let told = told.map_or(String::new(), |told| format!(": {told}"));
    match code {
        DisconnectReasonCode::SessionTakenOver => End::Refused(format!(
            "another client came with the same client_id{told}; each daemon needs its own"
        )),
        DisconnectReasonCode::NotAuthorized | DisconnectReasonCode::AdministrativeAction => {
            End::Refused(format!("the broker sent us away ({code:?}){told}"))
        }
        code => End::Lost(format!("the broker disconnected ({code:?}){told}")),
    }
}

impl Link for V5 {
    fn ack(&self, packet: u16) {
        self.window.one_less();
        // Refused only when the connection has ended: the broker sends again what it acknowledges.
        drop(self.client.try_manual_ack(ManualAck::PubAck(PubAck::new(packet, None))));
    }

    fn subscribe(&self, filters: &[(String, u8)]) {
        let filters = filters.iter().map(|(filter, qos)| SubscribeFilter {
            // What we have seen we need not see again with every connection.
            retain_forward_rule: RetainForwardRule::OnNewSubscribe,
            ..SubscribeFilter::new(filter.clone(), of_number(*qos))
        });
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

/// What we remember of a session: that nothing of ours is under way in it. So it is: of QoS 1 we only
/// publish what is told again after each connect, and views that may be missed; and what we receive is
/// unknown to us until it is durable. Without this the client would not take up a session of the broker,
/// or not subscribe in it.
#[derive(Debug)]
struct NothingUnderWay {
    session_expiry: u32,
}

type Stored<'a, T> = Pin<Box<dyn Future<Output = Result<T, SessionStoreError>> + Send + 'a>>;

impl SessionStore for NothingUnderWay {
    fn load<'a>(&'a self, key: &'a SessionStoreKey) -> Stored<'a, Option<PersistedSession>> {
        let session = PersistedSession {
            format_version: 1,
            client_id: key.client_id().to_owned(),
            clean_start: false,
            session_expiry_interval: Some(self.session_expiry),
            outgoing_inflight_upper_limit: None,
            ack_mode: PersistedAckMode::Manual,
            last_pkid: 0,
            last_puback: 0,
            replay: Vec::new(),
            incoming_qos2: Vec::new(),
        };
        Box::pin(async { Ok(Some(session)) })
    }

    fn save<'a>(&'a self, _: &'a SessionStoreKey, _: &'a PersistedSession) -> Stored<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn clear<'a>(&'a self, _: &'a SessionStoreKey) -> Stored<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}

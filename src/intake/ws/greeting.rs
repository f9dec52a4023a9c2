//! The beginning of a conversation: Hello and Welcome.

use super::super::Intake;
use super::super::caps::InForce;
use super::super::connections::Registered;
use super::super::messages::{End, close, next_binary, packed, restart, send, unwelcome};
use super::super::reading;
use crate::auth::Pass;
use crate::clock;
use crate::gate::{self, Share, Terms};
use crate::live::{ClientInfo, Connected};
use crate::model::{ClientId, SessionId, Timestamp};
use crate::wire::{CloseCode, Compression, Downstream, Welcome};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;

/// What is known of a client after Hello.
pub(super) struct Greeted {
    pub client: ClientId,
    pub session: SessionId,
    /// What its boot times are relative to, if it told its clock.
    pub booted_at: Option<Timestamp>,
    pub accept: Compression,
    /// The limits that it was told; they hold as long as it is here.
    pub caps: Arc<InForce>,
    pub place: Registered,
    pub connected: Connected,
    pub credit: crate::gate::Credit,
    pub share: Arc<Share>,
    /// As the credit was computed from them, or newer.
    pub terms: watch::Receiver<Terms>,
}

impl Intake {
    /// Waits for Hello and answers with Welcome.
    pub(super) async fn greet<S>(
        &self,
        socket: &mut WebSocketStream<S>,
        peer: SocketAddr,
        pass: &Pass,
    ) -> Result<Greeted, End>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let caps = self.caps.now();
        let limits = &caps.limits;
        let expected = |problem: String| End::Close(CloseCode::HelloExpected, problem);
        let first = tokio::select! {
            first = timeout(limits.hello_timeout, next_binary(socket)) => first,
            () = self.stop.cancelled() => return Err(restart()),
            () = pass.ended().cancelled() => return Err(unwelcome()),
        };
        let first = first.map_err(|_| expected("no Hello came in time".to_owned()))??;
        let received_at = clock::now();
        let hello = reading::hello(&first, &limits.wire)
            .map_err(|problem| expected(format!("the first message must be a Hello: {problem}")))?;
        let client: ClientId = hello.client.as_str().into();
        if !pass.caller().may_be(&client) {
            let (name, detail) =
                (&pass.caller().name, "by its own name, or that of a device it reaches");
            return close(
                CloseCode::Policy,
                format!("{name} may only send {detail}, not as {client}"),
            );
        }
        let session = hello.session;
        let place = self.connections.register(client.clone(), session);
        let greeting = self.gate.greet(&client, session, hello.resume, received_at);
        let settled = greeting.await.map_err(not_greeted)?;
        let share = self.gate.share(&client);
        let terms = share.terms();
        let credit = terms.borrow().credit(limits.credit_batches, limits.credit_bytes);
        let welcome = Downstream::Welcome(Welcome {
            last_seq: settled,
            credit: credit.on_wire(),
            limits: limits.wire.clone(),
            server_time: received_at,
        });
        send(socket, packed(&welcome, hello.accept)).await?;
        let booted_at = hello.booted_at(received_at);
        let info = ClientInfo { labels: hello.labels, software: hello.software };
        self.live.client_info(&client, info);
        let connected = self.live.connected(&client, peer.ip());
        let accept = hello.accept;
        Ok(Greeted {
            client,
            session,
            booted_at,
            accept,
            caps,
            place,
            connected,
            credit,
            share,
            terms,
        })
    }
}

fn not_greeted(refusal: gate::Refusal) -> End {
    let gate::Refusal::Overloaded = refusal else { return restart() };
    End::Close(CloseCode::TryLater, "too many connect at once; come back with back-off".to_owned())
}

//! What a conversation carries to devices.

use super::{Conversation, End};
use crate::clock;
use crate::commands::Errand;
use crate::intake::messages::{packed, send};
use crate::intake::reading::Said;
use crate::model::Timestamp;
use crate::wire::Downstream;
use tokio::io::{AsyncRead, AsyncWrite};

impl<S: AsyncRead + AsyncWrite + Unpin> Conversation<'_, S> {
    /// Sends a command or a document. A command that waited here until it was over is not sent.
    pub(super) async fn on_errand(&mut self, errand: Errand) -> Result<(), End> {
        let message = match errand {
            Errand::Command(command) if clock::now() >= command.expires_at => return Ok(()),
            Errand::Command(command) => Downstream::Command(command),
            Errand::Desired(desired) => Downstream::Desired(desired),
            // Only bridges are asked.
            Errand::Ask(_) => return Ok(()),
        };
        send(self.socket, packed(&message, self.greeted.accept)).await
    }

    /// What the client says of them. Nonsense is counted; it is no reason to end a conversation.
    pub(super) fn on_said(&self, said: Said, received_at: Timestamp) {
        match said {
            Said::Result(result) => self.line.answered(result),
            Said::Reported(reported) => self.line.reported(reported, received_at),
            Said::TooLong => self.line.ignored_too_large(),
        }
    }
}

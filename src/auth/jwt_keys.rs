//! The keys that verify JWTs, as their file has them.

use super::jwt::{JwtAlgorithm, JwtSettings};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A shorter secret can be guessed from one token, on machines of one's own (RFC 7518, 3.2).
const SECRET_BYTES_MIN: usize = 32;
/// The shortest modulus that is not broken (RFC 7518, 3.3).
const RSA_BYTES_MIN: usize = 256;
/// And the longest, for what it costs to verify.
const RSA_BYTES_MAX: usize = 512;
/// The largest file of keys.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Keys of a set; beyond, the set is refused.
const KEYS_MAX: usize = 64;

/// Why tokens can't be verified. The administrator mends it.
#[derive(Debug, Error)]
pub enum JwtError {
    /// The configuration names no file.
    #[error("auth.jwt names no file of keys")]
    NoFile,
    /// It can't be read.
    #[error("{path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is larger than keys are.
    #[error("{path} is larger than {FILE_BYTES_MAX} bytes")]
    TooLarge {
        /// Which.
        path: PathBuf,
    },
    /// It can be guessed.
    #[error("{path}: the secret has {bytes} bytes, at least {SECRET_BYTES_MIN} are needed")]
    ShortSecret {
        /// Which.
        path: PathBuf,
        /// How many it has.
        bytes: usize,
    },
    /// It is not a public key of that algorithm.
    #[error(
        "{path} is not a public key for {algorithm} as PEM (RSA keys have 2048 to 4096 bits; a private key or a certificate is not taken)"
    )]
    NoPublicKey {
        /// Which.
        path: PathBuf,
        /// For what it should be.
        algorithm: &'static str,
    },
    /// It is no set of keys.
    #[error("{path} is no set of keys (JWKS): {source}")]
    NoSet {
        /// Which.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// None of its keys can be used, or they are too many.
    #[error(
        "{path} has {found} keys that can be used; 1 to {KEYS_MAX} are needed, of HS256 (32 bytes or more), EdDSA (Ed25519), ES256 or RS256 (2048 to 4096 bits), for signatures"
    )]
    KeysOfSet {
        /// Which.
        path: PathBuf,
        /// How many.
        found: usize,
    },
}

/// A key, and the one algorithm that it is for.
#[derive(Debug)]
pub(super) struct Key {
    pub algorithm: JwtAlgorithm,
    pub key: DecodingKey,
    /// Its name in a set.
    id: Option<String>,
}

/// The keys of a file.
#[derive(Debug)]
pub(super) struct Keys {
    keys: Vec<Key>,
    is_set: bool,
    /// What they were read from, as a hash.
    read_from: [u8; 32],
}

impl PartialEq for Keys {
    fn eq(&self, other: &Keys) -> bool {
        self.read_from == other.read_from
    }
}

impl Keys {
    /// The key for a token that names its algorithm and perhaps its key.
    ///
    /// # Errors
    /// There is none, or several would do.
    pub fn find(&self, algorithm: Algorithm, id: Option<&str>) -> Result<&Key, &'static str> {
        let mut fitting = self.keys.iter().filter(|key| {
            let named = !self.is_set || id.is_none() || key.id.as_deref() == id;
            named && key.algorithm.inner() == algorithm
        });
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            (None, _) => Err("there is no key here for the token's algorithm and key id"),
            (Some(_), Some(_)) => Err("the token does not say which key it is signed with (kid)"),
        }
    }
}

/// Reads the file that the settings name.
pub(super) fn load(settings: &JwtSettings) -> Result<Keys, JwtError> {
    let path = settings.file().ok_or(JwtError::NoFile)?;
    let bytes = read(path)?;
    let read_from = Sha256::digest(&bytes).into();
    let algorithm = settings.algorithm;
    let (keys, is_set) = if settings.secret_file.is_some() {
        (vec![secret(path, &bytes)?], false)
    } else if settings.public_key_file.is_some() {
        let key = public_key(algorithm, &bytes);
        let wrong = || JwtError::NoPublicKey { path: path.clone(), algorithm: algorithm.name() };
        (vec![key.ok_or_else(wrong)?], false)
    } else {
        (set(path, &bytes)?, true)
    };
    Ok(Keys { keys, is_set, read_from })
}

fn read(path: &Path) -> Result<Vec<u8>, JwtError> {
    use std::io::Read;
    let wrong = |source| JwtError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(wrong)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(wrong)?;
    match bytes.len() as u64 > FILE_BYTES_MAX {
        true => Err(JwtError::TooLarge { path: path.to_owned() }),
        false => Ok(bytes),
    }
}

fn secret(path: &Path, bytes: &[u8]) -> Result<Key, JwtError> {
    let secret = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
    if secret.len() < SECRET_BYTES_MIN {
        return Err(JwtError::ShortSecret { path: path.to_owned(), bytes: secret.len() });
    }
    Ok(Key { algorithm: JwtAlgorithm::Hs256, key: DecodingKey::from_secret(secret), id: None })
}

fn public_key(algorithm: JwtAlgorithm, pem: &[u8]) -> Option<Key> {
    let text = str::from_utf8(pem).ok()?;
    let is_public = text.contains("-----BEGIN PUBLIC KEY-----")
        || text.contains("-----BEGIN RSA PUBLIC KEY-----");
    if !is_public || text.contains("PRIVATE KEY") || text.contains("CERTIFICATE") {
        return None;
    }
    let key = match algorithm {
        JwtAlgorithm::Hs256 => return None,
        JwtAlgorithm::EdDsa => DecodingKey::from_ed_pem(pem),
        JwtAlgorithm::Es256 => DecodingKey::from_ec_pem(pem),
        JwtAlgorithm::Rs256 => DecodingKey::from_rsa_pem(pem),
    };
    usable(algorithm, key.ok()?, None)
}

/// Those keys of a set that can be used; RFC 7517 wants the others passed over.
fn set(path: &Path, bytes: &[u8]) -> Result<Vec<Key>, JwtError> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    let set: Set = serde_json::from_slice(bytes)
        .map_err(|source| JwtError::NoSet { path: path.to_owned(), source })?;
    let keys = set.keys.into_iter().filter_map(|key| of_set(&serde_json::from_value(key).ok()?));
    let keys: Vec<_> = keys.collect();
    match (1..=KEYS_MAX).contains(&keys.len()) {
        true => Ok(keys),
        false => Err(JwtError::KeysOfSet { path: path.to_owned(), found: keys.len() }),
    }
}

fn of_set(jwk: &Jwk) -> Option<Key> {
    let common = &jwk.common;
    let is_for_signatures = common
        .public_key_use
        .as_ref()
        .is_none_or(|it| *it == PublicKeyUse::Signature)
        && common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::OctetKey(_) => JwtAlgorithm::Hs256,
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            JwtAlgorithm::EdDsa
        }
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            JwtAlgorithm::Es256
        }
        AlgorithmParameters::RSA(_) => JwtAlgorithm::Rs256,
        _ => return None,
    };
    let says = common.key_algorithm.map(Algorithm::try_from);
    let is_for_it = match says {
        None => true,
        Some(Ok(says)) => says == algorithm.inner(),
        // A name that came after the library; those of Ed25519 keys mean the same.
        Some(Err(_)) => algorithm == JwtAlgorithm::EdDsa,
    };
    if !is_for_signatures || !is_for_it {
        return None;
    }
    usable(algorithm, DecodingKey::from_jwk(jwk).ok()?, common.key_id.clone())
}

/// The key if it is one: the library looks at it only when it verifies, and at one that is too short not
/// without a panic.
fn usable(algorithm: JwtAlgorithm, key: DecodingKey, id: Option<String>) -> Option<Key> {
    let is_good = match (algorithm, key.kind()) {
        (JwtAlgorithm::Hs256, DecodingKeyKind::SecretOrDer(secret)) => {
            secret.len() >= SECRET_BYTES_MIN
        }
        (JwtAlgorithm::EdDsa, DecodingKeyKind::SecretOrDer(key)) => key.len() == 32,
        // A point, plain or compressed.
        (JwtAlgorithm::Es256, DecodingKeyKind::SecretOrDer(key)) => [33, 65].contains(&key.len()),
        (JwtAlgorithm::Rs256, _) => modulus_bytes(&key)
            .is_some_and(|bytes| (RSA_BYTES_MIN..=RSA_BYTES_MAX).contains(&bytes)),
        _ => false,
    };
    // A signature of nothing: that it is wrong is told by true or false, that the key is by an error.
    let empty = match algorithm {
        JwtAlgorithm::Es256 | JwtAlgorithm::EdDsa => "A".repeat(86),
        _ => String::new(),
    };
    let is_key = || jsonwebtoken::crypto::verify(&empty, b"", &key, algorithm.inner()).is_ok();
    (is_good && is_key()).then_some(Key { algorithm, key, id })
}

fn modulus_bytes(key: &DecodingKey) -> Option<usize> {
    let jwk = Jwk::from_decoding_key(key, Some(Algorithm::RS256)).ok()?;
    match jwk.algorithm {
        // Base64 without padding, the first byte is not zero.
        AlgorithmParameters::RSA(rsa) => Some(rsa.n.len() * 3 / 4),
        _ => None,
    }
}

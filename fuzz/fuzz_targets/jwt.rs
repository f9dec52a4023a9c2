//! Any bytes as a token: with keys of each algorithm it is refused, unless it is one that they signed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;
use tidegate::auth::{JwtAlgorithm, JwtSettings, Verifier};
use tidegate::model::Timestamp;

/// Within the time of the tokens that are known.
const NOW: Timestamp = Timestamp(1_795_300_000_000_000_000);
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/jwt");

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let settings = JwtSettings {
        algorithm: JwtAlgorithm::EdDsa,
        secret_file: None,
        public_key_file: None,
        jwks_file: Some(Path::new(FIXTURES).join("jwks.json")),
        issuer: Some("https://issuer.example".to_owned()),
        audience: Some("tidegate".to_owned()),
        leeway: Duration::ZERO,
    };
    Verifier::open(&settings).expect("keys")
});

static SIGNED: LazyLock<Vec<String>> = LazyLock::new(|| {
    let token = |algorithm: JwtAlgorithm| format!("{FIXTURES}/{}.jwt", algorithm.name());
    let tokens = JwtAlgorithm::ALL.into_iter().map(token);
    tokens.map(|path| std::fs::read_to_string(path).expect("a token")).collect()
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(token) = std::str::from_utf8(bytes) else { return };
    match VERIFIER.verify(token, NOW) {
        Ok(caller) => {
            assert!(SIGNED.iter().any(|signed| signed == token), "nobody signed {token}");
            assert_eq!(&*caller.name, "ana");
        }
        Err(why) => assert!(!why.is_empty()),
    }
});

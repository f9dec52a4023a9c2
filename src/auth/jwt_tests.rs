//! Tokens of tests/fixtures/jwt were made by PyJWT (make.py there); others are signed here.

use super::*;
use crate::model::NANOS_PER_SECOND;
use jsonwebtoken::{EncodingKey, Header, encode};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/jwt");
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
/// The fixtures are good from `NBF` to `EXP`.
const NBF: i64 = 1_795_298_400;
const EXP: i64 = 1_795_302_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds * NANOS_PER_SECOND)
}

fn fixture(name: &str) -> String {
    fs::read_to_string(format!("{FIXTURES}/{name}")).unwrap()
}

fn settings(algorithm: JwtAlgorithm, file: &str) -> JwtSettings {
    let path = Some(Path::new(FIXTURES).join(file));
    let none = JwtSettings {
        algorithm,
        secret_file: None,
        public_key_file: None,
        jwks_file: None,
        issuer: Some("https://issuer.example".to_owned()),
        audience: Some("tidegate".to_owned()),
        leeway: Duration::from_secs(60),
    };
    match file.rsplit('.').next() {
        Some("secret") => JwtSettings { secret_file: path, ..none },
        Some("pem") => JwtSettings { public_key_file: path, ..none },
        _ => JwtSettings { jwks_file: path, ..none },
    }
}

fn verifier(algorithm: JwtAlgorithm, file: &str) -> Verifier {
    Verifier::open(&settings(algorithm, file)).unwrap()
}

/// Each algorithm with the file of its one key.
fn each() -> impl Iterator<Item = (JwtAlgorithm, String)> {
    JwtAlgorithm::ALL.into_iter().map(|algorithm| {
        let kind = if algorithm == JwtAlgorithm::Hs256 { "secret" } else { "pem" };
        (algorithm, format!("{}.{kind}", algorithm.name()))
    })
}

#[test]
fn tokens_that_others_made_are_taken_by_one_key_and_by_a_set() {
    for (algorithm, file) in each() {
        let token = fixture(&format!("{}.jwt", algorithm.name()));
        for verifier in [verifier(algorithm, &file), verifier(JwtAlgorithm::EdDsa, "jwks.json")] {
            let caller = verifier.verify(&token, at(NBF)).unwrap();
            assert_eq!(&*caller.name, "ana");
            let scopes: Vec<_> = caller.scopes.in_force().collect();
            assert_eq!(scopes, [Scope::View, Scope::Command]);
            assert!(caller.reach.allows("pump-7"));
            assert!(!caller.reach.allows("pump-9") && !caller.reach.allows("fan-1"));
            assert_eq!(caller.how, How::Jwt);
            assert_eq!(caller.expires_at, Some(at(EXP + 60)));
            // Once more, by what is remembered of it.
            assert_eq!(verifier.verify(&token, at(NBF)).unwrap(), caller);
        }
    }
}

#[test]
fn a_token_is_good_for_its_time_and_the_leeway_also_when_it_is_known() {
    let verifier = verifier(JwtAlgorithm::EdDsa, "EdDSA.pem");
    let token = fixture("EdDSA.jwt");
    let times = [(NBF - 61, false), (NBF - 60, true), (EXP, true), (EXP + 59, true)];
    for (now, is_good) in times.into_iter().chain([(EXP + 60, false), (NBF, true)]) {
        assert_eq!(verifier.verify(&token, at(now)).is_ok(), is_good, "{now}");
    }
    assert_eq!(verifier.verify(&token, at(EXP + 60)), Err("the token has expired"));
    assert_eq!(verifier.verify(&token, at(NBF - 61)), Err("the token is not good yet"));
}

#[test]
fn a_token_that_was_changed_in_any_byte_is_not_taken() {
    const BASE64URL: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (algorithm, file) in each() {
        let verifier = verifier(algorithm, &file);
        let token = fixture(&format!("{}.jwt", algorithm.name()));
        assert!(verifier.verify(&token, at(NBF)).is_ok());
        for place in 0..token.len() {
            let is = token.as_bytes()[place];
            let digit = BASE64URL.iter().position(|&digit| digit == is).unwrap_or(0);
            // The lowest bit of the digit, the highest, and a part's end.
            let others = [BASE64URL[digit ^ 1], BASE64URL[digit ^ 32], b'.', b'='];
            for other in others.into_iter().filter(|&other| other != is) {
                let mut changed = token.clone().into_bytes();
                changed[place] = other;
                let changed = String::from_utf8(changed).unwrap();
                let verified = verifier.verify(&changed, at(NBF));
                assert!(verified.is_err(), "{algorithm:?} {place}: {changed}");
            }
            assert!(verifier.verify(&token[..place], at(NBF)).is_err(), "{algorithm:?} {place}");
            let less = [&token[..place], &token[place + 1..]].concat();
            assert!(verifier.verify(&less, at(NBF)).is_err(), "{algorithm:?} {place}");
        }
    }
}

#[test]
fn what_is_not_signed_by_our_key_and_its_algorithm_is_not_taken() {
    let set = verifier(JwtAlgorithm::EdDsa, "jwks.json");
    for token in ["none.jwt", "other.jwt", "confused.jwt", "crit.jwt"] {
        assert!(set.verify(&fixture(token), at(NBF)).is_err(), "{token}");
        for (algorithm, file) in each() {
            let verified = verifier(algorithm, &file).verify(&fixture(token), at(NBF));
            assert!(verified.is_err(), "{token} {algorithm:?}");
        }
    }
    // Each algorithm's token, and the keys of the others.
    for (algorithm, file) in each() {
        let verifier = verifier(algorithm, &file);
        for other in JwtAlgorithm::ALL {
            let token = fixture(&format!("{}.jwt", other.name()));
            assert_eq!(verifier.verify(&token, at(NBF)).is_ok(), other == algorithm);
        }
    }
    assert!(set.verify(&"A".repeat(TOKEN_BYTES_MAX + 1), at(NBF)).is_err());
}

#[test]
fn weak_private_and_missing_keys_are_refused_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let pem = fixture("RS256.pem");
    let short = json!({"keys": [
        {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"},
        {"kty": "oct", "k": "c2hvcnQ"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "RSA", "n": "sXch", "e": "AQAB"},
        {"kty": "RSA", "n": "A".repeat(342), "e": "AQAB", "use": "enc"},
    ]});
    use JwtAlgorithm::{EdDsa, Es256, Hs256, Rs256};
    for (algorithm, file, of) in [
        (Hs256, write("31.secret", &SECRET[..31]), "ShortSecret"),
        (Hs256, write("31-and-a-line.secret", &[&SECRET[..31], b"\r\n"].concat()), "ShortSecret"),
        (Hs256, "no-such.secret".to_owned(), "Read"),
        (Rs256, "RS256-1024.pem".to_owned(), "NoPublicKey"),
        (Es256, "P-384.pem".to_owned(), "NoPublicKey"),
        (EdDsa, "ES256.pem".to_owned(), "NoPublicKey"),
        (Rs256, "EdDSA.pem".to_owned(), "NoPublicKey"),
        (Rs256, write("private.pem", pem.replace("PUBLIC", "PRIVATE").as_bytes()), "NoPublicKey"),
        (Hs256, "RS256.pem".to_owned(), "NoPublicKey"),
        (EdDsa, write("empty.json", b"{\"keys\":[]}"), "KeysOfSet"),
        (EdDsa, write("short.json", short.to_string().as_bytes()), "KeysOfSet"),
        (EdDsa, write("no.json", b"[]"), "NoSet"),
        (EdDsa, write("large.json", &vec![b' '; 1 << 21]), "TooLarge"),
    ] {
        let error = Verifier::open(&settings(algorithm, &file)).unwrap_err();
        assert!(format!("{error:?}").starts_with(of), "{file}: {error:?}");
        assert!(error.to_string().contains(&file), "{error}");
    }
    let nothing = JwtSettings { secret_file: None, ..settings(Hs256, "HS256.secret") };
    assert!(matches!(Verifier::open(&nothing), Err(JwtError::NoFile)));
}

#[test]
fn keys_are_read_again_and_wrong_ones_leave_the_old() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key.pem");
    let put = |name: &str| fs::write(&path, fixture(name)).unwrap();
    put("EdDSA.pem");
    let token = fixture("EdDSA.jwt");
    let verifier = verifier(JwtAlgorithm::EdDsa, path.to_str().unwrap());
    let is_taken = || verifier.verify(&token, at(NBF)).is_ok();
    // It is read at the second look, when it has come to rest.
    let looks = |verifier: &Verifier| [verifier.refresh(), verifier.refresh()];
    assert!(is_taken() && looks(&verifier) == [false; 2]);
    put("P-384.pem");
    assert!(looks(&verifier) == [false; 2] && is_taken(), "one that is wrong changes nothing");
    fs::remove_file(&path).unwrap();
    assert!(looks(&verifier) == [false; 2] && is_taken(), "none neither");
    put("EdDSA.pem");
    assert_eq!(looks(&verifier), [false; 2], "the same again");
    // Another key: that the token is known helps no more.
    let other = json!({"keys": [
        {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
    ]});
    let set = directory.path().join("keys.json");
    fs::write(&set, fixture("jwks.json")).unwrap();
    let verifier = super::tests::verifier(JwtAlgorithm::EdDsa, set.to_str().unwrap());
    assert!(verifier.verify(&token, at(NBF)).is_ok());
    fs::write(&set, other.to_string()).unwrap();
    assert!(verifier.verify(&token, at(NBF)).is_ok(), "before it is looked at");
    assert_eq!(looks(&verifier), [false, true]);
    assert!(verifier.verify(&token, at(NBF)).is_err());
}

#[test]
fn what_is_remembered_of_tokens_has_a_bound() {
    let verifier = plain(None, None);
    for number in 0..KNOWN_MAX + 5 {
        let claims = json!({"sub": format!("n{number}"), "exp": EXP, "scope": "view"});
        assert!(verifier.verify(&signed(&claims), at(NBF)).is_ok());
        assert!(verifier.state().known.len() <= KNOWN_MAX);
    }
    assert!(verifier.verify("not.a.token", at(NBF)).is_err());
    assert_eq!(verifier.state().known.len(), 5);
}

fn plain(issuer: Option<&str>, audience: Option<&str>) -> Verifier {
    let (issuer, audience) = (issuer.map(str::to_owned), audience.map(str::to_owned));
    let settings = settings(JwtAlgorithm::Hs256, "HS256.secret");
    Verifier::open(&JwtSettings { issuer, audience, ..settings }).unwrap()
}

fn signed(claims: &Value) -> String {
    encode(&Header::default(), claims, &EncodingKey::from_secret(SECRET)).unwrap()
}

/// The claims of a token that is taken, with these put in; null takes one out.
fn with(changes: Value) -> Value {
    let mut claims = json!({"sub": "ana", "exp": EXP, "scope": "view"});
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

#[test]
fn claims_have_to_be_there_and_of_their_type() {
    let is_taken =
        |verifier: &Verifier, claims: &Value| verifier.verify(&signed(claims), at(NBF)).is_ok();
    let verifier = plain(None, None);
    for name in ["sub", "exp", "scope"] {
        let mut claims = with(json!({}));
        assert!(is_taken(&verifier, &claims));
        claims.as_object_mut().unwrap().remove(name);
        assert!(!is_taken(&verifier, &claims), "without {name}");
    }
    for wrong in [
        json!({"sub": ""}),
        json!({"sub": 7}),
        json!({"sub": "a\nb"}),
        json!({"sub": "x".repeat(NAME_BYTES_MAX + 1)}),
        json!({"exp": EXP.to_string()}),
        json!({"exp": null}),
        json!({"exp": -1}),
        json!({"nbf": "soon"}),
        json!({"nbf": null}),
        json!({"nbf": NBF + 61}),
        json!({"scope": "root"}),
        json!({"scope": ""}),
        json!({"scope": null}),
        json!({"scope": ["view", 7]}),
        json!({"scope": "Admin ADMIN admin,view"}),
        json!({"devices": null}),
        json!({"devices": 7}),
        json!({"devices": ["["]}),
        json!({"devices": [["pump-1"]]}),
        json!({"devices": vec!["*"; GLOBS_MAX + 1]}),
        json!({"devices": ["x".repeat(GLOB_BYTES_MAX + 1)]}),
        json!({"aud": "tidegate"}),
        json!({"aud": []}),
        json!({"iss": null}),
        json!({"aud": null}),
    ] {
        assert!(!is_taken(&verifier, &with(wrong.clone())), "{wrong}");
    }
    assert!(is_taken(&verifier, &with(json!({"exp": 1e300, "nbf": -1e300, "iss": "who"}))));
    assert!(is_taken(&verifier, &with(json!({"exp": EXP as f64 + 0.5, "jti": 7}))));
    assert!(!is_taken(&verifier, &json!([1])));
    let twice = "eyJzdWIiOiJhIiwic3ViIjoiYiIsImV4cCI6MTc5NTMwMjAwMCwic2NvcGUiOiJ2aWV3In0";
    let head = signed(&with(json!({}))).split('.').next().unwrap().to_owned();
    let message = format!("{head}.{twice}");
    let key = EncodingKey::from_secret(SECRET);
    let mac = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    let verified = verifier.verify(&format!("{message}.{mac}"), at(NBF));
    assert_eq!(verified, Err("the token's claims are not what they should be"), "sub twice");
}

#[test]
fn the_issuer_and_the_audience_have_to_be_ours() {
    for (issuer, audience, claims, is_taken) in [
        (None, None, json!({}), true),
        (Some("us"), None, json!({"iss": "us"}), true),
        (Some("us"), None, json!({"iss": "them"}), false),
        (Some("us"), None, json!({}), false),
        (None, Some("us"), json!({"aud": "us"}), true),
        (None, Some("us"), json!({"aud": ["them", "us"]}), true),
        (None, Some("us"), json!({"aud": ["them"]}), false),
        (None, Some("us"), json!({"aud": []}), false),
        (None, Some("us"), json!({"aud": "u"}), false),
        (None, Some("us"), json!({}), false),
        (None, None, json!({"aud": "us"}), false),
    ] {
        let verified = plain(issuer, audience).verify(&signed(&with(claims.clone())), at(NBF));
        assert_eq!(verified.is_ok(), is_taken, "{issuer:?} {audience:?} {claims}");
    }
}

#[test]
fn who_may_only_ingest_reaches_the_device_of_his_name_and_no_other() {
    let verifier = plain(None, None);
    for (claims, device, is_reached) in [
        (json!({"sub": "pump-1", "scope": "ingest"}), "pump-1", true),
        (json!({"sub": "pump-1", "scope": "ingest"}), "pump-2", false),
        (json!({"sub": "*", "scope": ["ingest"]}), "pump-1", false),
        (json!({"sub": "!x", "scope": "ingest"}), "pump-1", false),
        (json!({"sub": "ana", "scope": "ingest view"}), "pump-1", true),
        (json!({"sub": "ana", "scope": "admin"}), "pump-1", true),
        (json!({"sub": "pump-1", "scope": "ingest", "devices": ["pump-2"]}), "pump-1", false),
        (json!({"scope": "admin", "devices": []}), "pump-1", false),
        (json!({"devices": "pump-*"}), "pump-1", true),
    ] {
        let caller = verifier.verify(&signed(&with(claims.clone())), at(NBF)).unwrap();
        assert_eq!(caller.reach.allows(device), is_reached, "{claims} {device}");
    }
}

proptest! {
    #[test]
    fn whatever_is_shown_is_refused_without_a_panic(
        token in "[ -~]{0,80}|([A-Za-z0-9_-]{0,40}\\.){0,4}[A-Za-z0-9_-]{0,40}",
    ) {
        let set = verifier(JwtAlgorithm::EdDsa, "jwks.json");
        prop_assert!(set.verify(&token, at(NBF)).is_err());
    }

    #[test]
    fn a_token_is_taken_within_its_time_and_no_longer(
        nbf in 0..4_000_000_000_i64,
        length in -100..1_000_000_i64,
        now in prop_oneof![-200..200_i64, -10_000_000..10_000_000_i64],
    ) {
        let (exp, now) = (nbf + length, nbf + now);
        let claims = json!({"sub": "ana", "nbf": nbf, "exp": exp, "scope": "view"});
        let taken = plain(None, None).verify(&signed(&claims), at(now)).is_ok();
        prop_assert_eq!(taken, nbf - 60 <= now && now < exp + 60);
    }
}

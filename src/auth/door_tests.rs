//! The door, told what is shown and the time.

use super::*;
use crate::auth::{NewKey, issue, revoke};
use crate::config::{Sources, load};

const NOW: Timestamp = Timestamp(1_790_000_000_000_000_000);

fn later(seconds: i64) -> Timestamp {
    Timestamp(NOW.0 + seconds * 1_000_000_000)
}

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place { directory: tempfile::tempdir().unwrap() }
    }

    fn keys(&self) -> PathBuf {
        self.directory.path().join("keys.toml")
    }

    fn door(&self, settings: &str, takes_certificates: bool) -> Door {
        let file = self.directory.path().join("tidegate.toml");
        std::fs::write(&file, settings).unwrap();
        let (config, _) = load(&Sources { file: Some(file), ..Sources::default() }).unwrap();
        let state = self.directory.path();
        Door::open(&config.auth, state, takes_certificates, Arc::new(Metrics::new())).unwrap().0
    }

    fn key(&self, name: &str, scope: Scope, lasts_s: Option<i64>) -> String {
        let new = NewKey {
            name,
            scopes: [scope].into_iter().collect(),
            reach: Reach::new(&["pump-*".to_owned()]).unwrap(),
            expires_at: lasts_s.map(later),
            by: "root",
        };
        issue(&self.keys(), &new, NOW).unwrap()
    }
}

fn shown<'a>(token: Option<&'a str>) -> Shown<'a> {
    let address = IpAddr::from([127, 0, 0, 1]);
    Shown { token, cookie: None, certificate: None, address, is_indirect: false }
}

fn from_afar<'a>(token: Option<&'a str>) -> Shown<'a> {
    Shown { address: IpAddr::from([10, 0, 0, 7]), ..shown(token) }
}

#[test]
fn nobody_is_asked_on_loopback_until_something_is_set_up() {
    let place = Place::new();
    let door = place.door("", false);
    assert!(!door.asks());
    assert_eq!(door.enter(&shown(None), NOW).unwrap().how, How::Anonymous);
    let proxied = Shown { is_indirect: true, ..shown(None) };
    assert_eq!(door.enter(&proxied, NOW).unwrap_err(), Denied::Indirect);
    assert_eq!(door.enter(&from_afar(None), NOW).unwrap_err(), Denied::NothingShown);
    // What is shown and wrong is not passed over.
    assert!(matches!(door.enter(&shown(Some("x")), NOW), Err(Denied::NotGood(_))));
    let inside = door.pass(door.enter(&shown(None), NOW).unwrap(), &CancellationToken::new());
    door.look(NOW);
    assert!(!inside.ended().is_cancelled());
    place.key("ana", Scope::View, None);
    door.read_keys(NOW);
    door.look(NOW);
    assert!(door.asks() && inside.ended().is_cancelled());
    assert_eq!(door.enter(&shown(None), NOW).unwrap_err(), Denied::NothingShown);
    // An emptied file does not open it again.
    std::fs::write(place.keys(), "").unwrap();
    door.read_keys(NOW);
    assert!(door.keys_in_force().is_empty());
    assert_eq!(door.enter(&shown(None), NOW).unwrap_err(), Denied::NothingShown);
}

#[test]
fn what_is_set_up_is_asked_for_by_everybody() {
    let is_open = |settings: &str, takes_certificates: bool, shown: &Shown<'_>| {
        Place::new().door(settings, takes_certificates).enter(shown, NOW).is_ok()
    };
    let nothing = shown(None);
    assert!(is_open("", false, &nothing));
    assert!(!is_open("", true, &nothing));
    assert!(!is_open("auth.anonymous = \"nobody\"", false, &nothing));
    let anywhere = "auth.anonymous = \"anywhere\"";
    assert!(is_open(anywhere, true, &Shown { is_indirect: true, ..from_afar(None) }));
    let place = Place::new();
    let key = place.key("ana", Scope::View, None);
    let revoked = crate::auth::key::id_of(&key).unwrap();
    revoke(&place.keys(), revoked, "", NOW).unwrap();
    assert!(place.door("", false).enter(&nothing, NOW).is_err(), "the last key was revoked");
}

#[test]
fn a_key_says_who_comes_until_it_is_over() {
    let place = Place::new();
    let (key, short) =
        (place.key("gw", Scope::Ingest, None), place.key("ana", Scope::View, Some(60)));
    let door = place.door("", false);
    let caller = door.enter(&from_afar(Some(&key)), NOW).unwrap();
    assert_eq!((&*caller.name, caller.reach.globs()), ("gw", &["pump-*".to_owned()][..]));
    assert!(caller.scopes.has(Scope::Ingest) && !caller.scopes.has(Scope::View));
    // The same id with another secret.
    let last = if key.ends_with('A') { "B" } else { "A" };
    let forged = format!("{}{last}", &key[..key.len() - 1]);
    assert!(matches!(door.enter(&shown(Some(&forged)), NOW), Err(Denied::NotGood(_))));
    let ana = door.enter(&shown(Some(&short)), later(59)).unwrap();
    let inside = door.pass(ana, &CancellationToken::new());
    door.look(later(59));
    assert!(!inside.ended().is_cancelled());
    door.look(later(60));
    assert!(inside.ended().is_cancelled());
    assert_eq!(door.enter(&shown(Some(&short)), later(60)), Err(Denied::NotGood(EXPIRED)));
    let used = |key: &str| door.records().uses.last(crate::auth::key::id_of(key).unwrap());
    assert_eq!((used(&key), used(&short)), (Some(NOW), Some(later(59))));
}

#[test]
fn who_is_inside_leaves_when_the_key_says_otherwise() {
    let place = Place::new();
    let (key, other) = (place.key("gw", Scope::Ingest, None), place.key("ana", Scope::View, None));
    let door = place.door("", false);
    let enter = |key: &str| {
        door.pass(door.enter(&shown(Some(key)), NOW).unwrap(), &CancellationToken::new())
    };
    let look = || {
        door.read_keys(NOW);
        door.look(NOW);
    };
    let (first, second) = (enter(&key), enter(&other));
    look();
    assert!(!first.ended().is_cancelled());
    // Other rights: whoever comes again has them.
    let text = std::fs::read_to_string(place.keys()).unwrap();
    std::fs::write(place.keys(), text.replacen("\"ingest\"", "\"view\"", 1)).unwrap();
    look();
    assert!(first.ended().is_cancelled() && !second.ended().is_cancelled());
    // A file that can't be used changes nothing; nor does one that is gone.
    let third = enter(&key);
    std::fs::write(place.keys(), "[[keys]]\nname = 7\n").unwrap();
    look();
    assert!(door.enter(&shown(Some(&key)), NOW).is_ok() && !third.ended().is_cancelled());
    std::fs::remove_file(place.keys()).unwrap();
    look();
    assert!(door.enter(&shown(Some(&key)), NOW).is_ok() && !third.ended().is_cancelled());
    std::fs::write(place.keys(), &text).unwrap();
    revoke(&place.keys(), crate::auth::key::id_of(&other).unwrap(), "", NOW).unwrap();
    look();
    assert!(second.ended().is_cancelled());
    assert_eq!(door.enter(&shown(Some(&other)), NOW), Err(Denied::NotGood(REVOKED)));
}

#[tokio::test]
async fn a_session_ends_with_the_key_that_it_was_got_for() {
    let place = Place::new();
    let key = place.key("ana", Scope::View, None);
    let door = place.door("", false);
    // Sessions know what time it is.
    let now = clock::now();
    let caller = door.enter(&shown(Some(&key)), now).unwrap();
    let begun = door.records().sessions.begin(&caller, now).await.unwrap();
    let cookie = Shown { cookie: Some(&begun.cookie), ..from_afar(None) };
    let inside = door.pass(door.enter(&cookie, now).unwrap(), &CancellationToken::new());
    door.look(now);
    assert!(!inside.ended().is_cancelled());
    revoke(&place.keys(), crate::auth::key::id_of(&key).unwrap(), "", now).unwrap();
    door.read_keys(now);
    assert_eq!(door.enter(&cookie, now), Err(Denied::NotGood(SESSION_OVER)));
    door.look(now);
    assert!(inside.ended().is_cancelled());
}

#[tokio::test]
async fn a_session_that_ends_takes_its_connections_with_it() {
    let place = Place::new();
    let key = place.key("ana", Scope::View, None);
    let door = place.door("", false);
    let now = clock::now();
    let caller = door.enter(&shown(Some(&key)), now).unwrap();
    let begun = door.records().sessions.begin(&caller, now).await.unwrap();
    let cookie = Shown { cookie: Some(&begun.cookie), ..shown(None) };
    let inside = door.pass(door.enter(&cookie, now).unwrap(), &CancellationToken::new());
    door.records().sessions.end(&begun.cookie);
    door.look(now);
    assert!(inside.ended().is_cancelled());
}

#[test]
fn certificates_may_what_the_first_rule_says_and_else_send_as_themselves() {
    let place = Place::new();
    let door = place.door(
        "[[auth.certificates]]\nname = \"gateway-*\"\nscopes = [\"ingest\", \"view\"]\n\
         devices = [\"pump-*\"]\n[[auth.certificates]]\nname = \"*-7\"\nscopes = [\"admin\"]\n",
        true,
    );
    let enter = |name: &str| {
        door.enter(&Shown { certificate: Some(name), ..from_afar(None) }, NOW).unwrap()
    };
    let gateway = enter("gateway-7");
    assert!(gateway.reach.allows("pump-1") && !gateway.reach.allows("gateway-7"));
    assert!(gateway.scopes.has(Scope::View) && !gateway.scopes.has(Scope::Admin));
    assert!(enter("fan-7").scopes.has(Scope::Admin));
    // No glob, whatever the name looks like.
    let star = enter("*");
    assert!(star.reach.allows("*") && !star.reach.allows("fan-1"));
    assert_eq!(star.scopes.given().collect::<Vec<_>>(), [Scope::Ingest]);
    assert!(door.enter(&from_afar(None), NOW).is_err());
}

#[test]
fn the_key_of_this_machine_is_admin_until_the_next_start() {
    let place = Place::new();
    place.key("ana", Scope::View, None);
    let door = place.door("", false);
    let key = crate::auth::local_key(place.directory.path()).unwrap();
    let caller = door.enter(&shown(Some(&key)), NOW).unwrap();
    assert!(caller.how == How::Local && caller.scopes.has(Scope::Admin) && caller.reach.is_all());
    let next = place.door("", false);
    assert!(matches!(next.enter(&shown(Some(&key)), NOW), Err(Denied::NotGood(_))));
}

#[test]
fn wrong_tokens_wait_and_good_ones_do_not() {
    let place = Place::new();
    let (key, short) =
        (place.key("ana", Scope::View, None), place.key("old", Scope::View, Some(0)));
    let door = place.door("auth.failures_max = 3", false);
    let refused = |token: &str| door.enter(&from_afar(Some(token)), NOW).unwrap_err();
    for _ in 0..100 {
        assert_eq!(
            refused(&short),
            Denied::NotGood(EXPIRED),
            "who shows an old key guesses nothing"
        );
    }
    for _ in 0..3 {
        assert!(matches!(refused("guess"), Denied::NotGood(_)));
    }
    let wait = Denied::TooManyFailures { retry_after: Duration::from_secs(1) };
    assert_eq!(refused("guess"), wait);
    assert!(matches!(door.enter(&shown(Some("guess")), NOW), Err(Denied::NotGood(_))), "elsewhere");
    assert_eq!(refused("guess"), wait);
    assert!(door.enter(&from_afar(Some(&key)), NOW).is_ok());
    assert!(matches!(refused("guess"), Denied::NotGood(_)), "forgotten");
}

#[test]
fn a_wrong_file_refuses_the_start() {
    let place = Place::new();
    std::fs::write(place.keys(), "keys = 7").unwrap();
    let config = load(&Sources::default()).unwrap().0.auth;
    let auth = AuthConfig { keys_file: place.keys(), ..config };
    let opened = Door::open(&auth, place.directory.path(), false, Arc::new(Metrics::new()));
    assert!(matches!(opened, Err(DoorError::Keys(KeysError::Mistakes { .. }))));
}

//! The keys file: what is written is read again, and every mistake has a name.

use super::*;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp(1_790_000_000_000_000_000);

fn new<'a>(name: &'a str, scopes: &[Scope], globs: &[&str]) -> NewKey<'a> {
    let globs: Vec<_> = globs.iter().map(|&glob| glob.to_owned()).collect();
    NewKey {
        name,
        scopes: scopes.iter().copied().collect(),
        reach: Reach::new(&globs).unwrap(),
        expires_at: None,
        by: "root",
    }
}

#[test]
fn a_key_is_good_until_it_expires_or_is_revoked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.toml");
    assert!(Keys::read(&path).unwrap().is_empty());
    let text = issue(&path, &new("gw-7", &[Scope::Ingest], &["pump-*", "gw-7"]), NOW).unwrap();
    let expires = NewKey {
        expires_at: Some(Timestamp(NOW.0 + 10_000_000_000)),
        ..new("ana", &[Scope::Admin], &["*"])
    };
    let short = issue(&path, &expires, NOW).unwrap();
    let keys = Keys::read(&path).unwrap();
    let key = keys.get(key::id_of(&text).unwrap()).unwrap();
    assert_eq!(key.digest, Digest::of(&text));
    assert_eq!((&*key.name, &*key.by, key.issued_at), ("gw-7", "root", NOW));
    assert_eq!(key.reach.globs(), ["gw-7", "pump-*"]);
    assert_eq!(key.over(NOW), None);
    let short = keys.get(key::id_of(&short).unwrap()).unwrap();
    assert!(short.reach.is_all());
    assert_eq!(short.scopes.given().collect::<Vec<_>>(), [Scope::Admin]);
    assert_eq!(short.over(Timestamp(NOW.0 + 9_999_999_999)), None);
    assert_eq!(short.over(Timestamp(NOW.0 + 10_000_000_000)), Some(Over::Expired));
    let id = key.id.clone();
    assert!(revoke(&path, &id, "eva (uid 7)", NOW).unwrap());
    for id in [&*id, "aaaaaaaa"] {
        assert!(!revoke(&path, id, "bob", NOW).unwrap());
    }
    let after = Keys::read(&path).unwrap();
    let key = after.get(&id).unwrap();
    assert_eq!((key.over(NOW), &*key.revoked_by), (Some(Over::Revoked), "eva (uid 7)"));
    assert_eq!(after.good(NOW), 1);
    assert!(!after.is_empty());
    let told = |of: &Keys, before: &Keys| {
        of.changes(before, NOW).iter().map(Change::to_string).collect::<Vec<_>>()
    };
    assert_eq!(told(&after, &keys), [format!("revoked: gw-7 ({id})")]);
    assert_eq!(told(&keys, &after), [format!("good again: gw-7 ({id})")]);
    assert_eq!(told(&Keys::default(), &keys).len(), 2);
    let left: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn every_mistake_is_named_and_nothing_is_written_over_it() {
    let hash = Digest::of("x");
    let good = |name: &str, id: &str| {
        format!(
            "[[keys]]\nname = \"{name}\"\nid = \"{id}\"\nhash = \"{hash}\"\nscopes = [\"view\"]\n\
             devices = [\"*\"]\nissued_at = 2026-11-21T22:00:00Z\n"
        )
    };
    let (first, double) = (good("ana", "aaaaaaaa"), good("twice", "aaaaaaaa"));
    let text = format!(
        "version = 1\n{first}[[keys]]\nname = \"\"\nid = \"A\"\nhash = \"zz\"\nscopes = [\"root\"]\n\
         devices = [\"[\"]\nissued_at = 2026-11-21\nexpires_at = 22:00:00\n{double}{}\
         [[keys]]\nname = \"typo\"\nexpire_at = 2026-11-21T22:00:00Z\n",
        good("bell\\u0007", "bbbbbbbb"),
    );
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.toml");
    fs::write(&path, &text).unwrap();
    let Err(KeysError::Mistakes { mistakes, .. }) = Keys::read(&path) else { panic!("taken") };
    for (mistake, said) in mistakes.iter().zip([
        "version: only [[keys]]",
        "keys.1 (): name:",
        "keys.1 (): id:",
        "keys.1 (): hash:",
        "keys.1 (): scopes:",
        "keys.1 (): devices:",
        "keys.1 (): issued_at: 2026-11-21 is no time with its offset",
        "keys.1 (): expires_at: 22:00:00 is no time",
        "keys.2 (twice): id: aaaaaaaa is that of another",
        "keys.3 (bell\\u{7}): name:",
        "keys.4 (typo): unknown field",
    ]) {
        assert!(mistake.starts_with(said), "{mistake}\n{said}");
    }
    assert_eq!(mistakes.len(), 11, "{mistakes:#?}");
    issue(&path, &new("b", &[Scope::View], &["*"]), NOW).unwrap_err();
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    assert!(Keys::parse("[[keys]").is_err() && Keys::parse("keys = 7").is_err());
}

#[test]
fn a_key_that_could_not_be_read_again_is_not_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.toml");
    for name in ["", "a\nb"] {
        issue(&path, &new(name, &[Scope::View], &["*"]), NOW).unwrap_err();
    }
    issue(&path, &new("nothing", &[], &["*"]), NOW).unwrap_err();
    assert!(!path.exists());
}

#[test]
fn many_at_once_lose_no_key() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.toml");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let path = &path;
            scope.spawn(move || {
                for n in 0..10 {
                    let name = format!("gw-{thread}-{n}");
                    issue(path, &new(&name, &[Scope::Ingest], &["*"]), NOW).unwrap();
                }
            });
        }
    });
    assert_eq!(list(&path).unwrap().len(), 40);
}

#[test]
fn the_file_keeps_its_mode() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.toml");
    let mode = || fs::metadata(&path).unwrap().mode() & 0o777;
    issue(&path, &new("a", &[Scope::View], &["*"]), NOW).unwrap();
    assert_eq!(mode(), 0o644);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    issue(&path, &new("b", &[Scope::View], &["*"]), NOW).unwrap();
    assert_eq!(mode(), 0o640);
}

proptest! {
    /// Whatever names and globs say, in quotes or other characters: what is written is what is read.
    #[test]
    fn what_is_written_is_read_again(
        name in "[^\\p{C}\\u{7f}-\\u{9f}\\u{2028}\\u{2029}]{1,20}",
        globs in prop::collection::vec("[a-z\"'\\\\#é=-]{1,8}", 0..4),
        scopes in prop::collection::vec(prop::sample::select(Scope::ALL.to_vec()), 1..4),
    ) {
        prop_assume!(check_name(&name, NAME_BYTES_MAX).is_ok());
        let Ok(reach) = Reach::new(&globs) else { return Ok(()) };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.toml");
        let scopes: Scopes = scopes.into_iter().collect();
        let new = NewKey { name: &name, scopes, reach, expires_at: Some(NOW), by: "root" };
        let text = issue(&path, &new, NOW).unwrap();
        let keys = Keys::read(&path).unwrap();
        let key = keys.get(key::id_of(&text).unwrap()).unwrap();
        prop_assert_eq!(&*key.name, &name);
        prop_assert_eq!((key.scopes, &key.reach), (new.scopes, &new.reach));
        prop_assert_eq!((key.expires_at, key.digest), (Some(NOW), Digest::of(&text)));
    }
}

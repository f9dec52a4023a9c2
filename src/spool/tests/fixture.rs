//! Format version 1 as it was first written, byte for byte: `tests/fixtures/spool-v1/`.

use super::super::format::{Header, HeaderFound};
use super::*;

/// Writes the fixture. Not a test of anything: run it by hand when a new version gets its own.
#[test]
#[ignore = "writes the fixture of the current version"]
fn write_fixture() {
    let dir = Path::new("tests/fixtures/spool-v1");
    fs::remove_dir_all(dir).unwrap_or_default();
    let mut gate = Gate::open(&options(dir));
    gate.store(0..9, 300);
    gate.close().unwrap();
    for name in ["lock", "reserve"] {
        fs::remove_file(dir.join(name)).unwrap();
    }
}

#[test]
fn a_spool_of_version_1_opens() {
    let dir = scratch();
    for entry in fs::read_dir("tests/fixtures/spool-v1").unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    let HeaderFound::Valid(header) =
        Header::decode(&fs::read(&list(dir.path()).unwrap()[1].path).unwrap())
    else {
        panic!("the header is not understood")
    };
    assert!(header.first > Position(0) && header.after == header.first);
    assert_eq!(header.samples_before, header.first.0);
    assert_eq!(verify(dir.path()).unwrap().damage, []);
    let mut gate = Gate::open(&options(dir.path()));
    assert!(gate.recovery.closed_cleanly);
    assert_eq!(gate.spool.id(), header.identity.id);
    assert_eq!(gate.folded, (0..9).collect());
    assert_eq!(gate.read(Position(0)), (0..9).map(|n| (n, n)).collect::<Vec<_>>());
    let mut stored = Vec::new();
    scan(dir.path(), &mut |position, found| {
        if found.kind == Kind::Batch {
            assert_eq!(*found, record(&payload(position.0, 300)));
            stored.push(position.0);
        }
    })
    .unwrap();
    assert_eq!(stored, (0..9).collect::<Vec<_>>());
    gate.store(9..12, 10);
    assert_eq!(gate.read(Position(8)).len(), 4);
}

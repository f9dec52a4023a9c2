//! The generated messages. They don't leave this room.
#![expect(clippy::enum_variant_names, reason = "the names of the specification's schema")]

include!(concat!(env!("OUT_DIR"), "/org.eclipse.tahu.protobuf.rs"));

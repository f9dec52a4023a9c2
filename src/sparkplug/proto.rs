//! The generated messages. They don't leave this room.
#![expect(clippy::enum_variant_names, reason = "the schema calls its values so")]

include!(concat!(env!("OUT_DIR"), "/org.eclipse.tahu.protobuf.rs"));

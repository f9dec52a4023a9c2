//! The generated messages. They don't leave this room.

include!(concat!(env!("OUT_DIR"), "/org.eclipse.tahu.protobuf.rs"));

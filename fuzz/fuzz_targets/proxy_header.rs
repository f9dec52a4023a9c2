//! Any bytes as a PROXY header. None is read past its end, or differently with more bytes behind it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::web::{PROXY_HEADER_FIXED_BYTES, proxy_header_rest_bytes, read_proxy_header};

fuzz_target!(|bytes: &[u8]| {
    let Some((fixed, rest)) = bytes.split_first_chunk::<PROXY_HEADER_FIXED_BYTES>() else { return };
    let Ok(length) = proxy_header_rest_bytes(fixed) else {
        assert!(read_proxy_header(fixed, rest).is_err());
        return;
    };
    match rest.get(..length) {
        None => assert!(read_proxy_header(fixed, rest).is_err()),
        Some(whole) => assert_eq!(read_proxy_header(fixed, rest), read_proxy_header(fixed, whole)),
    }
});

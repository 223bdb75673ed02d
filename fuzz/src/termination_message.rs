//! What a pod leaves behind, as the operator reads it; and its packed steps, which may be a bomb.
#![no_main]

use protocol::verdict::{Verdict, unpack_steps};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(verdict) = serde_json::from_slice::<Verdict>(data) {
        let _ = unpack_steps(&verdict.steps);
        let again = serde_json::to_vec(&verdict).expect("a verdict is plain data");
        assert_eq!(serde_json::from_slice::<Verdict>(&again).expect("its own words"), verdict);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = unpack_steps(text);
    }
});

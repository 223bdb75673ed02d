//! What runner and api-server send each other, and the bundle; the events of a report, folded.
#![no_main]

use protocol::{
    bundle::Bundle,
    claim::{ClaimGranted, ClaimRefused, ClaimRequest},
    fold::Fold,
    report::{Acked, MAX_INFLATED_BYTES, Report},
};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = serde_json::from_slice::<ClaimRequest>(data);
    let _ = serde_json::from_slice::<ClaimGranted>(data);
    let _ = serde_json::from_slice::<ClaimRefused>(data);
    let _ = serde_json::from_slice::<Acked>(data);
    if let Ok(bundle) = serde_json::from_slice::<Bundle>(data) {
        let again = serde_json::to_vec(&bundle).expect("a bundle is plain data");
        assert_eq!(serde_json::from_slice::<Bundle>(&again).expect("its own words"), bundle);
    }
    if let Ok(report) = serde_json::from_slice::<Report>(data) {
        let mut fold = Fold::default();
        report.events.iter().for_each(|event| fold.apply(event));
        // What is stored can be read again: an unknown kind stays one.
        let again = serde_json::to_vec(&report).expect("a report is plain data");
        assert_eq!(
            serde_json::from_slice::<Report>(&again).expect("its own words").events.len(),
            report.events.len()
        );
    }
    let _ = zstd::bulk::decompress(data, MAX_INFLATED_BYTES.min(1 << 20));
});

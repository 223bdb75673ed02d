//! What the callback plugin writes into our pipe.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| runner::parsers::event_lines(data));

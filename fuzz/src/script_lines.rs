//! What a script prints: steps, and anything else.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| runner::parsers::script_lines(data));

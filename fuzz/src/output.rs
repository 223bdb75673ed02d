//! Output on its way to spool and log. No secret may come through, whatever stands around it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| runner::parsers::output(data));

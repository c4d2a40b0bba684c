#![no_main]

#[path = "../checks/mod.rs"]
#[allow(dead_code)] // each target needs one of them
mod checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    checks::first_packet::first_packet(input);
});

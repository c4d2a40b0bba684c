#![no_main]

#[path = "../checks/bsr/mod.rs"]
#[allow(dead_code)] // each target needs one of them
mod checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    checks::node::node(input);
});

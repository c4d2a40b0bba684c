#![no_main]

#[path = "../checks/config/mod.rs"]
mod config;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    config::resource_file::resource_file(input);
});

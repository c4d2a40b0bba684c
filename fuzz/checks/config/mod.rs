//! The checks of the package `drx-config`: called by the fuzzer and by `config/tests/corpus.rs`.

pub mod resource_file;

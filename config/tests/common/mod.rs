//! What the tests of messages share.
#![allow(dead_code)] // each test program uses its part

use std::net::IpAddr;

use drx_config::{Config, Sources, load};

/// A whole resource in seven lines: tests append what they are about.
pub(crate) const R0: &str = r#"[[resource]]
name = "r0"
remote = "node2"
bsr = "10.77.1.2:7789"
inside = "10.77.1.1:7788"
outside = "10.77.9.1:7780"
peer = "10.77.9.2:7780"
"#;

/// Sources of node1 with one file.
pub(crate) fn file(text: &str) -> Sources {
    Sources::new("node1").text("drx.toml", text).is_local(is_10_77_1)
}

/// Everything that is wrong with one file, as it is printed.
pub(crate) fn errors(text: &str) -> String {
    errors_of(&file(text))
}

/// Everything that is wrong, as it is printed.
pub(crate) fn errors_of(sources: &Sources) -> String {
    load(sources).expect_err("this configuration is wrong").to_string()
}

/// A configuration with nothing wrong.
pub(crate) fn good(sources: &Sources) -> Config {
    load(sources).unwrap_or_else(|errors| panic!("{errors}"))
}

fn is_10_77_1(ip: IpAddr) -> bool {
    ip.to_string().starts_with("10.77.1.") || ip.to_string().starts_with("10.77.9.1")
}

/// Variables or keys as the sources take them.
pub(crate) fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

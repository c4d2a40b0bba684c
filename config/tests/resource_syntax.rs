//! Resource files, from text to tree.

use drx_config::resource_file::parse_text;

#[test]
fn sections_and_statements() {
    let reading = parse_text(
        "r0.res",
        r#"resource r0 { on node1 { address ipv6 [fe80::1%eth0] : 7789; meta-disk "/dev/sd b"[0]; } }"#,
    );
    assert_eq!(reading.faults, []);
    let on = &reading.statements[0].statements()[0];
    let words: Vec<_> = on.statements()[0].words.iter().map(|word| word.text.as_str()).collect();
    assert_eq!(words, ["address", "ipv6", "[fe80::1%eth0]:7789"]);
    let words: Vec<_> = on.statements()[1].words.iter().map(|word| word.text.as_str()).collect();
    assert_eq!(words, ["meta-disk", "/dev/sd b", "[0]"]);
}

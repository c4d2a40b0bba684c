//! First packets: eight bytes that are known from the first wrong one on.

use drx_protocol::first_packet::{bytes, check_prefix, parse};

/// Two kinds of eight bytes are a first packet, and every prefix of other bytes says so as soon as it differs.
pub fn first_packet(input: &[u8]) -> usize {
    let mut accepted = 0;
    if let Some(whole) = input.first_chunk::<8>() {
        let parsed = parse(*whole);
        assert_eq!(parsed.is_ok(), check_prefix(input).is_ok());
        if let Ok(channel) = parsed {
            assert_eq!(bytes(channel), *whole);
            accepted += 1;
        }
    }
    let strange: Vec<bool> = (0..=input.len()).map(|end| check_prefix(&input[..end]).is_err()).collect();
    assert!(strange.is_sorted(), "what was strange stays so");
    accepted
}

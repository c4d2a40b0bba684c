//! Handshake messages: whatever a stranger sends.

use drx_protocol::handshake::{Answer, HandshakeError, Hello, MAX_MESSAGE, Needed, needed};

/// A reader that asks for what is needed takes no byte too many and 4 KiB at most; what is accepted comes
/// out the same when it is encoded and read again.
///
/// Input: u8 mode (bit 0: magic, length and checksum are put right first), what the stranger sends.
pub fn handshake(input: &[u8]) -> usize {
    let Some((&mode, sent)) = input.split_first() else { return 0 };
    let mut sent = sent.to_vec();
    if mode & 1 != 0 {
        seal(&mut sent);
    }
    let Some(message) = read(&sent) else { return 0 };
    let message = &sent[..message];
    let (hello, answer) = (Hello::decode(message), Answer::decode(message));
    assert!(hello.is_err() || answer.is_err(), "a message is of one kind");
    let accepted = usize::from(hello.is_ok() || answer.is_ok());
    if let Ok(hello) = hello {
        let again = hello.encode();
        assert_eq!(Hello::decode(&again).as_ref(), Ok(&hello));
        same(message, &again);
    }
    if let Ok(answer) = answer {
        let again = answer.encode();
        assert_eq!(Answer::decode(&again).as_ref(), Ok(&answer));
        // A refusal's sentence is made fit for a log: there the bytes may differ.
        if matches!(answer, Answer::Welcome(_)) {
            same(message, &again);
        }
    }
    accepted
}

/// Options that are not known are skipped; but for them a message has one encoding.
fn same(message: &[u8], again: &[u8]) {
    assert!(again.len() <= message.len(), "nothing is made up");
    assert!(again.len() < message.len() || again == message, "nothing is changed");
}

/// How long the message is, read as the relay reads it; `None`: it is none, or not whole.
fn read(sent: &[u8]) -> Option<usize> {
    let mut taken = 0;
    loop {
        match needed(&sent[..taken]) {
            Ok(Needed::Nothing) => return Some(taken),
            Ok(Needed::More(more)) => {
                assert!(more > 0);
                taken += more;
                assert!(taken <= MAX_MESSAGE);
                if taken > sent.len() {
                    return None;
                }
            }
            Err(wrong) => {
                assert!(!matches!(wrong, HandshakeError::Excess(_)), "it took too many");
                return None;
            }
        }
    }
}

/// Makes a message of any bytes that are long enough for one.
fn seal(sent: &mut Vec<u8>) {
    sent.truncate(MAX_MESSAGE);
    let length = sent.len();
    let (Some(body), true) = (length.checked_sub(12), length >= 16) else { return };
    sent[..8].copy_from_slice(b"DRXLINK\n");
    sent[10..12].copy_from_slice(&(body as u16).to_be_bytes());
    let crc = crc32c::crc32c(&sent[..length - 4]);
    sent[length - 4..].copy_from_slice(&crc.to_be_bytes());
}

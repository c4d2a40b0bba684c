//! Received bytes, cut anywhere, to frames.

use std::collections::VecDeque;
use std::mem;

use bytes::{Buf, Bytes};

use super::header::{Crc, Header};
use super::payload::Gathering;
use super::{Frame, FrameError, HEADER_LEN};
use crate::codec::Unpacker;

/// Turns received segments into frames, whole and checked.
///
/// After each [`push`](Decoder::push) call [`next`](Decoder::next) until it says `None`: then at most
/// one incomplete frame is held. A payload's pieces are slices of the segments; only pieces smaller
/// than 4 KiB of a frame that came in several are copied. A claimed length reserves nothing.
#[derive(Debug)]
pub struct Decoder {
    checksum: bool,
    input: VecDeque<Bytes>,
    stage: Stage,
    unpacker: Unpacker,
}

#[derive(Debug)]
enum Stage {
    Header { bytes: [u8; HEADER_LEN], filled: usize },
    Body { header: Header, crc: Crc, body: Gathering },
    Failed(FrameError),
}

impl Decoder {
    /// A decoder at the first byte after the handshake; `checksum` is what the handshake agreed on.
    pub fn new(checksum: bool) -> Decoder {
        Decoder { checksum, input: VecDeque::new(), stage: Stage::START, unpacker: Unpacker::default() }
    }

    /// Takes a received segment. A failed decoder drops it.
    pub fn push(&mut self, segment: Bytes) {
        if !segment.is_empty() && !matches!(self.stage, Stage::Failed(_)) {
            self.input.push_back(segment);
        }
    }

    /// The next frame, or `None` when more bytes must come first.
    ///
    /// # Errors
    /// What is wrong, as soon as it can be known; from then on always the same. The link must be closed:
    /// where the next frame would begin is unknown.
    #[expect(clippy::should_implement_trait, reason = "`None` is not the end: more bytes may come")]
    pub fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        self.step().inspect_err(|wrong| {
            self.input = VecDeque::new();
            self.stage = Stage::Failed(wrong.clone());
        })
    }

    /// Bytes pushed that no frame was made of yet. Not 0 when the connection ends: a frame was cut off.
    pub fn held(&self) -> usize {
        let begun = match &self.stage {
            Stage::Header { filled, .. } => *filled,
            Stage::Body { body, .. } => HEADER_LEN + body.len(),
            Stage::Failed(_) => 0,
        };
        begun + self.input.iter().map(Bytes::len).sum::<usize>()
    }

    fn step(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            match &mut self.stage {
                Stage::Header { bytes, filled } => {
                    let Some(segment) = self.input.front_mut() else {
                        return Ok(None);
                    };
                    let end = HEADER_LEN.min(*filled + segment.len());
                    segment.copy_to_slice(&mut bytes[*filled..end]);
                    *filled = end;
                    if segment.is_empty() {
                        self.input.pop_front();
                    }
                    if end == HEADER_LEN {
                        let (header, crc) = Header::read(bytes, self.checksum)?;
                        self.stage = Stage::Body { header, crc, body: Gathering::default() };
                    }
                }
                Stage::Body { header, crc, body } => {
                    let missing = header.length as usize - body.len();
                    if missing > 0 {
                        let Some(piece) = take(&mut self.input, missing) else {
                            return Ok(None);
                        };
                        if self.checksum {
                            crc.add(&piece);
                        }
                        let last = piece.len() == missing;
                        body.add(piece, last);
                        continue;
                    }
                    let Crc { carried, computed } = *crc;
                    if self.checksum && carried != computed {
                        return Err(FrameError::Checksum { frame: header.frame, carried, computed });
                    }
                    let body = self.unpacker.unpack(header.codec, mem::take(body).finish())?;
                    let frame = Frame::from_parts(*header, body)?;
                    self.stage = Stage::START;
                    return Ok(Some(frame));
                }
                Stage::Failed(wrong) => return Err(wrong.clone()),
            }
        }
    }
}

impl Stage {
    const START: Stage = Stage::Header { bytes: [0; HEADER_LEN], filled: 0 };
}

/// The next bytes of the input, as many as its first segment has and at most `limit`.
fn take(input: &mut VecDeque<Bytes>, limit: usize) -> Option<Bytes> {
    let segment = input.front_mut()?;
    if segment.len() > limit { Some(segment.split_to(limit)) } else { input.pop_front() }
}

//! The body of FIN and ABORT.

use bytes::{Buf, BufMut};

use super::{FrameError, FrameType};
use crate::ending::{EndReason, Ending};
use crate::names::{LinkId, Round};

impl Ending {
    /// Writes the body to the beginning of `out`; returns how many bytes it has.
    pub(super) fn write(&self, mut out: &mut [u8]) -> usize {
        out.put_u16(self.reason.code());
        out.put_u8(u8::from(self.partner.is_some()));
        out.put_u8(0);
        let Some(Round { link, attempt }) = self.partner else {
            return ALONE;
        };
        out.put_u128(link.0);
        out.put_u32(attempt);
        WITH_PARTNER
    }

    /// Reads a body; its length is one of the two that the header's check lets through.
    pub(super) fn read(frame: FrameType, body: &[u8]) -> Result<Ending, FrameError> {
        let length = body.len();
        let mut fields = body;
        let code = fields.get_u16();
        let reason = EndReason::from_code(code).ok_or(FrameError::UnknownReason { frame, reason: code })?;
        let mark = fields.get_u8();
        if fields.get_u8() != 0 {
            return Err(FrameError::BodyReservedBits(frame));
        }
        let partner = match (mark, length) {
            (0, ALONE) => None,
            (1, WITH_PARTNER) => Some(Round { link: LinkId(fields.get_u128()), attempt: fields.get_u32() }),
            _ => return Err(FrameError::PartnerMark { frame, mark, length }),
        };
        Ok(Ending { reason, partner })
    }
}

/// Bytes of an ending that names no partner.
pub(super) const ALONE: usize = 2 + 1 + 1;
/// Bytes of an ending that names one.
pub(super) const WITH_PARTNER: usize = ALONE + 16 + 4;

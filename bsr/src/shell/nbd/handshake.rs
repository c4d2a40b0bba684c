//! The handshake: which export, and what it can do.

use std::io;

use bytes::{Buf, BufMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{Export, Service, User};

/// Talks until the client has chosen the export; none if it has ended the talk before, as clients do that only
/// want to know what there is.
///
/// # Errors
/// The connection's; [`io::ErrorKind::InvalidData`] for what no client of NBD would send.
pub(super) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    service: &Service,
) -> io::Result<Option<(User, Export)>> {
    let mut hello = Vec::with_capacity(18);
    hello.put_u64(INIT_PASSWD);
    hello.put_u64(OPTION_MAGIC);
    hello.put_u16(FIXED_NEWSTYLE | NO_ZEROES);
    stream.write_all(&hello).await?;
    let flags = match stream.read_u32().await {
        Ok(flags) => flags,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None), // a look whether somebody is there
        Err(error) => return Err(error),
    };
    if flags & !u32::from(FIXED_NEWSTYLE | NO_ZEROES) != 0 {
        return Err(strange(format!("client flags {flags:#x}")));
    }
    let mut talk = Talk { stream, service, zeroes: flags & u32::from(NO_ZEROES) == 0 };
    for _ in 0..OPTIONS {
        match talk.option().await? {
            Next::Option => {}
            Next::Transmission(user, export) => return Ok(Some((user, export))),
            Next::End => return Ok(None),
        }
    }
    Err(strange(format!("more than {OPTIONS} options")))
}

enum Next {
    Option,
    Transmission(User, Export),
    End,
}

struct Talk<'a, S> {
    stream: &'a mut S,
    service: &'a Service,
    /// The client wants the reserved bytes after an EXPORT_NAME.
    zeroes: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<'_, S> {
    async fn option(&mut self) -> io::Result<Next> {
        let mut header = [0; 16];
        match self.stream.read_exact(&mut header).await {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Next::End),
            Err(error) => return Err(error),
        }
        let mut header = &header[..];
        let (magic, option, length) = (header.get_u64(), header.get_u32(), header.get_u32());
        if magic != OPTION_MAGIC {
            return Err(strange(format!("{magic:016x} where an option begins")));
        }
        if length > OPTION_BYTES {
            return Err(strange(format!("option {option} with {length} bytes")));
        }
        let mut data = vec![0; length as usize];
        self.stream.read_exact(&mut data).await?;
        match option {
            OPT_EXPORT_NAME => self.export_name(&data).await,
            OPT_ABORT => {
                // It may be gone already: that is allowed.
                let _ = self.reply(option, REP_ACK, &[]).await;
                Ok(Next::End)
            }
            OPT_LIST if !data.is_empty() => self.refuse(option, REP_ERR_INVALID, "LIST has no data").await,
            OPT_LIST => {
                let name = self.service.name.as_bytes();
                let mut server = Vec::with_capacity(4 + name.len());
                server.put_u32(u32::try_from(name.len()).unwrap_or(0));
                server.put_slice(name);
                self.reply(option, REP_SERVER, &server).await?;
                self.reply(option, REP_ACK, &[]).await?;
                Ok(Next::Option)
            }
            OPT_INFO | OPT_GO => self.info(option, &data).await,
            _ => self.refuse(option, REP_ERR_UNSUP, "not known here").await,
        }
    }

    /// The one option to which no error can be told.
    async fn export_name(&mut self, name: &[u8]) -> io::Result<Next> {
        if !self.is_ours(name) {
            return Err(strange("an export that there is not".to_owned()));
        }
        let user = self.service.in_use.one_more();
        let export = *self.service.export.borrow();
        if !export.primary {
            return Err(io::Error::other(NOT_PRIMARY));
        }
        let mut reply = Vec::with_capacity(134);
        reply.put_u64(export.bytes);
        reply.put_u16(TRANSMISSION_FLAGS);
        if self.zeroes {
            reply.put_bytes(0, 124);
        }
        self.stream.write_all(&reply).await?;
        Ok(Next::Transmission(user, export))
    }

    async fn info(&mut self, option: u32, mut data: &[u8]) -> io::Result<Next> {
        // A name, and a list of what the client wants to know. It gets all there is, asked for or not.
        let Some(name) = take_name(&mut data) else {
            return self.refuse(option, REP_ERR_INVALID, "its lengths do not fit each other").await;
        };
        if !self.is_ours(name) {
            return self.refuse(option, REP_ERR_UNKNOWN, "there is no such export").await;
        }
        // Counted first: a node that is about to become secondary sees the client, or the client sees the node.
        let user = self.service.in_use.one_more();
        let export = *self.service.export.borrow();
        if !export.primary {
            return self.refuse(option, REP_ERR_POLICY, NOT_PRIMARY).await;
        }
        let mut info = Vec::with_capacity(12);
        info.put_u16(INFO_EXPORT);
        info.put_u64(export.bytes);
        info.put_u16(TRANSMISSION_FLAGS);
        self.reply(option, REP_INFO, &info).await?;
        info.clear();
        info.put_u16(INFO_BLOCK_SIZE);
        for size in [BLOCK_MIN, BLOCK_PREFERRED, BLOCK_MAX] {
            info.put_u32(size);
        }
        self.reply(option, REP_INFO, &info).await?;
        self.reply(option, REP_ACK, &[]).await?;
        Ok(if option == OPT_GO { Next::Transmission(user, export) } else { Next::Option })
    }

    fn is_ours(&self, name: &[u8]) -> bool {
        name.is_empty() || name == self.service.name.as_bytes()
    }

    async fn refuse(&mut self, option: u32, kind: u32, why: &str) -> io::Result<Next> {
        self.reply(option, kind, why.as_bytes()).await?;
        Ok(Next::Option)
    }

    async fn reply(&mut self, option: u32, kind: u32, data: &[u8]) -> io::Result<()> {
        let mut reply = Vec::with_capacity(20 + data.len());
        reply.put_u64(REPLY_MAGIC);
        reply.put_u32(option);
        reply.put_u32(kind);
        reply.put_u32(u32::try_from(data.len()).map_err(io::Error::other)?);
        reply.put_slice(data);
        self.stream.write_all(&reply).await
    }
}

/// The name in front of INFO's and GO's list, if the rest is a list of as many numbers as it says.
fn take_name<'a>(data: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = data.try_get_u32().ok()? as usize;
    let name = data.split_off(..length)?;
    let wishes = usize::from(data.try_get_u16().ok()?);
    (data.len() == 2 * wishes).then_some(name)
}

fn strange(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The largest read and write. Larger ones are no client's that listens.
pub(super) const BLOCK_MAX: u32 = 32 << 20;
/// The smallest part of the volume that can be read and written.
pub(super) const BLOCK_MIN: u32 = 512;
const BLOCK_PREFERRED: u32 = 4096;

const NOT_PRIMARY: &str = "this node is not primary";

const INIT_PASSWD: u64 = 0x4e42_444d_4147_4943; // NBDMAGIC
const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054; // IHAVEOPT
const REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;

const FIXED_NEWSTYLE: u16 = 1;
const NO_ZEROES: u16 = 2;

/// HAS_FLAGS, SEND_FLUSH, SEND_FUA, SEND_TRIM, SEND_WRITE_ZEROES, CAN_MULTI_CONN: all connections use the one node,
/// whose flush covers the requests of all.
const TRANSMISSION_FLAGS: u16 = 1 | 1 << 2 | 1 << 3 | 1 << 5 | 1 << 6 | 1 << 8;

const OPT_EXPORT_NAME: u32 = 1;
const OPT_ABORT: u32 = 2;
const OPT_LIST: u32 = 3;
const OPT_INFO: u32 = 6;
const OPT_GO: u32 = 7;

const REP_ACK: u32 = 1;
const REP_SERVER: u32 = 2;
const REP_INFO: u32 = 3;
const REP_ERR_UNSUP: u32 = 1 << 31 | 1;
const REP_ERR_POLICY: u32 = 1 << 31 | 2;
const REP_ERR_INVALID: u32 = 1 << 31 | 3;
const REP_ERR_UNKNOWN: u32 = 1 << 31 | 6;

const INFO_EXPORT: u16 = 0;
const INFO_BLOCK_SIZE: u16 = 3;

/// Real clients send five or so.
const OPTIONS: usize = 64;
/// As much as the longest name that the protocol allows, and a list behind it that says all that can be asked.
const OPTION_BYTES: u32 = 4096 + 64;

//! A client of NBD, with as many requests under way as its user likes: fixed newstyle over a Unix socket.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::wait::LIMIT;

/// A client in transmission. Dropping it closes the connection, whatever is under way.
#[derive(Debug)]
pub struct Nbd {
    stream: UnixStream,
    bytes: u64,
    handles: u64,
    /// Of reads under way, how much is to come.
    reads: HashMap<u64, u32>,
}

/// What may be asked. Offsets and lengths are in bytes.
#[derive(Clone, Copy, Debug)]
pub enum Ask<'a> {
    /// So many bytes from here.
    Read(u64, u32),
    /// This to here; with true, and to stable storage.
    Write(u64, &'a [u8], bool),
    /// Zeros from here, so many; with true, a hole will do.
    Zeroes(u64, u32, bool),
    /// All that was answered, to stable storage.
    Flush,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// As [`Nbd::send`] returned it.
    pub handle: u64,
    /// 0: none.
    pub error: u32,
    /// What was read.
    pub data: Vec<u8>,
}

impl Nbd {
    /// Chooses the default export.
    ///
    /// # Errors
    /// There is no server, or it turns this client away: its node is not primary.
    pub fn connect(path: &Path) -> io::Result<Nbd> {
        let mut stream = UnixStream::connect(path)?;
        // No read or write of a test waits for ever.
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        let mut hello = [0; 18];
        stream.read_exact(&mut hello)?;
        if !hello.starts_with(b"NBDMAGICIHAVEOPT") {
            return Err(io::Error::other("it is no NBD server"));
        }
        let mut wish = Vec::from(CLIENT_FLAGS.to_be_bytes());
        wish.extend_from_slice(b"IHAVEOPT");
        wish.extend_from_slice(&EXPORT_NAME.to_be_bytes());
        wish.extend_from_slice(&0u32.to_be_bytes()); // the default one
        stream.write_all(&wish)?;
        let mut export = [0; 10];
        stream.read_exact(&mut export)?;
        let [size, _flags @ ..] = [&export[..8], &export[8..]];
        let bytes = u64::from_be_bytes(size.try_into().unwrap());
        Ok(Nbd { stream, bytes, handles: 0, reads: HashMap::new() })
    }

    /// The volume's size.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Asks: the handle that the reply will have.
    ///
    /// # Errors
    /// The connection's.
    pub fn send(&mut self, ask: Ask<'_>) -> io::Result<u64> {
        let (command, flags, offset, length, data): (u16, u16, _, _, &[u8]) = match ask {
            Ask::Read(offset, length) => (0, 0, offset, length, &[]),
            Ask::Write(offset, data, fua) => {
                (1, u16::from(fua), offset, u32::try_from(data.len()).unwrap(), data)
            }
            Ask::Flush => (3, 0, 0, 0, &[]),
            Ask::Zeroes(offset, length, hole) => (6, if hole { 0 } else { NO_HOLE }, offset, length, &[]),
        };
        self.handles += 1;
        if let Ask::Read(..) = ask {
            self.reads.insert(self.handles, length);
        }
        let mut request = Vec::with_capacity(28 + data.len());
        request.extend_from_slice(&REQUEST_MAGIC.to_be_bytes());
        request.extend_from_slice(&flags.to_be_bytes());
        request.extend_from_slice(&command.to_be_bytes());
        request.extend_from_slice(&self.handles.to_be_bytes());
        request.extend_from_slice(&offset.to_be_bytes());
        request.extend_from_slice(&length.to_be_bytes());
        request.extend_from_slice(data);
        self.stream.write_all(&request)?;
        Ok(self.handles)
    }

    /// The next reply, to whatever it is.
    ///
    /// # Errors
    /// The connection's: it ended, or nothing came for [`LIMIT`].
    pub fn reply(&mut self) -> io::Result<Reply> {
        let mut header = [0; 16];
        self.stream.read_exact(&mut header)?;
        let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
        assert_eq!(number(0), REPLY_MAGIC, "a reply begins with its magic");
        let handle = u64::from_be_bytes(header[8..].try_into().unwrap());
        let (error, length) = (number(4), self.reads.remove(&handle).unwrap_or(0));
        let mut data = vec![0; if error == 0 { length as usize } else { 0 }];
        self.stream.read_exact(&mut data)?;
        Ok(Reply { handle, error, data })
    }

    /// All of the volume. Nothing else may be under way.
    ///
    /// # Errors
    /// The connection's, or that of a read.
    pub fn read_all(&mut self) -> io::Result<Vec<u8>> {
        let mut all = Vec::with_capacity(usize::try_from(self.bytes).unwrap());
        while (all.len() as u64) < self.bytes {
            let left = self.bytes - all.len() as u64;
            self.send(Ask::Read(all.len() as u64, u32::try_from(left.min(PIECE)).unwrap()))?;
            let reply = self.reply()?;
            if reply.error != 0 {
                return Err(io::Error::other(format!("a read failed: {}", reply.error)));
            }
            all.extend_from_slice(&reply.data);
        }
        Ok(all)
    }

    /// Says that it leaves, and waits until the server has let it go: from then on its node may step down.
    ///
    /// # Errors
    /// The connection's.
    pub fn leave(mut self) -> io::Result<()> {
        let mut request = [0; 28];
        request[..4].copy_from_slice(&REQUEST_MAGIC.to_be_bytes());
        request[7] = DISCONNECT;
        self.stream.write_all(&request)?;
        self.stream.read_to_end(&mut Vec::new()).map(|_| ())
    }
}

const REQUEST_MAGIC: u32 = 0x2560_9513;
const REPLY_MAGIC: u32 = 0x6744_6698;
/// Fixed newstyle, and no padding.
const CLIENT_FLAGS: u32 = 3;
const EXPORT_NAME: u32 = 1;
const NO_HOLE: u16 = 2;
const DISCONNECT: u8 = 2;
/// Of [`Nbd::read_all`], at a time.
const PIECE: u64 = 1 << 20;

//! A client that sends what a test wants it to send.

use bytes::{Buf, BufMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Duration, timeout};

use super::memory::Fixture;

pub const IHAVEOPT: u64 = 0x4948_4156_454f_5054;

pub const EXPORT_NAME: u32 = 1;
pub const ABORT: u32 = 2;
pub const LIST: u32 = 3;
pub const STARTTLS: u32 = 5;
pub const INFO: u32 = 6;
pub const GO: u32 = 7;
pub const STRUCTURED_REPLY: u32 = 8;

pub const ACK: u32 = 1;
pub const SERVER: u32 = 2;
pub const REP_INFO: u32 = 3;
pub const ERR_UNSUP: u32 = 0x8000_0001;
pub const ERR_POLICY: u32 = 0x8000_0002;
pub const ERR_INVALID: u32 = 0x8000_0003;
pub const ERR_UNKNOWN: u32 = 0x8000_0006;

pub const READ: u16 = 0;
pub const WRITE: u16 = 1;
pub const DISC: u16 = 2;
pub const FLUSH: u16 = 3;
pub const TRIM: u16 = 4;
pub const WRITE_ZEROES: u16 = 6;
pub const FUA: u16 = 1;
pub const NO_HOLE: u16 = 2;

pub struct Client(pub UnixStream);

impl Client {
    /// Connected, and the greeting is over.
    pub async fn greeted(fixture: &Fixture, flags: u32) -> Client {
        let mut client = Client(UnixStream::connect(fixture.path()).await.unwrap());
        assert_eq!(client.take(18).await, b"NBDMAGICIHAVEOPT\0\x03");
        client.0.write_u32(flags).await.unwrap();
        client
    }

    /// In transmission.
    pub async fn start(fixture: &Fixture) -> Client {
        let mut client = Client::greeted(fixture, 3).await;
        client.option(GO, &go(b"")).await;
        client.option_reply(GO).await;
        client.option_reply(GO).await;
        assert_eq!(client.option_reply(GO).await.0, ACK);
        client
    }

    pub async fn take(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        timeout(Duration::from_secs(30), self.0.read_exact(&mut bytes)).await.expect("in time").unwrap();
        bytes
    }

    /// Until the server has closed; with what it has still sent.
    pub async fn closed(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // With bytes of ours that it has not read, it is a reset.
        let _ = timeout(Duration::from_secs(30), self.0.read_to_end(&mut bytes)).await.expect("in time");
        bytes
    }

    pub async fn option(&mut self, option: u32, data: &[u8]) {
        let mut bytes = Vec::new();
        bytes.put_u64(IHAVEOPT);
        bytes.put_u32(option);
        bytes.put_u32(data.len() as u32);
        bytes.put_slice(data);
        self.0.write_all(&bytes).await.unwrap();
    }

    /// The type and the data of the next reply.
    pub async fn option_reply(&mut self, option: u32) -> (u32, Vec<u8>) {
        let header = self.take(20).await;
        let mut header = &header[..];
        assert_eq!((header.get_u64(), header.get_u32()), (0x0003_e889_0455_65a9, option));
        let (kind, length) = (header.get_u32(), header.get_u32());
        (kind, self.take(length as usize).await)
    }

    pub async fn send(
        &mut self,
        command: u16,
        flags: u16,
        handle: u64,
        offset: u64,
        length: u32,
        data: &[u8],
    ) {
        let mut bytes = Vec::new();
        bytes.put_u32(0x2560_9513);
        bytes.put_u16(flags);
        bytes.put_u16(command);
        bytes.put_u64(handle);
        bytes.put_u64(offset);
        bytes.put_u32(length);
        self.0.write_all(&bytes).await.unwrap();
        self.0.write_all(data).await.unwrap();
    }

    /// The next reply's handle and error.
    pub async fn reply(&mut self) -> (u64, u32) {
        let header = self.take(16).await;
        let mut header = &header[..];
        assert_eq!(header.get_u32(), 0x6744_6698);
        let error = header.get_u32();
        (header.get_u64(), error)
    }

    /// One request alone: the error that comes back.
    pub async fn request(&mut self, command: u16, flags: u16, offset: u64, length: u32, data: &[u8]) -> u32 {
        let handle = offset ^ 0x5555_aaaa_5555_aaaa;
        self.send(command, flags, handle, offset, length, data).await;
        let (same, error) = self.reply().await;
        assert_eq!(same, handle);
        error
    }

    pub async fn write(&mut self, flags: u16, offset: u64, data: &[u8]) -> u32 {
        self.request(WRITE, flags, offset, data.len() as u32, data).await
    }

    pub async fn read(&mut self, offset: u64, length: u32) -> Vec<u8> {
        assert_eq!(self.request(READ, 0, offset, length, b"").await, 0);
        self.take(length as usize).await
    }
}

/// The data of GO and INFO for this export, with a wish for its block size.
pub fn go(name: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    data.put_u32(name.len() as u32);
    data.put_slice(name);
    data.put_u16(1);
    data.put_u16(3);
    data
}

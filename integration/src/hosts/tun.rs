//! A TUN device: the kernel routes packets into it, and they are read here; what is written comes out of it.
//!
//! That a file becomes a device is an ioctl, and rustix has none that is safe for it. A crate for it brings ten more.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use rustix::ioctl::{Setter, ioctl, opcode};

/// Where the devices come from.
pub const CONTROL: &str = "/dev/net/tun";

/// The device is there for as long as this lives. It belongs to the namespace of the thread that made it.
#[derive(Debug)]
pub struct Tun(File);

impl Tun {
    /// A new device of this name, with at most 15 bytes.
    ///
    /// # Errors
    /// Those of open(2) and of TUNSETIFF: no root, no such driver, a name that is taken.
    pub fn new(name: &str) -> io::Result<Tun> {
        let mut request = Request { name: [0; 16], flags: IFF_TUN | IFF_NO_PI, rest: [0; 22] };
        if name.len() >= request.name.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a device's name has at most 15 bytes"));
        }
        request.name[..name.len()].copy_from_slice(name.as_bytes());
        let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).expect("a flag of open(2)");
        let file = File::options().read(true).write(true).custom_flags(nonblocking).open(CONTROL)?;
        // SAFETY: TUNSETIFF takes a pointer to a `struct ifreq`, which `Request` is laid out as, all 40 bytes of
        // it; it writes no further and keeps nothing.
        unsafe { ioctl(&file, Setter::<TUNSETIFF, Request>::new(request))? };
        Ok(Tun(file))
    }

    /// The next packet that was routed here, if there is one.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn receive(&self, packet: &mut [u8]) -> io::Result<Option<usize>> {
        match (&self.0).read(packet) {
            Ok(length) => Ok(Some(length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lets a packet come out of the device.
    ///
    /// # Errors
    /// Those of write(2): the device is down, or this is no packet.
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        (&self.0).write(packet).map(|_| ())
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// `struct ifreq` of linux/if.h.
#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: i16,
    rest: [u8; 22],
}

// linux/if_tun.h
const TUNSETIFF: rustix::ioctl::Opcode = opcode::write::<i32>(b'T', 202);
const IFF_TUN: i16 = 0x0001;
/// No header before each packet.
const IFF_NO_PI: i16 = 0x1000;

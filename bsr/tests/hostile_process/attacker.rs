//! A peer that knows the protocol, and how to break it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use drx_bsr::digest::Algorithm;
use drx_bsr::wire::{Connection, Decoder, Disk, Encoder, Features, Packet, Role, StateWord, Stream};

use crate::program::LIMIT;

/// How far it behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Both connections stand.
    Opened,
    /// The versions are told.
    Greeted,
    /// The secret is proved.
    Authenticated,
    /// Both nodes are connected.
    Connected,
}

/// Both connections, and what it has heard.
pub struct Attacker {
    pub data: TcpStream,
    pub meta: TcpStream,
    pub encoder: Encoder,
    decoder: Decoder,
    input: BytesMut,
}

impl Attacker {
    /// Opens both connections, and goes on as a good peer would up to there.
    pub fn at(stage: Stage, victim: SocketAddr, secret: Option<&str>) -> Attacker {
        let end = Instant::now() + LIMIT;
        loop {
            match Attacker::try_at(stage, victim, secret) {
                Ok(attacker) => return attacker,
                Err(error) => assert!(Instant::now() < end, "it cannot be reached: {error}"),
            }
            // Its listener is there only while it looks for a peer.
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn try_at(stage: Stage, victim: SocketAddr, secret: Option<&str>) -> std::io::Result<Attacker> {
        let mut attacker = Attacker {
            data: dial(victim, b"\x83\x74\x02\x67\xff\xf2\0\0")?,
            meta: dial(victim, b"\x83\x74\x02\x67\xff\xf1\0\0")?,
            encoder: Encoder::new(),
            decoder: Decoder::new(),
            input: BytesMut::new(),
        };
        let Packet::Features(features) = attacker.hear()? else {
            return Err(std::io::Error::other("no features"));
        };
        if stage == Stage::Opened {
            return Ok(attacker);
        }
        attacker.say(&Packet::Features(Features { min: 86, max: features.max, flags: features.flags }));
        attacker.encoder.speak(features.max, features.flags);
        attacker.decoder.speak(features.max, features.flags);
        if stage == Stage::Greeted {
            return Ok(attacker);
        }
        if let Some(secret) = secret {
            let Packet::AuthChallenge(challenge) = attacker.hear()? else {
                return Err(std::io::Error::other("no challenge"));
            };
            attacker.say(&Packet::AuthChallenge(Box::new([7; 64])));
            let _ = attacker.hear()?;
            let response = Algorithm::Sha1.hmac(secret.as_bytes(), &challenge[..]).unwrap();
            attacker.say(&Packet::AuthResponse(response));
        }
        if stage == Stage::Authenticated {
            return Ok(attacker);
        }
        loop {
            match attacker.hear()? {
                Packet::State(_) => break,
                own => attacker.say(&own),
            }
        }
        let (state, unknown) = (Connection::WFConnection, Disk::Unknown);
        let word = StateWord::new(Role::Secondary, Role::Unknown, state, Disk::UpToDate, unknown);
        attacker.say(&Packet::State(word));
        // Its state as it is now: connected.
        let _ = attacker.hear()?;
        Ok(attacker)
    }

    /// The next packet on data.
    pub fn hear(&mut self) -> std::io::Result<Packet> {
        loop {
            match self.decoder.decode(Stream::Data, &mut self.input) {
                Ok(Some(packet)) => return Ok(packet),
                Ok(None) => {}
                Err(error) => return Err(std::io::Error::other(error)),
            }
            let mut bytes = [0; 4096];
            match self.data.read(&mut bytes)? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                length => self.input.extend_from_slice(&bytes[..length]),
            }
        }
    }

    pub fn bytes(&self, packet: &Packet) -> Vec<u8> {
        let meta = matches!(packet, Packet::Ping | Packet::PingAck | Packet::Ack(..));
        let encoded = self.encoder.encode(if meta { Stream::Meta } else { Stream::Data }, packet);
        [encoded.head, encoded.payload].concat()
    }

    /// On data. If it cannot be sent that will be noticed.
    pub fn say(&mut self, packet: &Packet) {
        let bytes = self.bytes(packet);
        let _ = self.data.write_all(&bytes);
    }

    /// Waits until both connections are closed by the other side.
    #[track_caller]
    pub fn thrown_out(self) {
        for mut stream in [self.data, self.meta] {
            let mut bytes = [0; 65_536];
            loop {
                match stream.read(&mut bytes) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
                    Err(error) => panic!("it does not close: {error}"),
                }
            }
        }
    }
}

pub fn dial(victim: SocketAddr, first: &[u8]) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&victim, LIMIT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.set_write_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(first)?;
    Ok(stream)
}

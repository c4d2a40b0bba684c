//! The other DRX, played by hand: its link, frame by frame.

use drx_actors::net::{Net, SocketOptions, Stream};
use drx_protocol::State;
use drx_protocol::frame::{Credit, Decoder, Frame, Payload};
use drx_protocol::handshake::{Answer, Hello, Name, Needed, Refused, Versions, Welcome, needed};
use drx_protocol::names::{Attempt, ChannelType, Epoch, Lane, LinkId, Role};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Site;

/// One link of it, as the connector.
pub struct Dialled {
    pub stream: Box<dyn Stream>,
    pub welcome: Welcome,
    decoder: Decoder,
}

/// What node2's connector on lane 0 says first; `number` rises from dial to dial, and names the link.
pub fn hello(number: u64) -> Hello {
    Hello {
        versions: Versions::OURS,
        lane: Lane::Zero,
        resume: None,
        checksums: true,
        link: LinkId(u128::from(number)),
        epoch: Epoch { started: 1, counter: 0 },
        dial: number,
        next_offset: 0,
        window: WINDOW,
        resource: Name::new("r0").unwrap(),
        from: Name::new("node2").unwrap(),
        to: Name::new("node1").unwrap(),
        codecs: Vec::new(),
    }
}

impl Dialled {
    /// Dials lane 0 of this site's acceptor, as node2.
    pub async fn to(site: &Site, number: u64) -> Dialled {
        Dialled::with(site, hello(number)).await.expect("refused")
    }

    /// The same with a HELLO of the test's own.
    pub async fn with(site: &Site, hello: Hello) -> Result<Dialled, Refused> {
        let outside = site.resources[site.index].outside;
        for _ in 0..60_000 {
            if let Ok(mut stream) = site.net.connect(outside, None, &SocketOptions::link()).await {
                stream.write_all(&hello.encode()).await.unwrap();
                let mut answer = Vec::new();
                while let Needed::More(more) = needed(&answer).unwrap() {
                    let start = answer.len();
                    answer.resize(start + more, 0);
                    stream.read_exact(&mut answer[start..]).await.unwrap();
                }
                return match Answer::decode(&answer).unwrap() {
                    Answer::Welcome(welcome) => Ok(Dialled { stream, welcome, decoder: Decoder::new(true) }),
                    Answer::Refused(refused) => Err(refused),
                };
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        panic!("nobody listens at {outside}");
    }

    pub async fn say(&mut self, frame: Frame) {
        self.try_say(frame).await.unwrap();
    }

    /// Fails once the link is closed.
    pub async fn try_say(&mut self, frame: Frame) -> std::io::Result<()> {
        self.stream.write_all(&frame.head(true)).await?;
        if let Frame::Data { payload, .. } = frame {
            self.stream.write_all(&payload.into_bytes()).await?;
        }
        Ok(())
    }

    pub async fn data(&mut self, attempt: Attempt, offset: u64, bytes: &'static [u8]) {
        let mut payload = Payload::default();
        payload.push(bytes.into());
        self.say(Frame::Data { attempt, credit: CREDIT, offset, payload }).await;
    }

    pub async fn established(&mut self, attempt: Attempt) {
        self.say(Frame::Established { attempt, credit: CREDIT }).await;
    }

    /// The next frame that fits.
    pub async fn hears(&mut self, what: &str, mut fits: impl FnMut(&Frame) -> bool) -> Frame {
        loop {
            while let Some(frame) = self.decoder.next().unwrap() {
                if fits(&frame) {
                    return frame;
                }
            }
            let mut bytes = vec![0; 4096];
            let read = self.stream.read(&mut bytes).await.unwrap();
            assert_ne!(read, 0, "the link was closed before {what}");
            bytes.truncate(read);
            self.decoder.push(bytes.into());
        }
    }

    pub async fn offered(&mut self) -> Attempt {
        let offer = self.hears("an offer", |frame| matches!(frame, Frame::Offer { .. })).await;
        offer.attempt().unwrap()
    }
}

impl Dialled {
    /// Everything that comes until the link is closed.
    pub async fn rest(mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        loop {
            while let Some(frame) = self.decoder.next().unwrap() {
                frames.push(frame);
            }
            let mut bytes = vec![0; 4096];
            match self.stream.read(&mut bytes).await {
                Ok(0) | Err(_) => return frames,
                Ok(read) => {
                    bytes.truncate(read);
                    self.decoder.push(bytes.into());
                }
            }
        }
    }
}

/// Acceptor 0 of this site carries the data of its bsr over a link of this DRX's.
pub async fn carried(site: &Site) -> (Dialled, Box<dyn Stream>, Attempt) {
    let mut link = Dialled::to(site, 1).await;
    let bsr = site.open(ChannelType::Data).await;
    let attempt = link.offered().await;
    link.established(attempt).await;
    site.until(Role::Acceptor, Lane::Zero, State::Established).await;
    (link, bsr, attempt)
}

/// What this side grants.
const WINDOW: u32 = 16 << 20;
const CREDIT: Credit = Credit { acknowledged: 0, window: WINDOW };

//! The kernel's TCP.

use std::io;
use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::{Detached, Listener, LocalBoxFuture, Net, SocketOptions, Stream};

/// The network of the machine. Its futures and sockets belong to the arbiter on which they are polled first.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpNet;

impl Net for TcpNet {
    fn listen(
        &self,
        at: SocketAddr,
        backlog: u32,
        options: &SocketOptions,
    ) -> LocalBoxFuture<io::Result<Box<dyn Listener>>> {
        let options = options.clone();
        Box::pin(async move { Ok(Box::new(TcpDoor::open(at, backlog, &options)?) as Box<dyn Listener>) })
    }

    fn connect(
        &self,
        to: SocketAddr,
        from: Option<IpAddr>,
        options: &SocketOptions,
    ) -> LocalBoxFuture<io::Result<Box<dyn Stream>>> {
        let options = options.clone();
        Box::pin(async move {
            let stream = dial(to, from, &options).await?;
            Ok(Box::new(TcpConnection(stream)) as Box<dyn Stream>)
        })
    }
}

async fn dial(to: SocketAddr, from: Option<IpAddr>, options: &SocketOptions) -> io::Result<TcpStream> {
    let socket = new_socket(to, options)?;
    if let Some(from) = from {
        socket.bind(&source(from, to).into())?;
    }
    let stream = TcpSocket::from_std_stream(socket.into()).connect(to).await?;
    refuse_itself(&stream)?;
    Ok(stream)
}

fn new_socket(for_address: SocketAddr, options: &SocketOptions) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(for_address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    options.apply(&SockRef::from(&socket))?;
    Ok(socket)
}

/// Port 0 of `from`; an IPv6 address that means something on one interface only is meant on that of `to`.
fn source(from: IpAddr, to: SocketAddr) -> SocketAddr {
    match (from, to) {
        (IpAddr::V6(from), SocketAddr::V6(to)) => SocketAddrV6::new(from, 0, 0, to.scope_id()).into(),
        _ => SocketAddr::new(from, 0),
    }
}

/// A dial to a port of this machine at which nobody listens can connect to *itself*, if the kernel happens
/// to pick that port as the source: TCP's simultaneous open. The relay would take its own echo for bsr.
fn refuse_itself(stream: &TcpStream) -> io::Result<()> {
    if stream.local_addr()? == stream.peer_addr()? {
        let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "connected to itself: nobody listens"));
    }
    Ok(())
}

/// Linux hands all of a listener's options down to its connections: the tests hold it to that.
#[derive(Debug)]
struct TcpDoor(TcpListener);

impl TcpDoor {
    fn open(at: SocketAddr, backlog: u32, options: &SocketOptions) -> io::Result<Self> {
        let socket = new_socket(at, options)?;
        // Connections of the listener before this one may linger on the port for a minute.
        socket.set_reuse_address(true)?;
        socket.bind(&at.into())?;
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        Ok(TcpDoor(TcpListener::from_std(socket.into())?))
    }
}

impl Listener for TcpDoor {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Box<dyn Stream>, SocketAddr)>> {
        let (stream, peer) = ready!(self.0.poll_accept(cx))?;
        Poll::Ready(Ok((Box::new(TcpConnection(stream)), plain(peer))))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

#[derive(Debug)]
struct TcpConnection(TcpStream);

impl Stream for TcpConnection {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr().map(plain)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr().map(plain)
    }

    fn abort(self: Box<Self>) {
        // If it fails the connection is gone anyway, and the close that follows is all there is to do.
        let _ = SockRef::from(&self.0).set_linger(Some(Duration::ZERO));
    }

    fn detach(self: Box<Self>) -> io::Result<Detached> {
        let stream = self.0.into_std()?;
        Ok(Detached::new(
            move || Ok(Box::new(TcpConnection(TcpStream::from_std(stream)?)) as Box<dyn Stream>),
        ))
    }
}

/// An IPv4 peer of an IPv6 listener shows as `::ffff:a.b.c.d`; who compares addresses wants `a.b.c.d`.
fn plain(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::new(ip.into(), address.port()),
        IpAddr::V6(_) => address, // with its scope
    }
}

impl AsyncRead for TcpConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for TcpConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::{Congestion, congestion_control_available};
    use super::*;

    /// Both ends of a connection, each set up with these options.
    async fn pair(options: &SocketOptions) -> [TcpStream; 2] {
        let door = TcpDoor::open(([127, 0, 0, 1], 0).into(), 1, options).unwrap();
        let dialled = dial(door.0.local_addr().unwrap(), None, options).await.unwrap();
        [dialled, door.0.accept().await.unwrap().0]
    }

    fn congestion(socket: &SockRef<'_>) -> String {
        let name = socket.tcp_congestion().unwrap();
        String::from_utf8(name).unwrap().trim_end_matches('\0').to_owned()
    }

    fn system_congestion() -> String {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        congestion(&SockRef::from(&socket))
    }

    #[tokio::test]
    async fn both_ends_are_set_up_as_asked() {
        let options = SocketOptions { receive_buffer: Some(96 * 1024), ..SocketOptions::local() };
        for stream in pair(&options).await {
            let socket = SockRef::from(&stream);
            assert!(socket.tcp_nodelay().unwrap());
            assert_eq!(socket.recv_buffer_size().unwrap(), 2 * 96 * 1024); // Linux doubles it
        }
        for stream in pair(&SocketOptions::local()).await {
            assert!(SockRef::from(&stream).tcp_nodelay().unwrap());
            assert_ne!(SockRef::from(&stream).recv_buffer_size().unwrap(), 2 * 96 * 1024);
        }
    }

    #[tokio::test]
    async fn auto_means_bbr_on_the_link_and_cubic_beside_it_where_there_is_such() {
        for (options, wanted) in [(SocketOptions::link(), "bbr"), (SocketOptions::local(), "cubic")] {
            let there = congestion_control_available(wanted).unwrap();
            let expected = if there { wanted.to_owned() } else { system_congestion() };
            for stream in pair(&options).await {
                assert_eq!(congestion(&SockRef::from(&stream)), expected);
            }
        }
    }

    #[tokio::test]
    async fn a_named_congestion_control_is_used_and_the_system_has_its_own() {
        // reno is in every kernel, and allowed to everybody.
        assert!(congestion_control_available("reno").unwrap());
        for (choice, expected) in
            [(Congestion::Named("reno".into()), "reno".into()), (Congestion::System, system_congestion())]
        {
            for stream in pair(&SocketOptions { congestion: choice.clone(), ..SocketOptions::link() }).await {
                assert_eq!(congestion(&SockRef::from(&stream)), expected);
            }
        }
    }

    #[tokio::test]
    async fn an_unknown_congestion_control_is_an_error_that_names_it() {
        for name in ["nonesuch", "", "a name far longer than any that a kernel has"] {
            assert!(!congestion_control_available(name).unwrap(), "{name:?}");
            let congestion = Congestion::Named(name.into());
            let options = SocketOptions { congestion, ..SocketOptions::link() };
            let at = ([127, 0, 0, 1], 0).into();
            let error = TcpNet.listen(at, 1, &options).await.unwrap_err();
            assert!(error.to_string().contains(&format!("{name:?}")), "{error}");
            TcpNet.connect(at, None, &options).await.unwrap_err();
        }
    }

    #[tokio::test]
    async fn a_dial_that_reached_itself_counts_as_refused() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        // What the kernel does once in some 28,000 dials, here on purpose: source and target are the same.
        socket.connect(&socket.local_addr().unwrap()).unwrap();
        socket.set_nonblocking(true).unwrap();
        let stream = TcpStream::from_std(socket.into()).unwrap();
        assert_eq!(refuse_itself(&stream).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn an_ipv4_peer_of_an_ipv6_listener_is_called_by_its_ipv4_address() {
        assert_eq!(plain("[::ffff:10.0.0.7]:80".parse().unwrap()), "10.0.0.7:80".parse().unwrap());
        let scoped = SocketAddr::V6(SocketAddrV6::new("fe80::1".parse().unwrap(), 80, 0, 3));
        assert_eq!(plain(scoped), scoped);
    }

    #[test]
    fn a_link_local_source_is_meant_on_the_interface_of_the_target() {
        let to = SocketAddr::V6(SocketAddrV6::new("fe80::2".parse().unwrap(), 7789, 0, 3));
        let from = source("fe80::1".parse().unwrap(), to);
        assert_eq!(from, SocketAddr::V6(SocketAddrV6::new("fe80::1".parse().unwrap(), 0, 0, 3)));
    }
}

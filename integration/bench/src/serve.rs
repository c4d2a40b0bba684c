//! The far end.

use std::io::{self, Error, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use drx_protocol::first_packet;
use serde_json::Value;

use crate::request::Request;
use crate::stream::Pattern;

/// Serves every connection in a thread of its own, until the process is ended.
///
/// # Errors
/// The address cannot be listened on.
pub(crate) fn serve(address: SocketAddr, bsr: bool) -> io::Result<Value> {
    let listener = TcpListener::bind(address)?;
    loop {
        let (stream, _) = listener.accept()?;
        thread::spawn(move || match answer(stream, bsr) {
            Err(error) if error.kind() != ErrorKind::UnexpectedEof => eprintln!("loadgen serve: {error}"),
            _ => {}
        });
    }
}

fn answer(mut stream: TcpStream, bsr: bool) -> io::Result<()> {
    stream.set_nodelay(true)?;
    if bsr {
        let mut first = [0; 8];
        stream.read_exact(&mut first)?;
        first_packet::parse(first)
            .map_err(|strange| Error::new(ErrorKind::InvalidData, strange.to_string()))?;
    }
    match Request::read(&mut stream)? {
        Request::Check { bytes, seed } => {
            let checked = Pattern::new(seed).check(&mut stream, bytes);
            stream.write_all(&[u8::from(checked.is_ok())])?;
            checked
        }
        Request::Echo { size } => {
            let mut buffer = vec![0; size as usize];
            loop {
                stream.read_exact(&mut buffer)?;
                stream.write_all(&buffer)?;
            }
        }
    }
}

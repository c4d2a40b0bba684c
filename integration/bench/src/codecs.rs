//! What each codec makes of a file, payload by payload, as a link packs it.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use drx_protocol::codec::{Codec, Compression, Packer, Unpacker};
use drx_protocol::frame::Payload;
use serde_json::{Value, json};

/// Packs and unpacks the file with each, `rounds` times in turns; the medians.
pub fn run(file: &Path, payload: usize, rounds: usize) -> io::Result<Value> {
    let data = Bytes::from(std::fs::read(file)?);
    let payloads: Vec<Payload> = (0..data.len())
        .step_by(payload)
        .map(|at| data.slice(at..data.len().min(at + payload)).into())
        .collect();
    let mut measured = vec![Vec::new(); COMPRESSIONS.len()];
    for _ in 0..rounds {
        for (measured, compression) in measured.iter_mut().zip(COMPRESSIONS) {
            measured.push(once(&payloads, compression)?);
        }
    }
    let rows = COMPRESSIONS.iter().zip(&mut measured).map(|(compression, runs)| {
        let rate = |time: Duration| data.len() as f64 / 1e6 / time.as_secs_f64();
        let wire = runs[0].wire;
        json!({
            "compression": compression,
            "ratio": data.len() as f64 / wire as f64,
            "pack_mb_s": rate(median(runs, |run| run.packing)),
            "unpack_mb_s": Some(median(runs, |run| run.unpacking)).filter(|time| !time.is_zero()).map(rate),
        })
    });
    Ok(
        json!({ "bytes": data.len(), "payload": payload, "rounds": rounds, "codecs": rows.collect::<Vec<_>>() }),
    )
}

#[derive(Clone)]
struct Run {
    wire: usize,
    packing: Duration,
    unpacking: Duration,
}

fn once(payloads: &[Payload], compression: Compression) -> io::Result<Run> {
    let theirs = Codec::PACKING.map(|codec| codec as u8);
    let (mut packer, mut unpacker) = (Packer::new(&theirs), Unpacker::default());
    let mut run = Run { wire: 0, packing: Duration::ZERO, unpacking: Duration::ZERO };
    for payload in payloads {
        let begin = Instant::now();
        let packed = packer.pack(payload, compression).map_err(io::Error::other)?;
        run.packing += begin.elapsed();
        let Some((codec, body)) = packed else {
            run.wire += payload.len();
            continue;
        };
        run.wire += body.len();
        let begin = Instant::now();
        let unpacked = unpacker.unpack(codec, body.into()).map_err(io::Error::other)?;
        run.unpacking += begin.elapsed();
        if unpacked != *payload {
            return Err(io::Error::other(format!("{compression}: what came out is not what went in")));
        }
    }
    Ok(run)
}

fn median(runs: &mut [Run], of: impl Fn(&Run) -> Duration) -> Duration {
    runs.sort_by_key(|run| of(run));
    of(&runs[runs.len() / 2])
}

const COMPRESSIONS: [Compression; 5] = [
    Compression::Lz4,
    Compression::Zstd(1),
    Compression::Zstd(3),
    Compression::Zstd(6),
    Compression::Zstd(9),
];

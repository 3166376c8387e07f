//! Attacks that are possible only in HTTP/2, on receivers in separate processes. The frames are
//! written by hand, because no client library would send them.
//!
//!     cargo test --all-features --test process -- attacks_http2:: --include-ignored --nocapture --test-threads 1
//!
//! This prints how fast genuine deliveries over HTTP/1 are answered meanwhile. The attacks are
//! stopped by the limits of the `h2` crate, in both frameworks, and by the receiver's deadline for
//! bodies.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, timeout},
};
use twenty_webhook::verify::Signer;

use crate::support::{
    SECRET,
    honest::{Attacked, Size},
    http1::{PATIENCE, soon},
    target::Target,
};

const SHORT: Size = Size { connections: 2, duration: Duration::from_millis(200) };
const LONG: Size = Size { connections: 8, duration: Duration::from_secs(1) };

// Types and flags of frames: RFC 9113, section 6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Encodes a header as a literal without indexing (RFC 7541, section 6.2.2), so that each block is
/// independent of the others.
fn literal(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| {
        let mut bytes = Vec::new();
        let mut len = text.len();
        if len < 127 {
            bytes.push(u8::try_from(len).unwrap());
        } else {
            bytes.push(127);
            len -= 127;
            while len >= 128 {
                bytes.push(u8::try_from(len % 128).unwrap() | 128);
                len /= 128;
            }
            bytes.push(u8::try_from(len).unwrap());
        }
        bytes.extend(text.as_bytes());
        bytes
    };
    [vec![0], text(name), text(value)].concat()
}

/// Returns the head of a delivery that is well-formed and fresh, and signs another body.
fn forged() -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in
        [(":method", "POST"), (":scheme", "http"), (":path", "/webhooks/twenty"), (":authority", "localhost")]
    {
        block.extend(literal(name, value));
    }
    for (name, value) in Signer::new(SECRET).unwrap().sign("another body").pairs() {
        block.extend(literal(&name, &value));
    }
    block
}

fn opened(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &forged())
}

/// Returns the id of the client's `nth` stream.
fn id(nth: usize) -> u32 {
    u32::try_from(2 * nth + 1).unwrap()
}

/// The end of an attack over one connection.
#[derive(Debug, PartialEq)]
enum End {
    /// The server closed the connection, with this reason if any (RFC 9113, section 7).
    Closed { reason: Option<u32> },
    /// The attacker stopped.
    GivenUp,
}

/// An attack over one connection: the first bytes, and the bytes that follow repeatedly, which
/// depend on the number of the repetition.
#[derive(Clone, Copy)]
struct Attack {
    name: &'static str,
    settings: &'static [u8],
    first: fn() -> Vec<u8>,
    again: fn(usize) -> Vec<u8>,
    /// The maximum number of repetitions.
    times: usize,
    /// Whether both versions of `h2`, in axum and in actix-web, close such a connection.
    is_stopped: bool,
}

/// `ENHANCE_YOUR_CALM`.
const CALM: u32 = 11;

const ATTACKS: [Attack; 8] = [
    Attack {
        name: "streams that are reset as soon as they are opened",
        settings: &[],
        first: Vec::new,
        again: |nth| [opened(id(nth)), frame(RST_STREAM, 0, id(nth), &8_u32.to_be_bytes())].concat(),
        times: usize::MAX,
        is_stopped: true,
    },
    Attack {
        name: "streams that are reset with some of their body",
        settings: &[],
        first: Vec::new,
        again: |nth| {
            let stream = id(nth);
            let data = frame(DATA, 0, stream, &[b' '; 1_000]);
            [opened(stream), data, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
        },
        times: usize::MAX,
        is_stopped: true,
    },
    Attack {
        name: "streams whose body stalls",
        settings: &[],
        first: Vec::new,
        again: |nth| [opened(id(nth)), frame(DATA, 0, id(nth), b"{")].concat(),
        times: 100,
        is_stopped: false,
    },
    Attack {
        name: "streams whose answers have no window",
        // `SETTINGS_INITIAL_WINDOW_SIZE` is 0.
        settings: &[0, 4, 0, 0, 0, 0],
        first: Vec::new,
        again: |nth| [opened(id(nth)), frame(DATA, 1, id(nth), b"{}")].concat(),
        times: 5_000,
        is_stopped: false,
    },
    Attack {
        name: "frames of data with nothing in them",
        settings: &[],
        first: || opened(1),
        again: |_| frame(DATA, 0, 1, b""),
        times: usize::MAX,
        is_stopped: false,
    },
    Attack {
        name: "continuations of one head",
        settings: &[],
        first: || frame(HEADERS, 0, 1, &forged()),
        again: |_| frame(CONTINUATION, 0, 1, &literal("x-more", &"more".repeat(100))),
        times: usize::MAX,
        is_stopped: true,
    },
    Attack {
        name: "pings",
        settings: &[],
        first: Vec::new,
        again: |_| frame(PING, 0, 0, b"whatever"),
        times: usize::MAX,
        is_stopped: false,
    },
    Attack {
        name: "settings, and windows that grow",
        settings: &[],
        first: || opened(1),
        again: |_| [frame(SETTINGS, 0, 0, &[]), frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes())].concat(),
        times: usize::MAX,
        is_stopped: false,
    },
];

impl Attack {
    /// Runs the attack. An attack that the server stops continues until then, on a machine of any
    /// speed.
    async fn run(self, address: SocketAddr, duration: Duration) -> (End, usize) {
        let duration = if self.is_stopped { PATIENCE } else { duration };
        let stream = soon(TcpStream::connect(address)).await.unwrap();
        let (mut reading, mut writing) = stream.into_split();
        let reading = tokio::spawn(async move {
            let (mut all, mut some) = (Vec::new(), vec![0; 64 << 10]);
            while let Ok(len @ 1..) = reading.read(&mut some).await {
                all.extend_from_slice(&some[..len]);
            }
            all
        });
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frame(SETTINGS, 0, 0, self.settings));
        bytes.extend((self.first)());
        let start = Instant::now();
        let mut times = 0;
        loop {
            for _ in 0..100.min(self.times - times) {
                bytes.extend((self.again)(times));
                times += 1;
            }
            // A server that no longer reads has stopped the attack as well.
            match timeout(duration, writing.write_all(&bytes)).await {
                Ok(Ok(())) if start.elapsed() < duration && times < self.times => {}
                Ok(Ok(())) | Err(_) => {
                    tokio::time::sleep(duration.saturating_sub(start.elapsed())).await;
                    break;
                }
                Ok(Err(_)) => break,
            }
            bytes.clear();
        }
        let is_closed = reading.is_finished();
        drop(writing);
        let read = soon(reading).await.unwrap();
        let reason = goaway(&read);
        (if is_closed || reason.is_some() { End::Closed { reason } } else { End::GivenUp }, times)
    }
}

/// Returns the reason of the last GOAWAY among these frames, unless it announces a normal end.
fn goaway(mut frames: &[u8]) -> Option<u32> {
    let mut reason = None;
    while let [a, b, c, kind, _, _, _, _, _, rest @ ..] = frames {
        let len = usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).unwrap();
        let Some((payload, rest)) = rest.split_at_checked(len) else { break };
        if *kind == GOAWAY {
            reason = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap())).filter(|reason| *reason != 0);
        }
        frames = rest;
    }
    reason
}

async fn odd_frames(framework: &str, size: Size) {
    let target = Target::start(&[("FRAMEWORK", framework), ("HTTP2", "1"), ("BODY_DEADLINE_MS", "1500")]);
    for attack in ATTACKS {
        let attacks = async {
            let mut attacks = JoinSet::new();
            for _ in 0..size.connections {
                attacks.spawn(attack.run(target.address, size.duration));
            }
            let ended = attacks.join_all().await;
            println!("{framework}: {}: {ended:?}", attack.name);
            if attack.is_stopped {
                assert!(ended.iter().all(|(end, _)| *end == End::Closed { reason: Some(CALM) }), "{ended:?}");
            }
        };
        Attacked::by(&target, &format!("{framework}: {}", attack.name), 96 << 10, attacks).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn axum_survives_odd_frames() {
    odd_frames("axum", SHORT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn actix_web_survives_odd_frames() {
    odd_frames("actix-web", SHORT).await;
}

mod at_length {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "long: the gate runs it"]
    async fn axum_survives_odd_frames() {
        odd_frames("axum", LONG).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "long: the gate runs it"]
    async fn actix_web_survives_odd_frames() {
        odd_frames("actix-web", LONG).await;
    }
}

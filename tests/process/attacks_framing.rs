//! Sends oddly framed requests to receivers in separate processes. The content of a rejected body
//! is never read as a request, and a client's use of its connection leaves nothing behind.
//!
//!     cargo test --all-features --test process -- attacks_framing:: --include-ignored --nocapture --test-threads 1
//!
//! This prints the response to each request. Most of these requests are rejected by the servers
//! themselves, hyper and actix-http. The tests check that only genuine deliveries are handled, and
//! that the connection afterwards either works correctly or is closed.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use tokio::{task::JoinSet, time::sleep};

use crate::support::{
    SIGNATURE,
    honest::{Attacked, ONE_AT_A_TIME},
    http1::{Connection, Leave, Leaving, Request, soon, unsigned},
    target::{FRAMEWORKS, Target, delivery, event},
};

/// The treatment of an event whose delivery is framed in this way.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// The event is handled, and the response is 200.
    Taken,
    /// The event is not handled, and the response is 4xx or missing.
    Refused,
    /// Either of both: the standard leaves it open, and the servers differ.
    Either,
}

use Fate::{Either, Refused, Taken};

/// Makes the bytes that are sent instead of a correct delivery.
type Frame = fn(Request) -> Vec<u8>;

/// Changes a request so that it is rejected.
type Refuse = fn(Request) -> Request;

struct Case {
    name: &'static str,
    fate: Fate,
    bytes: Vec<u8>,
}

/// Returns a signed delivery of this event.
fn of(number: usize) -> Request {
    delivery(event(number, "well", 10))
}

/// Replaces a text in the head only.
fn head(request: &Request, from: &str, to: &[u8]) -> Vec<u8> {
    let head = String::from_utf8(request.head_bytes()).unwrap();
    let (before, after) = head.split_once(from).unwrap_or_else(|| panic!("{from} in {head}"));
    let whole = request.bytes();
    [before.as_bytes(), to, after.as_bytes(), &whole[head.len()..]].concat()
}

/// Returns the cases. The number of a case's event is its position in the list.
fn cases() -> Vec<Case> {
    let framed: Vec<(&'static str, Fate, Frame)> = vec![
        ("correct framing", Taken, |r| r.bytes()),
        // Cases about the length.
        ("two lengths that differ", Refused, |r| r.with("content-length", "5").bytes()),
        ("the same length twice", Either, |r| {
            let len = r.bytes().len() - r.head_bytes().len();
            r.with("content-length", len.to_string()).bytes()
        }),
        ("a list of lengths", Either, |r| {
            let len = r.bytes().len() - r.head_bytes().len();
            r.changed("content-length", format!("{len}, {len}")).bytes()
        }),
        ("a length with a sign", Refused, |r| head(&r, "content-length: ", b"content-length: +")),
        ("a negative length", Refused, |r| head(&r, "content-length: ", b"content-length: -")),
        ("a length in hexadecimal", Refused, |r| head(&r, "content-length: ", b"content-length: 0x")),
        ("a length with a space in it", Refused, |r| head(&r, "content-length: ", b"content-length: 1 ")),
        ("an empty length", Refused, |r| r.changed("content-length", "").bytes()),
        ("a length, and chunks", Either, |r| {
            let len = r.bytes().len() - r.head_bytes().len();
            r.chunked(50).with("content-length", len.to_string()).bytes()
        }),
        ("chunks, and a length of zero", Either, |r| r.chunked(50).with("content-length", "0").bytes()),
        // Cases about transfer codings.
        ("chunked, in upper case", Taken, |r| r.chunked(50).changed("transfer-encoding", "CHUNKED").bytes()),
        ("another coding", Refused, |r| r.chunked(50).changed("transfer-encoding", "xchunked").bytes()),
        ("chunked, then identity", Refused, |r| {
            r.chunked(50).changed("transfer-encoding", "chunked, identity").bytes()
        }),
        ("chunked twice", Either, |r| r.chunked(50).with("transfer-encoding", "chunked").bytes()),
        ("chunked, with a vertical tab", Refused, |r| {
            r.chunked(50).changed("transfer-encoding", b"\x0bchunked").bytes()
        }),
        ("a space before the colon", Refused, |r| head(&r.chunked(50), "transfer-encoding:", b"transfer-encoding :")),
        ("chunks in HTTP/1.0", Refused, |r| head(&r.chunked(50), "HTTP/1.1", b"HTTP/1.0")),
        // Cases about chunks.
        ("a size without digits", Refused, |r| broken_chunk(r, b"zz\r\n", b"\r\n")),
        ("an empty size", Refused, |r| broken_chunk(r, b"\r\n", b"\r\n")),
        ("a negative size", Refused, |r| broken_chunk(r, b"-1\r\n", b"\r\n")),
        ("a size with 0x", Refused, |r| broken_chunk(r, b"0x10\r\n", b"\r\n")),
        ("a size that overflows", Refused, |r| broken_chunk(r, b"fffffffffffffffff\r\n", b"\r\n")),
        ("a size that is too small", Refused, |r| broken_chunk(r, b"5\r\n", b"\r\n")),
        ("a size that is too large", Refused, |r| broken_chunk(r, b"ffffff\r\n", b"\r\n")),
        ("leading zeros", Either, |r| right_chunk(r, |len| format!("{len:016x}\r\n"), "\r\n")),
        ("a hundred digits with leading zeros", Either, |r| right_chunk(r, |len| format!("{len:0100x}\r\n"), "\r\n")),
        ("a size that ends in a bare line feed", Either, |r| right_chunk(r, |len| format!("{len:x}\n"), "\r\n")),
        ("a chunk that ends in a bare line feed", Refused, |r| right_chunk(r, |len| format!("{len:x}\r\n"), "\n")),
        ("a chunk without an end", Refused, |r| right_chunk(r, |len| format!("{len:x}\r\n"), "")),
        ("an extension", Taken, |r| right_chunk(r, |len| format!("{len:x};name=value\r\n"), "\r\n")),
        ("an extension that contains a line feed", Refused, |r| {
            right_chunk(r, |len| format!("{len:x};a\nb\r\n"), "\r\n")
        }),
        ("an extension of 64 KiB", Either, |r| {
            right_chunk(r, |len| format!("{len:x};{}\r\n", "x".repeat(64 << 10)), "\r\n")
        }),
        // Cases about heads.
        ("a header folded over two lines", Refused, |r| head(&r, "\r\nhost", b"\r\nx-folded: a\r\n b\r\nhost")),
        ("a signature folded over two lines", Refused, |r| head(&r, "signature: ", b"signature:\r\n ")),
        ("bare line feeds", Either, |r| {
            let head = String::from_utf8(r.head_bytes()).unwrap().replace("\r\n", "\n");
            [head.as_bytes(), &r.bytes()[r.head_bytes().len()..]].concat()
        }),
        ("a bare carriage return", Refused, |r| r.with("x-note", "a\rb").bytes()),
        ("a zero byte in a header", Refused, |r| r.with("x-note", "a\0b").bytes()),
        ("a space in a header's name", Refused, |r| r.with("x note", "a").bytes()),
        ("a header without a name", Refused, |r| r.with("", "a").bytes()),
        ("a header without a colon", Refused, |r| head(&r, "\r\nhost", b"\r\nnonsense\r\nhost")),
        ("a thousand headers", Refused, |r| (0..1_000).fold(r, |r, _| r.with("x-more", "more")).bytes()),
        ("a header of a megabyte", Refused, |r| r.with("x-long", vec![b'x'; 1 << 20]).bytes()),
        ("a target of a megabyte", Refused, |r| r.line(&format!("POST /{} HTTP/1.1", "x".repeat(1 << 20))).bytes()),
        ("two spaces before the target", Either, |r| head(&r, "POST /", b"POST  /")),
        ("an empty line before the request", Either, |r| [b"\r\n", &*r.bytes()].concat()),
        ("HTTP/0.9", Refused, |r| head(&r, " HTTP/1.1", b"")),
        ("HTTP/1.2", Either, |r| head(&r, "HTTP/1.1", b"HTTP/1.2")),
        ("HTTP/3.0", Refused, |r| head(&r, "HTTP/1.1", b"HTTP/3.0")),
        ("HTTP in lower case", Refused, |r| head(&r, "HTTP/1.1", b"http/1.1")),
        ("the beginning of HTTP/2", Refused, |r| [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &*r.bytes()].concat()),
        ("an invalid method", Refused, |r| head(&r, "POST", b"PO(ST")),
        ("CONNECT", Refused, |r| head(&r, "POST /webhooks/twenty", b"CONNECT localhost:80")),
        ("TRACE", Refused, |r| head(&r, "POST", b"TRACE")),
        ("an upgrade", Either, |r| r.with("connection", "upgrade, http2-settings").with("upgrade", "h2c").bytes()),
        // Headers in the trailers are not headers of the request.
        ("a signature in the trailers", Refused, |r| {
            let signature = r.get(SIGNATURE);
            let mut bytes = r.without(SIGNATURE).chunked(50).with("trailer", SIGNATURE).bytes();
            bytes.truncate(bytes.len() - 2);
            bytes.extend([SIGNATURE.as_bytes(), b": ", &signature, b"\r\n\r\n"].concat());
            bytes
        }),
        ("a second signature in the trailers", Taken, |r| {
            let mut bytes = r.chunked(50).bytes();
            bytes.truncate(bytes.len() - 2);
            bytes.extend([SIGNATURE.as_bytes(), b": ", &[b'0'; 64], b"\r\n\r\n"].concat());
            bytes
        }),
    ];
    let case = |(number, (name, fate, frame)): (usize, (_, _, Frame))| Case { name, fate, bytes: frame(of(number)) };
    framed.into_iter().enumerate().map(case).collect()
}

/// Returns the request with its body in one chunk, with this size line and this end.
fn right_chunk(request: Request, size: impl Fn(usize) -> String, end: &str) -> Vec<u8> {
    let body = request.bytes().split_off(request.head_bytes().len());
    broken_chunk(request, size(body.len()).as_bytes(), end.as_bytes())
}

fn broken_chunk(request: Request, size: &[u8], end: &[u8]) -> Vec<u8> {
    let body = request.bytes().split_off(request.head_bytes().len());
    let body = [size, &body, end, b"0\r\n\r\n"].concat();
    request.without("content-length").with("transfer-encoding", "chunked").body(body).bytes()
}

/// Returns the statuses of all responses until the connection is closed or the receiver is quiet:
/// it has sent nothing for two seconds, and has then answered several other requests, which takes
/// longer on a busy machine.
async fn answers(connection: &mut Connection, address: SocketAddr) -> Vec<u16> {
    let mut statuses = Vec::new();
    loop {
        let is_quiet = async {
            sleep(Duration::from_millis(2_000)).await;
            for _ in 0..5 {
                let mut other = Connection::open(address).await;
                other.send("GET /state HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
                assert!(other.answer().await.is_some());
            }
        };
        tokio::select! {
            biased;
            answer = connection.answer() => match answer {
                Some(answer) => statuses.push(answer.status),
                None => return statuses,
            },
            () = is_quiet => return statuses,
        }
    }
}

/// Ends the receiver. Returns the numbers of the events that it has handled.
fn handled(mut target: Target) -> BTreeSet<usize> {
    assert!(target.terminate().success());
    let numbers: Vec<usize> =
        target.child.remaining_lines().filter_map(|line| line.strip_prefix("handled ")?.parse().ok()).collect();
    let distinct: BTreeSet<_> = numbers.iter().copied().collect();
    assert_eq!(distinct.len(), numbers.len(), "handled twice: {numbers:?}");
    distinct
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_framing_is_rejected_or_read_as_one_request() {
    for framework in FRAMEWORKS {
        let target = Target::start(&[("FRAMEWORK", framework), ("BODY_DEADLINE_MS", "1000")]);
        let before = target.settled_for_good().await;
        let mut running = JoinSet::new();
        for (number, case) in cases().into_iter().enumerate() {
            let address = target.address;
            running.spawn(async move {
                let mut connection = Connection::open(address).await;
                connection.send(&case.bytes).await;
                let answers = answers(&mut connection, address).await;
                (number, case, answers)
            });
        }
        let mut played = running.join_all().await;
        played.sort_by_key(|(number, ..)| *number);
        target.settled(&before).await;
        let handled = handled(target);
        let mut wrong = Vec::new();
        for (number, case, answers) in played {
            let is_handled = handled.contains(&number);
            println!("{framework}: {}: {answers:?}{}", case.name, if is_handled { ", handled" } else { "" });
            let is_right = match answers.first() {
                Some(200) => is_handled && case.fate != Refused,
                Some(400..=599) | None => !is_handled && case.fate != Taken,
                Some(_) => false,
            };
            if !is_right {
                wrong.push(format!("{framework}: {}: expected {:?}, {answers:?}, {is_handled}", case.name, case.fate));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

/// The body of a rejected request is a signed delivery, and another delivery follows the request.
/// The delivery in the body is never handled. The following delivery is handled, or the connection
/// is closed.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_inside_a_rejected_body_is_not_handled() {
    const INSIDE: usize = 1_000;
    const BEHIND: usize = 2_000;

    let refused: Vec<(&str, Refuse)> = vec![
        ("unsigned", |r| r),
        ("unsigned, in chunks", |r| r.chunked(100)),
        ("unsigned, in one chunk", |r| r.chunked(1 << 20)),
        ("unsigned, longer than the drained part", |r| longer(r, 65 << 10)),
        ("unsigned, much longer than the drained part", |r| longer(r, 1 << 20)),
        ("unsigned, longer than the drained part, in chunks", |r| longer(r, 100 << 10).chunked(1 << 10)),
        ("forged", |r| forged(r)),
        ("forged, in chunks", |r| forged(r).chunked(100)),
        ("malformed", |r| forged(r).signature("A")),
        ("encoded", |r| forged(r).with("content-encoding", "gzip")),
        ("too long", |r| forged(longer(r, (2 << 20) + 1))),
        ("too long, in chunks", |r| forged(longer(r, (2 << 20) + 1)).chunked(64 << 10)),
        ("no such path", |r| r.line("POST /elsewhere HTTP/1.1")),
        ("another method", |r| r.line("PUT /webhooks/twenty HTTP/1.1")),
        ("GET with a body", |r| r.line("GET /webhooks/twenty HTTP/1.1")),
        ("with Expect: 100-continue, without waiting", |r| r.with("expect", "100-continue")),
        ("forged, with Expect: 100-continue, without waiting", |r| forged(r).with("expect", "100-continue")),
    ];
    for framework in FRAMEWORKS {
        let target = Target::start(&[("FRAMEWORK", framework)]);
        let before = target.settled_for_good().await;
        let mut running = JoinSet::new();
        for (number, (name, refuse)) in refused.iter().enumerate() {
            let outside = refuse(unsigned(of(INSIDE + number).bytes()));
            let bytes = [outside.bytes(), of(BEHIND + number).bytes()].concat();
            let address = target.address;
            let name = *name;
            running.spawn(async move {
                let mut connection = Connection::open(address).await;
                connection.send(&bytes).await;
                (number, name, answers(&mut connection, address).await)
            });
        }
        let played = running.join_all().await;
        target.settled(&before).await;
        let handled = handled(target);
        for (number, name, answers) in played {
            let is_behind_handled = handled.contains(&(BEHIND + number));
            println!("{framework}: {name}: {answers:?}");
            assert!(!handled.contains(&(INSIDE + number)), "{framework}: {name}: read as a request");
            assert!((400..500).contains(answers.first().unwrap_or(&400)), "{framework}: {name}: {answers:?}");
            let behind = &answers[answers.len().min(1)..];
            assert_eq!(behind, if is_behind_handled { &[200][..] } else { &[] }, "{framework}: {name}");
        }
    }
}

/// Appends spaces to the body up to this length.
fn longer(request: Request, len: usize) -> Request {
    let mut body = request.bytes().split_off(request.head_bytes().len());
    body.resize(len, b' ');
    request.changed("content-length", len.to_string()).body(body)
}

/// Adds fresh, well-formed headers that sign another body.
fn forged(request: Request) -> Request {
    let headers = ["x-twenty-webhook-timestamp", SIGNATURE];
    let other = of(0);
    headers.into_iter().fold(request, |request, name| request.with(name, other.get(name)))
}

#[tokio::test(flavor = "multi_thread")]
async fn only_complete_deliveries_of_disconnecting_clients_are_handled() {
    gone_at_bytes(11).await;
}

mod at_length {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "long: the gate runs it"]
    async fn only_complete_deliveries_are_handled_after_a_disconnect_at_any_byte() {
        gone_at_bytes(1).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "long: the gate runs it"]
    async fn endless_requests_are_ended() {
        without_end(8, true).await;
    }
}

/// Disconnects after every `every`th byte of a delivery, by FIN and by RST. Only complete
/// deliveries may be handled.
async fn gone_at_bytes(every: usize) {
    const COMPLETE: usize = 1;
    const PARTIAL: usize = 0;

    for framework in FRAMEWORKS {
        for settings in [&[][..], &[("DEDUPLICATE", "1000"), ("ACKNOWLEDGE_MS", "2000")]] {
            let target = Target::start(&[&[("FRAMEWORK", framework)], settings].concat());
            let before = target.settled_for_good().await;
            for (how, in_chunks) in
                [(Leave::Fin, false), (Leave::Reset, false), (Leave::Fin, true), (Leave::Reset, true)]
            {
                let request = of(PARTIAL);
                let bytes = if in_chunks { request.chunked(40) } else { request }.bytes();
                let mut leaving = JoinSet::new();
                for len in (0..bytes.len()).step_by(every) {
                    let (address, part) = (target.address, bytes[..len].to_vec());
                    leaving.spawn(async move { Leaving::send(address, part).await.leave(how) });
                    if leaving.len() == 50 {
                        leaving.join_next().await.unwrap().unwrap();
                    }
                }
                leaving.join_all().await;
            }
            target.settled(&before).await;
            let mut connection = Connection::open(target.address).await;
            connection.send(of(COMPLETE).bytes()).await;
            assert_eq!(connection.answer().await.unwrap().status, 200);
            drop(connection);
            target.settled(&before).await;
            assert_eq!(handled(target), [COMPLETE].into(), "{framework}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_requests_are_ended() {
    without_end(2, false).await;
}

/// Sends endless requests: chunks of one byte, a chunk extension, chunks with extensions, and
/// headers.
async fn without_end(connections: usize, with_extensions_in_actix_web: bool) {
    let _guard = ONE_AT_A_TIME.lock().await;
    for framework in FRAMEWORKS {
        let target = Target::start(&[("FRAMEWORK", framework), ("BODY_DEADLINE_MS", "1500")]);
        let tiny = b"1\r\nx\r\n".repeat(1_000);
        let extension = [b'x'; 16 << 10].to_vec();
        let chunk_and_extension = [b"1;", &[b'x'; 8 << 10][..], b"\r\nx\r\n"].concat();
        let header = b"x-more: more\r\n".repeat(100);
        let head = forged(unsigned("")).chunked(1).head_bytes();
        for (name, first, again) in [
            ("chunks of a byte", head.clone(), tiny),
            ("extension", [&head[..], b"1;"].concat(), extension),
            ("chunks with extensions", head.clone(), chunk_and_extension),
            ("headers", head[..head.len() - 2].to_vec(), header),
        ] {
            // A debug build of actix-http parses extensions so slowly that genuine deliveries may
            // miss the deadline on a busy machine.
            if name.contains("extension") && framework == "actix-web" && !with_extensions_in_actix_web {
                continue;
            }
            let attack = async {
                let mut attacks = JoinSet::new();
                for _ in 0..connections {
                    attacks.spawn(endless(target.address, first.clone(), again.clone()));
                }
                let ended = attacks.join_all().await;
                println!("{framework}: status, and after how many bytes: {ended:?}");
                assert!(ended.iter().all(|(status, _)| status.is_none_or(|status| (400..500).contains(&status))));
            };
            Attacked::by(&target, &format!("{framework}: {name} without end"), 96 << 10, attack).await;
        }
    }
}

/// The chunks are far apart in the server's read buffers. The receiver must not keep these buffers
/// alive by keeping the chunks.
#[tokio::test(flavor = "multi_thread")]
async fn chunks_far_apart_hold_only_the_bytes_of_the_body() {
    for (framework, name, size) in [
        ("axum", "sizes with leading zeros", format!("{}1000", "0".repeat(200_000))),
        ("actix", "extensions", format!("1000;{}", "x".repeat(60_000))),
    ] {
        let target = Target::start(&[("FRAMEWORK", framework), ("BODY_DEADLINE_MS", "3000")]);
        let head = forged(unsigned("")).chunked(1).head_bytes();
        let chunk = [size.as_bytes(), b"\r\n", &[b' '; 4 << 10], b"\r\n"].concat();
        let attack = async {
            let attacks: JoinSet<_> = (0..4).map(|_| endless(target.address, head.clone(), chunk.clone())).collect();
            let ended = attacks.join_all().await;
            println!("{framework}: status, and after how many bytes: {ended:?}");
            assert!(ended.iter().all(|(status, sent)| matches!(status, None | Some(408 | 413)) && *sent > 1 << 20));
        };
        Attacked::by(&target, &format!("{framework}: {name}"), 32 << 10, attack).await;
    }
}

/// Sends until the server stops reading. Returns the status, if any, and the number of bytes sent.
async fn endless(address: SocketAddr, first: Vec<u8>, again: Vec<u8>) -> (Option<u16>, usize) {
    let mut connection = Connection::open(address).await;
    let mut sent = first.len();
    connection.send(first).await;
    soon(async {
        while connection.try_send(&again).await {
            sent += again.len();
        }
    })
    .await;
    (connection.answer().await.map(|answer| answer.status), sent)
}

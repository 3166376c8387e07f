//! Counts allocations and their bytes. This is a separate test program, because the counter
//! replaces the allocator.

mod support;

use allocation_counter::measure;
use bytes::Bytes;
use support::{NOW, SECRET, builder, data, secret, signed, vector, verifier};
use twenty_webhook::verify::{Keys, Signer, Verifier};

mod verify {
    use super::*;

    #[test]
    fn verification_takes_no_memory() {
        let vector = vector("person.created");
        let (verifier, body) = (verifier(), vector.body());
        let mut is_ok = false;
        let taken = measure(|| is_ok = verifier.verify(vector.headers(), body).is_ok());
        assert!(is_ok);
        assert_eq!(taken.count_total, 0);
    }

    #[test]
    fn verification_takes_no_memory_for_a_full_vector() {
        let (verifier, headers) = (verifier(), signed("{}"));
        let body = Vec::from("{}");
        let mut is_ok = false;
        let taken = measure(|| is_ok = verifier.verify(headers.iter().map(|(n, v)| (n, v)), body).is_ok());
        assert!(is_ok);
        assert_eq!(taken.count_total, 0);
    }

    #[test]
    fn several_secrets_and_rejections_take_no_memory() {
        let secrets = (0..8).map(|i| secret(&format!("secret {i}")));
        let verifier =
            Verifier::builder().keys(Keys::new("id", secrets).unwrap()).clock(support::clock()).build().unwrap();
        let last = Signer::new("secret 7").unwrap().sign_at(NOW, "{}").pairs();
        let other = signed("{}");
        for (headers, verifies) in [(&last, true), (&other, false)] {
            let body = Bytes::from_static(b"{}");
            let mut is_ok = false;
            let taken = measure(|| is_ok = verifier.verify(headers.iter().map(|(n, v)| (n, v)), body).is_ok());
            assert_eq!(is_ok, verifies);
            assert_eq!(taken.count_total, 0);
        }
    }

    /// The buffer doubles. While it grows, the old one and the new one exist.
    #[test]
    fn memory_grows_with_the_received_bytes() {
        const LEN: usize = 2 << 20;
        let verifier = verifier();
        let headers = Signer::new(SECRET).unwrap().sign_at(NOW, vec![b'x'; LEN]);
        let taken = measure(|| {
            let mut verification = verifier.begin(headers).unwrap();
            for _ in 0..LEN {
                verification.update(Bytes::from_static(b"x")).unwrap();
            }
            assert_eq!(verification.finalize().unwrap().body().len(), LEN);
        });
        assert!(taken.bytes_max <= 2 * LEN as u64, "{taken:?}");
        assert!(taken.count_total < 100, "{taken:?}");
    }

    /// The declared length does not matter.
    #[test]
    fn a_declared_length_takes_no_memory() {
        let verifier = builder().body_limit(usize::MAX).build().unwrap();
        let headers = Signer::new(SECRET).unwrap().sign_at(NOW, data("person.created.json"));
        let taken = measure(|| {
            let mut verification = verifier.begin(headers).unwrap();
            verification.update(Bytes::from_static(b"{")).unwrap();
            assert!(verification.finalize().is_err());
        });
        assert_eq!(taken.count_total, 0);
    }
}

mod event {
    use serde::Deserialize;
    use twenty_webhook::{
        WebhookEvent,
        event::{FromRecord, Record, record::Person},
    };

    use super::*;

    /// Returns the number of allocations for an event whose delivery has been verified.
    fn taken<T: FromRecord>(name: &str) -> u64 {
        let body = data(&format!("{name}.json"));
        let verified = verifier().verify(signed(&body), body).unwrap();
        // From now on the body's memory is shared, as in a handler.
        let _shared = verified.clone();
        let mut is_ok = false;
        let taken = measure(|| is_ok = WebhookEvent::<T>::from_verified(verified).is_ok());
        assert!(is_ok);
        taken.count_total
    }

    #[derive(Deserialize)]
    #[serde(rename = "*")]
    struct NoFields {}

    #[test]
    fn an_event_takes_memory_for_its_name_and_its_objects_name() {
        assert_eq!(taken::<NoFields>("person.created"), 2);
    }

    /// Each text that is not empty and each list takes one allocation.
    #[test]
    fn an_event_takes_memory_for_the_texts_of_its_record() {
        assert_eq!(taken::<Person>("person.created"), 25);
        assert_eq!(taken::<Record>("person.created"), 25 + 1, "and its box");
    }

    /// Raw values share the body's memory, and the record has a copy of its object's name.
    #[test]
    fn raw_values_take_little_memory() {
        assert_eq!(taken::<Record>("subscription.created"), 3);
    }
}

mod claims {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
        time::Duration,
    };

    use twenty_webhook::deduplicate::{ClaimKey, ClaimOutcome, ClaimStore, MemoryStore};

    use super::*;

    fn now<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("pending"),
        }
    }

    /// A claim and its completion take a box for each future, and nothing in the store.
    #[test]
    fn claims_take_memory_for_their_futures() {
        let store = MemoryStore::new(100);
        let day = Duration::from_secs(24 * 60 * 60);
        let mut handle = |number: u8| {
            let Ok(ClaimOutcome::Fresh(claim)) = now(store.claim(ClaimKey::new("", "", &[number]), day)) else {
                panic!("not fresh");
            };
            now(store.complete(&claim, day)).unwrap();
        };
        handle(0);
        // This includes entries that replace others.
        let taken = measure(|| (1..=200).for_each(&mut handle));
        assert_eq!(taken.count_total, 2 * 200);
    }
}

#[cfg(feature = "tower")]
mod layer {
    use std::{
        convert::Infallible,
        future::ready,
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use http::{Request, Response};
    use http_body_util::Full;
    use support::bodies::{chunk, delivery, scripted, unsigned};
    use tower::{Layer, Service, service_fn};
    use twenty_webhook::{
        Receiver,
        deduplicate::MemoryStore,
        tower::{VerifiedBody, WebhookLayer},
    };

    use super::*;

    /// Returns the number of the layer's allocations for a request. The inner service has none.
    fn taken<B: http_body::Body>(receiver: impl Into<Receiver>, request: Request<B>, status: u16) -> u64 {
        let inner = |_: Request<VerifiedBody>| ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())));
        let mut service = WebhookLayer::new(receiver).layer(service_fn(inner));
        let mut answered = 0;
        let taken = measure(|| {
            let answer = pin!(service.call(request)).poll(&mut Context::from_waker(Waker::noop()));
            let Poll::Ready(Ok(answer)) = answer else { panic!("pending") };
            answered = answer.status().as_u16();
        });
        assert_eq!(answered, status);
        taken.count_total
    }

    /// Returns a body with shared memory, like the bodies of servers.
    fn shared() -> Bytes {
        let body = data("person.created.json");
        drop(body.clone());
        body
    }

    /// The box of `Verified`, and with axum another one for the setting that disables axum's limit.
    const BOXES: u64 = if cfg!(feature = "axum") { 2 } else { 1 };

    /// The box of the delivery, if there is something to report.
    const REPORTED: u64 = if cfg!(any(feature = "metrics", feature = "tracing")) { 1 } else { 0 };

    /// The label of a counter.
    const COUNTED: u64 = if cfg!(feature = "metrics") { 1 } else { 0 };

    #[test]
    fn the_layer_takes_memory_for_the_extensions_that_it_adds() {
        let mut request = delivery(shared(), Full::new(shared()));
        request.extensions_mut().insert("another's");
        assert_eq!(taken(verifier(), request, 200), BOXES + REPORTED + COUNTED);
    }

    #[test]
    fn the_layer_takes_memory_for_an_extensions_map_if_there_is_none() {
        assert_eq!(taken(verifier(), delivery(shared(), Full::new(shared())), 200), BOXES + 2 + REPORTED + COUNTED);
    }

    /// The delivery takes a box, and so do two calls of the store in this process: the claim and
    /// its completion.
    #[test]
    fn deduplication_takes_memory_for_its_claim() {
        let receiver = Receiver::new(verifier()).deduplicate(MemoryStore::new(100));
        assert_eq!(taken(receiver, delivery(shared(), Full::new(shared())), 200), BOXES + 2 + 1 + COUNTED + 2);
    }

    /// These are the response's header map (2) and value, its extensions (2) and the rejection's
    /// box.
    #[test]
    fn the_layer_takes_memory_for_the_response_to_a_rejected_request() {
        assert_eq!(taken(verifier(), unsigned(Full::new(shared())), 401), 6 + COUNTED);
    }

    /// The body has two mebibytes, in chunks of a byte. The clock does not advance, so no deadline
    /// passes on a busy machine.
    #[test]
    fn the_layer_takes_memory_for_the_received_bytes() {
        const LEN: usize = 2 << 20;
        let body = scripted(std::iter::repeat_n(chunk("x"), LEN));
        let inner = |request: Request<VerifiedBody>| {
            assert_eq!(http_body::Body::size_hint(request.body()).exact(), Some(LEN as u64));
            ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let request = delivery(vec![b'x'; LEN], body);
        let mut service = WebhookLayer::new(verifier()).layer(service_fn(inner));
        let taken = measure(|| assert!(runtime.block_on(service.call(request)).unwrap().status().is_success()));
        assert!(taken.bytes_max < 2 * LEN as u64 + 10_000, "{taken:?}");
    }
}

/// Tests of clients of hyper's server that stall in the middle of a body.
#[cfg(feature = "tower")]
mod stalled {
    use std::convert::Infallible;

    use http::{Request, Response};
    use http_body_util::{BodyExt as _, Full};
    use hyper::{body::Incoming, server::conn::http1, service::service_fn};
    use hyper_util::{rt::TokioIo, service::TowerToHyperService};
    use tokio::{io::AsyncWriteExt as _, runtime, task::yield_now};
    use tower::Layer as _;
    use twenty_webhook::tower::{VerifiedBody, WebhookLayer};

    use super::*;

    /// Returns the number of bytes that a connection holds. The client sends each piece when the
    /// server has read the previous one. Without a layer, the handler itself collects the body.
    fn held(layer: Option<&WebhookLayer>, framing: &str, pieces: &[Vec<u8>]) -> i64 {
        let signature: String = signed("{}").iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("POST / HTTP/1.1\r\nhost: localhost\r\n{framing}\r\n{signature}\r\n");
        // The clock does not advance, so no deadline passes.
        let runtime = runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let layer = layer.cloned();
        let mut open = None;
        let taken = measure(|| {
            open = Some(runtime.block_on(async {
                let (mut client, server) = tokio::io::duplex(1 << 20);
                let (io, respond) = (TokioIo::new(server), || Ok::<_, Infallible>(Response::<Full<Bytes>>::default()));
                let serving = if let Some(layer) = layer {
                    let inner = move |_: Request<VerifiedBody>| std::future::ready(respond());
                    let service = TowerToHyperService::new(layer.layer(tower::service_fn(inner)));
                    tokio::spawn(http1::Builder::new().serve_connection(io, service))
                } else {
                    let collect = move |request: Request<Incoming>| async move {
                        let _ = request.into_body().collect().await;
                        respond()
                    };
                    tokio::spawn(http1::Builder::new().serve_connection(io, service_fn(collect)))
                };
                for piece in [head.as_bytes()].into_iter().chain(pieces.iter().map(Vec::as_slice)) {
                    client.write_all(piece).await.unwrap();
                    for _ in 0..10 {
                        yield_now().await;
                    }
                }
                assert!(!serving.is_finished());
                (client, serving)
            }));
        });
        taken.bytes_current
    }

    const LENGTH: &str = "content-length: 2097152";
    const CHUNKED: &str = "transfer-encoding: chunked";

    /// A collected body is a copy, and the server keeps a buffer for the next bytes. Buffers that
    /// the server has filled must be freed.
    #[test]
    fn the_layer_adds_at_most_the_received_bytes_of_stalled_clients() {
        let layer = WebhookLayer::new(verifier());
        for (size, count) in [(16 << 10, 1), (8 << 10, 2), (1 << 10, 16), (16, 1024), (128 << 10, 1), (1 << 10, 128)] {
            let received = i64::try_from(size * count).unwrap();
            let whole = vec![vec![b' '; size]; count];
            let chunk = [format!("{size:x}\r\n").as_bytes(), &vec![b' '; size], b"\r\n"].concat();
            for (framing, pieces) in [(LENGTH, whole), (CHUNKED, vec![chunk; count])] {
                let [bare, ours] = [None, Some(&layer)].map(|layer| held(layer, framing, &pieces));
                println!("{framing}: {count} of {size} bytes: {bare} without the layer, {ours} with it");
                assert!(ours <= bare + received, "{framing}: {count} of {size} bytes: {bare}, {ours}");
            }
        }
    }

    /// Without the layer, each of these chunks holds a buffer of the server.
    #[test]
    fn small_chunks_do_not_keep_one_buffer_each() {
        let layer = WebhookLayer::new(verifier());
        let nothing = held(Some(&layer), CHUNKED, &[]);
        let chunk = b"10\r\n0123456789abcdef\r\n".to_vec();
        let held = held(Some(&layer), CHUNKED, &vec![chunk; 1024]) - nothing;
        assert!(held <= 2 * (16 << 10), "{held}");
    }
}

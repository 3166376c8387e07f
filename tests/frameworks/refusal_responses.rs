//! Checks the bytes of the responses that `respond_with` returns. For every status, the client
//! finds the beginning of the next response.

use std::sync::{
    Arc,
    atomic::{AtomicU16, Ordering::Relaxed},
};

use twenty_webhook::{Receiver, receiver::RefusalResponse};

use crate::support::{
    http1::{Connection, unsigned},
    stack::Stack,
    verifier,
};

/// A client that reads this body as a response has misread the connection.
const BODY: &str = "HTTP/1.1 299 Out of step\r\ncontent-length: 0\r\n\r\n";

/// Statuses without content: RFC 9110, sections 15.3.5, 15.3.6 and 15.4.5.
const WITHOUT_CONTENT: [u16; 3] = [204, 205, 304];

#[tokio::test]
async fn no_status_makes_a_client_misread_the_next_response() {
    Stack::each(async |stack| {
        let status = Arc::new(AtomicU16::new(0));
        let current = Arc::clone(&status);
        let receiver = Receiver::new(verifier())
            .respond_with(move |_| RefusalResponse::new(current.load(Relaxed)).body("text/plain", BODY));
        let server = stack.serve(receiver).await;
        let mut connection = Connection::open(server.address).await;
        for sent in 200..=599 {
            status.store(sent, Relaxed);
            connection.send(unsigned("{}").bytes()).await;
            let answer = connection.answer().await.expect("an answer");
            let body = if WITHOUT_CONTENT.contains(&sent) { "" } else { BODY };
            assert_eq!((answer.status, std::str::from_utf8(&answer.body).unwrap()), (sent, body), "{stack:?}");
            let has_type = answer.header("content-type").is_some();
            assert_eq!(has_type, !body.is_empty(), "{stack:?} {sent}");
            if matches!(answer.header("connection"), Some("close")) {
                connection = Connection::open(server.address).await;
            }
            connection.send(unsigned("{}").line("HEAD /webhooks/twenty HTTP/1.1").bytes()).await;
            let answer = connection.answer_to_head().await.expect("an answer");
            assert_eq!(answer.status, sent, "{stack:?}");
            if matches!(answer.header("connection"), Some("close")) {
                connection = Connection::open(server.address).await;
            }
        }
        server.stop().await;
    })
    .await;
}

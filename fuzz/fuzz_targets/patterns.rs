//! Parses, matches and routes any event name and patterns, in any order. The input has one of them
//! per line. The results are as documented.
#![no_main]

use libfuzzer_sys::fuzz_target;
use twenty_webhook::event::{EventName, EventPattern};
use twenty_webhook_fuzz::{
    pattern::{Pattern, most_exact},
    route::Router,
    verified,
};

fuzz_target!(|text: &str| {
    let mut lines = text.split('\n');
    let event = lines.next().unwrap_or_default();
    let mut patterns: Vec<&str> = lines.take(12).collect();
    let name = EventName::new(event);
    assert_eq!(name.as_str(), event);

    for text in &patterns {
        match (text.parse::<EventPattern>(), Pattern::parse(text)) {
            (Ok(pattern), Some(expected)) => {
                assert_eq!(pattern.to_string(), *text);
                assert_eq!(pattern.matches(&name), expected.rank(event).is_some(), "{pattern} {event:?}");
            }
            (Err(invalid), None) => assert_eq!(invalid.pattern(), *text),
            (found, expected) => panic!("{text:?}: {found:?}, expected {}", expected.is_some()),
        }
    }

    let body = format!(r#"{{"eventName":{}}}"#, serde_json::to_string(event).expect("a string"));
    let verified = verified(body.as_bytes());
    for _ in 0..2 {
        let refused = (0..patterns.len())
            .find(|&at| Pattern::parse(patterns[at]).is_none() || patterns[..at].contains(&patterns[at]))
            .map(|at| patterns[at]);
        match (Router::new(patterns.iter().copied()), refused) {
            (Ok(router), None) => assert_eq!(router.route(verified.clone()), most_exact(&patterns, event), "{text:?}"),
            (Err(invalid), Some(refused)) => assert_eq!(invalid.pattern(), refused),
            (router, refused) => panic!("built: {}, expected to reject {refused:?}", router.is_ok()),
        }
        patterns.reverse();
    }
});

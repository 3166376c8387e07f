//! Servers that echo the API key or a webhook's secret: the tool prints neither.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{Directory, doctor::TOKEN, run_with, stub::Stub};

/// A secret that contains the separators of URLs, and no text of the tool.
const ODD_SECRET: &str = "s3cr3t/with?all#of@1t:wh0le";

/// Returns a part of the API key or of the odd secret that the text contains, if it is long enough
/// to matter.
pub(crate) fn uncovers(text: &str) -> Option<String> {
    let parts = [TOKEN, ODD_SECRET].into_iter().flat_map(|hidden| hidden.as_bytes().windows(10));
    parts.map(|part| String::from_utf8(part.to_vec()).unwrap()).find(|part| text.contains(part.as_str()))
}

/// Returns the API key and the odd secret in forms in which a server may echo them.
pub(crate) fn repetitions() -> Vec<String> {
    let both = format!("{TOKEN}/{ODD_SECRET}");
    vec![
        both.clone(),
        // These are truncated within the secret.
        format!("{}{TOKEN}", "x".repeat(80)),
        format!("{}{ODD_SECRET}", "x".repeat(85)),
        format!("https://a.example/{both}"),
        format!("https://{TOKEN}.example/s3cr3t%2Fwith%3Fall%23of%401t%3Awh0le"),
        format!("https://user:{ODD_SECRET}@a.example/"),
        format!("https://user:{TOKEN}@a.example/"),
        format!("Token invalid. {both}\n"),
    ]
}

/// Returns the JSON pointers of all texts.
pub(crate) fn positions(json: &Value) -> Vec<String> {
    let below =
        |key: &str, value: &Value| positions(value).into_iter().map(|rest| format!("/{key}{rest}")).collect::<Vec<_>>();
    match json {
        Value::String(_) => vec![String::new()],
        Value::Array(list) => (0..).zip(list).flat_map(|(at, item): (i32, _)| below(&at.to_string(), item)).collect(),
        Value::Object(members) => members.iter().flat_map(|(name, value)| below(name, value)).collect(),
        _ => Vec::new(),
    }
}

/// Returns the errors of Twenty's REST and GraphQL servers.
pub(crate) fn errors() -> Vec<(u16, Value)> {
    let rest = |status: u16| (status, json!({ "statusCode": status, "messages": ["Oh"], "error": "Oh" }));
    let graphql = |code: &str| (200, json!({ "errors": [{ "message": "Oh", "extensions": { "code": code } }] }));
    vec![
        rest(401),
        rest(404),
        rest(500),
        (500, json!({ "statusCode": 500, "message": "Oh" })),
        graphql("UNAUTHENTICATED"),
        graphql("GRAPHQL_VALIDATION_FAILED"),
    ]
}

/// The server echoes the API key and a webhook's secret at every position.
#[test]
fn secrets_that_a_server_echoes_are_not_printed() {
    let mut webhooks: Value = serde_json::from_slice(&std::fs::read("tests/real/api/webhooks.json").unwrap()).unwrap();
    let directory = Directory::new();
    let token = directory.file("token", TOKEN);
    let answer = Arc::new(Mutex::new((200, Vec::new(), String::new())));
    let shared = Arc::clone(&answer);
    let twenty = Stub::start(move |_| shared.lock().unwrap().clone());
    let location = Arc::new(Mutex::new(String::new()));
    let shared = Arc::clone(&location);
    let receiver = Stub::start(move |_| (301, vec![("location", shared.lock().unwrap().clone())], String::new()));
    webhooks[0]["secret"] = json!(ODD_SECRET);
    webhooks[1]["targetUrl"] = json!(receiver.url);

    // The tool gets the secret from the list of webhooks or from a variable.
    let run = |about: &str, is_listed: bool| {
        let given = [("TWENTY_WEBHOOK_SECRET", ODD_SECRET)];
        let target = ["--target", &receiver.url, "--send", "--events", "person.created"];
        for (arguments, variables) in
            [(&[][..], if is_listed { &[][..] } else { &given }), (&["--format", "json"], &given), (&target, &given)]
        {
            let arguments = [&["doctor", "--url", &twenty.url, "--token-file", &token], arguments].concat();
            let done = run_with(&arguments, variables, b"");
            assert!(matches!(done.code, 0 | 1) && !done.output.is_empty(), "{about}: {done:?}");
            for printed in [&done.output, &done.log] {
                assert_eq!(uncovers(printed), None, "{about}, {arguments:?}: {done:?}");
            }
        }
    };
    let answers = [vec![(200, webhooks.clone())], errors()].concat();
    for repetition in repetitions() {
        for (status, json) in &answers {
            for position in positions(json) {
                let mut json = json.clone();
                *json.pointer_mut(&position).unwrap() = json!(repetition);
                *answer.lock().unwrap() = (*status, Vec::new(), json.to_string());
                run(&format!("{status} {json}"), json.is_array());
            }
        }
        let header = repetition.trim_end().to_owned();
        *answer.lock().unwrap() = (302, vec![("location", header.clone())], String::new());
        run("a redirect of the API's", false);
        *answer.lock().unwrap() = (200, Vec::new(), webhooks.to_string());
        *location.lock().unwrap() = header;
        run("a redirect of the target's", true);
    }
}

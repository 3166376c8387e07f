//! Tests of `listen --ui`: what the server of the page responds, and to whom.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::{Value, json};
use twenty_webhook::{
    Verifier,
    testing::{Delivery, Forgery},
    verify::Signer,
};

use super::{Directory, Program, SECRET, lines, listen, listen_with, post, run, send, upstream::Upstream};

/// The address of a page.
pub(super) struct Page {
    pub(super) address: SocketAddr,
    token: String,
}

pub(super) struct Response {
    pub(super) status: u16,
    /// The headers, with names in lower case.
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Response {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(super) fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Page {
    /// Returns the page whose address a program prints.
    pub(super) fn of(program: &mut Program) -> Self {
        let mut found = None;
        program.until("its page is there", |program| {
            let log = program.log();
            let rest = log.split_once("inspector: http://").and_then(|(_, rest)| rest.split_once("/\n"));
            found = rest.map(|(rest, _)| rest.split_once('/').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap());
            found.is_some()
        });
        let (address, token) = found.unwrap();
        Self { address: address.parse().unwrap(), token }
    }

    pub(super) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(super) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns a path with the token.
    pub(super) fn path(&self, path: &str) -> String {
        format!("/{}/{path}", self.token)
    }

    /// Sends a request with exactly these headers.
    pub(super) fn raw(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        let head =
            format!("{method} {path} HTTP/1.1\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n");
        stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        let mut answer = Vec::new();
        // A server that does not read a body may reset the connection after its response.
        let _ = stream.read_to_end(&mut answer);
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("an answer");
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.map(|line| line.split_once(": ").unwrap()).map(|(n, v)| (n.to_lowercase(), v.to_owned()));
        Response { status, headers: headers.collect(), body: answer[end + 4..].to_vec() }
    }

    pub(super) fn get(&self, path: &str) -> Response {
        self.raw("GET", &self.path(path), &[("host", &self.host())], b"")
    }

    /// Sends a delivery again in the way in which the page does it.
    fn send(&self, id: &str, request: &Value) -> Response {
        self.post(&format!("api/deliveries/{id}/send"), request)
    }

    pub(super) fn post(&self, path: &str, request: &Value) -> Response {
        let (host, origin) = (self.host(), self.origin());
        let headers = [
            ("host", &*host),
            ("origin", &origin),
            ("sec-fetch-site", "same-origin"),
            ("content-type", "application/json"),
        ];
        self.raw("POST", &self.path(path), &headers, request.to_string().as_bytes())
    }

    pub(super) fn deliveries(&self) -> Vec<Value> {
        self.get("api/deliveries").json()["deliveries"].as_array().unwrap().clone()
    }

    /// Returns the newest delivery when there are this many.
    fn last_of(&self, program: &mut Program, count: usize) -> Value {
        program.until(&format!("{count} are listed"), |_| self.deliveries().len() >= count);
        self.deliveries().last().unwrap().clone()
    }

    pub(super) fn details(&self, id: &str) -> Value {
        self.get(&format!("api/deliveries/{id}")).json()
    }
}

pub(super) fn id(delivery: &Value) -> &str {
    delivery["id"].as_str().unwrap()
}

fn ada() -> Delivery {
    Delivery::sample("person.updated").set("record.name", json!({"firstName": "Ada", "lastName": "Lovelace"})).unwrap()
}

/// Starts a listener with a page and a target. Returns them with the received delivery.
fn with_target() -> (Program, String, Page, Upstream) {
    let upstream = Upstream::start(200, Duration::ZERO);
    let (mut program, url) = listen(&["--ui", "--forward-to", &upstream.url]);
    let page = Page::of(&mut program);
    assert_eq!(send(&url, &ada()), 0);
    page.last_of(&mut program, 1);
    (program, url, page, upstream)
}

#[test]
fn shows_received_deliveries() {
    let (mut program, url, page, upstream) = with_target();
    let first = &page.deliveries()[0];
    assert_eq!(first["event"], "person.updated");
    assert_eq!((&first["displayName"], &first["verified"]), (&json!("Ada Lovelace"), &json!(true)));
    assert_eq!((&first["status"], &first["forwarded"]["status"]), (&json!(200), &json!(200)));
    let details = page.details(id(first));
    assert!(details["headers"].as_array().unwrap().iter().any(|pair| pair[0] == "x-twenty-webhook-timestamp"));
    assert_eq!(page.get(&format!("api/deliveries/{}/body", id(first))).body, ada().body()[..]);

    // Another delivery of the same record is for the comparison. A forged one has a diagnosis.
    assert_eq!(send(&url, &ada().set("record.jobTitle", "CTO").unwrap()), 0);
    let second = page.last_of(&mut program, 2);
    assert_eq!(page.details(id(&second))["previous"], first["id"]);
    run(&["send", "person.created", "--forge", Forgery::Stale.as_str(), "--to", &url]);
    let forged = page.last_of(&mut program, 3);
    assert_eq!((&forged["verified"], &forged["event"]), (&json!(false), &Value::Null));
    let details = page.details(id(&forged));
    assert!(details["causes"][0]["advice"].as_str().unwrap().contains("clock"), "{details}");
    assert_eq!((&details["previous"], &details["sendable"]), (&Value::Null, &json!(false)));
    assert_eq!(upstream.requests().len(), 2);
    assert_eq!(page.get("api/deliveries/none").status, 404);
}

#[test]
fn filtered_deliveries_are_on_the_page() {
    let (mut program, url) = listen(&["--ui", "--filter", "company.*"]);
    let page = Page::of(&mut program);
    send(&url, &ada());
    assert_eq!(page.last_of(&mut program, 1)["event"], "person.updated");
    assert!(program.lines().is_empty());
}

#[test]
fn updates_are_sent_immediately_and_on_one_line() {
    let (mut program, url) = listen(&["--ui"]);
    let page = Page::of(&mut program);
    let mut stream = TcpStream::connect(page.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    write!(stream, "GET {} HTTP/1.1\r\nhost: {}\r\n\r\n", page.path("api/events"), page.host()).unwrap();
    let mut reader = BufReader::new(stream);
    let mut until = |start: &str| loop {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).unwrap() > 0, "ended before {start}");
        if line.starts_with(start) {
            return line;
        }
    };
    assert!(until("content-type").contains("text/event-stream"));
    until(": hello");
    let hostile = "Ada\n\ndata: {\"resync\":true}\n\nevent: x\r\u{2028}x";
    send(&url, &ada().set("record.name.firstName", hostile).unwrap());
    let line = until("data: ");
    let news: Value = serde_json::from_str(line.strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(news["added"]["displayName"], format!("{hostile} Lovelace"));
    assert_eq!(news["dropped"], json!([]));
}

/// Every response has the headers that exclude other sites, frames, caches and scripts, even a
/// response to a rejected request.
#[test]
fn every_response_has_the_strict_headers() {
    let (_program, _, page, _upstream) = with_target();
    let listed = page.deliveries();
    let one = format!("api/deliveries/{}", id(&listed[0]));
    let of_one = ["", "/body", "/curl", "/test", "/capture"].map(|part| format!("{one}{part}"));
    let paths = [
        "",
        "app.js",
        "dom.js",
        "json.js",
        "tree.js",
        "style.css",
        "icon.svg",
        "api/deliveries",
        "api/search/q=ada",
        "api/none",
        "none",
    ];
    let paths = paths.into_iter().map(str::to_owned).chain(of_one);
    let good = paths.map(|path| (page.get(&path), path));
    let host = page.host();
    let bad = [
        (page.raw("GET", "/", &[("host", &host)], b""), "no token".to_owned()),
        (page.raw("GET", &page.path(""), &[("host", "attacker.example")], b""), "another host".to_owned()),
        (page.raw("POST", &page.path("api/deliveries"), &[("host", &host)], b""), "no origin".to_owned()),
        (page.raw("PUT", &page.path(""), &[("host", &host)], b""), "another method".to_owned()),
        (page.send(id(&listed[0]), &json!("no request")), "a bad request".to_owned()),
    ];
    for (response, what) in good.chain(bad) {
        let policy = response.header("content-security-policy").unwrap_or_else(|| panic!("{what}"));
        for part in [
            "default-src 'none';",
            "script-src 'self';",
            "style-src 'self';",
            "connect-src 'self';",
            "base-uri 'none';",
            "form-action 'none';",
            "frame-ancestors 'none';",
            "require-trusted-types-for 'script';",
        ] {
            assert!(policy.contains(part), "{what}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http"), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(response.header(name), Some(value), "{what}");
        }
        assert!(!response.headers.iter().any(|(name, _)| name.starts_with("access-control") || name == "set-cookie"));
    }
    // A browser never renders the content of a delivery.
    for part in ["/body", "/capture"] {
        let response = page.get(&format!("{one}{part}"));
        assert_eq!(response.header("content-type"), Some("application/octet-stream"));
        assert_eq!(response.header("content-disposition"), Some("attachment"));
    }
}

#[test]
fn the_page_has_nothing_inline() {
    let html = include_str!("../../src/bin/twenty-webhook/listen/ui/page/index.html");
    for tag in html.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap();
        assert!(!tag.starts_with("style"), "{tag}");
        assert!(!tag.starts_with("script") || tag.contains("src=\"app.js\""), "{tag}");
        assert!(!tag.contains(" style=") && !tag.contains(" on"), "{tag}");
        assert!(!tag.contains("http:") && !tag.contains("https:") && !tag.contains("//"), "{tag}");
    }
    let scripts = [
        include_str!("../../src/bin/twenty-webhook/listen/ui/page/app.js"),
        include_str!("../../src/bin/twenty-webhook/listen/ui/page/dom.js"),
        include_str!("../../src/bin/twenty-webhook/listen/ui/page/json.js"),
        include_str!("../../src/bin/twenty-webhook/listen/ui/page/tree.js"),
    ];
    for script in scripts {
        for word in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "Function(",
            "DOMParser",
            "srcdoc",
        ] {
            assert!(!script.contains(word), "{word}");
        }
    }
}

#[test]
fn without_the_token_every_path_is_404() {
    let (_program, _, page, upstream) = with_target();
    let listed = page.deliveries();
    let (token, other) = (&*page.token, "0".repeat(64));
    assert!(token.len() == 64 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "128 bits or more");
    let mut wrong = token.to_owned();
    let last = if wrong.pop() == Some('0') { '1' } else { '0' };
    wrong.push(last);
    let upper = token.to_uppercase();
    let encoded = token.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    let send = format!("api/deliveries/{}/send", id(&listed[0]));
    let (host, origin) = (page.host(), page.origin());
    let headers = [("host", &*host), ("origin", &origin), ("content-type", "application/json")];
    for prefix in ["", &other, &wrong, &upper, &encoded, &token[..63], &format!("{token}0"), &format!("x/{token}")] {
        for path in ["", "index.html", "app.js", "api/deliveries", "api/events", "api/search/q=ada", &send] {
            for method in ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS"] {
                let slash = if prefix.is_empty() { "" } else { "/" };
                let response = page.raw(method, &format!("/{prefix}{slash}{path}"), &headers, br#"{"signAnew":true}"#);
                let where_ = format!("{method} /{prefix}{slash}{path}: {}", response.status);
                assert_eq!(response.status, 404, "{where_}");
                assert!(!response.text().contains(token) && !response.text().contains("Ada"), "{where_}");
            }
        }
    }
    assert_eq!(upstream.requests().len(), 1);
}

/// The page of an attacker, whose name now resolves to this machine.
#[test]
fn dns_rebinding_reaches_nothing() {
    let (_program, _, page, _upstream) = with_target();
    let port = page.address.port();
    let localhost = format!("localhost:{port}");
    for host in ["localhost", "127.0.0.1", &localhost, &page.host(), "[::1]"] {
        assert_eq!(page.raw("GET", &page.path("api/deliveries"), &[("host", host)], b"").status, 200, "{host}");
    }
    let named = format!("attacker.example:{port}");
    for host in [
        "attacker.example",
        &named,
        "localhost.attacker.example",
        "127.0.0.1.attacker.example",
        "127.0.0.1@attacker.example",
        "192.0.2.7",
        "",
    ] {
        for path in ["", "app.js", "api/deliveries", "api/events"] {
            let response = page.raw("GET", &page.path(path), &[("host", host)], b"");
            assert_eq!(response.status, 403, "{host} {path}");
            assert!(!response.text().contains("Ada"));
        }
    }
    let absolute = format!("http://{}{}", page.host(), page.path("api/deliveries"));
    assert_eq!(page.raw("GET", &absolute, &[("host", &page.host())], b"").status, 403);
    let twice = [("host", "localhost"), ("host", "attacker.example")];
    assert!(matches!(page.raw("GET", &page.path("api/deliveries"), &twice, b"").status, 400 | 403));
}

/// Each of these is a request that another site's page could make a browser send if it knew the
/// token.
#[test]
fn another_site_changes_nothing() {
    let (_program, _, page, upstream) = with_target();
    let listed = page.deliveries();
    let path = page.path(&format!("api/deliveries/{}/send", id(&listed[0])));
    let (host, origin) = (page.host(), page.origin());
    let (host, own) = (("host", &*host), ("origin", &*origin));
    let (json, site) = (("content-type", "application/json"), ("sec-fetch-site", "same-origin"));
    let other_port = format!("http://127.0.0.1:{}", page.address.port().wrapping_add(1));
    type Attack<'a> = (&'a str, Vec<(&'a str, &'a str)>, u16);
    let attacks: [Attack<'_>; 11] = [
        ("no origin", vec![host, site, json], 403),
        ("another origin", vec![host, ("origin", "http://attacker.example"), json], 403),
        ("an opaque origin", vec![host, ("origin", "null"), json], 403),
        ("another port of this machine", vec![host, ("origin", &other_port), json], 403),
        ("https", vec![host, ("origin", "https://127.0.0.1"), json], 403),
        ("two origins", vec![host, own, ("origin", "http://attacker.example"), json], 403),
        ("cross-site", vec![host, own, ("sec-fetch-site", "cross-site"), json], 403),
        ("same-site", vec![host, own, ("sec-fetch-site", "same-site"), json], 403),
        ("a form", vec![host, own, site, ("content-type", "application/x-www-form-urlencoded")], 415),
        ("text", vec![host, own, site, ("content-type", "text/plain")], 415),
        ("no type", vec![host, own, site], 415),
    ];
    for (what, headers, expected) in attacks {
        let response = page.raw("POST", &path, &headers, br#"{"signAnew":true}"#);
        assert_eq!(response.status, expected, "{what}: {}", response.text());
    }
    for method in ["GET", "HEAD", "PUT", "OPTIONS", "DELETE"] {
        let response = page.raw(method, &path, &[host, own, site, json], br#"{"signAnew":true}"#);
        assert_eq!(response.status, 405, "{method}");
    }
    assert_eq!(upstream.requests().len(), 1, "only the delivery itself");
    assert_eq!(page.raw("POST", &path, &[host, own, site, json], br#"{"signAnew":true}"#).status, 200);
    assert_eq!(upstream.requests().len(), 2);
}

/// Another site can read nothing, not even by including a response as a script.
#[test]
fn another_site_reads_nothing() {
    let (_program, _, page, _upstream) = with_target();
    let host = page.host();
    for header in
        [("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-site"), ("origin", "http://attacker.example")]
    {
        for path in ["app.js", "json.js", "style.css", "icon.svg", "api/deliveries", "api/events", "api/search/q=ada"] {
            let response = page.raw("GET", &page.path(path), &[("host", &host), header], b"");
            assert_eq!(response.status, 403, "{header:?} {path}");
        }
    }
    // A user may follow a link to the page.
    assert_eq!(page.raw("GET", &page.path(""), &[("host", &host), ("sec-fetch-site", "cross-site")], b"").status, 200);
}

#[test]
fn the_receivers_address_has_no_page() {
    let (program, url, page, _upstream) = with_target();
    let address = url.strip_prefix("http://").unwrap().split('/').next().unwrap().parse().unwrap();
    let receiver = Page { address, token: page.token.clone() };
    for path in ["", "app.js", "api/deliveries"] {
        let response = receiver.get(path);
        assert_eq!(response.status, 401, "{path}");
        assert!(response.body.is_empty());
    }
    drop(program);
}

/// The responses contain neither given, previous nor generated secrets, nor credentials of a proxy.
#[test]
fn no_response_has_a_secret() {
    let upstream = Upstream::start(200, Duration::ZERO);
    let arguments = ["--ui", "--forward-to", &upstream.url];
    let variables = [("TWENTY_WEBHOOK_SECRET", "given-secret"), ("TWENTY_WEBHOOK_PREVIOUS_SECRET", "previous-secret")];
    let (mut given, given_url) = listen_with(&arguments, &variables);
    let (mut new, new_url) = listen_with(&arguments, &[]);
    let (mut on_the_line, line_url) = listen_with(&[&arguments[..], &["--secret", "line-secret"]].concat(), &[]);
    new.until("it shows its secret", |program| program.log().contains("here is a new one: "));
    let new_secret = new.log().split_once("here is a new one: ").unwrap().1.lines().next().unwrap().to_owned();
    assert_eq!(new_secret.len(), 64);
    for signing in ["given-secret", "previous-secret", &*new_secret, "line-secret"] {
        let (program, url) = match signing {
            "line-secret" => (&mut on_the_line, &line_url),
            signing if signing == new_secret => (&mut new, &new_url),
            _ => (&mut given, &given_url),
        };
        let page = Page::of(program);
        let before = page.deliveries().len();
        let credentials = "authorization: Bearer credential\ncookie: credential\nproxy-authorization: credential\n";
        let headers = Signer::new(signing).unwrap().sign(ada().body()).pairs();
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        let capture = [credentials.as_bytes(), headers.as_bytes(), b"\n", ada().body()].concat();
        assert_eq!(super::run_with(&["replay", "-", "--to", url], &[], &capture).code, 0);
        // This delivery is signed with another secret, so that there is a diagnosis.
        post(url, &Signer::new(format!("{signing} ")).unwrap(), ada().body());
        page.last_of(program, before + 2);
        let mut answers: Vec<String> =
            ["", "app.js", "json.js", "api/deliveries"].iter().map(|path| page.get(path).text()).collect();
        for delivery in page.deliveries() {
            for request in [json!({"signAnew": true}), json!({"signAnew": false, "body": "{\"a\":1}"})] {
                answers.push(page.send(id(&delivery), &request).text());
            }
        }
        for delivery in page.deliveries() {
            for part in ["", "/body", "/curl", "/test", "/capture"] {
                answers.push(page.get(&format!("api/deliveries/{}{part}", id(&delivery))).text());
            }
        }
        assert!(answers.iter().any(|answer| answer.contains("Lovelace")));
        let found = page.get(&format!("api/search/q={signing}")).json();
        assert_eq!(found["ids"], json!([]));
        for secret in [
            "given-secret",
            "previous-secret",
            "line-secret",
            &new_secret,
            "credential,",
            "credential\"",
            "credential'",
            "Bearer",
        ] {
            assert!(!answers.iter().any(|answer| answer.contains(secret)), "{secret}");
        }
    }
    // The header was forwarded nevertheless.
    assert!(upstream.requests()[0].header("authorization").is_some());
}

/// Otherwise everyone who can post could make the listener sign.
#[test]
fn an_unverified_delivery_gets_no_signature() {
    let (mut program, url, page, upstream) = with_target();
    for (count, &forgery) in Forgery::ALL.iter().enumerate() {
        run(&["send", "person.created", "--forge", forgery.as_str(), "--to", &url]);
        let forged = page.last_of(&mut program, 2 + count);
        let before = upstream.requests().len();
        if forged["verified"] == true {
            // Anyone can send a duplicate.
            continue;
        }
        for request in [json!({"signAnew": true}), json!({"signAnew": false}), json!({"signAnew": true, "body": "{}"})]
        {
            assert_eq!(page.send(id(&forged), &request).status, 409, "{forgery:?}");
        }
        assert_eq!(upstream.requests().len(), before);
    }
}

#[test]
fn sends_again_unchanged_or_edited_with_a_new_signature() {
    let (_program, _, page, upstream) = with_target();
    let original = &page.deliveries()[0];
    let first = &upstream.requests()[0];
    let sent = |request: Value| {
        let answer = page.send(id(original), &request).json();
        let summary = page.deliveries().into_iter().find(|delivery| delivery["id"] == answer["id"]).unwrap();
        (summary, upstream.requests().pop().unwrap())
    };
    let verifier = Verifier::new(SECRET).unwrap();
    let signature =
        |request: &super::upstream::Request| request.header("x-twenty-webhook-signature").unwrap().to_owned();

    let (summary, request) = sent(json!({"signAnew": false}));
    assert_eq!((&request.body, signature(&request)), (&first.body, signature(first)));
    assert_eq!(
        [&summary["source"], &summary["edited"], &summary["signedAnew"]],
        [&json!("sent"), &json!(false), &json!(false)]
    );

    let edited = ada().set("record.jobTitle", "CTO").unwrap();
    let text = String::from_utf8(edited.body().to_vec()).unwrap();
    // The request asks for no new signature, but an edited delivery always gets one.
    let (summary, request) = sent(json!({"signAnew": false, "body": text}));
    assert_eq!(request.body, edited.body()[..]);
    let headers = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    assert!(verifier.verify(headers, request.body.clone()).is_ok());
    assert_eq!(
        [&summary["edited"], &summary["signedAnew"], &summary["origin"]],
        [&json!(true), &json!(true), &original["id"]]
    );
    assert_eq!((&summary["forwarded"]["status"], &summary["status"]), (&json!(200), &Value::Null));
    assert!(page.details(id(&summary))["previous"].is_string());

    // A body that is no longer an event is sent, too, and can be edited again.
    let (summary, request) = sent(json!({"signAnew": true, "body": "no JSON"}));
    assert_eq!(request.body, b"no JSON");
    assert!(summary["rejection"].as_str().unwrap().contains("JSON"), "{summary}");
    assert_eq!(page.details(id(&summary))["sendable"], true);

    for request in
        [json!({}), json!({"signAnew": 1}), json!({"signAnew": true, "url": "http://attacker.example/"}), json!([])]
    {
        assert_eq!(page.send(id(original), &request).status, 400, "{request}");
    }
    assert_eq!(page.send("none", &json!({"signAnew": true})).status, 404);
    assert_eq!(upstream.requests().len(), 4);
}

#[test]
fn the_command_on_the_page_works_in_a_shell() {
    let directory = Directory::new();
    let secret = directory.file("the user's secret.txt", SECRET);
    let (mut program, _) = listen(&["--ui", "--secret-file", &secret]);
    let page = Page::of(&mut program);
    let command = page.get("api/deliveries").json()["send"].as_str().unwrap().to_owned();
    let done = std::process::Command::new("bash").args(["-c", &command]).output().unwrap();
    assert!(done.status.success(), "{command}: {done:?}");
}

#[test]
fn without_a_target_the_page_sends_nothing() {
    let (mut program, url) = listen(&["--ui"]);
    let page = Page::of(&mut program);
    send(&url, &ada());
    let first = page.last_of(&mut program, 1);
    assert_eq!(page.details(id(&first))["sendable"], false);
    assert_eq!(page.send(id(&first), &json!({"signAnew": true})).status, 409);
    let about = page.get("api/deliveries").json();
    assert_eq!(about["forwardTo"], Value::Null);
    for path in ["api/redrive", "api/purge", &format!("api/deliveries/{}/purge", id(&first))] {
        assert_eq!(page.post(path, &json!({})).status, 404, "there is no inbox");
    }
    let send = about["send"].as_str().unwrap();
    assert!(send.ends_with(&format!(" send person.created --to {url}")), "{send}");
}

#[test]
fn a_delivery_is_copied_in_forms_that_the_tool_reads() {
    let directory = Directory::new();
    let (_program, url, page, _upstream) = with_target();
    let one = format!("api/deliveries/{}", id(&page.deliveries()[0]));
    for form in ["curl", "capture"] {
        let copy = page.get(&format!("{one}/{form}"));
        assert_eq!(copy.status, 200);
        let file = directory.file(form, &copy.body);
        let done = run(&["verify", &file]);
        assert_eq!(done.code, 0, "{form}: {done:?}");
    }
    let curl = page.get(&format!("{one}/curl")).text();
    assert!(curl.starts_with(&format!("curl --globoff '{url}'")), "{curl}");
    let test = page.get(&format!("{one}/test")).text();
    assert!(test.contains(&format!("from_body(r#\"{}\"#)", String::from_utf8_lossy(ada().body()))), "{test}");
}

#[test]
fn searches_in_everything() {
    let (mut program, url, page, _upstream) = with_target();
    assert_eq!(send(&url, &ada().set("record.intro", "Größe / 100% ../..").unwrap()), 0);
    let second = page.last_of(&mut program, 2);
    for (text, count) in [
        ("gr%C3%96sse", 0),
        ("GR%C3%96%C3%9FE", 1),
        ("%2F%20100%25%20", 1),
        ("..%2F..", 1),
        ("person.updated", 2),
        ("X-TWENTY-WEBHOOK-TIMESTAMP", 2),
        ("nowhere", 0),
    ] {
        let found = page.get(&format!("api/search/q={text}")).json();
        let ids = found["ids"].as_array().unwrap();
        assert_eq!(ids.len(), count, "{text}");
        assert!(count != 1 || ids[0] == second["id"]);
    }
    for segment in ["q=", "x", &format!("q={}", "a".repeat(1_001))] {
        assert_eq!(page.get(&format!("api/search/{segment}")).status, 400, "{segment}");
    }
}

#[test]
fn duplicates_do_not_displace_verified_deliveries() {
    const BOUND: usize = 1_000;
    let (mut program, url) = listen(&["--ui"]);
    let page = Page::of(&mut program);
    send(&url, &Delivery::sample("company.created"));
    let captured = ada().sign(&Signer::new(SECRET).unwrap());
    let headers: String = captured.headers().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = captured.body().len();
    let head = format!("POST / HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {length}\r\n\r\n");
    let request = [head.as_bytes(), captured.body()].concat();
    let mut connection = TcpStream::connect(program.address()).unwrap();
    let mut answers = BufReader::new(connection.try_clone().unwrap());
    for _ in 0..BOUND + 10 {
        connection.write_all(&request).unwrap();
        let mut lines = answers.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty());
        assert_eq!(lines.next().as_deref(), Some("HTTP/1.1 200 OK"));
        lines.for_each(drop);
    }
    let count = |name: &str| page.deliveries().iter().filter(|delivery| delivery["event"] == name).count();
    // The delivery itself and its newest duplicates are kept.
    program.until("the oldest duplicates are dropped", |_| page.get("api/deliveries").json()["dropped"] == 9);
    assert_eq!((count("company.created"), count("person.updated")), (1, 1 + BOUND));
}

/// Names, fields and causes can be as long as a body, but a row of the list is short.
#[test]
fn long_texts_do_not_make_the_list_long() {
    let (mut program, url) = listen(&["--ui"]);
    let page = Page::of(&mut program);
    let long = "x".repeat(500_000);
    let delivery = ada().set("record.name.firstName", &long).unwrap();
    let delivery = delivery.set("eventName", &long).unwrap();
    let delivery = delivery.set("updatedFields", vec!["field"; 10_000]).unwrap();
    assert_eq!(send(&url, &delivery), 0);
    let row = page.last_of(&mut program, 1);
    assert!(row.to_string().len() < 2_000, "{row}");
    assert!(page.get(&format!("api/deliveries/{}", id(&row))).body.len() < 30_000);
    assert_eq!(page.get(&format!("api/deliveries/{}/body", id(&row))).body, delivery.body()[..]);
}

/// Saved deliveries are shown after a restart, with the same ids and verdicts.
#[test]
fn saved_deliveries_are_shown_after_a_restart() {
    let directory = Directory::new();
    let captures = directory.path("captures");
    let options = ["--ui", "--save", &captures];
    let (mut first, url) = listen(&options);
    let page = Page::of(&mut first);
    send(&url, &ada());
    send(&url, &ada().set("record.jobTitle", "CTO").unwrap());
    run(&["send", "person.created", "--forge", Forgery::Stale.as_str(), "--to", &url]);
    // This one is verified, but not an event.
    run(&["send", &directory.file("no-event.json", "no JSON"), "--to", &url]);
    page.last_of(&mut first, 4);
    let mut before = page.deliveries();
    let causes = page.details(id(&before[2]))["causes"].clone();
    assert!(!causes[0].is_null());
    first.terminate();
    directory.file("captures/1790932471733-0123456789ab.http", "no capture");

    let (mut second, url) = listen(&options);
    let page = Page::of(&mut second);
    page.last_of(&mut second, 4);
    let mut after = page.deliveries();
    for list in [&mut before, &mut after] {
        for delivery in list {
            // A capture does not contain the earlier response.
            for name in ["source", "status"] {
                delivery.as_object_mut().unwrap().remove(name);
            }
        }
    }
    assert_eq!(before, after);
    assert_eq!(page.deliveries()[0]["source"], "saved");
    assert_eq!(page.details(id(&after[2]))["causes"], causes);
    assert_eq!(page.details(id(&after[1]))["previous"], after[0]["id"]);
    second.until("it reports the unreadable capture", |program| {
        program.log().contains("could not be read, and are not shown: 1")
    });
    // A duplicate shares the capture of the first delivery, and has its own id.
    let file = format!("{captures}/{}.http", id(&after[0]));
    assert_eq!(run(&["replay", &file, "--to", &url]).code, 0);
    let duplicate = page.last_of(&mut second, 5);
    assert_ne!(duplicate["id"], after[0]["id"]);
}

#[test]
fn listens_on_loopback_by_default() {
    let (mut program, _) = listen(&["--ui"]);
    assert!(Page::of(&mut program).address.ip().is_loopback());
    assert!(!program.log().contains("not only on this machine"));
    let (mut program, _) = listen(&["--ui", "--ui-addr", "0.0.0.0:0"]);
    let page = Page::of(&mut program);
    program.until("it warns", |program| program.log().contains("not only on this machine: whoever learns its address"));
    let get = |host: &str| page.raw("GET", &page.path(""), &[("host", host)], b"").status;
    assert_eq!(
        [get("192.0.2.7"), get("localhost"), get("attacker.example"), get("devbox.local")],
        [200, 200, 403, 403]
    );
    let (mut program, _) = listen(&["--ui", "--ui-addr", "localhost:0"]);
    assert_eq!(Page::of(&mut program).get("").status, 200);

    assert_eq!(run(&["listen", "--addr", "127.0.0.1:0", "--ui-addr", ":0"]).code, 2, "not without --ui");
    let taken = page.address.port().to_string();
    let done = run(&["listen", "--addr", "127.0.0.1:0", "--ui", "--ui-addr", &format!("127.0.0.1:{taken}")]);
    assert!(done.code == 2 && done.log.contains("--ui-addr") && done.log.contains("cannot listen"), "{done:?}");
}

#[test]
fn an_open_page_does_not_delay_shutdown() {
    let (mut program, url) = listen(&["--ui"]);
    let page = Page::of(&mut program);
    let mut stream = TcpStream::connect(page.address).unwrap();
    write!(stream, "GET {} HTTP/1.1\r\nhost: {}\r\n\r\n", page.path("api/events"), page.host()).unwrap();
    send(&url, &ada());
    lines(&mut program, 1);
    assert!(program.terminate().success());
}

//! Checks that the page matches the code.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path, time::Duration};

use crate::{
    Verifier, WebhookEvent,
    deduplicate::{StoreError, StoreErrorKind},
    diagnose::{Cause, Rewriting, SecretEncoding},
    event::{FromRecord, record::Person},
    receiver::{Refusal, RefusalKind, WebhookRejection},
    testing::Delivery,
    verify::{Signer, VerifyErrorKind},
};

const PAGE: &str = include_str!("../../docs/troubleshooting.md");

/// A value of each variant; does not compile when one is missing.
macro_rules! all {
    ($Enum:ident: $($Variant:ident $(($field:expr))? $({ $($name:ident: $value:expr),* })?),* $(,)?) => {{
        let _is_exhaustive = |value: &$Enum| match value {
            $($Enum::$Variant { .. } => {})*
        };
        [$($Enum::$Variant $(($field))? $({ $($name: $value),* })?),*]
    }};
}

fn refusals() -> impl Iterator<Item = Refusal> {
    let unverified = all!(VerifyErrorKind:
        Unsigned, MissingSignature, MissingTimestamp, RepeatedSignature, RepeatedTimestamp, MalformedSignature,
        MalformedTimestamp, TimestampInSeconds, TooOld, FromTheFuture, BodyTooLong, SignatureMismatch,
    );
    let all = all!(RefusalKind:
        Verify(VerifyErrorKind::Unsigned), ContentEncoding, BodyTruncated, BodyTimeout, OtherWorkspace, OtherWebhook,
        UnknownTenant, ResolverFailed, Overloaded, BeingHandled, OtherRoute, StoreFailed, BackgroundFull,
        Draining, Nested,
    );
    unverified.into_iter().map(Refusal::from).chain(all.into_iter().map(Refusal::from))
}

fn rejections() -> [WebhookRejection; 8] {
    #[derive(Debug, serde::Deserialize)]
    struct Chain(#[expect(dead_code, reason = "only its name is read")] Option<Box<Chain>>);

    #[derive(Debug, serde::Deserialize)]
    #[serde(rename = "exam")]
    struct Score {
        #[expect(dead_code, reason = "only its name is read")]
        score: u8,
    }
    fn rejected<T: FromRecord>(delivery: &Delivery) -> WebhookRejection {
        let signed = delivery.sign(&Signer::new("secret").unwrap());
        let verified = Verifier::new("secret").unwrap().verify(signed.headers(), signed.body().clone()).unwrap();
        WebhookEvent::<T>::from_verified(verified).map(drop).unwrap_err().into()
    }
    let _is_exhaustive = |rejection: &WebhookRejection| match rejection {
        WebhookRejection::MissingMiddleware
        | WebhookRejection::Event(_)
        | WebhookRejection::InboxBehindManaged
        | WebhookRejection::NotStored => {}
    };
    [
        WebhookRejection::MissingMiddleware,
        WebhookRejection::InboxBehindManaged,
        WebhookRejection::NotStored,
        rejected::<Score>(&Delivery::from_body("<event/>")),
        rejected::<Score>(&Delivery::from_body(r#"{"eventName":"exam.updated","record":{"score":"A"}}"#)),
        rejected::<Score>(&Delivery::from_body(r#"{"eventName":"exam.updated","record":{}}"#)),
        rejected::<Person>(&Delivery::sample("company.created")),
        rejected::<Chain>(&Delivery::sample("company.created")),
    ]
}

fn causes() -> Vec<Cause> {
    let name = || "HTTP_X_TWENTY_WEBHOOK_SIGNATURE".into();
    all!(Cause:
        Unsigned, MissingSignature, MissingTimestamp, HeadersRenamed { found: name() },
        OtherHeaderPrefix { found: "x-aston-webhook-signature".into() }, RepeatedSignature, RepeatedTimestamp,
        MalformedSignature, SignaturePrefixed { prefix: "sha256=" }, SignatureUpperCase, SignatureBase64,
        MalformedTimestamp, TimestampInSeconds, SignedInSeconds, SignedWithSeparator { separator: "." },
        SignedWithNonce, SignedWithoutTimestamp, SecretPadded, SecretQuoted, SecretNamed, SecretPrefixed, SecretLetterCase,
        SecretTrimmed,
        SecretEncoded { encoding: SecretEncoding::Hex }, SecretDecoded { encoding: SecretEncoding::Hex },
        OtherKeys { id: "acme".into() }, NewlineAdded, NewlineCut, ByteOrderMarkAdded, ByteOrderMarkCut,
        NulAdded, LineEndsChanged, BodyRewritten { what: Rewriting::Spaces }, SignedWithSpaces, SignedStringifiedTwice,
        BodyStringifiedTwice, CharactersReencoded, BodyPercentEncoded, BodyBase64, BodyEscaped,
        BodyInsideOfJson, BodyUtf16, BodyEmpty, BodyIncomplete { received: 1024 }, BodyNotJson { at: 1024 },
        BodyHasReplacements,
        BodyCompressed { coding: "gzip" }, BodyDecompressed { coding: "gzip" },
        BodyLengthChanged { declared: 1577, received: 1024 }, BodyTooLong { received: 3_000_000, limit: 2_097_152 },
        TooOld { age: Duration::from_secs(3600) }, FromTheFuture { ahead: Duration::from_secs(3600) },
        TestTool { tool: "curl" }, Unexplained,
    )
    .into()
}

/// The cells of the page's tables.
fn rows() -> impl Iterator<Item = Vec<&'static str>> {
    let lines = PAGE.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    lines.map(|line| line.split('|').map(str::trim).collect())
}

/// Asserts that there is a row with this status or level and this text, and with advice.
#[track_caller]
fn assert_has_row(first: &str, second: &str) {
    let mut rows = rows().filter(|row| row.first() == Some(&first) && row.get(1).is_some_and(|cell| *cell == second));
    let row = rows.next();
    assert!(row.is_some_and(|row| row.get(2).is_some_and(|cell| !cell.is_empty())), "| {first} | {second} | … |");
    assert!(rows.next().is_none(), "twice: | {first} | {second} |");
}

#[test]
fn each_refusal_has_a_row() {
    for refusal in refusals().collect::<Vec<_>>().iter() {
        assert_has_row(&refusal.status().to_string(), &refusal.to_string());
    }
    for rejection in rejections() {
        assert_has_row(&rejection.status().to_string(), &rejection.to_string());
    }
}

#[test]
fn only_statuses_of_the_table_have_rows() {
    let is_status = |cell: &&str| cell.len() == 3 && cell.bytes().all(|byte| byte.is_ascii_digit());
    let table = include_str!("../receiver/mod.rs").lines().filter_map(|line| line.strip_prefix("//! | "));
    // The last word of three digits is the status: "waits for it; 409 when another duplicate
    // already waits".
    let answers = table.filter_map(|row| row.split('|').nth(1)?.split([' ', ',']).rfind(is_status));
    let documented: BTreeSet<_> = answers.collect();
    let here: BTreeSet<_> = rows().filter_map(|row| row.first().copied()).filter(is_status).collect();
    assert!(documented.len() > 10, "{documented:?}");
    assert_eq!(here, documented);
}

/// Returns the text between the first parenthesis and the one that closes it.
fn arguments(call: &str) -> &str {
    let (mut depth, mut is_text) = (0, false);
    let end = call.find(|c| {
        match c {
            '"' => is_text = !is_text,
            '(' if !is_text => depth += 1,
            ')' if !is_text => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    &call[..end.expect("a closing parenthesis")]
}

/// Returns level and text of all calls of `tracing` macros in the source.
fn log_lines() -> BTreeSet<(&'static str, String)> {
    fn sources(dir: &Path, text: &mut String) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.extension() {
                _ if path.is_dir() => sources(&path, text),
                Some(extension) if extension == "rs" => *text += &fs::read_to_string(path).unwrap(),
                _ => {}
            }
        }
    }
    let mut source = String::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut source);

    let mut lines = BTreeSet::new();
    for level in ["error", "warn", "info", "debug", "trace"] {
        for call in source.split(&format!("tracing::{level}!")).skip(1) {
            let text = arguments(call).rsplit('"').nth(1).expect("a text");
            lines.insert((level, text.to_owned()));
        }
    }
    lines
}

#[test]
fn each_line_of_the_log_has_a_row() {
    let lines = log_lines();
    assert!(lines.len() > 10, "{lines:?}");
    for (level, text) in lines {
        match (level, &*text) {
            ("error", "{error}") => {
                let kinds = all!(StoreErrorKind: Settings, Timeout, Connection, Refused, Full, Unexpected);
                kinds.into_iter().for_each(|kind| assert_has_row(level, &StoreError::from(kind).to_string()));
            }
            ("error", "{self}") => assert_has_row(level, &WebhookRejection::MissingMiddleware.to_string()),
            ("debug", "{}") => ["handled", "duplicate"].into_iter().for_each(|label| assert_has_row(level, label)),
            _ => match text.split_once('{') {
                Some((before, _)) => assert_has_row(level, &format!("{before}…")),
                None => assert_has_row(level, &text),
            },
        }
    }
}

#[test]
fn each_cause_has_a_row() {
    const HEAD: &str = "| `Cause` | says | what to do |\n|---|---|---|\n";
    let mut table = HEAD.to_owned();
    for cause in causes() {
        let shown = format!("{cause:?}");
        let name = shown.split(' ').next().unwrap();
        let advice = cause.advice().replace('<', r"\<").replace('*', r"\*");
        writeln!(table, "| `{name}` | {cause} | {advice} |").unwrap();
    }

    let (before, rest) = PAGE.split_once(HEAD).expect("the head of the table");
    let (_, after) = rest.split_once("\n## ").expect("the next section");
    let page = format!("{before}{table}\n## {after}");
    if std::env::var_os("UPDATE_TROUBLESHOOTING").is_some() {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/troubleshooting.md"), &page).unwrap();
    }
    assert!(PAGE == page, "run the tests with UPDATE_TROUBLESHOOTING=1");
}

#[test]
fn links_lead_somewhere() {
    let anchor = |heading: &str| heading.to_lowercase().replace(' ', "-").replace(',', "");
    let headings: BTreeSet<_> = PAGE.lines().filter_map(|line| line.strip_prefix("## ")).map(anchor).collect();
    let links = PAGE.split("](#").skip(1).filter_map(|rest| rest.split_once(')'));
    let mut count = 0;
    for (link, _) in links {
        assert!(headings.contains(link), "{link}: {headings:?}");
        count += 1;
    }
    assert!(count > 10);
}

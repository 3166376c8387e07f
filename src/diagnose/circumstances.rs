//! Plain facts about a delivery whose signature no hypothesis explains.

use serde::de::IgnoredAny;
use serde_json::error::Category;

use super::{Capture, Cause, Rewriting, json};

/// Returns the facts that keep a signature from matching, or [`Cause::Unexplained`] if there are
/// none.
pub(super) fn of(capture: &Capture<'_>, body: &[u8]) -> Vec<Cause> {
    let mut causes = Vec::new();
    let is_comparable = capture.is_comparable();
    if is_comparable {
        causes.extend(ALTERATIONS.iter().find_map(|is_altered| is_altered(capture, body)));
    }
    let is_explained = !is_comparable || !causes.is_empty();
    if is_comparable && has_replacements(body) {
        // The record may have the character itself, so this alone explains nothing.
        causes.push(Cause::BodyHasReplacements);
    }
    causes.extend(tool_by_user_agent(capture).or_else(|| documented_sample(body)).map(|tool| Cause::TestTool { tool }));
    if !is_explained {
        causes.push(Cause::Unexplained);
    }
    causes
}

type Alteration = fn(&Capture<'_>, &[u8]) -> Option<Cause>;

/// Facts which show that the body is not the one that was sent. Only the first fact is reported,
/// because the others follow from it.
const ALTERATIONS: [Alteration; 5] = [empty, compression, order, length, no_json];

fn empty(_: &Capture<'_>, body: &[u8]) -> Option<Cause> {
    body.is_empty().then_some(Cause::BodyEmpty)
}

fn compression(capture: &Capture<'_>, body: &[u8]) -> Option<Cause> {
    const CODINGS: [&str; 5] = ["gzip", "x-gzip", "deflate", "br", "zstd"];
    const MAGIC: [(&[u8], &str); 2] = [(b"\x1f\x8b\x08", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd")];
    if let Some((_, coding)) = MAGIC.into_iter().find(|(magic, _)| body.starts_with(magic)) {
        return Some(Cause::BodyCompressed { coding });
    }
    let declared = capture.header("content-encoding")?;
    let coding = CODINGS.into_iter().find(|coding| declared.eq_ignore_ascii_case(coding.as_bytes()))?;
    let is_json = serde_json::from_slice::<IgnoredAny>(body).is_ok();
    Some(if is_json { Cause::BodyDecompressed { coding } } else { Cause::BodyCompressed { coding } })
}

fn order(_: &Capture<'_>, body: &[u8]) -> Option<Cause> {
    json::reorder(str::from_utf8(body).ok()?)?;
    Some(Cause::BodyRewritten { what: Rewriting::Order })
}

/// Reports a body that is not JSON. Twenty sends JSON that every parser accepts, so a deep nesting
/// is not reported.
fn no_json(_: &Capture<'_>, body: &[u8]) -> Option<Cause> {
    let error = serde_json::from_slice::<IgnoredAny>(body).err()?;
    match error.classify() {
        Category::Eof => Some(Cause::BodyIncomplete { received: body.len() }),
        Category::Syntax if !error.to_string().starts_with("recursion limit") => {
            Some(Cause::BodyNotJson { at: offset(body, error.line(), error.column()) })
        }
        _ => None,
    }
}

/// Returns the position of the byte at this line and column, both counted from 1.
fn offset(text: &[u8], line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive(|byte| *byte == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    before.saturating_add(column.saturating_sub(1)).min(text.len())
}

fn has_replacements(body: &[u8]) -> bool {
    "\u{fffd}".as_bytes().first().is_some_and(|first| body.contains(first))
        && body.windows(3).any(|window| window == "\u{fffd}".as_bytes())
}

fn length(capture: &Capture<'_>, body: &[u8]) -> Option<Cause> {
    let declared: u64 = str::from_utf8(capture.header("content-length")?).ok()?.parse().ok()?;
    let received = body.len();
    (u64::try_from(received) != Ok(declared)).then_some(Cause::BodyLengthChanged { declared, received })
}

/// Recognises a test tool by its user agent. Twenty's user agent is axios.
fn tool_by_user_agent(capture: &Capture<'_>) -> Option<&'static str> {
    const TOOLS: [(&str, &str); 11] = [
        ("curl/", "curl"),
        ("Wget/", "Wget"),
        ("HTTPie/", "HTTPie"),
        ("PostmanRuntime/", "Postman"),
        ("insomnia/", "Insomnia"),
        ("bruno-runtime/", "Bruno"),
        ("Thunder Client", "Thunder Client"),
        ("vscode-restclient", "REST Client of VS Code"),
        ("IntelliJ HTTP Client", "IntelliJ's HTTP client"),
        ("python-requests/", "Python's requests"),
        ("python-httpx/", "Python's httpx"),
    ];
    let user_agent = capture.header("user-agent")?;
    let is_from =
        |start: &str| user_agent.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start.as_bytes()));
    TOOLS.into_iter().find_map(|(start, tool)| is_from(start).then_some(tool))
}

/// Recognises the documentation's sample. No server sends it, but people test their receivers with
/// it.
fn documented_sample(body: &[u8]) -> Option<&'static str> {
    const IN_SAMPLE: [&str; 2] = ["\"abc12345\"", "\"alice@example.com\""];
    let has = |text: &str| body.windows(text.len()).any(|window| window == text.as_bytes());
    IN_SAMPLE.into_iter().all(has).then_some("the sample in Twenty's documentation")
}

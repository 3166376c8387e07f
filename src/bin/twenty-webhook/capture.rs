//! A captured delivery in one file: an HTTP/1.1 request with its headers, a blank line, and the raw
//! bytes of the body.
//!
//! ```text
//! POST /webhooks/twenty HTTP/1.1
//! captured-at: 2026-10-02T09:14:31.801Z
//! content-type: application/json
//! x-twenty-webhook-timestamp: 1790932471733
//! x-twenty-webhook-signature: db637a878ed8…
//! content-length: 1153
//!
//! {"targetUrl":"…
//! ```
//!
//! Requests that other tools wrote can be read as well: lines may end with a line feed alone, the
//! file may begin with a byte order mark, and the request line and `content-length` may be missing.

use std::fmt;

/// The header with the time of the capture. It exists only in the file.
const CAPTURED_AT: &str = "captured-at";

/// Headers whose values are not saved. People who read captures do not need them, and receivers of
/// webhooks do not require them.
const CREDENTIALS: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// Headers that described how the body was transferred, which do not apply to the file.
pub(crate) const FRAMING: [&str; 2] = ["content-length", "transfer-encoding"];

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The maximum length of a head in bytes. Servers accept between 16 KiB and 1 MiB, and the heads of
/// deliveries are much shorter.
pub(crate) const MAX_HEAD: usize = 1 << 20;

/// The maximum number of headers. In memory, a header takes many times its shortest form in a file,
/// and no server accepts so many headers.
pub(crate) const MAX_HEADERS: usize = 1_000;

/// Returns whether a header's value is neither shown nor saved.
pub(crate) fn is_credential(name: &str) -> bool {
    CREDENTIALS.iter().any(|credential| name.eq_ignore_ascii_case(credential))
}

/// A captured delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Capture {
    /// The request's method. `POST` if the file has no request line.
    pub(crate) method: String,
    /// The headers, except those that describe the file: the time of the capture, and the body's
    /// length.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    /// The body as it was received.
    pub(crate) body: Vec<u8>,
    /// When it was received, if the file says so.
    pub(crate) captured_at: Option<jiff::Timestamp>,
}

impl Capture {
    /// Writes a request in the form of a file.
    ///
    /// `target` is the path and query. Headers with credentials are omitted.
    pub(crate) fn write<N: AsRef<str>, V: AsRef<[u8]>>(
        method: &str,
        target: &str,
        headers: impl IntoIterator<Item = (N, V)>,
        body: &[u8],
        captured_at: jiff::Timestamp,
    ) -> Vec<u8> {
        let mut file = format!("{method} {target} HTTP/1.1\r\n{CAPTURED_AT}: {captured_at}\r\n").into_bytes();
        let left_out = |name: &str| {
            let mut others = FRAMING.iter().chain([&CAPTURED_AT]);
            is_credential(name) || others.any(|left_out| name.eq_ignore_ascii_case(left_out))
        };
        for (name, value) in headers {
            if !left_out(name.as_ref()) {
                file.extend([name.as_ref().as_bytes(), b": ", value.as_ref(), b"\r\n"].concat());
            }
        }
        file.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
        file.extend_from_slice(body);
        file
    }

    /// Returns whether a file begins like a capture and not like a body. JSON begins neither with a
    /// request line nor with a header.
    pub(crate) fn is_one(file: &[u8]) -> bool {
        let (line, _) = next_line(without_mark(file)).unwrap_or_default();
        method(line).is_some() || header(line).is_some()
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// If the file is not a capture, or if its head is longer than any server accepts.
    pub(crate) fn parse(file: &[u8]) -> Result<Self, Malformed> {
        Self::parse_with_length(file).map(|(capture, _)| capture)
    }

    /// Reads a file, and also returns whether the head declares the body's length.
    ///
    /// # Errors
    ///
    /// The same as for [`parse`](Self::parse).
    pub(crate) fn parse_with_length(file: &[u8]) -> Result<(Self, bool), Malformed> {
        let mut rest = without_mark(file);
        let head_and_body = rest.len();
        let mut capture = Self { method: "POST".to_owned(), headers: Vec::new(), body: Vec::new(), captured_at: None };
        let mut declared = None;
        for number in 1.. {
            let (line, after) = next_line(rest).ok_or(Malformed::NoBlankLine)?;
            rest = after;
            if head_and_body.saturating_sub(rest.len()) > MAX_HEAD || capture.headers.len() > MAX_HEADERS {
                return Err(Malformed::LongHead);
            }
            if line.is_empty() {
                break;
            }
            if let (1, Some(method)) = (number, method(line)) {
                method.clone_into(&mut capture.method);
                continue;
            }
            let malformed = Malformed::Line(number);
            let (name, value) = header(line).ok_or(malformed)?;
            let text = || std::str::from_utf8(value).map_err(|_| malformed);
            if name.eq_ignore_ascii_case(CAPTURED_AT) {
                capture.captured_at = Some(text()?.parse().map_err(|_| malformed)?);
            } else if name.eq_ignore_ascii_case("content-length") {
                // `parse` alone would accept a sign, too.
                let digits = Some(text()?).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
                let length = digits.and_then(|text| text.parse().ok()).ok_or(malformed)?;
                if declared.replace(length).is_some_and(|before| before != length) {
                    return Err(malformed);
                }
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                return Err(Malformed::Chunked);
            } else {
                capture.headers.push((name.to_owned(), value.to_vec()));
            }
        }
        capture.body = body(rest, declared)?.to_vec();
        Ok((capture, declared.is_some()))
    }
}

/// Returns the body, which must be as long as the head declares. A line break that an editor added
/// at the end is ignored.
fn body(rest: &[u8], declared: Option<usize>) -> Result<&[u8], Malformed> {
    let Some(declared) = declared else { return Ok(rest) };
    let other_length = Malformed::Length { declared, found: rest.len() };
    let (body, behind) = rest.split_at_checked(declared).ok_or(other_length)?;
    if matches!(behind, b"" | b"\n" | b"\r\n") { Ok(body) } else { Err(other_length) }
}

fn without_mark(file: &[u8]) -> &[u8] {
    file.strip_prefix(BYTE_ORDER_MARK).unwrap_or(file)
}

/// Returns the first line without its line end, and the text after it.
pub(crate) fn next_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = (text.get(..end)?, text.get(end.checked_add(1)?..)?);
    Some((line.strip_suffix(b"\r").unwrap_or(line), rest))
}

/// Returns the method of a request line such as `POST /webhooks/twenty HTTP/1.1`. Every token is a
/// valid method, because a client can choose it freely.
pub(crate) fn method(line: &[u8]) -> Option<&str> {
    let mut words = line.split(|byte| *byte == b' ');
    let method = std::str::from_utf8(words.next()?).ok()?;
    let is_method = !method.is_empty() && method.bytes().all(is_token);
    let has_target = words.next().is_some_and(|target| !target.is_empty());
    let has_version = words.next().is_some_and(|version| version.starts_with(b"HTTP/"));
    (is_method && has_target && has_version && words.next().is_none()).then_some(method)
}

/// Returns the name and value of a header line, without the white space around the value.
pub(crate) fn header(line: &[u8]) -> Option<(&str, &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = (line.get(..colon)?, line.get(colon.checked_add(1)?..)?);
    let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty() && name.bytes().all(is_token))?;
    let value = value.trim_ascii();
    // HTTP allows neither line breaks nor other control characters in a value.
    let is_value = value.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control());
    is_value.then_some((name, value))
}

/// Returns whether a byte can be part of a header's name (RFC 9110, 5.6.2).
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Why a file is not a capture. Never shows the file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// The line with this number is neither a header nor blank.
    Line(usize),
    /// The file ends before the body.
    NoBlankLine,
    /// The body is not as long as the head declares.
    Length { declared: usize, found: usize },
    /// The body is chunked, so that the chunks' lengths are among its bytes.
    Chunked,
    /// The head is longer than any server accepts, or has more headers.
    LongHead,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(number) => write!(f, "line {number} is not a valid header, and there is no blank line before it"),
            Self::NoBlankLine => f.write_str("the headers do not end: a blank line and the body are missing"),
            Self::Length { declared, found } => write!(
                f,
                "content-length says {declared} bytes, but {found} follow the blank line: \
                 the body was truncated, or changed by an editor"
            ),
            Self::Chunked => f.write_str(
                "transfer-encoding: remove this header, and write the body without chunk lengths, as the receiver gets it",
            ),
            Self::LongHead => write!(
                f,
                "the headers are longer than {} KiB or more than {MAX_HEADERS}: no server accepts such a request",
                MAX_HEAD >> 10
            ),
        }
    }
}

impl std::error::Error for Malformed {}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: jiff::Timestamp = jiff::Timestamp::constant(1_790_932_471, 801_000_000);

    fn written(headers: &[(&str, &[u8])], body: &[u8]) -> Vec<u8> {
        Capture::write("POST", "/webhooks/twenty?token=a", headers.iter().copied(), body, AT)
    }

    fn read(file: impl AsRef<[u8]>) -> Capture {
        assert!(Capture::is_one(file.as_ref()));
        Capture::parse(file.as_ref()).unwrap()
    }

    fn headers(pairs: &[(&str, &[u8])]) -> Vec<(String, Vec<u8>)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect()
    }

    #[test]
    fn any_bytes_come_back_as_they_were() {
        let every_byte: Vec<u8> = (0..=255).collect();
        let bodies: [&[u8]; 9] =
            [b"", b"{}", b"{}\n", b"{}\r\n\r\n", b"\n", b"\r\n\r\nx", BYTE_ORDER_MARK, b"\xff\xfe\0", &every_byte];
        for body in bodies {
            let pairs: [(&str, &[u8]); 3] = [("x-odd", b"\xe9\xff:,\t;"), ("X-Empty", b""), ("x-odd", b"again")];
            let capture = read(written(&pairs, body));
            let expected = (headers(&pairs), body.to_vec(), Some(AT));
            assert_eq!((capture.headers, capture.body, capture.captured_at), expected);
        }
    }

    /// A client can choose any token as its method.
    #[test]
    fn the_method_comes_back_as_it_was() {
        let tokens = (0..=255_u8).filter(|byte| is_token(*byte)).map(|byte| char::from(byte).to_string());
        for method in tokens.chain(["GET", "HEAD", "post", "M-SEARCH", "POSTS"].map(str::to_owned)) {
            for target in ["/", "/a:b?c:d", "*"] {
                let capture = read(Capture::write(&method, target, [("host", "a")], b"{}", AT));
                assert_eq!((capture.method, capture.headers), (method.clone(), headers(&[("host", b"a")])));
            }
        }
        assert_eq!(read("x: y\n\n{}").method, "POST");
    }

    #[test]
    fn a_capture_is_plain_text() {
        let file = written(&[("content-type", b"application/json")], b"{}");
        let expected = "POST /webhooks/twenty?token=a HTTP/1.1\r\ncaptured-at: 2026-10-02T09:14:31.801Z\r\n\
                        content-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(String::from_utf8(file).unwrap(), expected);
    }

    #[test]
    fn credentials_and_headers_about_the_transfer_are_omitted() {
        let file = written(
            &[
                ("Authorization", b"Bearer a"),
                ("cookie", b"b"),
                ("Proxy-Authorization", b"c"),
                ("transfer-encoding", b"chunked"),
                ("Content-Length", b"99"),
                ("captured-at", b"1970-01-01T00:00:00Z"),
                ("host", b"localhost"),
            ],
            b"{}",
        );
        let capture = read(file);
        assert_eq!(capture.headers, headers(&[("host", b"localhost")]));
        assert_eq!(capture.captured_at, Some(AT));
    }

    #[test]
    fn reads_requests_that_other_tools_wrote() {
        let expected = headers(&[("Host", b"a:1"), ("x", b"y")]);
        for file in [
            "POST / HTTP/1.1\r\nHost: a:1\r\nx: y\r\n\r\n{}\r\n",
            "POST / HTTP/1.1\nHost: a:1\nx:y\n\n{}\r\n",
            "\u{feff}POST / HTTP/2\nHost: a:1\nx: y \n\n{}\r\n",
            "Host: a:1\nx: y\n\n{}\r\n",
        ] {
            let capture = read(file);
            assert_eq!((&*capture.method, capture.captured_at), ("POST", None));
            assert_eq!((capture.headers, &*capture.body), (expected.clone(), &b"{}\r\n"[..]));
        }
        // The body has the declared length, and an editor may have added a line break.
        for end in ["", "\n", "\r\n"] {
            assert_eq!(read(format!("content-length: 3\n\n{{}}\n{end}")).body, b"{}\n");
        }
        assert_eq!(read("content-length: 2\ncontent-length: 2\n\n{}").body, b"{}");
    }

    #[test]
    fn a_body_is_not_a_capture() {
        for body in [
            "",
            "{",
            "{}",
            "{\n\"a\": 1\n}\n",
            "[]",
            "\"a: b\"\n",
            " a: b\n",
            "\n",
            ": b\n",
            "a b: c\n",
            "a:b",
            "POST / HTTP/1.1",
            "{} / HTTP/1.1\n",
            "POST  HTTP/1.1\n",
            "POST / HTTP/1.1 x\n",
            "HTTP/1.1 200 OK\n",
        ] {
            assert!(!Capture::is_one(body.as_bytes()), "{body:?}");
        }
    }

    #[test]
    fn each_error_names_what_is_wrong() {
        let length = |declared, found| Malformed::Length { declared, found };
        for (file, expected) in [
            ("POST / HTTP/1.1\n", Malformed::NoBlankLine),
            ("POST / HTTP/1.1\na: b\n", Malformed::NoBlankLine),
            ("POST / HTTP/1.1\na: b\n{}", Malformed::NoBlankLine),
            ("POST / HTTP/1.1\na: b\n{}\n", Malformed::Line(3)),
            ("a: b\nPOST / HTTP/1.1\n\n", Malformed::Line(2)),
            ("a: b\n folded\n\n", Malformed::Line(2)),
            ("a: b\nc: \u{1b}[31m\n\n", Malformed::Line(2)),
            ("a: b\nc: d\re\n\n", Malformed::Line(2)),
            ("captured-at: yesterday\n\n", Malformed::Line(1)),
            ("content-length: -2\n\n{}", Malformed::Line(1)),
            ("content-length: +2\n\n{}", Malformed::Line(1)),
            ("content-length:\n\n{}", Malformed::Line(1)),
            ("content-length: 99999999999999999999\n\n{}", Malformed::Line(1)),
            ("content-length: 2\ncontent-length: 3\n\n{}", Malformed::Line(2)),
            ("content-length: 3\n\n{}", length(3, 2)),
            ("content-length: 18446744073709551615\n\n{}", length(usize::MAX, 2)),
            ("content-length: 2\n\n{}\n\n", length(2, 4)),
            ("content-length: 2\n\n{} ", length(2, 3)),
            ("transfer-encoding: chunked\n\n2\r\n{}\r\n0\r\n\r\n", Malformed::Chunked),
        ] {
            assert_eq!(Capture::parse(file.as_bytes()), Err(expected), "{file:?}");
        }
    }

    /// A head has a maximum length, so parsing takes little memory, however long the file is.
    #[test]
    fn long_heads_are_rejected_before_they_fill_the_memory() {
        const LEN: usize = 8 << 20;
        let wide = format!("x: {}\n", "y".repeat(MAX_HEAD));
        for line in
            ["a:\n", "a: b\r\n", "x-a-longer-name: and its value\n", &wide, "Captured-At: 2026-10-02T09:15:00Z\n"]
        {
            for start in ["", "GET / HTTP/1.1\n"] {
                let file = format!("{start}{}\n{{}}", line.repeat(LEN / line.len()));
                let mut parsed = None;
                let used = allocation_counter::measure(|| parsed = Some(Capture::parse(file.as_bytes())));
                assert_eq!(parsed, Some(Err(Malformed::LongHead)), "{line:.40}");
                assert!(used.bytes_max <= LEN as u64 / 8, "{line:.40}: {} bytes", used.bytes_max);
            }
        }
        let file = |count| format!("{}\n{{}}", "a:\n".repeat(count));
        assert_eq!(read(file(MAX_HEADERS)).headers.len(), MAX_HEADERS);
        assert_eq!(Capture::parse(file(MAX_HEADERS + 1).as_bytes()), Err(Malformed::LongHead));
        let file = |len| format!("a:{}\n\n{{}}", "b".repeat(len));
        assert_eq!(read(file(MAX_HEAD - 4)).headers[0].1.len(), MAX_HEAD - 4);
        assert_eq!(Capture::parse(file(MAX_HEAD - 3).as_bytes()), Err(Malformed::LongHead));
    }

    /// Parses every prefix of a capture, and every capture with one changed byte. The result is an
    /// error or a capture, and never a panic.
    #[test]
    fn mutilated_files_never_panic() {
        let file = written(&[("host", b"localhost"), ("x-odd", b"\xff")], b"{\"a\":1}");
        for end in 0..file.len() {
            assert!(Capture::parse(&file[..end]).is_err(), "{end}");
        }
        for at in 0..file.len() {
            for byte in [0, b'\n', b'\r', b':', b' ', 0xff] {
                let mut changed = file.clone();
                changed[at] = byte;
                let _ = (Capture::is_one(&changed), Capture::parse(&changed));
            }
        }
    }
}

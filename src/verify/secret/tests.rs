use super::*;

#[test]
fn blank_secrets_are_rejected() {
    for text in ["", " ", "\n", "\t \r\n", "\0", "\u{a0}"] {
        assert_eq!(Secret::new(text).unwrap_err(), ConfigError::BlankSecret, "{text:?}");
    }
}

#[test]
fn the_text_is_kept_as_it_is() {
    assert_eq!(Secret::new(" pässword\n").unwrap().expose_secret(), " pässword\n");
}

/// A file for one test.
#[cfg(not(miri))]
struct Mounted(std::path::PathBuf);

#[cfg(not(miri))]
impl Mounted {
    fn new(name: &str, content: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("twenty-webhook-secret-{}-{name}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        Self(path)
    }
}

#[cfg(not(miri))]
impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(not(miri))]
#[test]
fn from_file_strips_exactly_one_newline() {
    let longest = "x".repeat(MAX_FILE_LEN);
    for (content, secret) in [
        ("secret", "secret"),
        ("secret\n", "secret"),
        ("secret\r\n", "secret"),
        ("secret\n\n", "secret\n"),
        ("secret\r\n\r\n", "secret\r\n"),
        ("secret\n\r\n", "secret\n"),
        ("secret\r", "secret\r"),
        ("secret\r\r\n", "secret\r"),
        ("\nsecret\n", "\nsecret"),
        ("two\nlines\n", "two\nlines"),
        (" p\u{e4}ssword\t \n", " p\u{e4}ssword\t "),
        ("\u{feff}\"secret\"\n", "\u{feff}\"secret\""),
        (&longest, &longest),
    ] {
        let file = Mounted::new("one_line_end", content.as_bytes());
        assert_eq!(Secret::from_file(&file.0).unwrap().expose_secret(), secret, "{content:?}");
    }
}

#[cfg(not(miri))]
#[test]
fn a_file_without_a_secret_is_rejected_with_its_path() {
    let long = vec![b'x'; MAX_FILE_LEN + 1];
    type Is = fn(&SecretFileError) -> bool;
    for (content, is) in [
        (&b""[..], (|error| matches!(error, SecretFileError::Blank { .. })) as Is),
        (b"\n", |error| matches!(error, SecretFileError::Blank { .. })),
        (b" \r\n\0", |error| matches!(error, SecretFileError::Blank { .. })),
        (b"marker \xff", |error| matches!(error, SecretFileError::NotUtf8 { .. })),
        (&long, |error| matches!(error, SecretFileError::TooLong { .. })),
    ] {
        let file = Mounted::new("none", content);
        let error = Secret::from_file(&file.0).unwrap_err();
        assert!(is(&error), "{error:?}");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("twenty-webhook-secret") && !shown.contains("marker"), "{shown}");
    }
    for path in [std::env::temp_dir().join("twenty-webhook-no-such-file"), std::env::temp_dir()] {
        let error = Secret::from_file(path).unwrap_err();
        assert!(matches!(error, SecretFileError::Read { .. }), "{error:?}");
        assert!(std::error::Error::source(&error).is_some());
    }
}

#[cfg(feature = "tracing")]
#[test]
fn detects_what_configuration_adds_to_a_secret() {
    for (text, oddities) in [
        ("5b0c2f7d9e1a4c3b", ""),
        ("two words, p\u{e4}ss'word", ""),
        ("secret\n", "a line end, white space around it"),
        ("secret\r", "a line end, white space around it"),
        ("se\ncret", "a line end"),
        (" secret", "white space around it"),
        ("secret\t", "white space around it"),
        ("secret\0", "white space around it"),
        ("\u{feff}secret", "white space around it"),
        ("secret\u{a0}", "white space around it"),
        ("\"secret\"", "a quotation mark around it"),
        ("'secret'", "a quotation mark around it"),
        ("`secret", "a quotation mark around it"),
        ("secret\u{201d}", "a quotation mark around it"),
        ("\"secret\"\n", "a line end, white space around it, a quotation mark around it"),
    ] {
        assert_eq!(Secret::new(text).unwrap().oddities(), oddities, "{text:?}");
    }
}

/// Reads, through the operating system, the memory in which a secret was. This requires no
/// `unsafe`, and works only on Linux.
#[cfg(all(target_os = "linux", not(miri)))]
mod memory {
    use std::{fs::File, os::unix::fs::FileExt};

    use super::*;
    use crate::verify::Verifier;

    const TEXT: &str = "5b0c2f7d9e1a4c3b8d6f0e2a1c4b7d9f5b0c2f7d9e1a4c3b8d6f0e2a1c4b7d9f";

    /// A range of this process's memory, with a buffer for its content.
    struct Piece {
        memory: File,
        at: u64,
        found: Vec<u8>,
    }

    impl Piece {
        /// Allocates everything beforehand, so that no allocation overwrites the secret.
        fn of<T: ?Sized>(value: &T) -> Self {
            let at = (std::ptr::from_ref(value).cast::<u8>() as usize).try_into().unwrap();
            Self { memory: File::open("/proc/self/mem").unwrap(), at, found: vec![0; size_of_val(value)] }
        }

        fn look(&mut self) -> &[u8] {
            self.memory.read_exact_at(&mut self.found, self.at).unwrap();
            &self.found
        }
    }

    /// The bytes at the start of freed memory that the allocator may overwrite.
    const OWN_BY_ALLOCATOR: usize = 32;

    #[test]
    fn shows_a_string_that_was_dropped() {
        let text = String::from(TEXT);
        let mut piece = Piece::of(text.as_str());
        drop(text);
        assert_eq!(
            piece.look()[OWN_BY_ALLOCATOR..],
            TEXT.as_bytes()[OWN_BY_ALLOCATOR..],
            "otherwise the other tests prove nothing"
        );
    }

    #[test]
    fn shows_no_secret_that_was_dropped() {
        let secret = Secret::new(TEXT).unwrap();
        let mut piece = Piece::of(secret.expose_secret());
        assert_eq!(piece.look(), TEXT.as_bytes());
        drop(secret);
        assert_eq!(piece.look()[OWN_BY_ALLOCATOR..], [0; TEXT.len() - OWN_BY_ALLOCATOR]);
    }

    /// Building a verifier makes no copy: the text stays where the caller put it.
    #[test]
    fn shows_no_secret_of_a_verifier_that_was_dropped() {
        let text = String::from(TEXT);
        let mut piece = Piece::of(text.as_str());
        let verifier = Verifier::builder().secret(Secret::new(text).unwrap()).build().unwrap();
        let clone = verifier.clone();
        drop(verifier);
        assert_eq!(piece.look(), TEXT.as_bytes());
        drop(clone);
        assert_eq!(piece.look()[OWN_BY_ALLOCATOR..], [0; TEXT.len() - OWN_BY_ALLOCATOR]);
    }

    /// Returns how often the heap contains `text`. Each byte of `text` is passed increased by one,
    /// so that the test itself does not contain it. `piece` is a buffer that was allocated
    /// beforehand, so that it does not overwrite the secret.
    fn found_on_heap(text: &[u8], piece: &mut [u8]) -> usize {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let memory = File::open("/proc/self/mem").unwrap();
        let mut found = 0;
        // The heaps of threads are mappings without a name.
        for map in maps.lines().filter(|map| map.contains(" rw-p ") && !map.contains('/') && !map.contains("[stack]")) {
            let (from, to) = map.split(' ').next().unwrap().split_once('-').unwrap();
            let [mut at, to] = [from, to].map(|end| usize::from_str_radix(end, 16).unwrap());
            let own = piece.as_ptr() as usize;
            let own = own..own + piece.len();
            while at < to {
                let step = (to - at).min(piece.len() - text.len());
                let len = (step + text.len() - 1).min(to - at);
                if memory.read_exact_at(&mut piece[..len], at as u64).is_ok() {
                    let is_text = |seen: &[u8]| seen.iter().zip(text).all(|(seen, text)| seen.wrapping_add(1) == *text);
                    let windows = piece[..len].windows(text.len()).enumerate();
                    let begins = |seen: &[u8]| seen[0].wrapping_add(1) == text[0];
                    found += windows
                        .filter(|(start, seen)| begins(seen) && is_text(seen) && !own.contains(&(at + start)))
                        .count();
                }
                piece.fill(0);
                at += step;
            }
        }
        found
    }

    #[test]
    fn shows_no_secret_that_was_read_from_a_file() {
        // The secret is far after the start of the file, because the next allocations overwrite the
        // start of the freed buffer.
        let plus_one = [&[b'y'; 60_000][..], b"tfdsfu!uibu!jt!sfbe!gspn!b!gjmf!jo!uijt!uftu!pomz"].concat();
        let file = {
            let content: zeroize::Zeroizing<Vec<u8>> = plus_one.iter().map(|byte| byte - 1).collect::<Vec<_>>().into();
            Mounted::new("memory", &content)
        };
        let searched = &plus_one[60_000..];
        let mut piece = vec![0; 1 << 16];
        assert_eq!(found_on_heap(searched, &mut piece), 0);
        let secret = Secret::from_file(&file.0).unwrap();
        assert_eq!(found_on_heap(searched, &mut piece), 1, "only the copy in the secret");
        drop(secret);
        assert_eq!(found_on_heap(searched, &mut piece), 0);
    }

    /// The key schedule could create signatures just as the text could.
    #[test]
    fn shows_no_key_schedule_that_was_dropped() {
        let secret = Box::new([Secret::new("another").unwrap(), Secret::new(TEXT).unwrap()]);
        let mut piece = Piece::of(&secret[1].mac);
        let before = piece.look().to_vec();
        assert!(before.windows(8).filter(|eight| !eight.contains(&0)).count() > 30, "it is there: {before:?}");
        drop(secret);
        let after = piece.look();
        let kept =
            before.chunks(4).zip(after.chunks(4)).filter(|(before, after)| before == after && !before.contains(&0));
        assert_eq!(kept.count(), 0, "{before:?} became {after:?}");
    }
}

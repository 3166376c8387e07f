//! Writes captures into a directory: readable for the user only, and not too many.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use twenty_webhook::verify::Timestamp;
use uuid::Uuid;

use crate::output::{Failure, harmless_line};

/// The most that unverified captures hold together, in bytes. Anybody can send them, and a full
/// disk costs verified ones.
const UNVERIFIED_BYTES: u64 = 256 << 20;

const UNVERIFIED: &str = "-unverified";

/// A directory of captures, `000001-9c56cc51b374.http`: a counter, and the beginning of the body's
/// SHA-256. The name of one that did not verify ends with `-unverified.http`.
///
/// Both kinds have bounds of their own, so that nobody without a secret removes what Twenty sent.
pub(super) struct Captures {
    directory: PathBuf,
    next: u64,
    verified: Kept,
    unverified: Kept,
}

/// The captures of a kind, the oldest first.
struct Kept {
    files: VecDeque<CaptureFile>,
    bytes: u64,
    max_files: usize,
    max_bytes: u64,
}

struct CaptureFile {
    name: String,
    size: u64,
    /// What was signed, if this process saved it.
    signed: Option<Signed>,
}

/// A body's SHA-256, and the time that was signed with it.
pub(super) type Signed = ([u8; 32], Timestamp);

impl Captures {
    /// Creates the directory where there is none, and checks that it can be written to. Counts on
    /// from what is there.
    ///
    /// `keep`: how many captures of each kind stay.
    pub(super) fn open(directory: PathBuf, keep: NonZeroUsize) -> Result<Self, Failure> {
        let found = make_directory(&directory).and_then(|()| {
            // A new name each time: what another process left behind is never in the way.
            let trial = directory.join(format!(".twenty-webhook-trial-{}", Uuid::new_v4().simple()));
            create(&trial)?;
            fs::remove_file(&trial)?;
            find(&directory)
        });
        let found = found.map_err(|error| {
            let name = directory.display().to_string();
            Failure::about(format!("--save {}: cannot write there", harmless_line(&name)), &error)
        })?;
        let kept = |max_bytes| Kept { files: VecDeque::new(), bytes: 0, max_files: keep.get(), max_bytes };
        let next = found.last().map_or(1, |last| last.counter.saturating_add(1));
        let mut captures = Self { directory, next, verified: kept(u64::MAX), unverified: kept(UNVERIFIED_BYTES) };
        for Found { name, size, .. } in found {
            captures.kind(!is_unverified(&name)).add(CaptureFile { name, size, signed: None });
        }
        Ok(captures)
    }

    /// Writes a capture, and removes the oldest of its kind when there are too many.
    ///
    /// `signed`: of a verified one. What is there already is not written again: somebody who captured a delivery can send it
    /// any number of times, and must not remove the others.
    pub(super) fn save(&mut self, signed: Option<Signed>, digest: [u8; 32], capture: &[u8]) -> io::Result<PathBuf> {
        let is_verified = signed.is_some();
        if let Some(file) = self.verified.files.iter().find(|file| is_verified && file.signed == signed) {
            return Ok(self.directory.join(&file.name));
        }
        let digest: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        let suffix = if is_verified { "" } else { UNVERIFIED };
        let mut counter = self.next;
        let (name, path, mut file) = loop {
            let name = format!("{counter:06}-{digest}{suffix}.http");
            let path = self.directory.join(&name);
            counter = counter.saturating_add(1);
            match create(&path) {
                // Another process saves here as well.
                Err(error) if error.kind() == ErrorKind::AlreadyExists && counter < u64::MAX => {}
                created => break (name, path, created?),
            }
        };
        if let Err(error) = file.write_all(capture) {
            // A full disk: half a capture would only mislead.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        self.next = counter;
        let kept = self.kind(is_verified);
        kept.add(CaptureFile { name, size: u64::try_from(capture.len()).unwrap_or(u64::MAX), signed });
        let removed: Vec<String> = std::iter::from_fn(|| kept.take_excess()).collect();
        for name in removed {
            // Somebody else may have removed it.
            let _ = fs::remove_file(self.directory.join(name));
        }
        Ok(path)
    }

    const fn kind(&mut self, is_verified: bool) -> &mut Kept {
        if is_verified { &mut self.verified } else { &mut self.unverified }
    }
}

impl Kept {
    fn add(&mut self, file: CaptureFile) {
        self.bytes = self.bytes.saturating_add(file.size);
        self.files.push_back(file);
    }

    /// The oldest one, if there are too many or they are too long. The newest one always stays.
    fn take_excess(&mut self) -> Option<String> {
        let is_excess = self.files.len() > self.max_files || (self.bytes > self.max_bytes && self.files.len() > 1);
        let file = if is_excess { self.files.pop_front()? } else { return None };
        self.bytes = self.bytes.saturating_sub(file.size);
        Some(file.name)
    }
}

/// A capture in the directory.
struct Found {
    counter: u64,
    name: String,
    size: u64,
}

/// The captures that are there, the oldest first.
fn find(directory: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if let Some(counter) = counter(&name) {
            // Another process may remove it meanwhile.
            let size = entry.metadata().map_or(0, |metadata| metadata.len());
            found.push(Found { counter, name, size });
        }
    }
    found.sort_unstable_by(|a, b| (a.counter, &a.name).cmp(&(b.counter, &b.name)));
    Ok(found)
}

fn is_unverified(name: &str) -> bool {
    name.strip_suffix(".http").is_some_and(|name| name.ends_with(UNVERIFIED))
}

/// Of a name that [`Captures::save`] gave; other files are not touched.
fn counter(name: &str) -> Option<u64> {
    let (counter, digest) = name.strip_suffix(".http")?.split_once('-')?;
    let digest = digest.strip_suffix(UNVERIFIED).unwrap_or(digest);
    // Nobody gets to a counter of 19 digits, behind which there would be no other.
    let is_ours = (6..=18).contains(&counter.len()) && counter.bytes().all(|byte| byte.is_ascii_digit());
    let has_digest = digest.len() == 12 && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_ours && has_digest { counter.parse().ok() } else { None }
}

fn make_directory(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(directory)
}

/// A new file, for its owner's eyes only: it has a delivery's records.
fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.write(true).create_new(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_names_are_counted() {
        assert_eq!(counter("000012-9c56cc51b374.http"), Some(12));
        assert_eq!(counter("1000000-9c56cc51b374.http"), Some(1_000_000));
        assert_eq!(counter("000012-9c56cc51b374-unverified.http"), Some(12));
        for name in [
            "12-9c56cc51b374.http",
            "000012.http",
            "000012-notes.http",
            "000012-unverified.http",
            "000012-9c56cc51b374-verified.http",
            "+00012-9c56cc51b374.http",
            "18446744073709551615-9c56cc51b374.http",
            "a.http",
            "",
        ] {
            assert_eq!(counter(name), None, "{name}");
        }
    }

    /// A directory of the test's own, removed with it.
    struct Directory(PathBuf);

    impl Directory {
        fn new() -> Self {
            Self(std::env::temp_dir().join(format!("twenty-webhook-save-{}", Uuid::new_v4().simple())))
        }

        fn open(&self, keep: usize) -> Captures {
            Captures::open(self.0.clone(), NonZeroUsize::new(keep).unwrap()).unwrap()
        }

        fn names(&self) -> Vec<String> {
            let names = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<_> = names.collect();
            names.sort_unstable();
            names
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// Signed anew each time, as when Twenty sends a body again.
    fn save(captures: &mut Captures, is_verified: bool, number: u8) -> String {
        let signed = is_verified.then(|| ([number; 32], Timestamp::from_millis(captures.next)));
        let path = captures.save(signed, [number; 32], &[number]).unwrap();
        path.file_name().unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn replays_of_a_capture_remove_no_other() {
        let directory = Directory::new();
        let mut captures = directory.open(3);
        let [first, second, third] = [1, 2, 3].map(|number| save(&mut captures, true, number));
        let signed = captures.verified.files[1].signed;
        for _ in 0..10 {
            let again = captures.save(signed, [2; 32], b"").unwrap();
            assert_eq!(again.file_name().unwrap().to_str(), Some(&*second));
        }
        assert_eq!(directory.names(), [first, second, third]);
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

        /// Whatever comes in whichever order, and however often the program is started again: of
        /// each kind the newest `keep` captures stay, whatever the other kind does.
        #[test]
        fn neither_kind_removes_the_other(
            keep in 1..4_usize,
            saved in proptest::collection::vec((proptest::bool::ANY, 0..3_u8, proptest::bool::weighted(0.1)), 0..30),
        ) {
            let directory = Directory::new();
            let mut captures = directory.open(keep);
            let (mut verified, mut unverified) = (Vec::new(), Vec::new());
            for (is_verified, number, is_started_again) in saved {
                let of_kind = if is_verified { &mut verified } else { &mut unverified };
                of_kind.push(save(&mut captures, is_verified, number));
                if is_started_again {
                    captures = directory.open(keep);
                }
            }
            let newest = |of_kind: Vec<String>| of_kind.into_iter().rev().take(keep).collect::<Vec<_>>();
            let mut expected = [newest(verified), newest(unverified)].concat();
            expected.sort_unstable();
            proptest::prop_assert_eq!(directory.names(), expected);
        }
    }

    #[test]
    fn long_unverified_captures_make_room_earlier() {
        let directory = Directory::new();
        let mut captures = directory.open(1_000);
        captures.unverified.max_bytes = 10;
        let mut save = |len| captures.save(None, [1; 32], &vec![0; len]).unwrap();
        let long = save(11);
        assert!(long.exists(), "one stays, however long it is");
        let [a, b, c] = [6, 4, 5].map(save);
        assert_eq!([&long, &a, &b, &c].map(|path| path.exists()), [false, false, true, true]);
        assert!(captures.unverified.bytes == 9 && UNVERIFIED_BYTES > crate::input::LIMIT as u64);
    }

    /// What is left behind by a program that was ended, or comes from another one at the same time.
    #[test]
    fn no_file_that_is_in_the_way_keeps_captures_from_being_saved() {
        let directory = Directory::new();
        let mut captures = directory.open(10);
        let taken = directory.0.join("000001-010101010101.http");
        fs::write(&taken, "another's").unwrap();
        fs::create_dir(directory.0.join("000002-010101010101.http")).unwrap();
        for name in [".twenty-webhook-trial", ".twenty-webhook-trial-a", "18446744073709551615-010101010101.http"] {
            fs::write(directory.0.join(name), "").unwrap();
        }
        assert_eq!(save(&mut captures, true, 1), "000003-010101010101.http");
        assert_eq!(fs::read_to_string(taken).unwrap(), "another's");
        let mut captures = directory.open(10);
        assert_eq!(save(&mut captures, false, 1), "000004-010101010101-unverified.http");
        assert_eq!(directory.names().iter().filter(|name| name.contains("trial")).count(), 2);
    }
}

//! Writes captures to a directory: readable by the owner only, and limited in number.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, ErrorKind, Read as _},
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use twenty_webhook::verify::Timestamp;
use uuid::Uuid;

use super::ui::Saved;
use crate::{
    capture::{Capture, MAX_HEAD},
    finding::is_post,
    output::{Failure, create_private, harmless_line, write_private},
};

/// The maximum size of all unverified captures, in bytes. Anybody can send them, and on a full disk
/// verified deliveries could not be saved.
const UNVERIFIED_BYTES: u64 = 256 << 20;

const UNVERIFIED: &str = "-unverified";

/// A directory of captures.
///
/// A verified capture is named `1790932471733-9c56cc51b374.http`: the signed timestamp, and the
/// beginning of the body's SHA-256. An unverified capture is named
/// `1790932471801-0d2f1b6c7a55-unverified.http`: the time of arrival, and the beginning of the
/// file's SHA-256.
///
/// So a duplicate has the same name as the first delivery, and the directory itself remembers what
/// was saved, also after a restart and for another process that uses it. The newest captures, by
/// the time in their names, stay. So a duplicate of a removed capture is too old to be saved again.
///
/// Each kind has its own bounds, so that unauthenticated clients cannot remove the captures of
/// genuine deliveries.
pub(super) struct Captures {
    directory: PathBuf,
    verified: Kept,
    unverified: Kept,
}

/// The known captures of one kind.
struct Kept {
    /// The lengths in bytes, by name, from the oldest on.
    files: BTreeMap<Name, u64>,
    bytes: u64,
    max_files: usize,
    max_bytes: u64,
}

/// The name of a capture's file. Names are ordered by time.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    millis: u64,
    file: String,
}

impl Captures {
    /// Creates the directory if it does not exist, and checks that it is writable.
    ///
    /// Reads the names and lengths of the files. `keep` is the number of captures of each kind that
    /// stay; older captures are removed, and not remembered.
    pub(super) fn open(directory: PathBuf, keep: NonZeroUsize) -> Result<Self, Failure> {
        let kept = |max_bytes| Kept { files: BTreeMap::new(), bytes: 0, max_files: keep.get(), max_bytes };
        let mut captures = Self { directory, verified: kept(u64::MAX), unverified: kept(UNVERIFIED_BYTES) };
        let opened = captures.check().and_then(|()| captures.find());
        opened.map_err(|error| {
            let name = captures.directory.display().to_string();
            Failure::about(format!("--save {}: cannot write there", harmless_line(&name)), &error)
        })?;
        Ok(captures)
    }

    /// Returns the paths of the captures.
    pub(super) fn saved(&self) -> Saved {
        let paths = |kept: &Kept| kept.files.keys().rev().map(|name| self.directory.join(&name.file)).collect();
        Saved { verified: paths(&self.verified), unverified: paths(&self.unverified) }
    }

    fn check(&self) -> io::Result<()> {
        make_directory(&self.directory)?;
        let trial = self.unused_path();
        create_private(&trial)?;
        fs::remove_file(&trial)
    }

    /// Returns a new path each time, so that files of other processes do not matter.
    fn unused_path(&self) -> PathBuf {
        self.directory.join(format!(".twenty-webhook-trial-{}", Uuid::new_v4().simple()))
    }

    fn find(&mut self) -> io::Result<()> {
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let Ok(file) = entry.file_name().into_string() else { continue };
            if let Some(name) = Name::parse(file) {
                // Another process may remove it meanwhile.
                let size = entry.metadata().map_or(0, |metadata| metadata.len());
                let is_verified = !name.is_unverified();
                self.add(is_verified, &name, size);
            }
        }
        Ok(())
    }

    /// Writes a verified capture, and removes the oldest verified capture if there are too many. A
    /// duplicate of a kept capture is not written again, except for a POST after another method, or
    /// if the kept capture is truncated.
    ///
    /// `digest` is the body's SHA-256.
    ///
    /// # Errors
    ///
    /// If the file cannot be written, or is older than all captures in a full directory.
    pub(super) fn save_verified(
        &mut self,
        signed_at: Timestamp,
        digest: [u8; 32],
        capture: &[u8],
    ) -> io::Result<PathBuf> {
        self.write(true, &Name::new(signed_at.as_millis(), digest, ""), capture)
    }

    /// Writes an unverified capture, and removes the oldest unverified captures if there are too
    /// many.
    ///
    /// # Errors
    ///
    /// As [`save_verified`](Self::save_verified).
    pub(super) fn save_unverified(&mut self, at: jiff::Timestamp, capture: &[u8]) -> io::Result<PathBuf> {
        let millis = u64::try_from(at.as_millisecond()).unwrap_or(0);
        self.write(false, &Name::new(millis, Sha256::digest(capture).into(), UNVERIFIED), capture)
    }

    fn write(&mut self, is_verified: bool, name: &Name, capture: &[u8]) -> io::Result<PathBuf> {
        let path = self.directory.join(&name.file);
        match write_private(&path, capture) {
            // This process or another one saved it before.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                // Twenty sends only POST, so the duplicate with another method is not the delivery.
                // A crash can leave a truncated file.
                if saved_in(&path, capture.len())?
                    .is_some_and(|saved| is_post(&saved.method) || !capture.starts_with(b"POST "))
                {
                    return Ok(path);
                }
                let written = self.unused_path();
                let replaced = write_private(&written, capture).and_then(|()| fs::rename(&written, &path));
                replaced.inspect_err(|_| _ = fs::remove_file(&written))?;
            }
            written => written?,
        }
        if self.add(is_verified, name, u64::try_from(capture.len()).unwrap_or(u64::MAX)) {
            Ok(path)
        } else {
            Err(io::Error::other("it is older than all captures in the directory, which is full (see --keep)"))
        }
    }

    /// Remembers a file and removes the excess. Returns whether the file stays.
    fn add(&mut self, is_verified: bool, name: &Name, size: u64) -> bool {
        let kept = if is_verified { &mut self.verified } else { &mut self.unverified };
        kept.add(name.clone(), size);
        let mut stays = true;
        while let Some(excess) = kept.take_excess() {
            stays &= excess != *name;
            // Another process may have removed it.
            let _ = fs::remove_file(self.directory.join(excess.file));
        }
        stays
    }
}

impl Kept {
    fn add(&mut self, name: Name, size: u64) {
        // Somebody may have removed a known file, so that it was written again.
        let before = self.files.insert(name, size).unwrap_or(0);
        self.bytes = self.bytes.saturating_sub(before).saturating_add(size);
    }

    /// Returns the oldest capture if there are too many, or if they are too long together. The
    /// newest capture always stays.
    fn take_excess(&mut self) -> Option<Name> {
        let is_excess = self.files.len() > self.max_files || (self.bytes > self.max_bytes && self.files.len() > 1);
        let (name, size) = if is_excess { self.files.pop_first()? } else { return None };
        self.bytes = self.bytes.saturating_sub(size);
        Some(name)
    }
}

impl Name {
    fn new(millis: u64, digest: [u8; 32], suffix: &str) -> Self {
        let digest: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Self { millis, file: format!("{millis:013}-{digest}{suffix}.http") }
    }

    /// Parses a name that [`Name::new`] created. Other files are ignored.
    fn parse(file: String) -> Option<Self> {
        let (millis, digest) = file.strip_suffix(".http")?.split_once('-')?;
        let digest = digest.strip_suffix(UNVERIFIED).unwrap_or(digest);
        // 13 digits last until 2286.
        let has_time = millis.len() == 13 && millis.bytes().all(|byte| byte.is_ascii_digit());
        let has_digest = digest.len() == 12 && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let millis = if has_time && has_digest { millis.parse().ok()? } else { return None };
        Some(Self { millis, file })
    }

    fn is_unverified(&self) -> bool {
        self.file.strip_suffix(".http").is_some_and(|name| name.ends_with(UNVERIFIED))
    }
}

/// Returns the capture in a file, or `None` if it is truncated. `len` is the length of a duplicate,
/// which has the same body.
fn saved_in(path: &Path, len: usize) -> io::Result<Option<Capture>> {
    let longest = u64::try_from(len.saturating_add(MAX_HEAD)).unwrap_or(u64::MAX);
    let mut file = Vec::new();
    fs::File::open(path)?.take(longest).read_to_end(&mut file)?;
    Ok(Capture::parse(&file).ok())
}

fn make_directory(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(directory)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn only_names_of_captures_are_parsed() {
        for (file, is_unverified) in [
            ("1790932471733-9c56cc51b374.http", false),
            ("0000000000012-9c56cc51b374.http", false),
            ("1790932471733-9c56cc51b374-unverified.http", true),
        ] {
            let name = Name::parse(file.to_owned()).unwrap();
            assert_eq!((name.is_unverified(), &*name.file), (is_unverified, file));
        }
        for name in [
            "12-9c56cc51b374.http",
            "000012-9c56cc51b374.http",
            "1790932471733.http",
            "1790932471733-notes.http",
            "1790932471733-unverified.http",
            "1790932471733-9c56cc51b374-verified.http",
            "+790932471733-9c56cc51b374.http",
            "18446744073709551615-9c56cc51b374.http",
            "a.http",
            "",
        ] {
            assert!(Name::parse(name.to_owned()).is_none(), "{name}");
        }
    }

    /// Anyone who captured a delivery can send it with another method first.
    #[test]
    fn a_post_replaces_a_duplicate_with_another_method() {
        let directory = Directory::new();
        let mut captures = directory.open(5);
        let mut save = |capture: &str| {
            let path = captures.save_verified(Timestamp::from_millis(1), [0; 32], capture.as_bytes()).unwrap();
            fs::read_to_string(path).unwrap()
        };
        assert_eq!(save("PUT / HTTP/1.1\n\n"), "PUT / HTTP/1.1\n\n");
        assert_eq!(save("GET / HTTP/1.1\n\n"), "PUT / HTTP/1.1\n\n");
        assert_eq!(save("POST / HTTP/1.1\n\n"), "POST / HTTP/1.1\n\n");
        assert_eq!(save("POST /again HTTP/1.1\n\n"), "POST / HTTP/1.1\n\n");
        assert_eq!(save("PUT / HTTP/1.1\n\n"), "POST / HTTP/1.1\n\n");
        assert_eq!(directory.names().len(), 1);
    }

    /// A crash while a capture is written leaves only its beginning.
    #[test]
    fn a_truncated_capture_is_replaced() {
        let directory = Directory::new();
        let whole = b"POST / HTTP/1.1\ncontent-length: 2\n\n{}";
        for (method, len) in [("POST", 0), ("POST", 10), ("POST", whole.len() - 1), ("PUT", whole.len() - 1)] {
            let mut captures = directory.open(5);
            let path = captures.save_verified(Timestamp::from_millis(1), [0; 32], whole).unwrap();
            fs::write(&path, &whole[..len]).unwrap();
            let sent = String::from_utf8(whole.to_vec()).unwrap().replace("POST", method);
            captures.save_verified(Timestamp::from_millis(1), [0; 32], sent.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), sent, "{method} {len}");
        }
        assert_eq!(directory.names().len(), 1);
    }

    /// A directory for one test, which is removed when this value is dropped.
    struct Directory(PathBuf);

    impl Directory {
        fn new() -> Self {
            Self(std::env::temp_dir().join(format!("twenty-webhook-save-{}", Uuid::new_v4().simple())))
        }

        fn open(&self, keep: usize) -> Captures {
            Captures::open(self.0.clone(), NonZeroUsize::new(keep).unwrap()).unwrap()
        }

        fn names(&self) -> BTreeSet<String> {
            let names = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
            names.collect()
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn verified(millis: u16, number: u8) -> Name {
        Name::new(millis.into(), [number; 32], "")
    }

    fn save_verified(captures: &mut Captures, millis: u16, number: u8) -> io::Result<PathBuf> {
        captures.save_verified(Timestamp::from_millis(millis.into()), [number; 32], &[number])
    }

    fn save_unverified(captures: &mut Captures, millis: u16, number: u8) -> io::Result<PathBuf> {
        captures.save_unverified(jiff::Timestamp::from_millisecond(millis.into()).unwrap(), &[number])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// For any captures, in any order, repeated or not, and with any number of restarts: the
        /// directory contains the newest `keep` captures of each kind, and no others. So a
        /// duplicate of a capture removes nothing, even if the capture itself was removed, and no
        /// kind of capture removes the other.
        #[test]
        fn the_newest_of_each_kind_stay(
            keep in 1..5_usize,
            saved in vec((any::<bool>(), 0..8_u16, 0..3_u8, prop::bool::weighted(0.1)), 0..60),
        ) {
            let directory = Directory::new();
            let mut captures = directory.open(keep);
            let (mut all_verified, mut all_unverified) = (BTreeSet::new(), BTreeSet::new());
            for (is_verified, millis, number, is_started_again) in saved {
                if is_started_again {
                    captures = directory.open(keep);
                }
                let done = if is_verified {
                    all_verified.insert(verified(millis, number));
                    save_verified(&mut captures, millis, number)
                } else {
                    let digest = Sha256::digest([number]).into();
                    all_unverified.insert(Name::new(millis.into(), digest, UNVERIFIED));
                    save_unverified(&mut captures, millis, number)
                };
                let newest = |all: &BTreeSet<Name>| all.iter().rev().take(keep).cloned().collect::<Vec<_>>();
                let expected = [newest(&all_verified), newest(&all_unverified)].concat();
                let expected: BTreeSet<_> = expected.into_iter().map(|name| name.file).collect();
                prop_assert_eq!(directory.names(), expected);
                // The result matches the directory.
                prop_assert_eq!(done.as_ref().is_ok_and(|path| path.exists()), done.is_ok());
            }
        }

        /// Two processes do not know each other's files, but each name exists once, and neither
        /// process removes one of the newest captures.
        #[test]
        fn two_processes_keep_the_newest(
            keep in 1..5_usize,
            saved in vec((0..2_usize, 0..20_u16), 0..60),
        ) {
            let directory = Directory::new();
            let mut both = [directory.open(keep), directory.open(keep)];
            let mut all = BTreeSet::new();
            for (process, millis) in saved {
                let _ = save_verified(&mut both[process], millis, 1);
                all.insert(verified(millis, 1).file);
                let names = directory.names();
                prop_assert!(names.len() <= 2 * keep && names.is_subset(&all));
                let newest: HashSet<_> = all.iter().rev().take(keep).collect();
                prop_assert!(newest.iter().all(|name| names.contains(*name)), "{:?} of {:?}", names, all);
            }
        }
    }

    #[test]
    fn a_duplicate_is_written_only_once_by_all_processes() {
        let directory = Directory::new();
        let (mut first, mut second) = (directory.open(3), directory.open(3));
        let whole = b"POST / HTTP/1.1\n\n{}";
        let path = first.save_verified(Timestamp::from_millis(1), [1; 32], whole).unwrap();
        for captures in [&mut first, &mut second, &mut directory.open(3)] {
            let again = captures.save_verified(Timestamp::from_millis(1), [1; 32], b"other headers").unwrap();
            assert_eq!(again, path);
        }
        assert_eq!(fs::read(&path).unwrap(), whole);
        assert_eq!(directory.names().len(), 1);
        // A capture that the user removed can be written again.
        fs::remove_file(&path).unwrap();
        assert_eq!(save_verified(&mut first, 1, 1).unwrap(), path);
        assert_eq!((first.verified.files.len(), first.verified.bytes), (1, 1));
    }

    #[test]
    fn long_unverified_captures_are_removed_earlier() {
        let directory = Directory::new();
        let mut captures = directory.open(1_000);
        captures.unverified.max_bytes = 10;
        let mut millis = 0;
        let mut save = |len| {
            millis += 1;
            captures.save_unverified(jiff::Timestamp::from_millisecond(millis).unwrap(), &vec![0; len]).unwrap()
        };
        let long = save(11);
        assert!(long.exists(), "a single capture always stays");
        let [a, b, c] = [6, 4, 5].map(save);
        assert_eq!([&long, &a, &b, &c].map(|path| path.exists()), [false, false, true, true]);
        assert!(captures.unverified.bytes == 9 && UNVERIFIED_BYTES > crate::input::LIMIT as u64);
    }

    /// Opening reads only names and lengths, and remembers only the captures that stay.
    #[test]
    fn opening_a_directory_of_many_or_odd_files_is_bounded() {
        let directory = Directory::new();
        drop(directory.open(1));
        let file = |name: &str| fs::File::create(directory.0.join(name)).unwrap();
        for millis in 0..500 {
            file(&verified(millis, 1).file);
            file(&Name::new(millis.into(), [1; 32], UNVERIFIED).file);
        }
        let others = [".twenty-webhook-trial-a", "18446744073709551615-010101010101.http", "notes.txt"];
        others.iter().for_each(|name| drop(file(name)));
        // This file has the length, but no content on the disk.
        file(&Name::new(499, [2; 32], UNVERIFIED).file).set_len(UNVERIFIED_BYTES + 1).unwrap();
        fs::create_dir(directory.0.join(&verified(1000, 1).file)).unwrap();
        let captures = directory.open(3);
        assert_eq!((captures.verified.files.len(), captures.unverified.files.len()), (3, 1));
        let names = directory.names();
        assert!(names.len() == 3 + 1 + others.len() && others.iter().all(|name| names.contains(*name)), "{names:?}");
    }
}

//! Writes captures into a directory: readable for the user only, and not too many.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use crate::output::{Failure, harmless_line};

/// A directory of captures, `000001-9c56cc51b374.http`: a counter, and the beginning of the body's SHA-256.
pub(super) struct Captures {
    directory: PathBuf,
    keep: NonZeroUsize,
    /// Their counters and names, the oldest first.
    files: BTreeSet<(u64, String)>,
}

impl Captures {
    /// Makes the directory where there is none, and tries whether it can be written to. Goes on counting after what is there.
    pub(super) fn open(directory: PathBuf, keep: NonZeroUsize) -> Result<Self, Failure> {
        let open = || -> io::Result<BTreeSet<(u64, String)>> {
            make_directory(&directory)?;
            let trial = directory.join(".twenty-webhook-trial");
            create(&trial)?;
            fs::remove_file(&trial)?;
            let names = fs::read_dir(&directory)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
            let names: Vec<Option<String>> = names.collect::<io::Result<_>>()?;
            Ok(names.into_iter().flatten().filter_map(|name| Some((counter(&name)?, name))).collect())
        };
        match open() {
            Ok(files) => Ok(Self { directory, keep, files }),
            Err(error) => {
                let name = directory.display().to_string();
                Err(Failure::about(format!("--save {}: cannot write there", harmless_line(&name)), &error))
            }
        }
    }

    /// Writes a capture, and removes the oldest when there are too many.
    pub(super) fn save(&mut self, digest: [u8; 32], capture: &[u8]) -> io::Result<PathBuf> {
        let digest: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        let counter = self.files.last().map_or(1, |(last, _)| last.saturating_add(1));
        let name = format!("{counter:06}-{digest}.http");
        let path = self.directory.join(&name);
        if let Err(error) = create(&path)?.write_all(capture) {
            // A full disk: half a capture would only mislead.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        self.files.insert((counter, name));
        while self.files.len() > self.keep.get() {
            let Some((_, oldest)) = self.files.pop_first() else { break };
            // Somebody else may have removed it.
            let _ = fs::remove_file(self.directory.join(oldest));
        }
        Ok(path)
    }
}

/// Of a name that [`Captures::save`] gave; other files are not touched.
fn counter(name: &str) -> Option<u64> {
    let (counter, digest) = name.strip_suffix(".http")?.split_once('-')?;
    let is_ours = counter.len() >= 6 && counter.bytes().all(|byte| byte.is_ascii_digit());
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
        for name in
            ["12-9c56cc51b374.http", "000012.http", "000012-notes.http", "+00012-9c56cc51b374.http", "a.http", ""]
        {
            assert_eq!(counter(name), None, "{name}");
        }
    }
}

//! Files that are named on the command line.

use std::{
    fs::{DirEntry, File},
    io::{self, Read},
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use crate::output::{Failure, harmless_line};

/// The maximum length of a file in bytes. Twenty itself limits deliveries to 50 MiB.
pub(crate) const LIMIT: usize = 64 << 20;

/// Returns whether the file is standard input: `-`.
pub(crate) fn is_standard_input(file: &Path) -> bool {
    file == Path::new("-")
}

/// Returns the name of a file for a message.
pub(crate) fn name(file: &Path) -> String {
    if is_standard_input(file) {
        return "standard input".to_owned();
    }
    harmless_line(&file.display().to_string()).into_owned()
}

/// Parses a number of at least one, for an option.
pub(crate) fn positive(text: &str) -> Result<NonZeroUsize, &'static str> {
    text.parse().map_err(|_| "it should be a whole number, 1 or more")
}

/// Reads the whole content of a file, or of standard input for `-`.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    read_as(file, &name(file))
}

/// Reads a file like [`read`]. Errors contain `name` instead of the file's name.
pub(crate) fn read_as(file: &Path, name: &str) -> Result<Vec<u8>, Failure> {
    // One more byte shows that the file is too long.
    let longest = (LIMIT as u64).saturating_add(1);
    let read = || -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        if is_standard_input(file) {
            io::stdin().lock().take(longest).read_to_end(&mut content)?;
        } else {
            File::open(file)?.take(longest).read_to_end(&mut content)?;
        }
        Ok(content)
    };
    let content = read().map_err(|error| Failure::about(name, &error))?;
    if content.len() > LIMIT {
        return Err(Failure::new(format!("{name} is longer than {} MiB, the maximum", LIMIT >> 20)));
    }
    Ok(content)
}

/// Returns the named files, and the files in the named directories in the order of their names.
/// Hidden files and subdirectories are ignored.
pub(crate) fn files(named: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in named {
        if is_standard_input(path) || !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let failure = |error: io::Error| Failure::about(name(path), &error);
        let entries = path.read_dir().map_err(failure)?.collect::<Result<Vec<_>, _>>().map_err(failure)?;
        let is_hidden = |entry: &DirEntry| entry.file_name().as_encoded_bytes().starts_with(b".");
        let entries = entries.iter().filter(|entry| !is_hidden(entry)).map(DirEntry::path);
        let mut inside: Vec<_> = entries.filter(|path| path.is_file()).collect();
        if inside.is_empty() {
            return Err(Failure::new(format!("{} contains no files", name(path))));
        }
        inside.sort_unstable();
        files.extend(inside);
    }
    Ok(files)
}

//! Files that are named on the command line.

use std::{
    fs::File,
    io::{self, Read},
    num::NonZeroUsize,
    path::Path,
};

use crate::output::{Failure, harmless_line};

/// What no delivery exceeds, in bytes: Twenty itself stops at 50 MiB.
pub(crate) const LIMIT: usize = 64 << 20;

/// `-`
pub(crate) fn is_standard_input(file: &Path) -> bool {
    file == Path::new("-")
}

/// As it is called in a message.
pub(crate) fn name(file: &Path) -> String {
    if is_standard_input(file) {
        return "standard input".to_owned();
    }
    harmless_line(&file.display().to_string()).into_owned()
}

/// A number of at least one, for an option.
pub(crate) fn positive(text: &str) -> Result<NonZeroUsize, &'static str> {
    text.parse().map_err(|_| "it should be a whole number, 1 or more")
}

/// The whole content; of standard input for `-`.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    // One byte more shows that there is more.
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
    let content = read().map_err(|error| Failure::about(name(file), &error))?;
    if content.len() > LIMIT {
        return Err(Failure::new(format!("{} is longer than {} MiB: no delivery is", name(file), LIMIT >> 20)));
    }
    Ok(content)
}

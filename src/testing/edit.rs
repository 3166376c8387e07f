//! Changes one member of a JSON text and no other byte. A `serde_json::Value` would sort the
//! members.

use std::{error::Error, fmt};

use crate::event::{JsonType, check_is_json, find_member, range_in};

/// Why a member could not be [set](super::Delivery::set). It shows the path and types, but no
/// content.
#[derive(Debug)]
#[non_exhaustive]
pub enum SetError {
    /// The body is not JSON.
    NotJson,
    /// The path is empty, or contains an empty name.
    EmptyName,
    /// A member on the path is missing.
    #[non_exhaustive]
    Missing {
        /// The path to it.
        path: String,
    },
    /// A member on the path is not an object.
    #[non_exhaustive]
    NotAnObject {
        /// The path to it; empty for the body itself.
        path: String,
        /// The type that it has.
        found: JsonType,
    },
    /// The value cannot be written as JSON.
    Value(serde_json::Error),
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson => f.write_str("the body is not JSON"),
            Self::EmptyName => f.write_str("the path contains an empty name"),
            Self::Missing { path } => write!(f, "there is no `{path}`"),
            Self::NotAnObject { path, found } if path.is_empty() => write!(f, "the body is {found}, not an object"),
            Self::NotAnObject { path, found } => write!(f, "`{path}` is {found}, not an object"),
            Self::Value(_) => f.write_str("the value cannot be written as JSON"),
        }
    }
}

impl Error for SetError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Value(error) => Some(error),
            _ => None,
        }
    }
}

/// Returns the body with the JSON text `value` at `path`.
pub(super) fn set(body: &[u8], path: &str, value: &str) -> Result<String, SetError> {
    let text = std::str::from_utf8(body).map_err(|_| SetError::NotJson)?;
    check_is_json(text).map_err(|_| SetError::NotJson)?;
    if path.split('.').any(str::is_empty) {
        return Err(SetError::EmptyName);
    }

    let (parents, name) = path.rsplit_once('.').unwrap_or(("", path));
    let mut object = text.trim();
    let mut walked = "";
    check_is_object(object, walked)?;
    for parent in parents.split_terminator('.') {
        walked = path_to(path, parent);
        let member = find_member(object, parent).ok_or_else(|| SetError::Missing { path: walked.to_owned() })?;
        object = member;
        check_is_object(object, walked)?;
    }

    let (range, value) = match find_member(object, name) {
        Some(old) => (range_in(text, old), value.to_owned()),
        None => {
            // The new member goes after the last one.
            let members = object.strip_suffix('}').unwrap_or(object).trim_end();
            let comma = if members.ends_with('{') { "" } else { "," };
            let end = range_in(text, members).map(|range| range.end..range.end);
            (end, format!("{comma}{}:{value}", serde_json::Value::from(name)))
        }
    };
    let mut text = text.to_owned();
    text.replace_range(range.ok_or(SetError::NotJson)?, &value);
    Ok(text)
}

fn check_is_object(json: &str, path: &str) -> Result<(), SetError> {
    match JsonType::of(json) {
        JsonType::Object => Ok(()),
        found => Err(SetError::NotAnObject { path: path.to_owned(), found }),
    }
}

/// Returns the path up to `name`, which is a part of it.
fn path_to<'a>(path: &'a str, name: &str) -> &'a str {
    range_in(path, name).and_then(|range| path.get(..range.end)).unwrap_or(path)
}

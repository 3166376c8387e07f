//! Converts Twenty's names to Rust names.

use std::collections::{BTreeMap, BTreeSet};

/// Makes names unique, by adding a number to repeated names. The flag of a name says whether it is
/// plain. Plain names stay unchanged.
pub(super) fn unique(wanted: Vec<(String, bool)>, separator: &str) -> Vec<String> {
    let mut taken: BTreeSet<String> =
        wanted.iter().filter(|(_, is_plain)| *is_plain).map(|(name, _)| name.clone()).collect();
    let mut given = BTreeSet::new();
    // The numbers before these are taken, so they are not tried again for each name.
    let mut next_numbers: BTreeMap<String, u32> = BTreeMap::new();
    let names = wanted.into_iter().map(|(name, is_plain)| {
        if is_plain && given.insert(name.clone()) {
            return name;
        }
        if taken.insert(name.clone()) {
            return name;
        }
        let start = name.trim_end_matches('_');
        let next = next_numbers.entry(start.to_owned()).or_insert(2);
        let free = (*next..).map(|number| (number, format!("{start}{separator}{number}")));
        let Some((number, free)) = free.into_iter().find(|(_, name)| taken.insert(name.clone())) else { return name };
        *next = number.saturating_add(1);
        free
    });
    names.collect()
}

/// Returns the name of an object's struct: `Contract` for `contract`. A name that Rust itself uses
/// gets a suffix: `OptionRecord` for `option`.
pub(super) fn struct_name(object: &str) -> String {
    let name = pascal_case(object);
    if PRELUDE.contains(&name.as_str()) { format!("{name}Record") } else { name }
}

/// Names that a struct in scope would hide, or that a struct cannot have.
const PRELUDE: &[&str] = &[
    "AsMut",
    "AsRef",
    "AsyncFn",
    "AsyncFnMut",
    "AsyncFnOnce",
    "Box",
    "Clone",
    "Copy",
    "Debug",
    "Default",
    "DoubleEndedIterator",
    "Drop",
    "Eq",
    "Err",
    "ExactSizeIterator",
    "Extend",
    "Fn",
    "FnMut",
    "FnOnce",
    "From",
    "FromIterator",
    "Future",
    "Hash",
    "Into",
    "IntoFuture",
    "IntoIterator",
    "Iterator",
    "None",
    "Ok",
    "Option",
    "Ord",
    "PartialEq",
    "PartialOrd",
    "Result",
    "Self",
    "Send",
    "Sized",
    "Some",
    "String",
    "Sync",
    "ToOwned",
    "ToString",
    "TryFrom",
    "TryInto",
    "Unpin",
    "Vec",
];

/// Returns the name of a member's field: `created_at` for `createdAt`.
pub(super) fn field_name(member: &str) -> String {
    let name = snake_case(member);
    if KEYWORDS.contains(&name.as_str()) { name + "_" } else { name }
}

/// Returns whether the struct's name differs from the object's only in its form.
pub(super) fn is_plain_struct(name: &str, object: &str) -> bool {
    camel_case(name) == object
}

/// Returns whether `rename_all = "camelCase"` converts `field` to `member`, in a way that readers
/// can see.
pub(super) fn is_plain(field: &str, member: &str) -> bool {
    !field.ends_with('_') && camel_case(field) == member
}

/// The strict, reserved and weak keywords of all editions.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod",
    "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super", "trait", "true",
    "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// Converts `iCalUID` to `i_cal_uid`.
fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len().saturating_mul(2));
    let mut before = '_';
    let mut letters = name.chars().peekable();
    while let Some(letter) = letters.next() {
        let ends_run = before.is_ascii_uppercase() && letters.peek().is_some_and(char::is_ascii_lowercase);
        let begins_word = letter.is_ascii_uppercase() && (!before.is_ascii_uppercase() || ends_run);
        // Two underscores are not snake case.
        if (begins_word || letter == '_') && !snake.is_empty() && !snake.ends_with('_') {
            snake.push('_');
        }
        if letter != '_' {
            snake.push(letter.to_ascii_lowercase());
        }
        before = letter;
    }
    snake.truncate(snake.trim_end_matches('_').len());
    snake
}

fn pascal_case(name: &str) -> String {
    let words = name.split('_').map(|word| {
        let mut letters = word.chars();
        letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect::<String>()
    });
    words.collect()
}

/// Converts a field's name as serde does.
fn camel_case(field: &str) -> String {
    let pascal = pascal_case(field);
    let mut letters = pascal.chars();
    letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_converted() {
        for (member, field, plain) in [
            ("id", "id", true),
            ("createdAt", "created_at", true),
            ("bodyV2", "body_v2", true),
            ("fNumericText", "f_numeric_text", true),
            ("address1Line2", "address1_line2", true),
            ("iCalUid", "i_cal_uid", true),
            ("iCalUID", "i_cal_uid", false),
            ("HTTPServer", "http_server", false),
            ("xMLHttp", "x_ml_http", false),
            ("snake_case", "snake_case", false),
            ("a__b_", "a_b", false),
            ("Upper", "upper", false),
            ("type", "type_", false),
            ("self", "self_", false),
            ("Self", "self_", false),
            ("crate", "crate_", false),
            ("typeOf", "type_of", true),
        ] {
            assert_eq!((&*field_name(member), is_plain(field, member)), (field, plain), "{member}");
        }
        for (object, name) in [
            ("pet", "Pet"),
            ("noteTarget", "NoteTarget"),
            ("surveyResult2", "SurveyResult2"),
            ("option", "OptionRecord"),
            ("string", "StringRecord"),
            ("self", "SelfRecord"),
            ("box", "BoxRecord"),
            ("snake_case", "SnakeCase"),
            ("address", "Address"),
        ] {
            assert_eq!(struct_name(object), name);
        }
    }

    #[test]
    fn names_become_unique() {
        let wanted = [("a", false), ("a", true), ("a_2", true), ("a", false), ("b", false), ("c", true), ("c", true)];
        let names = unique(wanted.map(|(name, is_plain)| (name.to_owned(), is_plain)).to_vec(), "_");
        assert_eq!(names, ["a_3", "a", "a_2", "a_4", "b", "c", "c_2"]);
    }

    /// Each name costs the same, however many of them are equal.
    #[test]
    fn many_equal_names_take_linear_work() {
        let work = |count| {
            let mut names = Vec::new();
            let used = allocation_counter::measure(|| names = unique(vec![("a".to_owned(), false); count], "_"));
            assert_eq!((&*names[0], &*names[count - 1]), ("a", &*format!("a_{count}")));
            used.count_total / count as u64
        };
        assert!(work(4_000) <= 2 * work(400));
    }
}

//! The workspace's data model, as far as types need it.

/// An object, with what its records hold.
#[derive(Debug)]
pub(super) struct Object {
    /// In the singular: `pet`.
    pub(super) name: String,
    /// In the plural: `pets`.
    pub(super) plural: String,
    /// What admins wrote about it. Any text.
    pub(super) about: String,
    /// Made by the workspace, not by Twenty.
    pub(super) is_custom: bool,
    /// Sorted, each name once.
    pub(super) fields: Vec<Field>,
}

impl Object {
    /// Whether the workspace made it, or added fields to it.
    pub(super) fn is_customised(&self) -> bool {
        self.is_custom || self.fields.iter().any(|field| field.is_custom)
    }
}

/// A member of a record.
#[derive(Debug)]
pub(super) struct Field {
    /// The member's name: `fText`, and `ownerId` for a relation `owner`.
    pub(super) name: String,
    /// What admins wrote about it. Any text.
    pub(super) about: String,
    pub(super) is_custom: bool,
    pub(super) value: Value,
}

/// What a member holds.
#[derive(Debug)]
pub(super) enum Value {
    /// A value of this field type, such as `TEXT`.
    Plain(String),
    Number(Option<Number>),
    /// The formatted text of servers that have `RICH_TEXT_V2` beside it.
    LegacyRichText,
    /// `SELECT`, `MULTI_SELECT` or `RATING`, with the options of today.
    Options {
        field_type: String,
        values: Vec<String>,
    },
    /// The id of a record of another object; which one, where the answer says it.
    Relation {
        field_type: String,
        target: Option<String>,
    },
}

/// How a `NUMBER` is stored. Only the GraphQL API says it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Int,
    Float,
    BigInt,
}

impl Value {
    /// Twenty's name for the field's type.
    pub(super) fn field_type(&self) -> &str {
        match self {
            Self::Plain(field_type) | Self::Options { field_type, .. } | Self::Relation { field_type, .. } => {
                field_type
            }
            Self::Number(_) => "NUMBER",
            Self::LegacyRichText => "RICH_TEXT",
        }
    }

    /// The Rust type that reads every form in which Twenty sends it. `null` and absence are the
    /// `Option` around it.
    pub(super) fn rust_type(&self) -> &'static str {
        match self {
            Self::Number(Some(Number::Int)) => "i64",
            Self::Number(Some(Number::Float)) => "f64",
            // PostgreSQL's 64-bit integers come as text from some drivers.
            Self::Number(Some(Number::BigInt) | None) => "field::Decimal",
            Self::LegacyRichText => "String",
            Self::Relation { .. } => "field::Id",
            Self::Options { field_type, .. } if field_type == "MULTI_SELECT" => "Vec<String>",
            Self::Options { .. } => "String",
            Self::Plain(field_type) => match field_type.as_str() {
                "ACTOR" => "field::Actor",
                "ADDRESS" => "field::Address",
                "ARRAY" => "Vec<String>",
                "BOOLEAN" => "bool",
                "CURRENCY" => "field::Currency",
                "DATE" => "field::Date",
                "DATE_TIME" => "field::DateTime",
                "EMAILS" => "field::Emails",
                "FILES" => "Vec<field::FileRef>",
                "FULL_NAME" => "field::FullName",
                "LINKS" => "field::Links",
                "NUMERIC" => "field::Decimal",
                "PHONES" => "field::Phones",
                "POSITION" => "f64",
                "RICH_TEXT" | "RICH_TEXT_V2" => "field::RichText",
                "TEXT" | "TS_VECTOR" => "String",
                "UUID" => "field::Id",
                // RAW_JSON, and types that this version does not know
                _ => "event::RawJson",
            },
        }
    }
}

//! The parts of the workspace's data model that are required to generate types.

/// An object, and the members of its records.
#[derive(Debug)]
pub(super) struct Object {
    /// The name in the singular: `pet`.
    pub(super) name: String,
    /// The name in the plural: `pets`.
    pub(super) plural: String,
    /// The description that admins wrote, which can be any text.
    pub(super) about: String,
    /// Whether the workspace created it, and not Twenty.
    pub(super) is_custom: bool,
    /// The fields, sorted by their names, which are unique.
    pub(super) fields: Vec<Field>,
}

impl Object {
    /// Returns whether the workspace created the object, or added fields to it.
    pub(super) fn is_customised(&self) -> bool {
        self.is_custom || self.fields.iter().any(|field| field.is_custom)
    }
}

/// A member of a record.
#[derive(Debug)]
pub(super) struct Field {
    /// The member's name: `fText`, and `ownerId` for a relation `owner`.
    pub(super) name: String,
    /// The description that admins wrote, which can be any text.
    pub(super) about: String,
    pub(super) is_custom: bool,
    pub(super) value: Value,
}

/// The value of a member.
#[derive(Debug)]
pub(super) enum Value {
    /// A value of this field type, such as `TEXT`.
    Plain(String),
    Number(Option<Number>),
    /// The type `RICH_TEXT` on servers that also have `RICH_TEXT_V2`.
    LegacyRichText,
    /// `SELECT`, `MULTI_SELECT` or `RATING`, with the current options.
    Options {
        field_type: String,
        values: Vec<String>,
    },
    /// The id of a record of another object. `target` is the name of that object, if the response
    /// contains it.
    Relation {
        field_type: String,
        target: Option<String>,
    },
}

/// How a `NUMBER` is stored. Only the GraphQL API reports this.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Int,
    Float,
    BigInt,
}

impl Value {
    /// Returns Twenty's name for the field's type.
    pub(super) fn field_type(&self) -> &str {
        match self {
            Self::Plain(field_type) | Self::Options { field_type, .. } | Self::Relation { field_type, .. } => {
                field_type
            }
            Self::Number(_) => "NUMBER",
            Self::LegacyRichText => "RICH_TEXT",
        }
    }

    /// Returns the Rust type that reads every form in which Twenty sends the value. The `Option`
    /// around it covers `null` and absence.
    pub(super) fn rust_type(&self) -> &'static str {
        match self {
            Self::Number(Some(Number::Int)) => "i64",
            Self::Number(Some(Number::Float)) => "f64",
            // Some drivers return PostgreSQL's 64-bit integers as text.
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
                // `RAW_JSON`, and types that this version does not know.
                _ => "event::RawJson",
            },
        }
    }
}

/// Defines the type of a standard object, with the fields that all objects have and the object's
/// own fields.
///
/// Twenty's name of a field is the Rust name in camelCase. The object's own fields of type
/// `jiff::Timestamp` must be written by `write_time`.
macro_rules! standard_object {
    (
        $(#[$doc:meta])*
        $Name:ident = $object:tt { $($(#[$field_doc:meta])* $field:ident: $Type:ty,)* }
        display_name: $display_name:expr
    ) => {
        $(#[$doc])*
        #[derive(Clone, Default, PartialEq, ::serde::Deserialize, ::serde::Serialize)]
        #[serde(rename = $object, rename_all = "camelCase")]
        #[non_exhaustive]
        pub struct $Name {
            /// The record's id.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub id: Option<Id>,
            /// When it was created.
            #[serde(
                default,
                deserialize_with = "crate::event::field::time",
                serialize_with = "crate::event::field::write_time",
                skip_serializing_if = "Option::is_none"
            )]
            pub created_at: Option<jiff::Timestamp>,
            /// When it was last changed, put into the trash or restored. It can be absent in a
            /// deleted record, so it is not enough to order changes: see
            /// [mirroring](crate::guide::mirroring).
            #[serde(
                default,
                deserialize_with = "crate::event::field::time",
                serialize_with = "crate::event::field::write_time",
                skip_serializing_if = "Option::is_none"
            )]
            pub updated_at: Option<jiff::Timestamp>,
            /// When it was put into the trash; `None` if it is not in the trash.
            #[serde(
                default,
                deserialize_with = "crate::event::field::time",
                serialize_with = "crate::event::field::write_time",
                skip_serializing_if = "Option::is_none"
            )]
            pub deleted_at: Option<jiff::Timestamp>,
            /// Who created it.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub created_by: Option<Actor>,
            /// Who last changed it (since January 2026).
            #[serde(skip_serializing_if = "Option::is_none")]
            pub updated_by: Option<Actor>,
            /// Its position in a list.
            #[serde(serialize_with = "crate::event::field::write_number", skip_serializing_if = "Option::is_none")]
            pub position: Option<f64>,
            $(
                $(#[$field_doc])*
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $field: Option<$Type>,
            )*
        }

        impl $Name {
            /// The object's name in the singular, as Twenty writes it.
            pub const OBJECT: &'static str = $object;

            /// Returns a name for display.
            #[must_use]
            pub fn display_name(&self) -> Option<String> {
                let display_name: fn(&Self) -> Option<String> = $display_name;
                display_name(self).filter(|name| !name.is_empty())
            }

            /// Returns name and type of each field, and whether it is present.
            #[cfg(test)]
            pub(super) fn fields(&self) -> Vec<(&'static str, &'static str, bool)> {
                vec![
                    ("id", "Id", self.id.is_some()),
                    ("created_at", "jiff::Timestamp", self.created_at.is_some()),
                    ("updated_at", "jiff::Timestamp", self.updated_at.is_some()),
                    ("deleted_at", "jiff::Timestamp", self.deleted_at.is_some()),
                    ("created_by", "Actor", self.created_by.is_some()),
                    ("updated_by", "Actor", self.updated_by.is_some()),
                    ("position", "f64", self.position.is_some()),
                    $((stringify!($field), stringify!($Type), self.$field.is_some()),)*
                ]
            }
        }

        /// Shows the id, but no content.
        impl ::std::fmt::Debug for $Name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.debug_struct(stringify!($Name)).field("id", &self.id).finish_non_exhaustive()
            }
        }
    };
}

pub(super) use standard_object;

/// Returns the text if it is not empty.
pub(super) fn non_empty(text: Option<&String>) -> Option<String> {
    text.filter(|text| !text.is_empty()).cloned()
}

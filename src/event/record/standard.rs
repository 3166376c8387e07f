/// Makes the type of a standard object: the fields that all objects have, and its own.
///
/// Twenty's name of a field is the Rust name in camelCase.
macro_rules! standard_object {
    (
        $(#[$doc:meta])*
        $Name:ident = $object:tt { $($(#[$field_doc:meta])* $field:ident: $Type:ty,)* }
        display_name: $display_name:expr
    ) => {
        standard_object! { @type
            [derive(::serde::Deserialize), serde(rename = $object, rename_all = "camelCase")]
            [serde(default, deserialize_with = "crate::event::field::time")] [pub]
            $(#[$doc])* $Name { $($(#[$field_doc])* $field: $Type,)* }
        }
        standard_object! { @impl $Name = $object { $($field: $Type,)* } display_name: $display_name }
    };

    // The official page shows members that no server sends. They are read too, and merged into those that are sent.
    (
        $(#[$doc:meta])*
        $Name:ident = $object:tt { $($(#[$field_doc:meta])* $field:ident: $Type:ty,)* }
        display_name: $display_name:expr,
        documented { $($extra:ident: $Extra:ty),* } merged by $merge:path
    ) => {
        standard_object! { @type [] [] [pub] $(#[$doc])* $Name { $($(#[$field_doc])* $field: $Type,)* } }
        standard_object! { @impl $Name = $object { $($field: $Type,)* } display_name: $display_name }

        impl<'de> ::serde::Deserialize<'de> for $Name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                standard_object! { @type
                    [derive(::serde::Deserialize), serde(rename = $object, rename_all = "camelCase")]
                    [serde(default, deserialize_with = "crate::event::field::time")] [pub(crate)]
                    Documented { $($field: $Type,)* $($extra: $Extra,)* }
                }
                let Documented {
                    id, created_at, updated_at, deleted_at, created_by, updated_by, position, $($field,)* $($extra,)*
                } = Documented::deserialize(deserializer)?;
                let mut sent =
                    Self { id, created_at, updated_at, deleted_at, created_by, updated_by, position, $($field,)* };
                $merge(&mut sent, $($extra),*);
                Ok(sent)
            }
        }
    };

    (
        @type [$($attribute:meta),*] [$($time:meta)?] [$vis:vis]
        $(#[$doc:meta])* $Name:ident { $($(#[$field_doc:meta])* $field:ident: $Type:ty,)* }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Default, PartialEq)]
        $(#[$attribute])*
        #[non_exhaustive]
        $vis struct $Name {
            /// The record's id.
            $vis id: Option<Id>,
            /// When it was created.
            $(#[$time])?
            $vis created_at: Option<jiff::Timestamp>,
            /// When it was last changed. Order changes by it: deliveries arrive in any order.
            $(#[$time])?
            $vis updated_at: Option<jiff::Timestamp>,
            /// When it was put into the trash; `None` when it is not there.
            $(#[$time])?
            $vis deleted_at: Option<jiff::Timestamp>,
            /// Who created it.
            $vis created_by: Option<Actor>,
            /// Who last changed it (since January 2026).
            $vis updated_by: Option<Actor>,
            /// Its place among the others in a list.
            $vis position: Option<f64>,
            $($(#[$field_doc])* $vis $field: Option<$Type>,)*
        }
    };

    (@impl $Name:ident = $object:tt { $($field:ident: $Type:ty,)* } display_name: $display_name:expr) => {
        impl $Name {
            /// The object's name in the singular, as Twenty has it.
            pub const OBJECT: &'static str = $object;

            /// What people call it.
            #[must_use]
            pub fn display_name(&self) -> Option<String> {
                let display_name: fn(&Self) -> Option<String> = $display_name;
                display_name(self).filter(|name| !name.is_empty())
            }

            /// Name and type of each field, and whether it is there.
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

        /// Shows the id, no content.
        impl ::std::fmt::Debug for $Name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.debug_struct(stringify!($Name)).field("id", &self.id).finish_non_exhaustive()
            }
        }
    };
}

pub(super) use standard_object;

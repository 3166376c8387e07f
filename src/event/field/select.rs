/// Defines an enum of Twenty's default options. Admins can change options, so others are stored as
/// text.
macro_rules! select {
    ($(#[$doc:meta])* $Name:ident { $($(#[$option_doc:meta])* $Option:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $Name {
            $($(#[$option_doc])* $Option,)*
            /// Any other option, as it was sent. A later version may add a variant for it, so to
            /// match such an option, compare [`as_str`](Self::as_str).
            Other(Box<str>),
        }

        impl $Name {
            /// Returns the option as Twenty writes it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$Option => $text,)*
                    Self::Other(text) => text,
                }
            }
        }

        /// Shows only the known options; `Display` shows any.
        impl ::std::fmt::Debug for $Name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(match self {
                    $(Self::$Option => stringify!($Option),)*
                    Self::Other(_) => "Other(..)",
                })
            }
        }

        impl ::std::fmt::Display for $Name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                self.as_str().fmt(f)
            }
        }

        impl From<&str> for $Name {
            fn from(text: &str) -> Self {
                match text {
                    $($text => Self::$Option,)*
                    other => Self::Other(other.into()),
                }
            }
        }

        impl ::serde::Serialize for $Name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $Name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok((&*$crate::event::raw::Text::deserialize(deserializer)?.0).into())
            }
        }
    };
}

pub(in crate::event) use select;

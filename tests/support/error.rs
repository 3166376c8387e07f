use std::error::Error;

/// Returns the error and all of its sources, as text and as `Debug`.
pub(crate) fn texts(error: &dyn Error) -> String {
    let mut texts = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(error) = source {
        texts += &format!(" {error} {error:?}");
        source = error.source();
    }
    texts
}

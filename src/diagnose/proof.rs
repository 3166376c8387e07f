use super::{Cause, signature::Signature};

/// A signature whose MAC was found, and the assumptions under which it was found.
pub(super) struct Proof {
    pub(super) signature: Signature,
    pub(super) is_timestamp_signed: bool,
    pub(super) causes: Vec<Cause>,
}

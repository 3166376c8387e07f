use super::{Cause, signature::Signature};

/// A signature whose MAC was found, and what had to be supposed for it.
pub(super) struct Proof {
    pub(super) signature: Signature,
    pub(super) is_timestamp_signed: bool,
    pub(super) causes: Vec<Cause>,
}

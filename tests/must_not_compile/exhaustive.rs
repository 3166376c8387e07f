//! Enums can get new variants in a minor version, so a match requires an arm for other variants.

use twenty_webhook::{
    deduplicate::StoreErrorKind,
    event::{EventErrorKind, record::Record},
    receiver::{Outcome, OutcomeKind, RefusalKind},
    verify::ConfigError,
};

fn config(error: ConfigError) {
    match error { //~ E0004
        ConfigError::BlankSecret | ConfigError::NoSecret | ConfigError::TooManySecrets => {}
        ConfigError::KeysAndSecrets | ConfigError::InvalidHeaderPrefix => {}
    }
}

fn event(kind: EventErrorKind) {
    match kind { //~ E0004
        EventErrorKind::NotJson | EventErrorKind::Mismatch | EventErrorKind::WrongObject => {}
    }
}

fn store(kind: StoreErrorKind) {
    match kind { //~ E0004
        StoreErrorKind::Settings | StoreErrorKind::Timeout | StoreErrorKind::Connection => {}
        StoreErrorKind::Refused | StoreErrorKind::Full | StoreErrorKind::Unexpected => {}
    }
}

fn outcome(outcome: Outcome) {
    match outcome.kind { //~ E0004
        OutcomeKind::Handled | OutcomeKind::Failed { .. } | OutcomeKind::Aborted => {}
        OutcomeKind::Unmatched | OutcomeKind::Duplicate => {}
        OutcomeKind::Refused(RefusalKind::Overloaded) | OutcomeKind::Refused(_) => {}
    }
}

fn record(record: Record) {
    match record { //~ E0004
        Record::Person(_) | Record::Custom(_) => {}
    }
}

fn main() {}

/// The names of the files in `tests/data` whose deliveries are measured, here and in
/// `benches/peers`.
pub const DELIVERIES: [&str; 9] = [
    "person.created",
    "person.updated",
    "company.deleted",
    "opportunity.updated",
    "note.created",
    "task.created",
    "attachment.created",
    "subscription.created",
    "metadata.fieldMetadata.updated",
];

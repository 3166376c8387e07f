/// The deliveries of `tests/data` that are measured, here and in `benches/peers`, by the names of
/// their files.
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

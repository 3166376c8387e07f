//! Standard objects: workflows.

use super::standard::standard_object;
use crate::event::{
    RawJson,
    field::{Actor, Id, select, write_time},
};

select! {
    /// Whether a workflow, or a version of one, is in use.
    WorkflowStatus {
        /// Being written.
        Draft = "DRAFT",
        /// In use.
        Active = "ACTIVE",
        /// Deactivated.
        Deactivated = "DEACTIVATED",
        /// Replaced by a newer version.
        Archived = "ARCHIVED",
    }
}

standard_object! {
    /// A workflow.
    Workflow = "workflow" {
        /// Name.
        name: String,
        /// The version that was published last. An empty text if there is none.
        last_published_version_id: Id,
        /// The statuses of its versions.
        statuses: Vec<WorkflowStatus>,
        /// The workflow that it was made from (since 2026).
        core_workflow_id: Id,
    }
    display_name: |workflow| workflow.name.clone()
}

standard_object! {
    /// A version of a workflow.
    WorkflowVersion = "workflowVersion" {
        /// Name.
        name: String,
        /// Its trigger, as JSON whose form depends on the kind of trigger.
        trigger: RawJson,
        /// What it does: JSON whose form depends on the kinds of steps.
        steps: RawJson,
        /// Whether it is in use.
        status: WorkflowStatus,
        /// The workflow.
        workflow_id: Id,
        /// The version that it was made from (since 2026).
        core_workflow_version_id: Id,
    }
    display_name: |version| version.name.clone()
}

select! {
    /// The status of a workflow's run.
    WorkflowRunStatus {
        /// Not started.
        NotStarted = "NOT_STARTED",
        /// Waiting in the queue.
        Enqueued = "ENQUEUED",
        /// Running.
        Running = "RUNNING",
        /// Succeeded.
        Completed = "COMPLETED",
        /// Failed.
        Failed = "FAILED",
        /// Being stopped.
        Stopping = "STOPPING",
        /// Stopped.
        Stopped = "STOPPED",
    }
}

standard_object! {
    /// A run of a workflow. Twenty sends it only to webhooks that subscribe to
    /// `workflowRun.updated` by name. Its `output`, `state`, `context` and `stepLogs` can be any
    /// JSON: read them from the raw record.
    WorkflowRun = "workflowRun" {
        /// Name.
        name: String,
        /// When it was enqueued.
        #[serde(serialize_with = "write_time")]
        enqueued_at: jiff::Timestamp,
        /// When it started.
        #[serde(serialize_with = "write_time")]
        started_at: jiff::Timestamp,
        /// When it ended.
        #[serde(serialize_with = "write_time")]
        ended_at: jiff::Timestamp,
        /// Its status.
        status: WorkflowRunStatus,
        /// The workflow.
        workflow_id: Id,
        /// The version that ran.
        workflow_version_id: Id,
        /// The workflow from which this run's workflow was made (since 2026).
        core_workflow_id: Id,
        /// The version from which this run's version was made (since 2026).
        core_workflow_version_id: Id,
    }
    display_name: |run| run.name.clone()
}

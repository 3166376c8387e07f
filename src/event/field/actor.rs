use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{Id, select};

select! {
    /// The source of a change.
    ActorSource {
        /// Created from an e-mail.
        Email = "EMAIL",
        /// Created from a calendar.
        Calendar = "CALENDAR",
        /// By a workflow.
        Workflow = "WORKFLOW",
        /// By an AI agent.
        Agent = "AGENT",
        /// Through the API.
        Api = "API",
        /// By an import.
        Import = "IMPORT",
        /// By hand.
        Manual = "MANUAL",
        /// By Twenty itself.
        System = "SYSTEM",
        /// Through a webhook.
        Webhook = "WEBHOOK",
        /// By an application.
        Application = "APPLICATION",
    }
}

/// Who created or changed a record (`ACTOR`).
#[derive(Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
#[non_exhaustive]
pub struct Actor {
    /// The source of the change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<ActorSource>,
    /// The workspace member, if one made the change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_member_id: Option<Id>,
    /// The actor's name at that time; may be empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// More about the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<ActorContext>,
}

/// What Twenty adds to the source of an [`Actor`].
#[derive(Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ActorContext {
    /// The provider of an e-mail or calendar account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application_id: Option<Id>,
    /// The AI agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<Id>,
}

super::no_content_in_debug!(Actor, ActorContext);

/// Reads an object, or a text as in the official documentation, which becomes the name.
impl<'de> Deserialize<'de> for Actor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ActorVisitor;

        impl<'de> Visitor<'de> for ActorVisitor {
            type Value = Actor;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an actor")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Actor, A::Error> {
                // Calls the derived function, which reads only objects.
                Actor::deserialize(MapAccessDeserializer::new(map))
            }

            fn visit_str<E>(self, text: &str) -> Result<Actor, E> {
                Ok(Actor { name: Some(text.to_owned()), ..Actor::default() })
            }
        }

        deserializer.deserialize_any(ActorVisitor)
    }
}

/// Writes an object.
impl Serialize for Actor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Calls the derived function.
        Self::serialize(self, serializer)
    }
}

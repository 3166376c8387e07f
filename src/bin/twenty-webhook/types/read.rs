//! Reads the data model from a response of Twenty: to REST's `GET /rest/metadata/objects`, or to
//! GraphQL's [`QUERY`].

use serde::Deserialize;
use serde_json::Value as Json;

use super::schema::{Field, Number, Object, Value};
use crate::{
    api,
    output::{Failure, shortened},
};

/// The query for GraphQL's `/metadata`. Its response contains two facts that REST's does not: how a
/// `NUMBER` is stored, and where a morph relation leads.
pub(super) const QUERY: &str = "query { objects(paging: { first: 1000 }) { pageInfo { hasNextPage } edges { node { \
    nameSingular namePlural labelSingular description isCustom isActive \
    fieldsList { name type label description isCustom isActive options settings \
    relation { type targetObjectMetadata { nameSingular } } \
    morphRelations { type sourceFieldMetadata { name } targetObjectMetadata { nameSingular } } } } } } }";

/// The maximum length of a name: PostgreSQL's limit, which is also Twenty's, and the `Id` after the
/// name of a relation.
const LONGEST_NAME: usize = 63 + 2;

#[derive(Deserialize)]
struct Edge {
    node: RawObject,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawObject {
    name_singular: String,
    name_plural: Option<String>,
    label_singular: Option<String>,
    description: Option<String>,
    is_custom: Option<bool>,
    is_active: Option<bool>,
    #[serde(alias = "fieldsList")]
    fields: Vec<RawField>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawField {
    name: String,
    r#type: String,
    label: Option<String>,
    description: Option<String>,
    is_custom: Option<bool>,
    is_active: Option<bool>,
    options: Option<Vec<RawOption>>,
    settings: Option<Settings>,
    relation: Option<Relation>,
    morph_relations: Option<Vec<Relation>>,
}

#[derive(Deserialize)]
struct RawOption {
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Settings {
    data_type: Option<Json>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Relation {
    r#type: Option<String>,
    source_field_metadata: Option<FieldName>,
    target_object_metadata: Option<ObjectName>,
}

#[derive(Deserialize)]
struct FieldName {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ObjectName {
    name_singular: String,
}

impl Relation {
    /// Returns whether the other side holds the id.
    fn is_to_many(&self) -> bool {
        self.r#type.as_deref() == Some("ONE_TO_MANY")
    }
}

/// Reads the active objects with their active fields, sorted by name. `source` is the name of the
/// response in errors.
pub(super) fn objects(source: &str, answer: &[u8]) -> Result<Vec<Object>, Failure> {
    let json: Json = serde_json::from_slice(answer)
        .map_err(|error| Failure::about(format!("{source} is not JSON: expected {WANTED}"), &error))?;
    from_json(source, json)
}

const WANTED: &str = "Twenty's response to GET /rest/metadata/objects";

pub(super) fn from_json(source: &str, mut json: Json) -> Result<Vec<Object>, Failure> {
    if let Some(said) = api::error_message(&json) {
        return Err(Failure::new(format!("{source} is an error from Twenty: {}", shortened(&said))));
    }
    let has_more = |json: &Json| json.pointer("/pageInfo/hasNextPage").and_then(Json::as_bool) == Some(true);
    let is_part = has_more(&json);
    let objects = json.pointer_mut("/data/objects").map(Json::take);
    let objects = objects.ok_or_else(|| Failure::new(format!("{source} has no `data.objects`: it is not {WANTED}")))?;
    if is_part || has_more(&objects) {
        return Err(Failure::new(format!("{source} has only the first page of the objects")));
    }
    let unreadable = |error: serde_json::Error| Failure::about(format!("{source} is not {WANTED}"), &error);
    let raw = match objects {
        Json::Object(mut connection) => {
            let edges = connection.get_mut("edges").map(Json::take).unwrap_or_default();
            let edges: Vec<Edge> = serde_json::from_value(edges).map_err(unreadable)?;
            edges.into_iter().map(|edge| edge.node).collect()
        }
        list => serde_json::from_value::<Vec<RawObject>>(list).map_err(unreadable)?,
    };
    let fields = || raw.iter().flat_map(|object| &object.fields);
    let has_second_rich_text = fields().any(|field| field.r#type == "RICH_TEXT_V2");
    let active = raw.into_iter().filter(|object| object.is_active != Some(false));
    let objects: Result<Vec<_>, _> = active.map(|object| self::object(object, has_second_rich_text)).collect();
    let mut objects = objects.map_err(|error| Failure::new(format!("{source} is not {WANTED}: {error}")))?;
    objects.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some([one, ..]) = objects.windows(2).find(|pair| matches!(pair, [a, b] if a.name == b.name)) {
        return Err(Failure::new(format!("{source} has the object `{}` twice", one.name)));
    }
    Ok(objects)
}

fn object(raw: RawObject, has_second_rich_text: bool) -> Result<Object, String> {
    let name = raw.name_singular;
    if !name.starts_with(|first: char| first.is_ascii_lowercase()) || !is_name(&name) {
        return Err(format!("an object cannot have the name {:?}", shortened(&name)));
    }
    let mut fields = Vec::new();
    for field in raw.fields.into_iter().filter(|field| field.is_active != Some(false)) {
        members(field, has_second_rich_text, &mut fields);
    }
    if let Some(odd) = fields.iter().find(|field| !is_name(&field.name)) {
        return Err(format!("a field of `{name}` cannot have the name {:?}", shortened(&odd.name)));
    }
    // A relation's id can be listed as a separate field, too. The field with more information comes
    // first, and stays.
    fields.sort_by(|a, b| (&a.name, is_plain(a)).cmp(&(&b.name, is_plain(b))));
    fields.dedup_by(|later, earlier| later.name == earlier.name);
    let about = first_text([raw.description, raw.label_singular]);
    Ok(Object {
        name,
        plural: raw.name_plural.unwrap_or_default(),
        about,
        is_custom: raw.is_custom == Some(true),
        fields,
    })
}

fn is_plain(field: &Field) -> bool {
    matches!(field.value, Value::Plain(_))
}

/// Returns whether a name has the form of Twenty's names, which are identifiers.
fn is_name(name: &str) -> bool {
    name.len() <= LONGEST_NAME
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn first_text<const N: usize>(texts: [Option<String>; N]) -> String {
    texts.into_iter().flatten().find(|text| !text.trim().is_empty()).unwrap_or_default()
}

/// Adds the members of a record that contain a field's value: none for the side of a relation that
/// does not hold the id, and several for a morph relation.
fn members(raw: RawField, has_second_rich_text: bool, into: &mut Vec<Field>) {
    let RawField { name, r#type: field_type, .. } = raw;
    let is_custom = raw.is_custom == Some(true);
    let about = first_text([raw.description, raw.label]);
    let mut add = |name: String, value| into.push(Field { name, about: about.clone(), is_custom, value });
    let target = |relation: Relation| Some(relation.target_object_metadata?.name_singular);
    match field_type.as_str() {
        "MORPH_RELATION" => match raw.morph_relations {
            Some(relations) => {
                for relation in relations.into_iter().filter(|relation| !relation.is_to_many()) {
                    let member = format!("{}Id", morph_name(&name, &relation));
                    add(member, Value::Relation { field_type: field_type.clone(), target: target(relation) });
                }
            }
            // REST lists one entry for each target. It does not report which entries hold no id.
            None => add(format!("{name}Id"), Value::Relation { field_type, target: None }),
        },
        "RELATION" if raw.relation.as_ref().is_some_and(Relation::is_to_many) => {}
        "RELATION" => {
            let target = raw.relation.and_then(target);
            add(format!("{name}Id"), Value::Relation { field_type, target });
        }
        "SELECT" | "MULTI_SELECT" | "RATING" => {
            let values = raw.options.unwrap_or_default().into_iter().map(|option| option.value).collect();
            add(name, Value::Options { field_type, values });
        }
        "NUMBER" => {
            let data_type = raw.settings.and_then(|settings| settings.data_type);
            let number = match data_type.as_ref().and_then(Json::as_str) {
                Some("int") => Some(Number::Int),
                Some("float") => Some(Number::Float),
                Some("bigint") => Some(Number::BigInt),
                _ => None,
            };
            add(name, Value::Number(number));
        }
        "RICH_TEXT" if has_second_rich_text => add(name, Value::LegacyRichText),
        _ => add(name, Value::Plain(field_type)),
    }
}

/// Returns the name of a morph relation's column. A morph relation `owner` is stored as one column
/// for each target: `ownerRocket`, `ownerPet`. GraphQL lists the field once, under the name of the
/// first column or under the common name.
fn morph_name(name: &str, relation: &Relation) -> String {
    let target = relation.target_object_metadata.as_ref().map_or("", |object| &object.name_singular);
    let mut letters = target.chars();
    let target: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    let column = relation.source_field_metadata.as_ref().map_or(name, |field| &field.name);
    if column.ends_with(&target) { column.to_owned() } else { format!("{column}{target}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(json: &str) -> Result<Vec<Object>, String> {
        objects("it", json.as_bytes()).map_err(|failure| failure.to_string())
    }

    /// Returns the members of an object with these fields, and their Rust types.
    fn fields(fields: &str) -> Vec<(String, &'static str)> {
        let json = format!(r#"{{"data":{{"objects":[{{"nameSingular":"pet","fields":[{fields}]}}]}}}}"#);
        let objects = read(&json).unwrap();
        objects[0].fields.iter().map(|field| (field.name.clone(), field.value.rust_type())).collect()
    }

    #[test]
    fn each_field_type_has_a_rust_type() {
        for (field_type, expected) in [
            ("ACTOR", "field::Actor"),
            ("ADDRESS", "field::Address"),
            ("ARRAY", "Vec<String>"),
            ("BOOLEAN", "bool"),
            ("CURRENCY", "field::Currency"),
            ("DATE", "field::Date"),
            ("DATE_TIME", "field::DateTime"),
            ("EMAILS", "field::Emails"),
            ("FILES", "Vec<field::FileRef>"),
            ("FULL_NAME", "field::FullName"),
            ("LINKS", "field::Links"),
            ("MULTI_SELECT", "Vec<String>"),
            ("NUMBER", "field::Decimal"),
            ("NUMERIC", "field::Decimal"),
            ("PHONES", "field::Phones"),
            ("POSITION", "f64"),
            ("RATING", "String"),
            ("RAW_JSON", "event::RawJson"),
            ("RICH_TEXT", "field::RichText"),
            ("RICH_TEXT_V2", "field::RichText"),
            ("SELECT", "String"),
            ("TEXT", "String"),
            ("TS_VECTOR", "String"),
            ("UUID", "field::Id"),
            ("HOLOGRAM", "event::RawJson"),
        ] {
            let fields = fields(&format!(r#"{{"name":"a","type":"{field_type}"}}"#));
            assert_eq!(fields, [("a".to_owned(), expected)], "{field_type}");
        }
        for (data_type, expected) in [("int", "i64"), ("float", "f64"), ("bigint", "field::Decimal")] {
            let settings = format!(r#"{{"name":"a","type":"NUMBER","settings":{{"dataType":"{data_type}"}}}}"#);
            assert_eq!(fields(&settings), [("a".to_owned(), expected)], "{data_type}");
        }
        let both = r#"{"name":"a","type":"RICH_TEXT"},{"name":"b","type":"RICH_TEXT_V2"}"#;
        assert_eq!(fields(both), [("a".to_owned(), "String"), ("b".to_owned(), "field::RichText")]);
    }

    #[test]
    fn a_relation_is_the_id_that_the_record_holds() {
        let names = |json: &str| fields(json).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        let target = |name: &str| json!({ "nameSingular": name });
        let relation = |kind: &str| {
            let relation = json!({ "type": kind, "targetObjectMetadata": target("person") });
            json!({ "name": "owner", "type": "RELATION", "relation": relation }).to_string()
        };
        assert_eq!(names(&relation("MANY_TO_ONE")), ["ownerId"]);
        assert!(names(&relation("ONE_TO_MANY")).is_empty());
        // GraphQL uses the name of the first column, or the common name.
        for name in ["ownerPerson", "owner"] {
            let of = |kind: &str, source: &str, of: &str| {
                let source = json!({ "name": source });
                json!({ "type": kind, "sourceFieldMetadata": source, "targetObjectMetadata": target(of) })
            };
            let source = |target: &str| if name == "owner" { name.to_owned() } else { format!("owner{target}") };
            let morphs = [
                of("MANY_TO_ONE", &source("Person"), "person"),
                of("MANY_TO_ONE", &source("Pet"), "pet"),
                of("ONE_TO_MANY", &source("Rockets"), "rocket"),
            ];
            let json = json!({ "name": name, "type": "MORPH_RELATION", "morphRelations": morphs }).to_string();
            assert_eq!(names(&json), ["ownerPersonId", "ownerPetId"]);
        }
        // REST uses the name of each column.
        assert_eq!(names(r#"{"name":"ownerPet","type":"MORPH_RELATION"}"#), ["ownerPetId"]);
        // A member that is listed twice is read once.
        let twice = format!(r#"{{"name":"ownerId","type":"TEXT"}},{}"#, relation("MANY_TO_ONE"));
        assert_eq!(fields(&twice), [("ownerId".to_owned(), "field::Id")]);
    }

    #[test]
    fn inactive_objects_and_fields_are_omitted() {
        let json = r#"{"data":{"objects":[
            {"nameSingular":"pet","isActive":false,"fields":[]},
            {"nameSingular":"dog","fields":[
                {"name":"a","type":"TEXT","isActive":false},{"name":"b","type":"TEXT","isActive":true}
            ]}
        ]}}"#;
        let objects = read(json).unwrap();
        assert_eq!(objects.len(), 1);
        assert_eq!((&*objects[0].name, objects[0].fields.len()), ("dog", 1));
    }

    #[test]
    fn other_responses_are_errors() {
        let object = |name: &str, field: &str| {
            let fields = json!([{ "name": field, "type": "TEXT" }]);
            json!({ "data": { "objects": [{ "nameSingular": name, "fields": fields }] } }).to_string()
        };
        let long = "a".repeat(66);
        for (json, expected) in [
            ("", "not JSON"),
            ("<html>", "not JSON"),
            ("{}", "no `data.objects`"),
            (r#"{"data":{"objects":null}}"#, "is not Twenty's response"),
            (r#"{"data":{"objects":[{}]}}"#, "nameSingular"),
            (r#"{"data":{"objects":{"edges":[{"node":{}}]}}}"#, "nameSingular"),
            (r#"{"data":{"objects":[]},"pageInfo":{"hasNextPage":true}}"#, "first page"),
            (r#"{"statusCode":403,"messages":["Missing authentication token"]}"#, "Missing authentication token"),
            (r#"{"errors":[{"message":"Token has expired."}],"data":null}"#, "Token has expired."),
            (&object("*", "a"), "an object cannot have the name"),
            (&object("Pet", "a"), "an object cannot have the name"),
            (&object("pet\"", "a"), "an object cannot have the name"),
            (&object(&long, "a"), "an object cannot have the name"),
            (&object("pet", "a\nb"), "a field of `pet` cannot have the name"),
            (&object("pet", ""), "a field of `pet` cannot have the name"),
            (&object("pet", "1"), "a field of `pet` cannot have the name"),
            (&object("pet", "é"), "a field of `pet` cannot have the name"),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.starts_with("it ") && error.contains(expected), "{json}: {error}");
        }
        let twice = r#"{"data":{"objects":[{"nameSingular":"pet","fields":[]},{"nameSingular":"pet","fields":[]}]}}"#;
        assert!(read(twice).unwrap_err().contains("`pet` twice"));
    }
}

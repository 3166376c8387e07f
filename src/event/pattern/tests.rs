use super::*;

#[track_caller]
fn pattern(text: &str) -> EventPattern {
    text.parse().unwrap()
}

/// From the most specific to the least specific.
const RECORD: [&str; 4] = ["person.created", "person.*", "*.created", "*.*"];
const METADATA: [&str; 5] = ["metadata.view.created", "metadata.view.*", "metadata.*.created", "metadata.*.*", "*.*"];

#[test]
fn patterns_match_the_documented_events() {
    let all = RECORD.iter().chain(&METADATA);
    for (name, matching) in [
        ("person.created", &RECORD[..]),
        ("person.archived", &["person.*", "*.*"]),
        ("company.created", &["*.created", "*.*"]),
        ("company.archived", &["*.*"]),
        ("workflowRun.updated", &["*.*"]),
        ("metadata.view.created", &METADATA),
        ("metadata.view.deleted", &["metadata.view.*", "metadata.*.*", "*.*"]),
        ("metadata.role.created", &["metadata.*.created", "metadata.*.*", "*.*"]),
        ("metadata.created", &["*.created", "*.*"]),
        ("view.created", &["*.created", "*.*"]),
        ("person", &[]),
        ("person.", &[]),
        (".created", &[]),
        ("metadata.view.", &[]),
        ("metadata..created", &[]),
        ("", &[]),
    ] {
        let name = EventName::new(name);
        for text in all.clone() {
            assert_eq!(pattern(text).matches(&name), matching.contains(text), "{text} {name}");
        }
    }
}

#[test]
fn the_most_specific_pattern_wins_in_any_order() {
    for (name, patterns) in [("person.created", &RECORD[..]), ("metadata.view.created", &METADATA)] {
        let name = EventName::new(name);
        for most_exact in 0..patterns.len() {
            let fewer = &patterns[most_exact..];
            for turned_by in 0..fewer.len() {
                let mut map = PatternMap::new();
                let order = fewer[turned_by..].iter().chain(&fewer[..turned_by]).rev();
                order.for_each(|text| map.insert(&pattern(text), *text).unwrap());
                assert_eq!(map.get(&name), Some(&fewer[0]));
            }
        }
    }
}

#[test]
fn a_map_finds_only_matching_patterns() {
    let names = ["person.created", "person.x", "x.created", "metadata.view.created", "metadata.view.x", "x", ""];
    for text in RECORD.iter().chain(&METADATA) {
        let mut map = PatternMap::new();
        map.insert(&pattern(text), ()).unwrap();
        for name in names.map(EventName::new) {
            assert_eq!(map.get(&name).is_some(), pattern(text).matches(&name), "{text} {name}");
        }
    }
}

#[test]
fn a_pattern_cannot_be_added_twice() {
    for text in RECORD.iter().chain(&METADATA) {
        let mut map = PatternMap::new();
        map.insert(&pattern(text), 1).unwrap();
        let refused = map.insert(&pattern(text), 2).unwrap_err();
        assert_eq!(refused.pattern(), *text);
        assert_eq!(refused.to_string(), format!("event pattern `{text}` was added twice"));
        let name = EventName::new(text.replace("*.*", "*.created").replace('*', "view"));
        assert_eq!(map.get(&name), Some(&1), "{name}");
    }
}

#[test]
fn patterns_are_shown_as_they_were_parsed() {
    for text in RECORD.iter().chain(&METADATA) {
        assert_eq!(pattern(text).to_string(), *text);
        assert_eq!(format!("{:?}", pattern(text)), format!("{text:?}"));
    }
}

/// Patterns that are built from a name that Twenty can send match it. Patterns with other names are
/// rejected.
mod names {
    use proptest::prelude::*;

    use super::*;

    /// The rule, written differently than in the code.
    const OBJECT: &str = "[a-z][a-zA-Z0-9]{0,62}";

    fn never_matches(text: &str) {
        let refused = text.parse::<EventPattern>().unwrap_err();
        assert_eq!(refused.pattern(), text);
        assert!(refused.to_string().starts_with(&format!("event pattern `{text}` never matches: ")), "{refused}");
    }

    proptest! {
        #[test]
        fn of_objects_are_accepted(object in OBJECT, action in "[a-z]{1,10}") {
            for name in [format!("{object}.{action}"), format!("metadata.{object}.{action}")] {
                prop_assume!(!name.starts_with("metadata.metadata") && object != "metadata");
                let name = EventName::new(name);
                let object = name.object();
                for text in [name.to_string(), format!("{object}.*")] {
                    prop_assert!(pattern(&text).matches(&name), "{text}");
                }
            }
        }

        #[test]
        fn impossible_names_are_rejected(object in "[a-zA-Z0-9_]{1,20}", action in "[a-z]{1,10}|\\*") {
            prop_assume!(!object.starts_with(|c: char| c.is_ascii_lowercase()) || object.contains('_'));
            never_matches(&format!("{object}.{action}"));
            never_matches(&format!("metadata.{object}.{action}"));
        }
    }

    #[test]
    fn accept_every_name_that_twenty_sends() {
        const RECORDS: &str = "person company opportunity note noteTarget task taskTarget attachment \
                               workspaceMember calendarEvent calendarEventParticipant message messageThread workflow workflowRun \
                               workflowVersion dashboard callRecording subscription";
        const METADATA: &str = "fieldMetadata objectMetadata view viewField rowLevelPermissionPredicateGroup index \
                                logicFunction role agent skill pageLayoutWidget commandMenuItem \
                                searchFieldMetadata serverlessFunction";
        for object in RECORDS.split_whitespace() {
            for action in ["created", "updated", "deleted", "destroyed", "restored", "*"] {
                pattern(&format!("{object}.{action}"));
            }
        }
        for kind in METADATA.split_whitespace() {
            pattern(&format!("metadata.{kind}.created"));
        }
    }

    #[cfg(all(feature = "tracing", feature = "receiver"))]
    #[test]
    fn of_actions_are_known_if_twenty_sends_them() {
        for text in RECORD.iter().chain(&METADATA).chain(&["person.restored", "*.destroyed", "metadata.view.deleted"]) {
            assert!(pattern(text).has_known_action(), "{text}");
        }
        for text in ["person.create", "person.Created", "*.upserted", "metadata.view.destroyed", "metadata.*.restored"]
        {
            assert!(!pattern(text).has_known_action(), "{text}");
        }
    }
}

#[test]
fn rejections_quote_the_malformed_pattern() {
    for text in [
        "",
        ".",
        "*",
        "person",
        "person.",
        ".created",
        "person..created",
        "per*.created",
        "**.created",
        "person.created.",
        "person.created.now",
        "person created",
        " person.created",
        "pers\u{f6}n.created",
        "metadata.*",
        "metadata.created",
        "metadata.view.created.now",
        "*.view.created",
    ] {
        let refused = text.parse::<EventPattern>().unwrap_err();
        assert_eq!(refused.pattern(), text);
        assert!(refused.to_string().starts_with(&format!("malformed event pattern `{text}`: expected")));
    }
    let refused = "a\nb".parse::<EventPattern>().unwrap_err();
    assert!(refused.to_string().starts_with(r"malformed event pattern `a\nb`"));
}

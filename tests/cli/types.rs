//! Tests of `types`: from the objects of a workspace to a Rust module.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

use super::{
    Directory, Done,
    doctor::TOKEN,
    repeated::{errors, positions, repetitions, uncovers},
    run, run_with,
    stub::Stub,
};

const OBJECTS: &str = "tests/real/api/metadata-objects.json";

fn fixture() -> Value {
    serde_json::from_slice(&std::fs::read(OBJECTS).unwrap()).unwrap()
}

/// Returns the object of this name.
fn object<'a>(objects: &'a mut Value, name: &str) -> &'a mut Value {
    let mut objects = objects["data"]["objects"].as_array_mut().unwrap().iter_mut();
    objects.find(|object| object["nameSingular"] == name).unwrap()
}

fn field<'a>(objects: &'a mut Value, of: &str, name: &str) -> &'a mut Value {
    let mut fields = object(objects, of)["fields"].as_array_mut().unwrap().iter_mut();
    fields.find(|field| field["name"] == name).unwrap()
}

fn generate(objects: &Value, arguments: &[&str]) -> Done {
    run_with(&[&["types", "--objects", "-"], arguments].concat(), &[], objects.to_string().as_bytes())
}

/// Checks that the module is formatted as by rustfmt, if it is installed.
fn assert_formatted(module: &str) {
    use std::io::Write;

    // rustfmt runs outside the crate, which has its own configuration.
    let rustfmt = Command::new("rustfmt")
        .args(["--check", "--edition", "2024"])
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut rustfmt) = rustfmt else { return };
    rustfmt.stdin.take().unwrap().write_all(module.as_bytes()).unwrap();
    let done = rustfmt.wait_with_output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
}

/// The old content is not read from such outputs: a pipe would never end, and a device may be
/// endless.
#[test]
#[cfg(unix)]
fn output_that_is_not_a_regular_file_is_only_written() {
    let module = run(&["types", "--objects", OBJECTS]).output;
    let done = run(&["types", "--objects", OBJECTS, "--output", "/dev/stdout"]);
    assert_eq!((done.code, &*done.log, done.output == module), (0, "", true));
    #[cfg(target_os = "linux")]
    for (device, code) in [("/dev/zero", 0), ("/dev/full", 2)] {
        let done = run(&["types", "--objects", OBJECTS, "--output", device]);
        assert_eq!((done.code, done.log.contains(device)), (code, code == 2), "{done:?}");
    }
}

#[test]
fn the_committed_modules_equal_the_generated_ones() {
    for (objects, module) in
        [(OBJECTS, "tests/generated/real.rs"), ("tests/generated/odd-objects.json", "tests/generated/odd.rs")]
    {
        let done = run(&["types", "--objects", objects, "--check", module]);
        assert_eq!((done.code, &*done.output, &*done.log), (0, "", ""), "generate {module} again, with --output");
        let done = run(&["types", "--objects", objects]);
        let committed = std::fs::read_to_string(module).unwrap();
        assert_eq!((done.code, &*done.log), (0, ""));
        assert_eq!(done.output, committed);
        assert_formatted(&committed);
    }
}

#[test]
fn the_order_of_the_answer_does_not_matter() {
    let mut objects = fixture();
    let list = objects["data"]["objects"].as_array_mut().unwrap();
    list.reverse();
    for object in list {
        object["fields"].as_array_mut().unwrap().reverse();
    }
    assert_eq!(generate(&objects, &["--check", "tests/generated/real.rs"]).code, 0);
}

#[test]
fn generates_only_the_chosen_objects() {
    let structs = |arguments: &[&str]| {
        let done = generate(&fixture(), arguments);
        assert_eq!((done.code, &*done.log), (0, ""));
        assert_formatted(&done.output);
        let structs = done.output.lines().filter_map(|line| line.strip_prefix("pub struct "));
        (structs.map(|line| line.trim_end_matches(" {").to_owned()).collect::<Vec<_>>(), done.output)
    };
    let (names, module) = structs(&["--only", "rocket,person", "--only", "pet"]);
    assert_eq!(names, ["Person", "Pet", "Rocket"]);
    assert!(module.contains("//     twenty-webhook types --only person,pet,rocket\n"), "{module}");
    let (names, module) = structs(&["--custom"]);
    // An opportunity's only custom field is a relation whose ids the other objects contain.
    assert_eq!(names, ["Company", "Person", "Pet", "Rocket", "SurveyResult"]);
    assert!(module.contains("//     twenty-webhook types --custom\n"), "{module}");
    assert!(module.contains("pub intro: Option<String>,") && module.contains("pub emails: Option<field::Emails>,"));
    // All imports are used.
    assert!(module.contains("\nuse twenty_webhook::event::{self, field};\n"));
    assert!(structs(&["--only", "rocket"]).1.contains("\nuse twenty_webhook::event::field;\n"));

    let done = generate(&fixture(), &["--only", "people"]);
    assert!(done.code == 2 && done.log.contains("use `person`"), "{done:?}");
    let done = generate(&fixture(), &["--only", "unicorn"]);
    assert!(done.code == 2 && done.log.contains("the objects are attachment, blocklist"), "{done:?}");
}

#[test]
fn a_changed_data_model_is_a_difference() {
    let check = |change: &dyn Fn(&mut Value)| {
        let mut objects = fixture();
        change(&mut objects);
        let done = generate(&objects, &["--check", "tests/generated/real.rs"]);
        assert_eq!(done.code, 1, "{done:?}");
        assert!(done.log.contains("tests/generated/real.rs differs from"), "{done:?}");
        let rest = done.output.strip_prefix("--- tests/generated/real.rs\n+++ the workspace\n").unwrap();
        rest.to_owned()
    };
    let difference = check(&|objects| field(objects, "pet", "species")["options"][0]["value"] = json!("WOLF"));
    let lines: Vec<_> = difference.lines().collect();
    assert_eq!((lines[0], lines.last()), ("  pub struct Pet {", Some(&"  }")));
    assert!(lines[1].starts_with("-     /// `SELECT`: `DOG`, `CAT`"), "{difference}");
    assert!(lines[2].starts_with("+     /// `SELECT`: `WOLF`, `CAT`"), "{difference}");
    assert_eq!(lines[3..lines.len() - 1], ["      pub species: Option<String>,"]);

    let difference = check(&|objects| {
        object(objects, "person")["fields"].as_array_mut().unwrap().retain(|field| field["name"] != "intro");
    });
    assert_eq!(difference, "  pub struct Person {\n-     /// `TEXT`.\n-     pub intro: Option<String>,\n  }\n");
    let difference = check(&|objects| field(objects, "pet", "age")["type"] = json!("TEXT"));
    let expected = "  pub struct Pet {\n-     /// `NUMBER`.\n-     pub age: Option<field::Decimal>,\n\
                    +     /// `TEXT`.\n+     pub age: Option<String>,\n  }\n";
    assert_eq!(difference, expected);
    let difference = check(&|objects| {
        let mut contract = object(objects, "rocket").clone();
        contract["nameSingular"] = json!("contract");
        objects["data"]["objects"].as_array_mut().unwrap().push(contract);
        object(objects, "attachment")["isActive"] = json!(false);
    });
    // The added object has the fields of a rocket: ids, times, and a relation with its id.
    let [gone, new] = &difference.lines().collect::<Vec<_>>()[..] else { panic!("{difference}") };
    assert_eq!(*gone, "- pub struct Attachment { 18 fields }");
    assert!(new.starts_with("+ pub struct Contract { ") && new.ends_with(" fields }"), "{difference}");

    // Changes by hand are differences, too.
    let directory = Directory::new();
    let module = std::fs::read_to_string("tests/generated/real.rs").unwrap();
    let check = |changed: &str| {
        let file = directory.file("changed.rs", changed);
        run(&["types", "--objects", OBJECTS, "--check", &file])
    };
    let done = check(&module.replace("`DOG`", "`WOLF`"));
    assert!(done.code == 1 && done.output.contains("\n-     /// `SELECT`: `WOLF`"), "{done:?}");
    let done = check(&module.replace("// Do not edit", "// Please edit"));
    assert!(done.code == 1 && done.output.contains("\n- // Please edit"), "{done:?}");
    let done = check(&format!("{module}\nfn own() {{}}\n"));
    assert!(done.code == 1 && done.output.ends_with("\n- \n"), "{done:?}");
    let done = check(&module.replace('\n', "\r\n"));
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(check("").code, 1);
}

#[test]
fn a_file_is_written_only_when_it_changes() {
    let directory = Directory::new();
    let file = directory.path("twenty.rs");
    let write = || run(&["types", "--objects", OBJECTS, "--output", &file]);
    let modified = || std::fs::metadata(&file).unwrap().modified().unwrap();
    assert_eq!(write().output, "");
    let written = modified();
    assert_eq!(std::fs::read(&file).unwrap(), std::fs::read("tests/generated/real.rs").unwrap());
    assert_eq!(write().code, 0);
    assert_eq!(modified(), written);
    std::fs::write(&file, "old").unwrap();
    assert_eq!(write().code, 0);
    assert_eq!(std::fs::read(&file).unwrap(), std::fs::read("tests/generated/real.rs").unwrap());
    let done = run(&["types", "--objects", OBJECTS, "--output", "/none/there.rs"]);
    assert!(done.code == 2 && done.log.contains("/none/there.rs"), "{done:?}");
}

/// Returns the same objects in the form of GraphQL.
fn as_graphql(objects: &Value) -> Value {
    let mut edges = Vec::new();
    for object in objects["data"]["objects"].as_array().unwrap() {
        let mut node = object.clone();
        let mut fields = node.as_object_mut().unwrap().remove("fields").unwrap();
        for field in fields.as_array_mut().unwrap() {
            let data_type = match field["name"].as_str().unwrap() {
                "age" => "int",
                "score" => "float",
                "averageEstimatedNumberOfAtomsInTheUniverse" => "bigint",
                _ => continue,
            };
            field["settings"] = json!({ "dataType": data_type });
        }
        let fields = fields.as_array_mut().unwrap();
        // There are two morph relations, each of them once: the ids of the first are in this
        // object, and those of the second in the other objects.
        let is_morph = |field: &Value| field["type"] == "MORPH_RELATION";
        if fields.iter().any(is_morph) {
            fields.retain(|field| !is_morph(field));
            let relation = |kind: &str, name: &str, target: &str| {
                let (source, target) = (json!({ "name": name }), json!({ "nameSingular": target }));
                json!({ "type": kind, "sourceFieldMetadata": source, "targetObjectMetadata": target })
            };
            fields.push(json!({ "name": "ownerRocket", "type": "MORPH_RELATION", "isCustom": true, "morphRelations": [
                relation("MANY_TO_ONE", "ownerRocket", "rocket"),
                relation("MANY_TO_ONE", "ownerSurveyResult", "surveyResult"),
            ] }));
            fields.push(
                json!({ "name": "helperRockets", "type": "MORPH_RELATION", "isCustom": true, "morphRelations": [
                relation("ONE_TO_MANY", "helperRockets", "rocket"),
            ] }),
            );
        }
        node["fieldsList"] = json!(fields);
        edges.push(json!({ "node": node }));
    }
    json!({ "data": { "objects": { "pageInfo": { "hasNextPage": false }, "edges": edges } } })
}

#[test]
fn reads_the_objects_from_the_api() {
    let graphql = as_graphql(&fixture()).to_string();
    let twenty = Stub::start(move |_| (200, Vec::new(), graphql.clone()));
    let directory = Directory::new();
    let token = directory.file("token", format!("{TOKEN}\n"));
    let done = run(&["types", "--url", &format!("{}/", twenty.url), "--token-file", &token, "--custom"]);
    assert_eq!((done.code, &*done.log), (0, ""), "{done:?}");
    assert_formatted(&done.output);
    for declared in [
        "pub age: Option<i64>,",
        "pub score: Option<f64>,",
        "pub average_estimated_number_of_atoms_in_the_universe: Option<field::Decimal>,",
        "`MORPH_RELATION`: the id of a record of `surveyResult`.\n    pub owner_survey_result_id: Option<field::Id>,",
    ] {
        assert!(done.output.contains(declared), "{declared}: {}", done.output);
    }
    assert!(!done.output.contains("helper_rockets"), "{}", done.output);
    let [request] = &twenty.requests()[..] else { panic!("not one") };
    assert_eq!(request.line, "POST /metadata HTTP/1.1");
    assert_eq!(request.header("authorization"), Some(&*format!("Bearer {TOKEN}")));
    assert!(serde_json::from_slice::<Value>(&request.body).unwrap()["query"].as_str().unwrap().contains("fieldsList"));
}

#[test]
fn falls_back_to_rest_for_an_old_server() {
    let objects = fixture().to_string();
    let twenty = Stub::start(move |request| {
        if request.line.starts_with("POST /metadata ") {
            let message = "Cannot query field \"fieldsList\" on type \"Object\".";
            let extensions = json!({ "code": "GRAPHQL_VALIDATION_FAILED" });
            let error = json!({ "errors": [{ "message": message, "extensions": extensions }] });
            return (400, Vec::new(), error.to_string());
        }
        assert_eq!(request.line, "GET /rest/metadata/objects HTTP/1.1");
        (200, Vec::new(), objects.clone())
    });
    let directory = Directory::new();
    let token = directory.file("token", TOKEN);
    let check = ["--check", "tests/generated/real.rs"];
    let done = run(&[&["types", "--url", &twenty.url, "--token-file", &token], &check[..]].concat());
    assert!(done.code == 0 && done.log.contains("does not report how numbers are stored"), "{done:?}");
}

/// Otherwise `--check` would find a difference, or miss one, by chance.
#[test]
fn does_not_fall_back_to_rest_after_another_error_of_graphql() {
    for (status, error) in [(200, "Too many requests."), (200, "Entity does not have permission"), (500, "Internal")] {
        let objects = fixture().to_string();
        let twenty = Stub::start(move |request| match &*request.line {
            "POST /metadata HTTP/1.1" => (status, Vec::new(), json!({ "errors": [{ "message": error }] }).to_string()),
            _ => (200, Vec::new(), objects.clone()),
        });
        let directory = Directory::new();
        let token = directory.file("token", TOKEN);
        let done = run(&["types", "--url", &twenty.url, "--token-file", &token]);
        assert_eq!((done.code, &*done.output), (2, ""), "{error}: {done:?}");
    }
}

#[test]
fn problems_of_the_api_are_reported() {
    let directory = Directory::new();
    let token = directory.file("token", TOKEN);
    let rest =
        |status: u16, message: &str| (status, json!({ "statusCode": status, "messages": [message] }).to_string());
    let cases = [
        (rest(403, "Missing authentication token"), "not accepted: Missing authentication token. Create a new API key"),
        (rest(401, "Token has expired."), "not accepted: Token has expired. Create a new API key"),
        (rest(403, "This API Key is revoked"), "revoked"),
        (rest(400, "Entity performing the request does not have permission"), "lacks a permission"),
        (rest(400, "Too many requests."), "too many requests. Wait a minute"),
        (rest(500, &format!("you sent {TOKEN}")), "you sent (the API key)"),
        ((200, "<!doctype html><title>Welcome".to_owned()), "not Twenty's API: it answered 200 with HTML"),
        ((404, "Not Found".to_owned()), "not Twenty's API"),
        ((200, "{\"data\":{}}".to_owned()), "no `data.objects`"),
        ((502, "<html>Bad Gateway".to_owned()), "answered 502"),
        ((200, "x".repeat(33 << 20)), "longer than 32 MiB"),
        ((200, "[".repeat(100_000)), "not Twenty's API"),
    ];
    for ((status, body), expected) in cases {
        let twenty = Stub::saying(status, &body);
        let done = run(&["types", "--url", &twenty.url, "--token-file", &token]);
        assert_eq!((done.code, &*done.output), (2, ""), "{expected}: {done:?}");
        assert!(done.log.contains(expected), "{expected}: {done:?}");
        assert!(!done.log.contains(TOKEN), "{done:?}");
    }
    // The key is not sent to the target of a redirect either.
    let elsewhere = Stub::saying(200, "{}");
    let location = elsewhere.url.clone();
    let twenty = Stub::start(move |_| (301, vec![("location", location.clone())], String::new()));
    let done = run(&["types", "--url", &twenty.url, "--token-file", &token]);
    assert!(done.code == 2 && done.log.contains("301, a redirect to http://127.0.0.1:"), "{done:?}");
    assert!(elsewhere.requests().is_empty());
    // No server listens there.
    let done = run(&["types", "--url", "http://127.0.0.1:9", "--token-file", &token]);
    assert!(done.code == 2 && done.log.contains("connection refused"), "{done:?}");
}

/// If the server's response contains the API key at any position, no module is written.
#[test]
fn no_module_contains_the_api_key() {
    let directory = Directory::new();
    let token = directory.file("token", TOKEN);
    let file = directory.path("twenty.rs");
    let answer = Arc::new(Mutex::new((200, String::new())));
    let shared = Arc::clone(&answer);
    let twenty = Stub::start(move |_| {
        let (status, body) = shared.lock().unwrap().clone();
        (status, Vec::new(), body)
    });
    let run = |status: u16, json: &Value| {
        *answer.lock().unwrap() = (status, json.to_string());
        for output in [&[][..], &["--output", &file]] {
            let done = run_with(&[&["types", "--url", &twenty.url, "--token-file", &token], output].concat(), &[], b"");
            assert_eq!((done.code, &*done.output, uncovers(&done.log)), (2, "", None), "{done:?}");
            assert!(!std::path::Path::new(&file).exists());
            if status == 200 && json.get("data").is_some() {
                assert!(done.log.contains("contains the API key"), "{done:?}");
            }
        }
    };
    let mut rest = fixture();
    for member in ["labelSingular", "description"] {
        object(&mut rest, "pet")[member] = json!("A text");
        field(&mut rest, "pet", "age")[member] = json!("A text");
    }
    field(&mut rest, "pet", "age")["label"] = json!("A text");
    for objects in [as_graphql(&rest), rest] {
        // One position of each kind is enough: the indices in the pointer do not matter.
        let kind = |position: &str| position.replace(|letter: char| letter.is_ascii_digit(), "");
        let kinds: BTreeMap<_, _> = positions(&objects).into_iter().map(|at| (kind(&at), at)).collect();
        assert!(kinds.len() > 10, "{kinds:?}");
        for position in kinds.values() {
            let mut objects = objects.clone();
            *objects.pointer_mut(position).unwrap() = json!(format!("A text with {TOKEN}"));
            run(200, &objects);
        }
        let mut named = objects.clone();
        named["data"][TOKEN] = json!(true);
        run(200, &named);
    }
    for repetition in repetitions() {
        for (status, json) in errors() {
            for position in positions(&json) {
                // The tool does not know a webhook's secret here.
                if repetition.contains(TOKEN) {
                    let mut json = json.clone();
                    let text = repetition.split_inclusive(TOKEN).next().unwrap();
                    *json.pointer_mut(&position).unwrap() = json!(text);
                    run(status, &json);
                }
            }
        }
    }
}

#[test]
fn reports_wrong_options_before_it_queries_the_api() {
    let twenty = Stub::saying(200, "{}");
    let directory = Directory::new();
    let (token, empty) = (directory.file("token", TOKEN), directory.file("empty", "\n"));
    let odd = directory.file("odd", "two words");
    for (arguments, expected) in [
        (&["types"][..], "--objects"),
        (&["types", "--url", &twenty.url], "--token-file"),
        (&["types", "--url", &twenty.url, "--token-file", &empty], "is empty"),
        (&["types", "--url", &twenty.url, "--token-file", &odd], "is invalid"),
        (&["types", "--url", "crm.example.com", "--token-file", &token], "http://"),
        (&["types", "--url", &twenty.url, "--token-file", &token, "--check", "/none"], "/none"),
        (&["types", "--url", &twenty.url, "--token-file", &token, "--objects", OBJECTS], "--objects"),
        (&["types", "--objects", OBJECTS, "--only", "pet", "--custom"], "--custom"),
        (&["types", "--objects", OBJECTS, "--output", "a", "--check", "b"], "--check"),
        (&["types", "--objects", &token], "not JSON"),
    ] {
        let done = run(arguments);
        assert!(done.code == 2 && done.log.contains(expected), "{arguments:?}: {done:?}");
        assert_eq!(done.output, "");
        assert!(!done.log.contains(TOKEN), "{done:?}");
    }
    assert!(twenty.requests().is_empty());
}

//! `types`: generates Rust types from the workspace's objects.

mod diff;
mod docs;
mod emit;
mod naming;
mod read;
mod schema;

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use serde_json::Value as Json;

use self::schema::Object;
use crate::{
    api::{Api, ApiError, ApiUrl},
    input,
    output::{self, Failure, harmless, note, shortened},
};

const EXAMPLES: &str = "\
Examples:
  twenty-webhook types --url https://crm.example.com --token-file token --output src/twenty.rs
  twenty-webhook types --url https://crm.example.com --token-file token --check src/twenty.rs
  curl --header \"Authorization: Bearer $TOKEN\" \\
      https://crm.example.com/rest/metadata/objects > objects.json
  twenty-webhook types --objects objects.json --only person,pet > src/twenty.rs";

/// Generate Rust types from your workspace's objects.
///
/// Each object becomes a struct for `WebhookEvent<…>`. The module requires only `twenty-webhook`
/// and `serde`. The same data model always results in the same text. --url uses GraphQL, which
/// reports how numbers are stored and where morph relations lead. The REST response that --objects
/// reads lacks this, so use the same option to generate a module and to check it.
///
/// Exits with 1 if --check finds a difference.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Types {
    /// Read the objects from a file, `-` for standard input: Twenty's response to GET
    /// /rest/metadata/objects
    #[arg(long, value_name = "FILE", required_unless_present = "url", conflicts_with_all = ["url", "token_file"])]
    objects: Option<PathBuf>,

    /// Read the objects from the API at this address: the address of the web app, or
    /// `https://api.twenty.com`
    #[arg(long, value_name = "URL", requires = "token_file")]
    url: Option<ApiUrl>,

    /// Read the API key from a file, `-` for standard input. Create the key in Twenty, under
    /// Settings > APIs & Webhooks
    #[arg(long, value_name = "FILE", requires = "url")]
    token_file: Option<PathBuf>,

    /// Generate only these objects, by their names in the singular: person,pet
    #[arg(long, value_name = "OBJECTS", value_delimiter = ',', conflicts_with = "custom")]
    only: Vec<String>,

    /// Omit standard objects without custom fields
    #[arg(long)]
    custom: bool,

    /// Write the module to this file instead of standard output
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    output: Option<PathBuf>,

    /// Compare with this file and write nothing: show the differences, and exit with 1 if there are
    /// any
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
}

impl Types {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        // Errors that do not depend on the API are reported first.
        let current = self.check.as_deref().map(text).transpose()?;
        let objects = self.chosen(self.read()?)?;
        let module = emit::module(&objects, &self.options());
        if let (Some(file), Some(current)) = (&self.check, current) {
            let Some(difference) = diff::difference(&current, &module) else { return Ok(ExitCode::SUCCESS) };
            let name = input::name(file);
            output::print(&format!("--- {name}\n+++ the workspace\n{difference}"))?;
            note(&format!("{name} differs from the types of the workspace's objects: generate it again with --output"));
            return Ok(ExitCode::from(1));
        }
        match &self.output {
            Some(file) => write(file, &module)?,
            None => output::print(&module)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn read(&self) -> Result<Vec<Object>, Failure> {
        match (&self.objects, &self.url, &self.token_file) {
            (Some(file), ..) => read::objects(&input::name(file), &input::read(file)?),
            (_, Some(url), Some(token_file)) => ask(&Api::new(url.clone(), token_file)?),
            // The options require each other.
            _ => Err(Failure::new("use --objects FILE, or --url URL with --token-file FILE")),
        }
    }

    fn chosen(&self, objects: Vec<Object>) -> Result<Vec<Object>, Failure> {
        if let Some(missing) = self.only.iter().find(|name| !objects.iter().any(|object| object.name == **name)) {
            let of_plural = objects.iter().find(|object| object.plural == *missing);
            let there = || objects.iter().map(|object| &*object.name).collect::<Vec<_>>().join(", ");
            let hint = of_plural
                .map_or_else(|| format!("the objects are {}", there()), |object| format!("use `{}`", object.name));
            return Err(Failure::new(format!("--only: there is no active object `{}`: {hint}", shortened(missing))));
        }
        let is_chosen = |object: &Object| {
            (self.only.is_empty() || self.only.contains(&object.name)) && (!self.custom || object.is_customised())
        };
        Ok(objects.into_iter().filter(is_chosen).collect())
    }

    /// Returns the options that determine the module, as on a command line.
    fn options(&self) -> String {
        let mut only = self.only.clone();
        only.sort_unstable();
        only.dedup();
        match (self.custom, only.is_empty()) {
            (true, _) => " --custom".to_owned(),
            (false, true) => String::new(),
            (false, false) => format!(" --only {}", only.join(",")),
        }
    }
}

/// Queries GraphQL, which reports more, or REST if the server's GraphQL does not support the query.
fn ask(api: &Api) -> Result<Vec<Object>, Failure> {
    let failed = |error: &ApiError| Failure::new(error.message(api));
    let read = |source: &str, answer: Json| {
        // A key in a name or a description would get into the module, which people commit.
        if api.has_token_in(&answer) {
            return Err(Failure::new(format!(
                "{source} contains the API key, so no types are generated: remove it from the data model's names, \
                 labels and descriptions, and make a new API key"
            )));
        }
        read::from_json(source, answer)
    };
    output::run_async(async {
        let graphql = match api.graphql(read::QUERY).await {
            Ok(answer) => return read("the response of /metadata", answer),
            Err(error) => error,
        };
        // REST's errors are clearer.
        let answer = api.get("/rest/metadata/objects").await.map_err(|error| failed(&error))?;
        if !matches!(graphql, ApiError::NotAsked(_)) {
            return Err(failed(&graphql));
        }
        note(&format!(
            "this server's GraphQL API does not support the query, so its REST API was used, which does not report \
             how numbers are stored ({})",
            harmless(&api.redaction().hide_in_sentence(&graphql.to_string()))
        ));
        read("the response of /rest/metadata/objects", answer)
    })?
}

fn text(file: &Path) -> Result<String, Failure> {
    let name = input::name(file);
    String::from_utf8(input::read(file)?).map_err(|_| Failure::new(format!("{name} is not UTF-8 text")))
}

/// Writes the module, unless the file is already current, because build tools check its time.
fn write(file: &Path, module: &str) -> Result<(), Failure> {
    let failed = |error: &std::io::Error| Failure::about(input::name(file), error);
    // A pipe cannot be read to its end here, and a device may be endless.
    let may_be_current = match fs::metadata(file) {
        Ok(metadata) => metadata.is_file() && metadata.len() == module.len() as u64,
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(failed(&error)),
    };
    if may_be_current && fs::read(file).map_err(|error| failed(&error))? == module.as_bytes() {
        return Ok(());
    }
    fs::write(file, module).map_err(|error| failed(&error))
}

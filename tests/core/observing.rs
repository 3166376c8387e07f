//! Checks that the alert rules and the dashboard name existing metrics and labels.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Returns the names of this crate's metrics in a text, such as `twenty_webhook_refusals_total`.
fn metrics(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let words = words.filter(|word| word.starts_with("twenty_webhook_"));
    // Prometheus adds this suffix for histograms.
    words.map(|word| word.strip_suffix("_bucket").unwrap_or(word)).collect()
}

/// Returns the values of labels in expressions, such as `{outcome=~"failed|aborted"}`.
fn label_values(text: &str) -> BTreeSet<&str> {
    let mut values = BTreeSet::new();
    for expression in text.lines().filter(|line| line.contains("twenty_webhook_")) {
        for label in expression.split("=~\"").chain(expression.split("=\"")).skip(1) {
            let value = label.split('"').next().unwrap_or_default().trim_end_matches('\\');
            values.extend(value.split('|').filter(|value| value.chars().all(|c| c.is_ascii_lowercase() || c == '_')));
        }
    }
    values.into_iter().filter(|value| !value.is_empty() && !value.starts_with("twenty")).collect()
}

#[test]
fn alerts_and_dashboard_name_documented_metrics_and_labels() {
    let docs = ["receiver", "inbox"].map(|module| read(&format!("src/{module}/mod.rs"))).join("\n");
    let kinds = read("src/receiver/refusal.rs");
    let documented = metrics(&docs);
    for file in ["docs/prometheus-alerts.yml", "docs/grafana-dashboard.json"] {
        let text = read(file);
        let named = metrics(&text);
        assert!(named.len() >= 8, "{file}: {named:?}");
        let unknown: Vec<_> = named.difference(&documented).collect();
        assert!(unknown.is_empty(), "{file} names {unknown:?}");
    }
    let alerts = read("docs/prometheus-alerts.yml");
    let values = label_values(&alerts);
    assert!(values.contains("dead") && values.contains("signature_mismatch"), "{values:?}");
    for value in values {
        assert!(docs.contains(&format!("`{value}`")) || kinds.contains(&format!("\"{value}\"")), "{value}");
    }
}

/// Each alert has a severity, an entry in the runbook, a test in which it fires, and a test in
/// which it does not fire.
#[test]
fn each_alert_has_a_runbook_and_tests() {
    let (alerts, tests, manual) =
        (read("docs/prometheus-alerts.yml"), read("docs/prometheus-alerts-test.yml"), read("docs/operations.md"));
    let rules: Vec<_> = alerts.split("- alert: ").skip(1).collect();
    assert!(rules.len() >= 15, "{}", rules.len());
    for rule in &rules {
        let name = rule.lines().next().unwrap();
        assert!(rule.contains("severity: critical") || rule.contains("severity: warning"), "{name}");
        let runbook = format!("runbook: docs/operations.md#{}\n", name.to_ascii_lowercase());
        assert!(format!("{rule}\n").contains(&runbook), "{name}: {runbook}");
        assert!(manual.contains(&format!("\n### {name}\n")), "{name} has no entry in the runbook");
        assert!(tests.contains(&format!("alertname: {name}, exp_alerts: [] }}")), "{name} is never silent");
        assert!(tests.contains(&format!("alertname: {name}\n        exp_alerts:\n")), "{name} never fires");
    }
    let entries = manual.lines().filter(|line| line.starts_with("### Twenty")).count();
    assert_eq!(entries, rules.len(), "entries of the runbook");
}

/// Checks the rules only if Prometheus is installed, as on the machine that runs the gate.
#[test]
fn promtool_accepts_the_alerts() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    for arguments in [["check", "rules", "prometheus-alerts.yml"], ["test", "rules", "prometheus-alerts-test.yml"]] {
        match Command::new("promtool").args(arguments).current_dir(&docs).output() {
            Ok(output) => {
                assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
            }
            Err(error) => println!("promtool is not installed: {error}"),
        }
    }
    // The expressions of the dashboard are checked as rules.
    let dashboard: serde_json::Value = serde_json::from_str(&read("docs/grafana-dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let expressions = panels.flat_map(|panel| panel["targets"].as_array().unwrap()).map(|target| &target["expr"]);
    let rules = expressions.map(|expression| {
        let expression = expression.as_str().unwrap().replace("$__rate_interval", "5m");
        serde_json::json!({ "record": "panel", "expr": expression })
    });
    let rules = serde_json::json!({ "groups": [{ "name": "panels", "rules": rules.collect::<Vec<_>>() }] });
    let file = std::env::temp_dir().join(format!("twenty-dashboard-{}.json", std::process::id()));
    fs::write(&file, rules.to_string()).unwrap();
    if let Ok(output) = Command::new("promtool").args(["check", "rules"]).arg(&file).output() {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    fs::remove_file(file).unwrap();
}

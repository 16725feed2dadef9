//! What `schema` prints, held to the decoders and to the worked examples.

use std::collections::BTreeSet;
use std::path::Path;

use bringup::cli::schema::{Kind, document};
use bringup::spec::validate_words;
use serde_json::{Value, json};

use super::playbook::{FILES, Project, TODAY};
use crate::support;

pub const STRANGER: &str = "zqxjkvbw";

/// One step on the way into a document.
#[derive(Debug, Clone)]
pub enum Step {
    Key(String),
    First,
}

/// Every object of a schema with fixed keys: the way to it and its keys.
pub fn objects(schema: &Value) -> Vec<(Vec<Step>, BTreeSet<String>)> {
    let mut found = Vec::new();
    walk(schema, schema, &mut Vec::new(), &mut found);
    found
}

fn walk(root: &Value, schema: &Value, way: &mut Vec<Step>, found: &mut Vec<(Vec<Step>, BTreeSet<String>)>) {
    if let Some(name) = schema["$ref"].as_str() {
        return walk(root, root.pointer(name.trim_start_matches('#')).unwrap(), way, found);
    }
    if let Some(keys) = schema["properties"].as_object() {
        assert_eq!(schema["additionalProperties"], json!(false), "{way:?} takes any key");
        found.push((way.clone(), keys.keys().cloned().collect()));
        for (key, inner) in keys {
            way.push(Step::Key(key.clone()));
            walk(root, inner, way, found);
            way.pop();
        }
    }
    if schema["items"].is_object() {
        way.push(Step::First);
        walk(root, &schema["items"], way, found);
        way.pop();
    }
    if schema["additionalProperties"].is_object() {
        way.push(Step::Key("any".to_owned()));
        walk(root, &schema["additionalProperties"], way, found);
        way.pop();
    }
}

/// Puts a key that nobody knows into the object at the end of the way; objects and lists on the way are made when they are missing.
pub fn disturb(document: &mut Value, way: &[Step]) {
    match way {
        [] => document[STRANGER] = json!("x"),
        [Step::Key(key), rest @ ..] => {
            // A map with free keys: any entry of it will do.
            let key =
                if key == "any" { document.as_object().and_then(|m| m.keys().next().cloned()).unwrap() } else { key.clone() };
            if document.get(&key).is_none() {
                document[key.as_str()] = if matches!(rest, [Step::First, ..]) { json!([]) } else { json!({}) };
            }
            disturb(&mut document[key.as_str()], rest);
        }
        [Step::First, rest @ ..] => {
            let list = document.as_array_mut().unwrap();
            if list.is_empty() {
                list.push(json!({}));
            }
            disturb(&mut list[0], rest);
        }
    }
}

/// The keys that a mistake about the stranger lists as known.
pub fn known(found: &bringup::spec::Diagnostics, context: &str) -> BTreeSet<String> {
    let list = found.sorted();
    let about =
        list.iter().find(|d| d.message.contains(STRANGER)).unwrap_or_else(|| panic!("{context}: {}", found.render(false)));
    let hint = about.hint.as_deref().unwrap_or_default();
    let keys = hint.strip_prefix("known keys: ").unwrap_or_else(|| panic!("{context}: {hint}"));
    keys.split(", ").map(str::to_owned).collect()
}

#[test]
fn decoders_and_schemas_know_the_same_keys() {
    let [playbook, image, stack, policy] = FILES;
    let all = [
        (Kind::Playbook, playbook),
        (Kind::Image, image),
        (Kind::Stack, stack),
        (Kind::Policy, policy),
        (Kind::Ramdisk, super::ramdisk::FILE),
        (Kind::Rootfs, super::rootfs::FILE),
    ];
    for (kind, (path, text)) in all {
        let schema = document(kind).unwrap();
        let objects = objects(&schema);
        assert!(objects.len() >= 3 && objects.iter().all(|(_, keys)| !keys.is_empty()), "{kind:?}");
        for (way, keys) in objects {
            let mut document: Value = serde_saphyr::from_str(text).unwrap();
            disturb(&mut document, &way);
            let project = Project::new();
            project.write(path, document.to_string());
            let found = validate_words(&project.path(""), None, None, TODAY);
            assert_eq!(known(&found, &format!("{kind:?} {way:?}")), keys, "{kind:?} {way:?}");
        }
    }
}

#[test]
fn the_inventory_schema_knows_the_same_keys_too() {
    let site = super::examples::root().join("inventory/two-racks/site.yaml");
    let written: Value = serde_saphyr::from_str(&std::fs::read_to_string(site).unwrap()).unwrap();
    let objects = objects(&document(Kind::Inventory).unwrap());
    // Six sections (bmc, boot, ssh, power, expect, accel) and itself for each of four layers, and naming, policy and the file.
    assert_eq!(objects.len(), 4 * 7 + 3);
    for (way, keys) in objects {
        let mut document = written.clone();
        disturb(&mut document, &way);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("site.yaml"), document.to_string()).unwrap();
        let found = bringup::spec::load_inventory(folder.path(), TODAY).unwrap_err();
        assert_eq!(known(&found, &format!("{way:?}")), keys, "{way:?}");
    }
}

#[test]
fn a_firmware_schema_is_not_pretended() {
    assert!(document(Kind::Firmware).is_none());
}

#[test]
fn the_policy_schema_lists_the_checks_of_the_gate() {
    let schema = document(Kind::Policy).unwrap();
    let checks = schema.pointer("/$defs/tolerance/properties/check/oneOf").unwrap().as_array().unwrap();
    assert_eq!(checks.len(), bringup::verify::CHECKS.len());
    assert!(checks.iter().any(|c| c["const"] == "remap-pending"));
}

/// Python's jsonschema and PyYAML judge the worked examples by the schemas: neither knows anything of this program.
#[test]
fn an_independent_validator_agrees_with_the_examples() {
    const TEST: &str = "an_independent_validator_agrees_with_the_examples";
    let Some(python) = support::need_venv(TEST, "python") else { return };
    let ready = std::process::Command::new(&python).args(["-c", "import yaml, jsonschema"]).output().unwrap();
    if !ready.status.success() {
        return support::skip(TEST, "PyYAML or jsonschema in the Python environment");
    }
    const JUDGE: &str = r"
import json, sys, yaml, jsonschema
class Loader(yaml.SafeLoader): pass
Loader.yaml_implicit_resolvers = {k: [p for p in v if not p[0].endswith(':timestamp')] for k, v in yaml.SafeLoader.yaml_implicit_resolvers.items()}
schema = json.load(open(sys.argv[1]))
jsonschema.Draft202012Validator.check_schema(schema)
judge = jsonschema.Draft202012Validator(schema)
for name in sys.argv[2:]:
    document = yaml.load(open(name), Loader)
    for error in judge.iter_errors(document): print(name, list(error.path), error.message)
    document['stranger'] = 1
    if judge.is_valid(document): print(name, 'a stranger was let in')
";
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let yaml = |folder: &str| -> Vec<std::path::PathBuf> {
        let all = std::fs::read_dir(root.join(folder)).unwrap().map(|e| e.unwrap().path());
        all.filter(|p| p.extension().is_some_and(|e| e == "yaml")).collect()
    };
    // Two kinds lie in one folder.
    let of = |version: &str| -> Vec<std::path::PathBuf> {
        let holds = |p: &std::path::PathBuf| std::fs::read_to_string(p).unwrap().contains(&format!("\napiVersion: {version}\n"));
        yaml("images/definitions").into_iter().filter(holds).collect()
    };
    for (kind, files) in [
        (Kind::Inventory, [yaml("inventory/kr-ai-1"), yaml("inventory/two-racks")].concat()),
        (Kind::Playbook, yaml("playbooks")),
        (Kind::Stack, yaml("playbooks/stacks")),
        (Kind::Policy, yaml("playbooks/policies")),
        (Kind::Image, yaml("images")),
        (Kind::Ramdisk, of("ramdisk/v1")),
        (Kind::Rootfs, of("rootfs/v1")),
    ] {
        assert!(!files.is_empty(), "{kind:?}");
        let schema = folder.path().join("schema.json");
        std::fs::write(&schema, document(kind).unwrap().to_string()).unwrap();
        let out = std::process::Command::new(&python).args(["-c", JUDGE]).arg(&schema).args(&files).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        assert_eq!(String::from_utf8_lossy(&out.stdout), "", "{kind:?}");
    }
}

//! `validate` and `show` as a person runs them: standard output, standard error, exit code.

use assert_cmd::Command;

use super::fixture::{FACTS, SITE, site_with, write};

fn bringup(args: &[&str]) -> (i32, String, String) {
    let mut command = Command::cargo_bin("bringup").unwrap();
    let done = command.current_dir(env!("CARGO_MANIFEST_DIR")).env("NO_COLOR", "1").args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (done.status.code().unwrap(), text(done.stdout), text(done.stderr))
}

#[test]
fn the_worked_example_has_what_it_promises() {
    let (code, out, err) = bringup(&["-i", "inventory/kr-ai-1", "validate"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("296 racks, 1250 nodes"), "{out}");
    assert!(out.contains("10000 accelerators (640 furiosa, 8848 nvidia, 512 rebellions)"), "{out}");
}

#[test]
fn mistakes_go_to_standard_error_and_give_exit_code_3() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &site_with("inherits: gpu", "inherit: gpu"), FACTS);
    let path = dir.path().to_str().unwrap();
    let (code, out, err) = bringup(&["-i", path, "validate"]);
    assert_eq!((code, out.as_str()), (3, ""));
    assert!(
        err.contains("site.yaml:15:5") && err.contains("did you mean `inherits`?") && err.contains("1 mistake in the input"),
        "{err}"
    );
    let (code, out, _) = bringup(&["-i", path, "validate", "-o", "json"]);
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &value["format_version"], &value["ok"]), (3, &1.into(), &false.into()));
    assert_eq!(value["diagnostics"][0]["code"], "E004");
    assert_eq!(value["diagnostics"][0]["at"]["line"], 15);
    let (code, _, err) = bringup(&["-i", path, "show"]);
    assert_eq!(code, 3, "{err}");
}

#[test]
fn a_folder_of_inventories_names_them() {
    let (code, _, err) = bringup(&["-i", "inventory", "validate"]);
    assert_eq!(code, 3);
    assert!(err.contains("inventories are below: -i inventory/kr-ai-1, -i inventory/two-racks"), "{err}");
}

#[test]
fn show_folds_lists_and_explains() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), SITE, FACTS);
    let path = dir.path().to_str().unwrap();
    let (code, out, err) = bringup(&["-i", "inventory/kr-ai-1", "show"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("    64  8 rebellions ATOM-Max") && out.contains("\n        c[001-008]-s[01-08]\n"), "{out}");
    let (_, out, _) = bringup(&["-i", path, "show", "a001-s02"]);
    assert!(out.contains("ipmi 10.1.0.2:623") && out.lines().count() == 2, "{out}");
    let (_, out, _) = bringup(&["-i", path, "show", "-o", "json"]);
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((value["format_version"].as_u64(), value["nodes"].as_array().map(Vec::len)), (Some(1), Some(5)));
    let (_, out, _) = bringup(&["-i", path, "show", "a001-s*", "--why", "bmc.driver"]);
    let out = out.replace(path, "DIR");
    assert!(out.starts_with("a001-s01\n  → bmc.driver  DIR/site.yaml:4:17  (defaults)\n"), "{out}");
    assert!(out.contains("a001-s02\n    bmc.driver  DIR/site.yaml:4:17  (defaults)\n"), "{out}");
    assert!(out.contains("  → bmc.driver  DIR/site.yaml:27:28  (override a001-s02)\n"), "{out}");
    let (code, _, err) = bringup(&["-i", path, "show", "--why", "bmc.usr"]);
    assert_eq!(code, 64);
    assert!(err.contains("did you mean `bmc.user`?"), "{err}");
    let (code, _, err) = bringup(&["-i", path, "show", "a001-s09"]);
    assert_eq!(code, 64);
    assert!(err.contains("no node is called `a001-s09` (column 1 of `a001-s09`)"), "{err}");
}

//! `init` writes a project that works and overwrites nothing.

use std::path::Path;
use std::process::{Command, Output};

use bringup::spec::starter::FILES;
use bringup::spec::{load_inventory, load_playbook, validate_words};

use super::playbook::TODAY;

fn init(at: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bringup")).current_dir(at).arg("init").args(args).env("NO_COLOR", "1").output().unwrap()
}

#[test]
fn what_init_writes_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    let run = init(folder.path(), &["my-site"]);
    assert_eq!(run.status.code(), Some(0), "{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(String::from_utf8_lossy(&run.stdout).lines().count(), FILES.len());
    let site = folder.path().join("my-site");
    let loaded = load_inventory(&site.join("inventory"), TODAY).unwrap_or_else(|d| panic!("{}", d.render(false)));
    assert_eq!(loaded.inventory.nodes.len(), 8);
    let found = validate_words(&site, Some(&loaded.inventory), None, TODAY);
    assert!(loaded.warnings.is_empty() && found.is_empty(), "{}", found.render(false));
    let run = |args: &[&str]| {
        let run =
            Command::new(env!("CARGO_BIN_EXE_bringup")).current_dir(&site).args(args).env("NO_COLOR", "1").output().unwrap();
        (run.status.code(), String::from_utf8_lossy(&run.stdout).into_owned(), String::from_utf8_lossy(&run.stderr).into_owned())
    };
    let (code, out, err) = run(&["validate"]);
    assert_eq!((code, out.starts_with("ok: two-racks: 2 racks, 8 nodes, 64 accelerators")), (Some(0), true), "{out}{err}");
    let playbook = load_playbook(&site.join("playbooks/site.yaml"), TODAY).unwrap();
    assert!(playbook.check_nodes(loaded.inventory.nodes.values()).is_empty());

    // A file that a playbook names and that lies in its folder too is read once and told once, seen from the project as well.
    let policy = site.join("playbooks/policies/h100-acceptance.yaml");
    std::fs::write(&policy, std::fs::read_to_string(&policy).unwrap().replace("ecc: true", "ecc: maybe")).unwrap();
    for args in [&["validate"][..], &["validate", "-p", "playbooks/site.yaml"]] {
        let (code, _, err) = run(args);
        assert_eq!((code, err.matches("ecc must be `true` or `false`").count()), (Some(3), 1), "{err}");
        assert!(err.contains("playbooks/policies/h100-acceptance.yaml:10:6") && err.contains("1 mistake in the input"), "{err}");
    }
}

#[test]
fn init_overwrites_nothing_and_then_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("images")).unwrap();
    let mine = folder.path().join("images/ubuntu-24.04-npu.yaml");
    std::fs::write(&mine, "mine").unwrap();
    let run = init(folder.path(), &[]);
    let err = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(run.status.code(), Some(1));
    assert!(
        err.contains("images/ubuntu-24.04-npu.yaml would be overwritten; nothing was written") && err.contains("hint: "),
        "{err}"
    );
    assert_eq!(std::fs::read_to_string(&mine).unwrap(), "mine");
    assert!(!folder.path().join("inventory").exists());
}

#[test]
fn init_says_where_it_could_not_write() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("site"), "a file").unwrap();
    let run = init(folder.path(), &["site"]);
    assert_eq!(run.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&run.stderr).contains("write site/inventory/site.yaml"),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
}

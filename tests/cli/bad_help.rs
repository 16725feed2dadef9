//! The command line itself: every verb says what it is for and shows an example, and its pages and completions can be made.

use super::bad_rig::Rig;

#[test]
fn every_verb_has_an_about_and_an_example() {
    fn walk(path: &str, command: &clap::Command, seen: &mut usize) {
        for verb in command.get_subcommands() {
            let name = format!("{path} {}", verb.get_name());
            assert!(verb.get_about().is_some(), "`{name}` says nothing of itself");
            let after = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(after.contains("Example") && after.contains("  bringup "), "`{name} --help` has no example");
            for argument in verb.get_arguments() {
                assert!(argument.get_help().is_some(), "`{name}`: `{}` is not explained", argument.get_id());
            }
            *seen += 1;
            walk(&name, verb, seen);
        }
    }
    let mut seen = 0;
    walk("bringup", &bringup::cli::command(), &mut seen);
    assert!(seen > 25, "{seen} verbs");
}

#[test]
fn completions_pages_and_the_doctor() {
    let rig = Rig::up(1, &[]);
    for shell in ["bash", "zsh", "fish"] {
        assert!(rig.run(&["completions", shell]).ends(0, &[]).out.contains("bringup"), "{shell}");
    }
    assert!(rig.run(&["man", "pool", "drain"]).ends(0, &[]).out.contains("Takes nodes out of work"));
    rig.run(&["man", "aply"]).refused(64, &["did you mean `apply`?"]);
    rig.run(&["man", "--dir", "pages"]).ends(0, &[]);
    assert!(rig.path("pages/bringup-pool-drain.1").is_file());
    let told = rig.run(&["doctor", "-o", "json", "--loaders", "loaders"]).ends(0, &[]).json();
    let standing = |what: &str| {
        let checks = told["checks"].as_array().unwrap();
        checks.iter().find(|c| c["what"] == what).unwrap_or_else(|| panic!("{told:#}"))["standing"].as_str().unwrap()
    };
    assert_eq!(["state", "journal", "loaders", "inventory", "boot server"].map(standing), ["well"; 5], "{told:#}");
    assert!(!rig.path(".bringup").exists(), "it writes nothing");
    std::fs::create_dir(rig.path(".bringup")).unwrap();
    std::fs::write(rig.path(".bringup/journal.db"), "not a database, but long enough to be looked at").unwrap();
    rig.run(&["doctor"]).ends(1, &["not ready"]);
    rig.untouched();
}

//! Playbooks, images, stacks and policies: one row a mistake, and the worked examples.

use std::path::{Path, PathBuf};

use bringup::spec::{Diagnostics, Gate, load_playbook, validate_words};

pub const TODAY: &str = "2026-09-01";

pub const PLAYBOOK: &str = "\
apiVersion: playbook/v1
baseline: {image: i, stack: s, boot_deadline: 10m, install: {image: \"i\", disk: {transport: nvme, size_min: 400GB}, wipe: blank-only}}
stacks: [s]
policies: [v]
rollout:
  waves: [1, 8, 64]
  canary: ring=canary
  max_nodes: 64
  max_per_rack: 2
  max_per_feed_w: 180000
  canary_failures: 0
  total_failures: 2%
  attempts: 3
";
pub const IMAGE: &str = "\
apiVersion: image/v1
arch: x86_64
kernel: {file: i/vmlinuz, sha256: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}
initrd: [{file: i/initrd, sha256: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb}]
root: {file: /srv/root.squashfs, sha256: cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc}
cmdline: [console=ttyS0, quiet]
ssh_host_keys: [SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA]
";
pub const STACK: &str = "\
apiVersion: stack/v1
install:
  - name: driver
    artifact: {file: s/driver.run, sha256: dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd}
    to: /run/bringup/driver.run
    mode: \"0755\"
    run: [/run/bringup/driver.run, --silent]
    deadline: 15m
  - {name: restart, run: [systemctl, restart, fabric]}
versions:
  - {component: driver, probe: [cat, /sys/module/nvidia/version], want: 580.95.05}
";
pub const POLICY: &str = "\
apiVersion: verify/v1
kind: AcceptancePolicy
metadata: {name: v, version: 7}
applies: {kind: nvidia}
identity: {serial_map: inventory, homogeneous: [driver, model], driver_in: [580.95.05], firmware_in: [\"96.00\"]}
ecc: true
counters: {remapped_uncorrectable: {max: 8}, ecc_uncorrectable: {max: 0}, aer: {max: 0}, aer_correctable: {max: 10}}
links: {pcie: {gen: 5, width: 16}, nvlink: {links: 18}}
thermal: {max_c: 83.5}
tolerate:
  - {check: aer, reason: riser on order, until: 2026-09-01}
degraded: {min: 7}
";
pub const FILES: [(&str, &str); 4] = [
    ("playbooks/p.yaml", PLAYBOOK),
    ("images/i.yaml", IMAGE),
    ("playbooks/stacks/s.yaml", STACK),
    ("playbooks/policies/v.yaml", POLICY),
];

/// A project in a folder of its own.
pub struct Project(tempfile::TempDir);

impl Project {
    pub fn new() -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        for (path, text) in FILES {
            project.write(path, text);
        }
        project
    }

    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let file = self.path(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// `CODE FILE:LINE:COLUMN message` for each mistake, then its hint.
    pub fn told(&self, found: &Diagnostics) -> Vec<String> {
        let root = format!("{}/", self.0.path().display());
        let one = |d: &&bringup::spec::Diagnostic| {
            let place = d.span.map_or(String::new(), |s| format!(" {}", found.sources.place(s)));
            let hint = d.hint.as_ref().map_or(String::new(), |h| format!(" | {h}"));
            format!("{}{place} {}{hint}", d.code, d.message).replace(&root, "")
        };
        found.sorted().iter().map(one).collect()
    }
}

#[test]
fn a_whole_project_loads_with_every_field() {
    let project = Project::new();
    let loaded = load_playbook(&project.path("playbooks/p.yaml"), TODAY).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", project.told(&loaded.warnings));
    let p = loaded.playbook;
    assert_eq!((p.name.as_str(), p.baseline.boot_deadline_s, p.baseline.stack.as_deref()), ("p", 600, Some("s")));
    let image = p.baseline.image.unwrap();
    assert_eq!(image.kernel.path, project.path("images/i/vmlinuz"));
    assert_eq!(image.root.unwrap().path, Path::new("/srv/root.squashfs"));
    assert_eq!(image.cmdline, ["console=ttyS0", "quiet"]);
    let stack = &p.stacks["s"];
    assert_eq!((stack.install[0].mode, stack.install[0].deadline_s, stack.install[1].deadline_s), (0o755, 900, 600));
    assert_eq!(stack.install[0].artifact.as_ref().unwrap().path, project.path("playbooks/stacks/s/driver.run"));
    assert_eq!(stack.versions[0].want.as_str(), "580.95.05");
    let v = &p.policies["v"];
    assert_eq!(
        (v.version, v.pcie_gen, v.pcie_width, v.nvlinks, v.temperature_max_c),
        (7, Some(5), Some(16), Some(18), Some(83.5))
    );
    assert_eq!((v.ecc, v.aer, v.aer_correctable_max, v.degraded_min), (true, true, Some(10), Some(7)));
    assert_eq!((v.remapped_uncorrectable_max, v.ecc_uncorrectable_max, v.serials_from_facts), (Some(8), Some(0), true));
    assert_eq!((v.driver_in.as_slice(), v.homogeneous.len()), (["580.95.05".to_owned()].as_slice(), 2));
    // `until` is the last day, so on that day it still counts.
    assert_eq!((v.tolerate[0].check.as_str(), v.tolerate[0].until.as_str()), ("aer", "2026-09-01"));
    assert_eq!((p.rollout.waves.as_slice(), p.rollout.total_failures_pct), ([1, 8, 64].as_slice(), 2.0));
    assert_eq!(p.rollout.canary, Some(("ring".to_owned(), "canary".to_owned())));
    let inputs: Vec<&str> = p.inputs.keys().map(String::as_str).collect();
    assert_eq!(inputs, ["../images/i.yaml", "p.yaml", "policies/v.yaml", "stacks/s.yaml"]);
}

/// (file, what is replaced, by what, what is told). Each row makes one mistake in a project that is otherwise right.
#[rustfmt::skip]
const MISTAKES: &[(&str, &str, &str, &str)] = &[
    // names and files
    ("playbooks/p.yaml", "image: i", "image: j", "E201 playbooks/p.yaml:2:19 there is no image `j` | did you mean `i`?"),
    ("playbooks/p.yaml", "[v]", "[h100]", "E201 playbooks/p.yaml:4:12 there is no policy `h100` | looked for playbooks/policies/h100.yaml"),
    ("playbooks/p.yaml", "stacks: [s]", "stacks: []", "E201 playbooks/p.yaml:2:29 baseline.stack: `s` is not listed under `stacks` | add it"),
    ("playbooks/p.yaml", "stacks: [s]", "stacks: [s, s]", "E007 playbooks/p.yaml:3:13 stacks: `s` is listed twice"),
    ("playbooks/p.yaml", "image: i", "image: ../i", "E007 playbooks/p.yaml:2:19 baseline.image: a name is lower-case letters"),
    ("playbooks/p.yaml", "[v]", "[]", "E201 playbooks/p.yaml:4:11 a playbook without a policy admits nothing"),
    ("playbooks/p.yaml", "playbook/v1", "playbook/v2", "E007 playbooks/p.yaml:1:13 apiVersion is `playbook/v2`, and this file is read as `playbook/v1`"),
    // what goes on which disk
    ("playbooks/p.yaml", "transport: nvme", "transport: nvm", "E007 playbooks/p.yaml:2:92 baseline.install.disk.transport: `nvm` is not known"),
    ("playbooks/p.yaml", "transport: nvme", "serial: /dev/nvme0n1", "E007 playbooks/p.yaml:2:89 baseline.install.disk.serial: a device name means another disk after the next boot | take what the disk says"),
    ("playbooks/p.yaml", "transport: nvme, size_min", "transport: nvme, size_mim", "E004 playbooks/p.yaml:2:98 unknown key `size_mim` in baseline.install.disk | did you mean `size_min`?"),
    ("playbooks/p.yaml", "400GB", "400", "E007 playbooks/p.yaml:2:108 baseline.install.disk.size_min: a size is a number with a unit"),
    ("playbooks/p.yaml", "size_min: 400GB", "size_min: 400GB, size_max: 1GiB", "E007 playbooks/p.yaml:2:108 baseline.install.disk: no disk is at least `size_min` and at most `size_max`"),
    ("playbooks/p.yaml", "size_min: 400GB", "pick: small", "E007 playbooks/p.yaml:2:104 baseline.install.disk.pick: `small` is not known"),
    ("playbooks/p.yaml", "{transport: nvme, size_min: 400GB}", "{}", "E007 playbooks/p.yaml:2:80 baseline.install.disk: an empty rule means every disk | say what the disk is"),
    ("playbooks/p.yaml", "wipe: blank-only", "wipe: never", "E007 playbooks/p.yaml:2:122 baseline.install.wipe: `never` is not known"),
    ("playbooks/p.yaml", "disk: {transport: nvme, size_min: 400GB}, ", "", "E005 playbooks/p.yaml:2:61 baseline.install lacks the key `disk`"),
    ("playbooks/p.yaml", "{image: i,", "{image: none,", "E201 playbooks/p.yaml:2:72 baseline.install: nothing boots that could write the disk | name the image"),
    ("playbooks/p.yaml", "canary_failures", "canary_failure", "E004 playbooks/p.yaml:11:3 unknown key `canary_failure` in rollout | did you mean `canary_failures`?"),
    ("playbooks/p.yaml", "stacks: [s]", "stacks: [s]\nstacks: [s]", "E003 playbooks/p.yaml:4:1 the key `stacks` is written twice"),
    ("playbooks/p.yaml", "  waves: [1, 8, 64]\n", "", "E005 playbooks/p.yaml:6:3 rollout lacks the key `waves`"),
    // rollout
    ("playbooks/p.yaml", "[1, 8, 64]", "[]", "E207 playbooks/p.yaml:6:10 rollout.waves: without a wave nobody ever starts"),
    ("playbooks/p.yaml", "[1, 8, 64]", "[1, 0]", "E007 playbooks/p.yaml:6:14 rollout.waves[1]: 0 is not from 1 to 4294967295"),
    ("playbooks/p.yaml", "[1, 8, 64]", "[1, 65]", "W101 playbooks/p.yaml:6:14 a wave of 65 never has more than `max_nodes: 64` under way"),
    ("playbooks/p.yaml", "2%", "2", "E007 playbooks/p.yaml:12:19 rollout.total_failures: a share is a number from 0 to 100 with `%`"),
    ("playbooks/p.yaml", "ring=canary", "canary", "E007 playbooks/p.yaml:7:11 rollout.canary: a label and its value are expected"),
    ("playbooks/p.yaml", "attempts: 3", "attempts: 99", "E007 playbooks/p.yaml:13:13 rollout.attempts: 99 is not from 1 to 10"),
    ("playbooks/p.yaml", "10m", "10", "E007 playbooks/p.yaml:2:47 baseline.boot_deadline: a time is a whole number with a unit"),
    // images
    ("images/i.yaml", "aaaa}", "aaaA}", "E007 images/i.yaml:3:35 kernel.sha256: `aaaaaaaa"),
    ("images/i.yaml", "i/vmlinuz", "i/", "E202 images/i.yaml:3:16 the path `i/` names a folder"),
    ("images/i.yaml", "arch: x86_64", "arch: amd64", "E007 images/i.yaml:2:7 arch: `amd64` is not known | known: x86_64, aarch64"),
    ("images/i.yaml", "quiet", "a b", "E007 images/i.yaml:6:26 cmdline: an argument is empty or holds blanks"),
    ("images/i.yaml", "quiet", "\"x=${net0/mac}\"", "E007 images/i.yaml:6:26 cmdline: `${` would be replaced by the boot loader"),
    ("images/i.yaml", "quiet", "bringup.node=x", "E007 images/i.yaml:6:26 cmdline: arguments that start with `bringup.` are added by `bringup`"),
    ("images/i.yaml", "quiet", "rd.password=hunter2", "E101 images/i.yaml:6:26 cmdline: an argument with `password=` would show a secret"),
    ("images/i.yaml", "[SHA256:A", "[MD5:A", "E007 images/i.yaml:7:17 ssh_host_keys: `MD5:AAAA"),
    ("images/i.yaml", "ssh_host_keys:", "identity: grant\nssh_host_keys:", "E007 images/i.yaml:7:11 identity: each boot brings a host key of its own, so the image has none | leave out"),
    ("images/i.yaml", "ssh_host_keys:", "identity: grants\nssh_host_keys:", "E007 images/i.yaml:7:11 identity: `grants` is not known | known: grant"),
    // stacks
    ("playbooks/stacks/s.yaml", "s/driver.run", "../../../x.run", "E202 playbooks/stacks/s.yaml:4:22 the path `../../../x.run` leads out of the project"),
    ("playbooks/stacks/s.yaml", "s/driver.run", "/opt/x.run", "E202 playbooks/stacks/s.yaml:4:22 the path `/opt/x.run` is absolute"),
    ("playbooks/stacks/s.yaml", "    to: /run/bringup/driver.run\n", "", "E206 playbooks/stacks/s.yaml:3:5 install[0]: `artifact` needs `to`"),
    ("playbooks/stacks/s.yaml", "to: /run/bringup/driver.run", "to: /run/../etc/passwd", "E206 playbooks/stacks/s.yaml:5:9 install[0]: `/run/../etc/passwd` is not the absolute path of a file"),
    ("playbooks/stacks/s.yaml", "\"0755\"", "\"4755\"", "E206 playbooks/stacks/s.yaml:6:11 install[0]: `4755` is not a file mode"),
    ("playbooks/stacks/s.yaml", "name: restart", "name: driver", "E206 playbooks/stacks/s.yaml:9:12 the installation step `driver` occurs twice"),
    ("playbooks/stacks/s.yaml", ", run: [systemctl, restart, fabric]", "", "E206 playbooks/stacks/s.yaml:9:5 install[1]: it neither pushes a file nor runs a command"),
    ("playbooks/stacks/s.yaml", "[systemctl, restart, fabric]", "[echo, x, \">\", /etc/x]", "E206 playbooks/stacks/s.yaml:9:36 install[1].run: `>` would reach the program as a plain word"),
    ("playbooks/stacks/s.yaml", "[systemctl, restart, fabric]", "[systemctl restart fabric]", "E206 playbooks/stacks/s.yaml:9:27 install[1].run: `systemctl restart fabric` is not a program"),
    ("playbooks/stacks/s.yaml", "[systemctl, restart, fabric]", "[curl, --token=hunter2]", "E101 playbooks/stacks/s.yaml:9:33 install[1].run: an argument with `token=`"),
    ("playbooks/stacks/s.yaml", "[cat, /sys/module/nvidia/version]", "[]", "E206 playbooks/stacks/s.yaml:11:32 versions[0].probe: there is no command"),
    ("playbooks/stacks/s.yaml", "\n  - {component: driver, probe: [cat, /sys/module/nvidia/version], want: 580.95.05}", " []", "E206 playbooks/stacks/s.yaml:10:11 a stack without a version probe could never be proven"),
    // policies
    ("playbooks/policies/v.yaml", "name: v,", "name: w,", "E007 playbooks/policies/v.yaml:3:18 metadata.name is `w` but the file is `v.yaml`"),
    ("playbooks/policies/v.yaml", "until: 2026-09-01", "until: 2026-08-31", "E205 playbooks/policies/v.yaml:11:49 the tolerance for `aer` ended on 2026-08-31"),
    ("playbooks/policies/v.yaml", "until: 2026-09-01", "until: tomorrow", "E007 playbooks/policies/v.yaml:11:49 tolerate[0].until: a day is written `YYYY-MM-DD`"),
    ("playbooks/policies/v.yaml", "reason: riser on order, ", "", "E005 playbooks/policies/v.yaml:11:5 tolerate[0] lacks the key `reason`"),
    ("playbooks/policies/v.yaml", "kind: nvidia", "kind: nvidea", "E007 playbooks/policies/v.yaml:4:17 applies.kind: `nvidea` is no family of accelerators | did you mean `nvidia`?"),
    ("playbooks/policies/v.yaml", "aer: {max: 0}", "aer: {max: 3}", "E204 playbooks/policies/v.yaml:7:86 counters.aer: fatal and non-fatal errors are never accepted"),
    ("playbooks/policies/v.yaml", "width: 16", "width: 12", "E204 playbooks/policies/v.yaml:8:31 links.pcie.width: no link has 12 lanes"),
    ("playbooks/policies/v.yaml", "max_c: 83.5", "max_c: 1e9", "E007 playbooks/policies/v.yaml:9:18 thermal.max_c: `1e9` is not a temperature"),
    ("playbooks/policies/v.yaml", "ecc: true", "ecc: yes", "E006 playbooks/policies/v.yaml:6:6 ecc must be `true` or `false` | YAML 1.2 knows only"),
    ("playbooks/policies/v.yaml", "driver_in: [580.95.05]", "driver_in: []", "E204 playbooks/policies/v.yaml:5:76 identity.driver_in: an empty list allows nothing"),
    ("playbooks/policies/v.yaml", "min: 7", "min: 0", "E007 playbooks/policies/v.yaml:12:17 degraded.min: 0 is not from 1 to 4294967295"),
];

#[test]
fn every_mistake_is_told_with_its_place() {
    for (file, find, by, want) in MISTAKES {
        let project = Project::new();
        let text = FILES.iter().find(|(path, _)| path == file).unwrap().1;
        assert_eq!(text.matches(find).count(), 1, "`{find}` must occur once in {file}");
        project.write(file, text.replace(find, by));
        let found = load_playbook(&project.path("playbooks/p.yaml"), TODAY).map_or_else(|d| d, |l| l.warnings);
        let told = project.told(&found);
        assert_eq!(told.len(), 1, "{find} → {by}: one mistake, one message: {told:#?}");
        assert!(told[0].starts_with(want), "{find} → {by}:\n want {want}\n told {}", told[0]);
        assert!(!found.render(false).contains("hunter2"), "{}", found.render(false));
        assert_eq!(found.refused(), !want.starts_with('W'), "{want}");
    }
}

#[test]
fn a_policy_that_could_never_be_met_is_refused() {
    let project = Project::new();
    project.write("playbooks/policies/v.yaml", POLICY.replace("kind: nvidia", "kind: furiosa"));
    let told = project.told(&load_playbook(&project.path("playbooks/p.yaml"), TODAY).unwrap_err());
    let keys: Vec<&str> = told.iter().filter(|t| t.starts_with("E204")).map(|t| t.split('`').nth(1).unwrap()).collect();
    assert_eq!(keys, ["ecc", "counters.remapped_uncorrectable", "counters.ecc_uncorrectable", "links.nvlink"]);
    project.write("playbooks/policies/v.yaml", POLICY.replace("kind: nvidia", "kind: pci"));
    assert!(load_playbook(&project.path("playbooks/p.yaml"), TODAY).unwrap_err().errors() > 8);
}

#[test]
fn mistakes_of_all_files_come_at_once_and_a_shared_file_is_told_once() {
    let project = Project::new();
    project.write("playbooks/p.yaml", PLAYBOOK.replace("2%", "two"));
    project.write("playbooks/q.yaml", PLAYBOOK);
    project.write("images/i.yaml", IMAGE.replace("x86_64", "vax"));
    project.write("images/unused.yaml", IMAGE.replace("arch", "arhc"));
    project.write("playbooks/stacks/s.yaml", STACK.replace("15m", "15"));
    project.write("playbooks/policies/v.yaml", POLICY.replace("ecc: true", "ecc: maybe"));
    let found = validate_words(&project.path(""), None, None, TODAY);
    let told = project.told(&found);
    let places: Vec<&str> = told.iter().map(|t| t.split(' ').nth(1).unwrap()).collect();
    let want = [
        "images/i.yaml:2:7",
        "images/unused.yaml:1:1",
        "images/unused.yaml:2:1",
        "playbooks/p.yaml:12:19",
        "playbooks/policies/v.yaml:6:6",
        "playbooks/stacks/s.yaml:8:15",
    ];
    assert_eq!(places, want, "{told:#?}");
}

#[test]
fn a_mistake_is_shown_like_a_compiler_would() {
    let project = Project::new();
    project.write("playbooks/p.yaml", PLAYBOOK.replace("image: i", "image: ubuntu"));
    let shown = load_playbook(&project.path("playbooks/p.yaml"), TODAY).unwrap_err().render(false);
    let shown = shown.replace(&format!("{}/", project.path("").display().to_string().trim_end_matches('/')), "");
    let want = "\
error[E201]: there is no image `ubuntu`
 --> playbooks/p.yaml:2:19
  |
2 | baseline: {image: ubuntu, stack: s, boot_deadline: 10m, install: {image: \"i\", disk: {transport: nvme, size_min: 400GB}, wipe: blank-o...
  |                   ^^^^^^";
    assert!(shown.starts_with(want), "{shown}");
    assert!(shown.contains("looked for images/ubuntu.yaml"), "{shown}");
}

#[test]
fn what_the_gate_does_not_know_is_refused() {
    let project = Project::new();
    let loaded = load_playbook(&project.path("playbooks/p.yaml"), TODAY).unwrap();
    let rule = |r: &str| if r.starts_with("580") { Ok(()) } else { Err(format!("no rule `{r}`")) };
    let gate = Gate { checks: &["aer-correctable", "ecc"], version_rule: &rule };
    assert_eq!(
        project.told(&loaded.check_gate(&gate)),
        [
            "E204 playbooks/policies/v.yaml:5:103 no rule `96.00`",
            "E204 playbooks/policies/v.yaml:11:13 the gate has no check `aer` | `bringup schema policy` lists the checks",
        ]
    );
    assert!(loaded.check_gate(&Gate { checks: &["aer"], version_rule: &|_| Ok(()) }).is_empty());
}

#[test]
fn artifacts_are_hashed_only_when_asked() {
    let project = Project::new();
    project.write("images/i.yaml", IMAGE.replace("root: {file: /srv/root.squashfs", "root: {file: i/root"));
    project.write("images/i/vmlinuz", "not that kernel");
    // SHA-256 of nothing is e3b0c442… (FIPS 180-4 example).
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    project.write("images/i/root", "");
    let text = std::fs::read_to_string(project.path("images/i.yaml")).unwrap().replace(&"c".repeat(64), empty);
    project.write("images/i.yaml", text);
    let loaded = load_playbook(&project.path("playbooks/p.yaml"), TODAY).unwrap();
    let found = loaded.check_artifacts();
    let told = project.told(&found);
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(told[0].starts_with("E203 images/i.yaml:3:16 the artifact `images/i/vmlinuz` is another file"), "{told:#?}");
    assert!(told[1].starts_with("E203 images/i.yaml:4:17 the artifact `images/i/initrd` is missing"), "{told:#?}");
    assert!(told[2].contains("s/driver.run` is missing"), "{told:#?}");
}

#[test]
fn a_missing_playbook_is_one_clear_error() {
    let found = load_playbook(Path::new("/nowhere/p.yaml"), TODAY).unwrap_err();
    assert_eq!((found.errors(), found.sorted()[0].code), (1, "E001"));
    assert!(found.to_string().contains("/nowhere/p.yaml"), "{found}");
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_bytes_make_a_loader_panic(which in 0usize..4, bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        let project = Project::new();
        project.write(FILES[which].0, &bytes);
        let found = validate_words(&project.path(""), None, None, TODAY);
        proptest::prop_assert!(found.render(false).len() < 1 << 20);
    }

    #[test]
    fn no_edit_makes_a_loader_panic(which in 0usize..4, at in 0usize..900, len in 0usize..40, by in "[-\\[\\]{}:,\"'#&*!|>%@0-9a-z\n é\\x00]{0,12}") {
        let project = Project::new();
        let text: Vec<char> = FILES[which].1.chars().collect();
        let start = at.min(text.len());
        let end = (start + len).min(text.len());
        let edited: String = text[..start].iter().copied().chain(by.chars()).chain(text[end..].iter().copied()).collect();
        project.write(FILES[which].0, edited);
        let found = validate_words(&project.path(""), None, None, TODAY);
        proptest::prop_assert!(found.render(false).len() < 1 << 20);
        proptest::prop_assert!(found.to_json().is_object());
    }
}

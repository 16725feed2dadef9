//! `image build` when something is wrong: one clear line, the right exit code, nothing written. What it builds is booted in `tests/peers`.

use std::path::PathBuf;
use std::process::{Command, Output};

const DEFINITION: &str = "\
apiVersion: ramdisk/v1
arch: x86_64
sources: [{uri: \"http://deb.debian.org/debian\", suite: bookworm, components: [main], keyring: /no/such/keys.gpg}]
kernel: {package: linux-image-amd64, load: [af_packet]}
packages: [{name: busybox-static, take: [bin/busybox]}]
";

struct Site(tempfile::TempDir);

impl Site {
    fn new() -> Self {
        let site = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir_all(site.path("images/definitions")).unwrap();
        std::fs::write(site.path("images/definitions/r.yaml"), DEFINITION).unwrap();
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A lock of two packages which are this one file.
    fn lock(&self, bytes: &[u8], sha256: &str) {
        std::fs::write(self.path("package.deb"), bytes).unwrap();
        let one = |name: &str| {
            let (size, url) = (bytes.len(), self.path("package.deb"));
            format!("  - {{name: {name}, version: \"1\", sha256: {sha256}, size: {size}, url: \"file:{}\"}}\n", url.display())
        };
        let text = format!("apiVersion: ramdisk-lock/v1\npackages:\n{}{}", one("linux-image-amd64"), one("busybox-static"));
        std::fs::write(self.path("images/definitions/r.lock"), text).unwrap();
    }

    fn build(&self, more: &[&str], path: Option<&str>) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bringup"));
        command.current_dir(self.0.path()).args(["image", "build", "images/definitions/r.yaml", "--cache", "cache"]).args(more);
        command.env("NO_COLOR", "1");
        if let Some(path) = path {
            command.env("PATH", path);
        }
        command.output().unwrap()
    }
}

#[track_caller]
fn ends(out: &Output, code: i32, words: &[&str]) {
    let told = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(code), "{told}");
    assert!(words.iter().all(|w| told.contains(w)), "{words:?} in {told}");
    assert!(out.stdout.is_empty());
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest as _, Sha256};
    bringup::model::Digest::from_bytes(&Sha256::digest(bytes).into()).to_string()
}

#[test]
fn a_build_needs_a_lock_and_a_lock_needs_keys() {
    let site = Site::new();
    let out = site.build(&[], None);
    ends(&out, 3, &["error: there is no lock images/definitions/r.lock", "hint: `bringup image build --lock`"]);
    if crate::support::need_program("a_build_needs_a_lock_and_a_lock_needs_keys", "apt-config").is_some() {
        let told = "error: the keys of http://deb.debian.org/debian are missing: there is no /no/such/keys.gpg";
        ends(&site.build(&["--lock"], None), 1, &[told, "package `debian-archive-keyring`"]);
    }
    assert!(!site.path("images/definitions/r.lock").exists() && !site.path("images/r.yaml").exists());
}

#[test]
fn mistakes_are_told_all_at_once() {
    let site = Site::new();
    let bad = DEFINITION.replace("x86_64", "vax").replace("take: [bin", "tkae: [bin");
    std::fs::write(site.path("images/definitions/r.yaml"), bad).unwrap();
    let words = ["definitions/r.yaml:2:7", "definitions/r.yaml:5:35", "did you mean `take`", "cannot be built as it is written"];
    ends(&site.build(&[], None), 3, &words);
}

#[test]
fn a_package_that_is_not_the_locked_one_is_refused() {
    if crate::support::need_program("a_package_that_is_not_the_locked_one_is_refused", "apt-config").is_none() {
        return;
    }
    let site = Site::new();
    site.lock(b"changed on its way", &"a".repeat(64));
    let out = site.build(&[], None);
    let found = sha256(b"changed on its way");
    ends(
        &out,
        1,
        &[
            "package.deb is refused: it is not the package `linux-image-amd64` of the lock: SHA-256",
            &found,
            "hint: do not lock anew",
        ],
    );
    assert_eq!(String::from_utf8_lossy(&out.stderr).lines().count(), 2, "one line and its hint");
    assert_eq!(std::fs::read_dir(site.path("cache/debs")).unwrap().count(), 0, "nothing of it is kept");
    assert!(!site.path("images/r.yaml").exists() && !site.path("images/r").exists());
    std::fs::remove_file(site.path("package.deb")).unwrap();
    ends(&site.build(&[], None), 1, &["error: fetch file:/", "hint: a mirror keeps old packages for a while only"]);
}

#[test]
fn a_file_that_is_no_package_and_missing_programs_are_told() {
    if crate::support::need_program("a_file_that_is_no_package_and_missing_programs_are_told", "dpkg-deb").is_none() {
        return;
    }
    let site = Site::new();
    let bytes = b"no package at all";
    site.lock(bytes, &sha256(bytes));
    ends(
        &site.build(&[], Some("/nonexistent")),
        1,
        &["error: the program `apt-config` is missing; Debian's package `apt` has it"],
    );
    ends(&site.build(&[], None), 1, &["error: take the package ", "dpkg-deb"]);
    // Fetched by now, so that apt is not asked.
    ends(
        &site.build(&[], Some("/nonexistent")),
        1,
        &["error: the program `dpkg-deb` is missing; Debian's package `dpkg` has it"],
    );
}

//! The node image: built from Debian's packages by `mmdebstrap` and `mksquashfs`, fed from the lock alone; and a smaller one built twice, to the
//! same bytes. It needs root, for the file systems that maintainer scripts see.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use sha2::{Digest as _, Sha256};

use super::ramdisk::{Image, bringup, image, said, text};
use crate::support::{need_program, skip};

/// The worked example, built once for all tests, and kept beside the ramdisk for the next run as long as nothing that goes into it has changed.
pub(super) fn node_image(test: &str) -> Option<&'static Image> {
    let ramdisk = image(test)?;
    for program in ["mmdebstrap", "mksquashfs", "unsquashfs"] {
        need_program(test, program)?;
    }
    if !rustix::process::geteuid().is_root() {
        skip(test, "root");
        return None;
    }
    static IMAGE: OnceLock<Result<Image, String>> = OnceLock::new();
    let made = IMAGE.get_or_init(|| {
        let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("images/definitions/node.yaml");
        let definition = ramdisk.definition.with_file_name("node.yaml");
        let same = std::fs::read(&definition).ok() == std::fs::read(&committed).ok();
        std::fs::copy(committed, &definition).unwrap();
        let made = Image { out: ramdisk.out.with_file_name("node"), definition, cache: ramdisk.cache.clone() };
        let seal = made.out.join("made-of");
        if same && std::fs::read_to_string(&seal).is_ok_and(|was| was == made_of(&made.definition)) {
            return Ok(made);
        }
        drop(std::fs::remove_file(&seal));
        let locked = same && made.definition.with_extension("lock").exists();
        let (from, to, kept) = (text(&made.definition), text(&made.out), text(&made.cache));
        let args = vec!["image", "build", &from, "--out", &to, "--cache", &kept, "-v"];
        let fresh = || bringup(&[&args[..], &["--lock"]].concat());
        let built = if locked { bringup(&args) } else { fresh() };
        // A lock that outlived its packages, here and on the mirror.
        let built = if locked && !built.status.success() { fresh() } else { built };
        if !built.status.success() {
            return Err(said(&built));
        }
        println!("{}", said(&built));
        std::fs::write(seal, made_of(&made.definition)).unwrap();
        Ok(made)
    });
    match made {
        Ok(image) => Some(image),
        Err(said) => {
            skip(test, &format!("a built node image ({said})"));
            None
        }
    }
}

/// Digest of what a build reads: definitions and locks, and the source of the builder.
pub(super) fn made_of(definition: &Path) -> String {
    let mut files = Vec::new();
    let mut folders = vec![definition.parent().unwrap().to_owned(), Path::new(env!("CARGO_MANIFEST_DIR")).join("src/image")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        hash.update(Sha256::digest(std::fs::read(file).unwrap()));
    }
    bringup::model::Digest::from_bytes(&hash.finalize().into()).to_string()
}

fn sh(script: &str, args: &[&str]) -> String {
    let out = Command::new("sh").args(["-c", script, "sh"]).args(args).output().unwrap();
    assert!(out.status.success(), "{}", said(&out));
    String::from_utf8(out.stdout).unwrap()
}

/// What is in the image, by squashfs-tools: no key, no password, nothing of the build, and no network card of one machine.
#[test]
fn the_node_image_holds_no_secret_and_nothing_of_its_build() {
    let Some(image) = node_image("the_node_image_holds_no_secret_and_nothing_of_its_build") else { return };
    let root = text(&image.out.join("node/root.squashfs"));
    let list = sh("unsquashfs -UTC -lln \"$1\"", &[&root]);
    let named =
        |path: &str| list.lines().filter(|l| l.split(" squashfs-root").nth(1).is_some_and(|p| p.starts_with(path))).count();
    assert!(named("/usr/sbin/sshd") > 0 && named("/usr/lib/systemd/systemd") > 0 && named("/usr/bin/lspci") > 0, "{list}");
    for path in [
        "/etc/ssh/ssh_host_",
        "/root/.ssh/",
        "/var/lib/systemd/random-seed",
        "/var/cache/ldconfig",
        "/var/lib/apt/lists/",
        "/etc/hostname",
    ] {
        assert_eq!(named(path), 0, "{path}");
    }
    // No file is newer than the epoch of the definition.
    let time = |line: &str| line.split_whitespace().skip(3).take(2).collect::<Vec<_>>().join(" ");
    let newer = list.lines().filter(|line| time(line).as_str() > "2026-11-23 00:00");
    assert_eq!(newer.collect::<Vec<_>>(), Vec::<&str>::new());
    let read = |path: &str| sh("unsquashfs -cat \"$1\" \"$2\"", &[&root, path]);
    assert_eq!(read("etc/machine-id"), "");
    assert!(read("etc/shadow").lines().all(|l| matches!(l.split(':').nth(1), Some("*" | "!" | "!*"))), "{}", read("etc/shadow"));
    assert!(read("etc/apt/sources.list").is_empty() || !read("etc/apt/sources.list").contains("copy:"));
    let installed = read("var/lib/dpkg/status").matches("\nVersion: ").count();
    let locked = std::fs::read_to_string(image.definition.with_extension("lock")).unwrap().matches("- name: ").count();
    assert_eq!(installed, locked, "what is installed is the lock");
    // What was written is an image as `plan` reads it, and its files are what it says.
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("images")).unwrap();
    std::fs::copy(image.out.join("node.yaml"), folder.path().join("images/node.yaml")).unwrap();
    let found = bringup::spec::validate_words(folder.path(), None, None, "2026-11-23");
    assert!(found.is_empty(), "{}", found.render(false));
    let manifest = std::fs::read_to_string(image.out.join("node.yaml")).unwrap();
    for name in ["vmlinuz", "initrd.img", "root.squashfs"] {
        let sum = sh("sha256sum <\"$1\"", &[&text(&image.out.join("node").join(name))]);
        assert!(manifest.contains(sum.split(' ').next().unwrap()), "{name}: {sum} {manifest}");
    }
}

/// Few packages and few modules; the way they are built is the same.
const SMALL: &str = "\
apiVersion: rootfs/v1
arch: x86_64
epoch: 1795392000
ramdisk: bringup
sources: [{uri: \"http://deb.debian.org/debian\", suite: bookworm, components: [main]}]
packages: [systemd-sysv, kmod, openssh-server]
exclude: [/usr/share/doc/*, /usr/share/locale/*, /usr/share/man/*]
modules: [virtio_net]
services: {enable: [ssh.service, systemd-networkd.service]}
";

/// Another folder, time, umask, language, time zone, user name and cache: the same bytes, to the last one. Host keys that a package made, logs
/// and a machine's identity differ from build to build, if anything of them is left.
#[test]
fn the_same_root_twice_has_the_same_bytes() {
    let test = "the_same_root_twice_has_the_same_bytes";
    let Some(ramdisk) = image(test) else { return };
    for program in ["mmdebstrap", "mksquashfs"] {
        if need_program(test, program).is_none() {
            return;
        }
    }
    if !rustix::process::geteuid().is_root() {
        return skip(test, "root");
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let definitions = |name: &str| -> PathBuf {
        std::fs::create_dir_all(at(name)).unwrap();
        for file in ["bringup.yaml", "bringup.lock"] {
            std::fs::copy(ramdisk.definition.with_file_name(file), at(name).join(file)).unwrap();
        }
        std::fs::write(at(name).join("small.yaml"), SMALL).unwrap();
        at(name).join("small.yaml")
    };
    let first = definitions("first");
    let out = bringup(&["image", "build", &text(&first), "--lock", "--out", &text(&at("one")), "--cache", &text(&ramdisk.cache)]);
    assert!(out.status.success(), "{}", said(&out));
    let second = definitions("second place/and/deeper");
    std::fs::copy(first.with_extension("lock"), second.with_extension("lock")).unwrap();
    // Its cache holds the packages of the locks and nothing else, as hard links where it can.
    let script = "set -e; mkdir -p \"$2/debs\"
        for digest in $(sed -n 's/^ *sha256: \"\\(.*\\)\"/\\1/p' \"$3\" \"${3%small.lock}bringup.lock\"); do cp -l \"$4/debs/$digest.deb\" \"$2/debs/\" 2>/dev/null || cp \"$4/debs/$digest.deb\" \"$2/debs/\"; done
        umask 077; export TZ=Asia/Seoul LC_ALL=C LANG=ko_KR.UTF-8 USER=somebody LOGNAME=somebody SUDO_USER=somebody HOME=/nonexistent XDG_CACHE_HOME= TMPDIR=/var/tmp
        cd \"$2\"; exec \"$1\" image build \"${3%.lock}.yaml\" --out ../two --cache .";
    sh(
        script,
        &[env!("CARGO_BIN_EXE_bringup"), &text(&at("a cache")), &text(&second.with_extension("lock")), &text(&ramdisk.cache)],
    );
    assert_eq!(std::fs::read(at("one/small.yaml")).unwrap(), std::fs::read(at("two/small.yaml")).unwrap());
    for name in ["vmlinuz", "initrd.img", "root.squashfs"] {
        sh("cmp \"$1\" \"$2\"", &[&text(&at("one/small").join(name)), &text(&at("two/small").join(name))]);
    }
    let left = |cache: &Path| std::fs::read_dir(cache.join("work")).unwrap().count();
    assert_eq!(left(&at("a cache")), 0, "a build leaves nothing but packages");
    let bytes = std::fs::metadata(at("two/small/root.squashfs")).unwrap().len();
    println!(
        "root of {} packages: {bytes} bytes, twice",
        std::fs::read_to_string(first.with_extension("lock")).unwrap().matches("- name: ").count()
    );
}

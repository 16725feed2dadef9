//! Definitions of root file systems and their locks: one row a mistake, and the worked example.

use bringup::model::{RamdiskLock, Rootfs};
use bringup::spec::{Definition, load_definition};

use super::examples::root;
use super::playbook::Project;

pub const FILE: (&str, &str) = ("images/definitions/n.yaml", DEFINITION);
const DEFINITION: &str = "\
apiVersion: rootfs/v1
arch: x86_64
epoch: 1700000000
ramdisk: r
sources:
  - {uri: http://deb.debian.org/debian, suite: bookworm, components: [main], keyring: /etc/keys.gpg}
packages: [systemd-sysv, openssh-server]
exclude: [/usr/share/man/*]
modules: [virtio-net]
files:
  - artifact: {file: motd, sha256: 39f91de5d7ec25bf8d59e8a4c2d6d8d2dd8fcf1dc0b2e8eb4bd8cd7c1a5b0d4a}
    to: /etc/motd
    executable: false
services: {enable: [ssh.service], mask: [fstrim.timer]}
hostname: node-1
locale: C.UTF-8
timezone: Asia/Seoul
cmdline: [console=ttyS0]
";
const LOCK: &str = "\
apiVersion: rootfs-lock/v1
packages:
  - {name: libc6, version: \"2.36\", sha256: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, size: 7, url: \"file:/a.deb\"}
  - {name: openssh-server, version: \"1:9.2\", sha256: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb, size: 8, url: \"file:/b.deb\"}
  - {name: systemd-sysv, version: \"252\", sha256: cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc, size: 9, url: \"file:/c.deb\"}
";

fn project() -> Project {
    use sha2::{Digest as _, Sha256};
    let project = Project::new();
    let motd = "welcome\n";
    let digest = bringup::model::Digest::from_bytes(&Sha256::digest(motd.as_bytes()).into());
    let was = "39f91de5d7ec25bf8d59e8a4c2d6d8d2dd8fcf1dc0b2e8eb4bd8cd7c1a5b0d4a";
    project.write(FILE.0, DEFINITION.replace(was, digest.as_str()));
    project.write("images/definitions/motd", motd);
    project.write("images/definitions/n.lock", LOCK);
    project
}

fn load(path: &std::path::Path) -> (Rootfs, Option<RamdiskLock>) {
    let loaded = load_definition(path, true).unwrap_or_else(|e| panic!("{}", e.render(false)));
    let Definition::Rootfs(rootfs) = loaded.definition else { panic!("{:?}", loaded.definition) };
    (rootfs, loaded.lock)
}

#[test]
fn a_definition_and_its_lock_load_with_every_field() {
    let (n, lock) = load(&project().path(FILE.0));
    assert_eq!((n.name.as_str(), n.arch.as_str(), n.epoch, n.ramdisk.as_str()), ("n", "x86_64", 1_700_000_000, "r"));
    assert_eq!((n.packages.len(), n.exclude.as_slice()), (2, &["/usr/share/man/*".to_owned()][..]));
    assert_eq!(n.modules.as_deref(), Some(&["virtio_net".to_owned()][..]));
    assert_eq!((n.enable.as_slice(), n.mask.as_slice()), (&["ssh.service".to_owned()][..], &["fstrim.timer".to_owned()][..]));
    assert_eq!((n.hostname.as_deref(), n.locale.as_str(), n.timezone.as_str()), (Some("node-1"), "C.UTF-8", "Asia/Seoul"));
    assert_eq!((n.files[0].to.as_str(), n.cmdline.as_slice()), ("/etc/motd", &["console=ttyS0".to_owned()][..]));
    assert_eq!(lock.unwrap().packages.len(), 3, "what they depend on is locked too");
}

#[test]
fn what_is_left_out_has_its_usual_value() {
    let project = project();
    let text = "apiVersion: rootfs/v1\narch: x86_64\nepoch: 1700000000\nramdisk: r\npackages: [kmod]\n\
                sources: [{uri: \"http://deb.debian.org/debian\", suite: bookworm, components: [main]}]\n";
    project.write("images/definitions/least.yaml", text);
    let (n, lock) = load(&project.path("images/definitions/least.yaml"));
    assert_eq!((n.modules, n.hostname, lock), (None, None, None));
    assert_eq!((n.locale.as_str(), n.timezone.as_str()), ("C.UTF-8", "Etc/UTC"));
}

#[test]
fn the_worked_example_has_its_lock_and_its_ramdisk() {
    let (n, lock) = load(&root().join("images/definitions/node.yaml"));
    assert!(lock.expect("a lock").packages.len() > n.packages.len());
    let ramdisk = load_definition(&root().join(format!("images/definitions/{}.yaml", n.ramdisk)), true);
    assert!(matches!(ramdisk.expect("its ramdisk").definition, Definition::Ramdisk(_)));
}

/// (file, what is replaced, by what, what is told). Each row makes one mistake.
#[rustfmt::skip]
const MISTAKES: &[(&str, &str, &str, &str)] = &[
    ("n.yaml", "rootfs/v1", "rootfs/v2", "E007 images/definitions/n.yaml:1:13 "),
    ("n.yaml", "x86_64", "amd64", "E007 images/definitions/n.yaml:2:7 arch: `amd64` is not known"),
    ("n.yaml", "epoch: 1700000000\n", "", "E005 images/definitions/n.yaml:1:1  lacks the key `epoch`"),
    ("n.yaml", "1700000000", "0", "E007 images/definitions/n.yaml:3:8 epoch: 0 is before 2001-09-09"),
    ("n.yaml", "ramdisk: r", "ramdisk: n", "E007 images/definitions/n.yaml:4:10 ramdisk: this definition itself is none"),
    ("n.yaml", "ramdisk: r", "ramdisk: ../r", "E007 images/definitions/n.yaml:4:10 ramdisk: `../r` is no name of a definition"),
    ("n.yaml", "[systemd-sysv, openssh-server]", "[]", "E007 images/definitions/n.yaml:7:11 packages: the list is empty"),
    ("n.yaml", "openssh-server", "--force", "E007 images/definitions/n.yaml:7:26 packages: `--force` is not a package name"),
    ("n.yaml", "openssh-server", "systemd-sysv", "E007 images/definitions/n.yaml:7:26 packages: `systemd-sysv` occurs twice"),
    ("n.yaml", "/usr/share/man/*", "/usr/bin/*", "E007 images/definitions/n.yaml:8:11 exclude: `/usr/bin/*` is not a pattern of paths below /usr/share/"),
    ("n.yaml", "/usr/share/man/*", "\"/usr/share/$(x)\"", "E007 images/definitions/n.yaml:8:11 exclude: `/usr/share/$(x)` is not a pattern"),
    ("n.yaml", "virtio-net", "a/b.ko", "E007 images/definitions/n.yaml:9:11 modules: `a/b.ko` is not the name of a kernel module"),
    ("n.yaml", "/etc/motd", "/root/.ssh/authorized_keys", "E007 images/definitions/n.yaml:12:9 files[0].to: `/root/.ssh/authorized_keys` is taken by `bringup`"),
    ("n.yaml", "/etc/motd", "/etc/ssh/ssh_host_ed25519_key", "E007 images/definitions/n.yaml:12:9 files[0].to: `/etc/ssh/ssh_host_ed25519_key` is taken"),
    ("n.yaml", "/etc/motd", "/etc/shadow", "E007 images/definitions/n.yaml:12:9 files[0].to: `/etc/shadow` is taken"),
    ("n.yaml", "[ssh.service]", "[ssh]", "E007 images/definitions/n.yaml:14:21 services.enable: `ssh` is not the name of a unit | with its type: `ssh.service`"),
    ("n.yaml", "[ssh.service]", "[\"-H x.service\"]", "E007 images/definitions/n.yaml:14:21 services.enable: `-H x.service` is not the name of a unit"),
    ("n.yaml", "[fstrim.timer]", "[ssh.service]", "E007 images/definitions/n.yaml:14:11 services: `ssh.service` is both enabled and masked"),
    ("n.yaml", "node-1", "-node", "E007 images/definitions/n.yaml:15:11 hostname: `-node` is no host name"),
    ("n.yaml", "Asia/Seoul", "../../etc/passwd", "E007 images/definitions/n.yaml:17:11 timezone: `../../etc/passwd` is not the name of one"),
    ("n.yaml", "locale: C.UTF-8", "locale: \"C; reboot\"", "E007 images/definitions/n.yaml:16:9 locale: `C; reboot` is not the name of one"),
    ("n.lock", "name: openssh-server", "name: openssh", "E209 images/definitions/n.lock:1:1 the lock lacks the package `openssh-server` | `bringup image build --lock` writes it anew"),
    ("n.lock", "name: libc6", "name: systemd-sysv", "E209 images/definitions/n.lock:5:12 the package `systemd-sysv` occurs twice"),
    ("n.lock", "rootfs-lock/v1", "ramdisk-lock/v1", "E007 images/definitions/n.lock:1:13 "),
];

#[test]
fn every_mistake_is_told_with_its_place() {
    let mut wrong = Vec::new();
    for (file, part, by, want) in MISTAKES {
        let project = project();
        let path = format!("images/definitions/{file}");
        let text = std::fs::read_to_string(project.path(&path)).unwrap();
        assert!(text.contains(part), "the fixture has no `{part}`");
        project.write(&path, text.replacen(part, by, 1));
        let found = load_definition(&project.path(FILE.0), true).expect_err(part);
        let told = project.told(&found);
        if !told.iter().any(|t| t.starts_with(want)) {
            wrong.push(format!("{want}\n{told:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

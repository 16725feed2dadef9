//! Definitions of ramdisks and their locks: one row a mistake, and the worked example.

use bringup::model::{Compression, Ramdisk, RamdiskLock};
use bringup::spec::{Definition, LoadedDefinition, load_definition};

use super::examples::root;
use super::playbook::Project;

pub const FILE: (&str, &str) = ("images/definitions/r.yaml", DEFINITION);
const DEFINITION: &str = "\
apiVersion: ramdisk/v1
arch: x86_64
epoch: 1700000000
sources:
  - {uri: http://deb.debian.org/debian, suite: bookworm, components: [main], keyring: /etc/keys.gpg}
kernel: {package: linux-image-amd64, modules: [virtio-net], load: [af_packet]}
packages:
  - {name: busybox-static, take: [bin/busybox]}
files:
  - artifact: {file: motd, sha256: 39f91de5d7ec25bf8d59e8a4c2d6d8d2dd8fcf1dc0b2e8eb4bd8cd7c1a5b0d4a}
    to: /etc/motd
    executable: false
cmdline: [console=ttyS0]
compression: gzip
";
const LOCK: &str = "\
apiVersion: ramdisk-lock/v1
packages:
  - name: linux-image-amd64
    package: linux-image-6.1.0-41-amd64
    version: 6.1.158-1
    sha256: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    size: 7
    url: http://deb.debian.org/debian/pool/k.deb
  - {name: busybox-static, version: \"1:1.35\", sha256: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb, size: 8, url: \"file:/b.deb\"}
";

fn project() -> Project {
    let project = Project::new();
    let motd = "welcome\n";
    let digest = {
        use sha2::{Digest as _, Sha256};
        bringup::model::Digest::from_bytes(&Sha256::digest(motd.as_bytes()).into())
    };
    let was = "39f91de5d7ec25bf8d59e8a4c2d6d8d2dd8fcf1dc0b2e8eb4bd8cd7c1a5b0d4a";
    project.write(FILE.0, DEFINITION.replace(was, digest.as_str()));
    project.write("images/definitions/motd", motd);
    project.write("images/definitions/r.lock", LOCK);
    project
}

fn ramdisk(loaded: LoadedDefinition) -> (Ramdisk, Option<RamdiskLock>) {
    let Definition::Ramdisk(ramdisk) = loaded.definition else { panic!("{:?}", loaded.definition) };
    (ramdisk, loaded.lock)
}

#[test]
fn a_definition_and_its_lock_load_with_every_field() {
    let project = project();
    let loaded = load_definition(&project.path(FILE.0), true).unwrap_or_else(|e| panic!("{}", e.render(false)));
    let (r, lock) = ramdisk(loaded);
    let lock = lock.unwrap();
    assert_eq!((r.name.as_str(), r.epoch, r.compression), ("r", 1_700_000_000, Compression::Gzip));
    assert_eq!((r.sources[0].suite.as_str(), r.sources[0].keyring.as_str()), ("bookworm", "/etc/keys.gpg"));
    assert_eq!((r.modules.as_slice(), r.load.as_slice()), (&["virtio_net".to_owned()][..], &["af_packet".to_owned()][..]));
    assert_eq!(r.package_names().collect::<Vec<_>>(), ["linux-image-amd64", "busybox-static"]);
    assert_eq!((r.files[0].to.as_str(), r.files[0].executable), ("/etc/motd", false));
    assert_eq!(
        (lock.packages[0].package.as_str(), lock.packages[1].package.as_str()),
        ("linux-image-6.1.0-41-amd64", "busybox-static")
    );
    assert_eq!((lock.packages[1].size, lock.packages[1].version.as_str()), (8, "1:1.35"));
    assert!(load_definition(&project.path(FILE.0), false).unwrap().lock.is_none(), "not asked for");
}

#[test]
fn the_worked_example_has_its_lock() {
    let loaded = load_definition(&root().join("images/definitions/bringup.yaml"), true);
    let loaded = loaded.unwrap_or_else(|e| panic!("{}", e.render(false)));
    let (ramdisk, lock) = ramdisk(loaded);
    assert_eq!(lock.expect("a lock").packages.len(), ramdisk.package_names().count());
}

/// (file, what is replaced, by what, what is told). Each row makes one mistake.
#[rustfmt::skip]
const MISTAKES: &[(&str, &str, &str, &str)] = &[
    ("r.yaml", "ramdisk/v1", "image/v1", "E007 images/definitions/r.yaml:1:13 "),
    ("r.yaml", "x86_64", "amd64", "E007 images/definitions/r.yaml:2:7 arch: `amd64` is not known | known: x86_64, aarch64"),
    ("r.yaml", "http://deb.debian.org/debian,", "ftp://x,", "E007 images/definitions/r.yaml:5:11 sources[0].uri: `ftp://x` is not the address of a repository"),
    ("r.yaml", "suite: bookworm", "suite: \"a b\"", "E007 images/definitions/r.yaml:5:48 sources[0].suite: `a b` is not a name that a repository has"),
    ("r.yaml", "[main]", "[]", "E007 images/definitions/r.yaml:5:5 sources[0].components: none is named"),
    ("r.yaml", "/etc/keys.gpg", "keys.gpg", "E007 images/definitions/r.yaml:5:87 sources[0].keyring: `keys.gpg` is not the absolute path"),
    ("r.yaml", "package: linux-image-amd64", "package: --force", "E007 images/definitions/r.yaml:6:19 kernel.package: `--force` is not a package name"),
    ("r.yaml", "virtio-net", "net/virtio.ko", "E007 images/definitions/r.yaml:6:48 kernel.modules: `net/virtio.ko` is not the name of a kernel module"),
    ("r.yaml", "[bin/busybox]", "[/bin/busybox]", "E007 images/definitions/r.yaml:8:35 packages[0].take: `/bin/busybox` is not a path in a package"),
    ("r.yaml", "[bin/busybox]", "[../x]", "E007 images/definitions/r.yaml:8:35 packages[0].take: `../x` is not a path in a package"),
    ("r.yaml", "[bin/busybox]", "[]", "E007 images/definitions/r.yaml:8:5 packages[0].take: nothing would be taken"),
    ("r.yaml", "/etc/motd", "etc/motd", "E007 images/definitions/r.yaml:11:9 files[0].to: `etc/motd` is not the absolute path of a file"),
    ("r.yaml", "/etc/motd", "/etc/../init", "E007 images/definitions/r.yaml:11:9 files[0].to: `/etc/../init` is not the absolute path"),
    ("r.yaml", "/etc/motd", "/root/.ssh/authorized_keys", "E007 images/definitions/r.yaml:11:9 files[0].to: `/root/.ssh/authorized_keys` is taken by `bringup`"),
    ("r.yaml", "file: motd", "file: ../../../etc/passwd", "E202 images/definitions/r.yaml:10:22 the path `../../../etc/passwd` leads out of the project"),
    ("r.yaml", "file: motd", "file: modt", "E203 images/definitions/r.yaml:10:22 the artifact `images/definitions/modt` is missing"),
    ("r.yaml", "gzip", "rar", "E007 images/definitions/r.yaml:14:14 compression: `rar` is not known | known: zstd, gzip"),
    ("r.yaml", "[console=ttyS0]", "[bringup.grant=x]", "E007 images/definitions/r.yaml:13:11 cmdline: arguments that start with `bringup.`"),
    ("r.yaml", "epoch: 1700000000", "epoch: yesterday", "E006 images/definitions/r.yaml:3:8 epoch must be a whole number"),
    ("r.yaml", "  - {name: busybox-static", "  - {name: busybox-static, take: [a]}\n  - {name: busybox-static", "E007 images/definitions/r.yaml:9:12 the package `busybox-static` occurs twice"),
    ("r.lock", "name: busybox-static", "name: busybox", "E209 images/definitions/r.lock:1:1 the lock lacks the package `busybox-static` | `bringup image build --lock` writes it anew"),
    ("r.lock", "name: busybox-static", "name: busybox", "E209 images/definitions/r.lock:9:12 the definition does not name the package `busybox`"),
    ("r.lock", "http://deb", "-o http://deb", "E007 images/definitions/r.lock:8:10 packages[0].url: `-o http://deb"),
    ("r.lock", "size: 7", "size: much", "E006 images/definitions/r.lock:7:11 packages[0].size must be a whole number"),
];

#[test]
fn every_mistake_is_told_with_its_place() {
    for (file, part, by, want) in MISTAKES {
        let project = project();
        let path = format!("images/definitions/{file}");
        let text = std::fs::read_to_string(project.path(&path)).unwrap();
        assert!(text.contains(part), "the fixture has no `{part}`");
        project.write(&path, text.replacen(part, by, 1));
        let found = load_definition(&project.path(FILE.0), true).expect_err(part);
        let told = project.told(&found);
        assert!(told.iter().any(|t| t.starts_with(want)), "{want}\n{told:#?}");
    }
}

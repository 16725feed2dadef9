//! Images of whole disks as they are written: read with every field, and each mistake told at its place.

use bringup::model::{Installable, Packed};
use bringup::spec::{load_playbook, validate_words};

use super::playbook::{Project, TODAY};

/// What is wrong in what is written of a disk, where, and what is told.
#[rustfmt::skip]
const MISTAKES: &[(&str, &str, &str)] = &[
    ("size: 8388608", "size: 8388609", "E007 images/d.yaml:3:105 disk.size: 8388609 bytes are no disk"),
    ("size: 8388608", "size: 512", "E007 images/d.yaml:3:105 disk.size: 512 bytes are no disk"),
    ("size: 8388608, ", "", "E005 images/d.yaml:3:7 disk lacks the key `size`"),
    ("compression: zstd", "compression: qcow2", "E007 images/d.yaml:3:127 disk.compression: `qcow2` is not known | known: none, zstd; an image in another form"),
    ("compression: zstd", "compression: none", "E007 images/d.yaml:3:145 disk.raw_sha256: a file that is not packed has one digest"),
    (", raw_sha256: ", ", raw-sha256: ", "E004 images/d.yaml:3:133 unknown key `raw-sha256` in disk"),
    ("d.raw.zst", "d/", "E202 images/d.yaml:3:14 the path `d/` names a folder"),
    ("ssh_host_keys: []", "kernel: {file: k, sha256: x}", "E007 images/d.yaml:4:9 kernel: an image of a whole disk has its own | leave out `kernel`, or `disk`"),
    ("ssh_host_keys: []", "cmdline: [quiet]", "E007 images/d.yaml:4:10 cmdline: an image of a whole disk has its own"),
    ("ssh_host_keys: []", "identity: grant", "E007 images/d.yaml:4:11 identity: an image of a whole disk has its own"),
];

fn written() -> String {
    format!(
        "apiVersion: image/v1\narch: x86_64\ndisk: {{file: d.raw.zst, sha256: {}, size: 8388608, compression: zstd, raw_sha256: {}}}\nssh_host_keys: []\n",
        "d".repeat(64),
        "e".repeat(64)
    )
}

#[test]
fn mistakes_are_told_at_their_place() {
    for (find, by, want) in MISTAKES {
        let project = Project::new();
        assert_eq!(written().matches(find).count(), 1, "{find}");
        project.write("images/d.yaml", written().replace(find, by));
        let told = project.told(&validate_words(&project.path(""), None, None, TODAY));
        assert!(told.iter().any(|line| line.starts_with(want)), "{find} → {by}:\n want {want}\n told {told:#?}");
    }
}

#[test]
fn a_whole_disk_is_installed_and_not_netbooted() {
    let project = Project::new();
    project.write("images/d.yaml", written());
    let playbook = std::fs::read_to_string(project.path("playbooks/p.yaml")).unwrap();
    project.write("playbooks/p.yaml", playbook.replace("image: \"i\"", "image: d"));
    let loaded = load_playbook(&project.path("playbooks/p.yaml"), TODAY).unwrap_or_else(|d| panic!("{:?}", project.told(&d)));
    let install = loaded.playbook.baseline.install.unwrap();
    let Installable::Disk(image) = &install.image else { panic!("{install:?}") };
    let content = &image.content;
    assert_eq!(
        (content.packed, content.bytes, content.file.path.clone()),
        (Packed::Zstd, 8 << 20, project.path("images/d.raw.zst"))
    );
    assert_eq!((content.file.sha256.as_str(), content.sha256.as_str()), (&*"d".repeat(64), &*"e".repeat(64)));
    assert!(loaded.playbook.inputs.contains_key("../images/d.yaml"));

    project.write("playbooks/p.yaml", playbook.replace("image: i,", "image: d,"));
    let told = project.told(&load_playbook(&project.path("playbooks/p.yaml"), TODAY).unwrap_err());
    assert!(told.iter().any(|l| l.contains("baseline.image: the image `d` is a whole disk")), "{told:?}");
}

//! Files: put once, verified on the node, never visible in part.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bringup::model::{Artifact, Digest};
use bringup::shell::{Pushed, Shell, ShellTrouble};
use sha2::{Digest as _, Sha256};

use super::far::{DEADLINE, Far, block_on};
use crate::support::wait_until;

fn artifact(path: PathBuf, content: &[u8]) -> Artifact {
    std::fs::write(&path, content).unwrap();
    Artifact { path, sha256: Digest::from_bytes(&Sha256::digest(content).into()) }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn target(far: &Far) -> PathBuf {
    let dir = far.path("node's folder");
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

fn new_same_changed(far: &Far) {
    let dir = target(far);
    let to = dir.join("driver $(id).run");
    let to_text = to.to_str().unwrap();
    let content: Vec<u8> = (0..3_000_001_u32).map(|i| (i % 251) as u8).collect();
    let first = artifact(far.path("artifact"), &content);
    block_on(async {
        let shell = far.shell();
        assert_eq!(shell.push(&first, to_text, 0o640).await.unwrap(), Pushed::Sent { bytes: 3_000_001 });
        assert_eq!(std::fs::read(&to).unwrap(), content);
        assert_eq!(std::fs::metadata(&to).unwrap().permissions().mode() & 0o7777, 0o640);
        assert_eq!(shell.push(&first, to_text, 0o640).await.unwrap(), Pushed::AlreadyThere);
        // Another mode is another wish.
        assert!(matches!(shell.push(&first, to_text, 0o755).await.unwrap(), Pushed::Sent { .. }));
        assert_eq!(std::fs::metadata(&to).unwrap().permissions().mode() & 0o7777, 0o755);
        let second = artifact(far.path("artifact2"), b"");
        assert_eq!(shell.push(&second, to_text, 0o600).await.unwrap(), Pushed::Sent { bytes: 0 });
        assert_eq!(std::fs::read(&to).unwrap(), b"");
        assert_eq!(names(&dir), ["driver $(id).run"], "nothing is left over");
    });
}

#[test]
fn openssh_new_same_changed() {
    let Some(far) = Far::openssh("shell::push::openssh_new_same_changed") else { return };
    new_same_changed(&far);
}

#[test]
fn dropbear_new_same_changed() {
    let Some(far) = Far::dropbear("shell::push::dropbear_new_same_changed") else { return };
    new_same_changed(&far);
}

#[test]
fn a_local_file_that_is_not_its_digest_is_never_sent() {
    let Some(far) = Far::openssh("shell::push::a_local_file_that_is_not_its_digest_is_never_sent") else { return };
    let mut wrong = artifact(far.path("artifact"), b"content");
    wrong.sha256 = Digest::from_bytes(&[7; 32]);
    let missing = Artifact { path: far.path("nowhere"), sha256: wrong.sha256.clone() };
    let folder = Artifact { path: far.path("home"), sha256: wrong.sha256.clone() };
    let dir = target(&far);
    for bad in [wrong, missing, folder] {
        let error = block_on(far.shell().push(&bad, dir.join("x").to_str().unwrap(), 0o644)).unwrap_err();
        assert_eq!(error.kind, ShellTrouble::Artifact, "{error}");
    }
    assert!(names(&dir).is_empty());
    assert!(!far.log().contains("Accepted"), "no connection was needed to refuse");
}

#[test]
fn places_where_nothing_can_be_put_are_refused() {
    let Some(far) = Far::openssh("shell::push::places_where_nothing_can_be_put_are_refused") else { return };
    let file = artifact(far.path("artifact"), &vec![1; 5_000_000]);
    let dir = target(&far);
    std::fs::create_dir(dir.join("a-folder")).unwrap();
    block_on(async {
        let shell = far.shell();
        // /proc takes no files even from root; a folder is not replaced; a missing folder is not made up.
        for to in ["/proc/x".to_owned(), format!("{}/a-folder", dir.display()), format!("{}/no/such/x", dir.display())] {
            let error = shell.push(&file, &to, 0o644).await.unwrap_err();
            assert_eq!(error.kind, ShellTrouble::Refused, "{to}: {error}");
        }
        for to in ["relative", "/", "/a/../b", "/a\nb"] {
            assert_eq!(shell.push(&file, to, 0o644).await.unwrap_err().kind, ShellTrouble::Refused, "{to:?}");
        }
    });
    assert_eq!(names(&dir), ["a-folder"]);
    assert!(names(&dir.join("a-folder")).is_empty());
}

#[test]
fn a_link_planted_at_the_part_file_is_not_written_through() {
    let Some(far) = Far::openssh("shell::push::a_link_planted_at_the_part_file_is_not_written_through") else { return };
    let dir = target(&far);
    let file = artifact(far.path("artifact"), b"new content");
    let victim = far.path("victim");
    std::fs::write(&victim, "untouched").unwrap();
    std::os::unix::fs::symlink(&victim, dir.join(format!("x.bringup-{}.part", file.sha256.short()))).unwrap();
    std::os::unix::fs::symlink(&victim, dir.join("x")).unwrap();
    block_on(far.shell().push(&file, dir.join("x").to_str().unwrap(), 0o644)).unwrap();
    assert_eq!(std::fs::read(&victim).unwrap(), b"untouched");
    assert_eq!(std::fs::read(dir.join("x")).unwrap(), b"new content");
    assert!(!dir.join("x").is_symlink());
}

/// The server dies in the middle: the old file stays, and the part removes itself.
#[test]
fn an_interrupted_push_leaves_nothing_visible() {
    let Some(mut far) = Far::openssh("shell::push::an_interrupted_push_leaves_nothing_visible") else { return };
    let dir = target(&far);
    let to = dir.join("image");
    std::fs::write(&to, "old").unwrap();
    // Sparse, so that it is long enough to be interrupted without filling the disk of this machine.
    let path = far.path("artifact");
    std::fs::File::create(&path).unwrap().set_len(1 << 30).unwrap();
    let mut hasher = Sha256::new();
    let zeros = vec![0_u8; 1 << 20];
    (0..1024).for_each(|_| hasher.update(&zeros));
    let big = Artifact { path, sha256: Digest::from_bytes(&hasher.finalize().into()) };
    let shell = far.shell();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let to_text = to.to_str().unwrap().to_owned();
    let pushing = runtime.spawn(async move { shell.push(&big, &to_text, 0o644).await });
    wait_until("the part grows", DEADLINE * 4, || names(&dir).iter().any(|n| n.ends_with(".part")));
    assert_eq!(std::fs::read(&to).unwrap(), b"old");
    far.crash_sshd_only();
    let error = runtime.block_on(pushing).unwrap().unwrap_err();
    assert_eq!(error.kind, ShellTrouble::Unreachable, "{error}");
    wait_until("the part removes itself", DEADLINE * 4, || names(&dir) == ["image"]);
    assert_eq!(std::fs::read(&to).unwrap(), b"old");
}

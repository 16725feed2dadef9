//! A grant's life: issued, used once, given back; and what becomes of everything else.

use bringup::boot::{BootError, GrantState, Stage, now_ms};
use bringup::model::{Digest, NodeId};

use super::site::{MAC, Site, base, kernel};
use crate::support::wait_until;

#[test]
fn a_boot_from_first_look_to_release() {
    let Some(site) = Site::start("boot::grants::a_boot_from_first_look_to_release") else { return };
    let spec = site.spec();
    let (id, plan, node) = (spec.id.clone(), spec.plan.clone(), spec.node.clone());
    let issued = site.issue(spec);
    // OVMF looks (HEAD) before it fetches; a look uses nothing up.
    for _ in 0..3 {
        let looked = site.curl(&issued.loader_path(), &["-I"]);
        assert_eq!((looked.status, looked.header("content-length")), (200, Some("9")));
    }
    assert_eq!(site.get(&issued.loader_path()).body, b"MZ loader");
    let looked = site.curl(&issued.script_path(), &["-I"]);
    assert_eq!(looked.status, 200);
    assert!(!site.status(&id).stages.contains_key(&Stage::Script));
    let got = site.get(&issued.script_path());
    assert_eq!(looked.header("content-length"), got.header("content-length"));
    let base = base(got.text());
    assert!(!got.text().contains(issued.token.expose()), "the files hang on another token than the script");
    assert!(got.text().contains(&format!("bringup.grant={id}")) && got.text().contains("bringup.plan=plan-0123"));
    assert!(got.text().contains(&format!("fetch=http://{}{base}/root", site.address)), "{}", got.text());
    assert!(got.text().contains("BOOTIF=01-52-54-00-aa-00-01"));
    for (path, content) in [
        ("kernel", kernel()),
        ("initrd/0", b"initrd zero".into()),
        ("initrd/1", b"initrd one".into()),
        ("root", b"squashfs".into()),
    ] {
        assert_eq!(site.get(&format!("{base}/{path}")).body, content, "{path}");
    }
    assert_eq!(site.get(&format!("{base}/initrd/2")).status, 404);
    let status = site.runtime.block_on(site.grants.find_open(&plan, &node)).unwrap().unwrap();
    let stages: Vec<Stage> = status.stages.keys().copied().filter(|s| *s <= Stage::Root).collect();
    assert_eq!(stages, [Stage::Issued, Stage::Loader, Stage::Script, Stage::Kernel, Stage::Initrd, Stage::Root]);
    assert!(site.runtime.block_on(site.grants.release(&id)).unwrap());
    assert!(!site.runtime.block_on(site.grants.release(&id)).unwrap(), "giving back twice is giving back once");
    assert_eq!(site.status(&id).state, GrantState::Released);
    assert_eq!(site.get(&format!("{base}/kernel")).status, 410);
    assert_eq!(site.get(&issued.loader_path()).status, 410);
    assert!(site.runtime.block_on(site.grants.find_open(&plan, &node)).unwrap().is_none());
}

/// A slow BMC may take its time before the node is powered: the node has its own whole.
#[test]
fn a_grants_time_can_begin_later_and_not_after_its_end() {
    let Some(site) = Site::start("boot::grants::a_grants_time_can_begin_later_and_not_after_its_end") else { return };
    let spec = site.spec();
    let (id, ends) = (spec.id.clone(), spec.expires_at_ms);
    let issued = site.issue(spec);
    let extend = |until_ms| site.runtime.block_on(site.grants.extend(&id, until_ms));
    let held = || site.status(&id).spec.expires_at_ms;
    assert!(extend(ends - 1000).unwrap());
    assert_eq!(held(), ends, "never shorter");
    assert!(extend(ends + 60_000).unwrap());
    assert_eq!(held(), ends + 60_000);
    assert_eq!(site.get(&issued.script_path()).status, 200);
    assert!(site.runtime.block_on(site.grants.release(&id)).unwrap());
    assert!(!extend(ends + 90_000).unwrap());
    assert_eq!((held(), site.status(&id).state), (ends + 60_000, GrantState::Released));
    assert!(matches!(site.runtime.block_on(site.grants.extend("g-none", 1)), Err(BootError::NoGrant(_))));
}

#[test]
fn the_bytes_that_went_out_are_told() {
    let Some(site) = Site::start("boot::grants::the_bytes_that_went_out_are_told") else { return };
    let issued = site.issue(site.spec());
    let base = site.files_of(&issued);
    site.get(&format!("{base}/kernel"));
    let mut told = Vec::new();
    wait_until("the kernel is told", std::time::Duration::from_secs(20), || {
        told.extend(site.seen.lock().unwrap().try_recv());
        told.iter().any(|s| s.stage == Stage::Kernel)
    });
    let kernel_told = told.iter().find(|s| s.stage == Stage::Kernel).unwrap();
    assert_eq!((kernel_told.bytes, kernel_told.of), (700_001, 700_001));
    assert_eq!(kernel_told.node.as_ref().map(NodeId::as_str), Some("a001-s01"));
}

#[test]
fn a_script_is_used_once_and_a_replay_is_recorded() {
    let Some(site) = Site::start("boot::grants::a_script_is_used_once_and_a_replay_is_recorded") else { return };
    let spec = site.spec();
    let id = spec.id.clone();
    let issued = site.issue(spec);
    let base = site.files_of(&issued);
    assert_eq!(site.curl(&format!("{base}/kernel"), &["-r", "0-0"]).body.len(), 1);
    // From the same address, from another one, and by the other road: the boot has begun, so all are replays.
    assert_eq!(site.get(&issued.script_path()).status, 410);
    assert_eq!(site.curl(&issued.script_path(), &["--interface", "127.90.0.9"]).status, 410);
    assert_eq!(site.get(&format!("/boot.ipxe?mac={}", MAC.replace(':', "-"))).status, 410);
    assert_eq!(site.status(&id).refused, 3);
    let refused: Vec<_> = site.events().into_iter().filter(|e| e.stage == Stage::Refused).collect();
    assert_eq!(refused.len(), 3);
    assert!(refused.iter().all(|e| e.grant.as_deref() == Some(&*id) && e.detail.contains("already")));
    assert_eq!(refused[1].from, Some("127.90.0.9".parse().unwrap()));
}

#[test]
fn a_rom_that_fetched_nothing_may_try_again_three_times_in_all() {
    let Some(site) = Site::start("boot::grants::a_rom_that_fetched_nothing_may_try_again_three_times_in_all") else { return };
    let issued = site.issue(site.spec());
    let first = site.files_of(&issued);
    assert_eq!(site.curl(&issued.script_path(), &["--interface", "127.90.0.9"]).status, 410, "another machine is no retry");
    let second = site.files_of(&issued);
    assert_eq!(site.get(&format!("{first}/kernel")).status, 404, "the script before it opens nothing any more");
    let third = site.files_of(&issued);
    assert_eq!(site.get(&issued.script_path()).status, 410);
    assert_ne!(second, third);
    assert_eq!(site.get(&format!("{third}/initrd/0")).status, 200);
}

#[test]
fn an_expired_grant_opens_nothing() {
    let Some(site) = Site::start("boot::grants::an_expired_grant_opens_nothing") else { return };
    let mut spec = site.spec();
    let id = spec.id.clone();
    spec.expires_at_ms = now_ms() + 1500;
    let issued = site.issue(spec);
    let base = site.files_of(&issued);
    wait_until("it expires", std::time::Duration::from_secs(30), || site.status(&id).state == GrantState::Expired);
    assert_eq!(site.get(&format!("{base}/kernel")).status, 410);
    assert_eq!(site.get(&issued.script_path()).status, 410);
    assert!(site.status(&id).stages.contains_key(&Stage::Expired));
    // By its MAC the machine is one without a grant: it goes on to its disk.
    let got = site.get(&format!("/boot.ipxe?mac={}", MAC.replace(':', "-")));
    assert_eq!(got.status, 200);
    assert!(got.text().contains("exit 1") && !got.text().contains("kernel"));
}

#[test]
fn a_newer_grant_of_a_node_replaces_the_older_and_a_mac_has_one_node() {
    let Some(site) = Site::start("boot::grants::a_newer_grant_of_a_node_replaces_the_older_and_a_mac_has_one_node") else {
        return;
    };
    let first = site.issue(site.spec());
    let second = site.issue(site.spec());
    assert_eq!(site.get(&first.script_path()).status, 410);
    assert_eq!(site.status(&first.public_id).state, GrantState::Revoked);
    let mut foreign = site.spec();
    foreign.node = NodeId::new("a001-s02").unwrap();
    let error = site.runtime.block_on(site.grants.issue(foreign)).err().unwrap();
    assert!(matches!(&error, BootError::MacTaken { node, .. } if node == "a001-s01"), "{error}");
    assert!(site.runtime.block_on(site.grants.revoke(&second.public_id, "the run was aborted")).unwrap());
    assert_eq!(site.get(&second.script_path()).status, 410);
    assert!(site.events().iter().any(|e| e.stage == Stage::Revoked && e.detail == "the run was aborted"));
}

#[test]
fn what_cannot_be_granted_is_refused_before_anything_is_stored() {
    let Some(site) = Site::start("boot::grants::what_cannot_be_granted_is_refused_before_anything_is_stored") else { return };
    let good = site.spec();
    let mut wrong_digest = good.clone();
    wrong_digest.kernel.sha256 = Digest::from_bytes(&[1; 32]);
    let mut missing = good.clone();
    missing.initrd[0].path = site.dir.path().join("nowhere");
    let mut injected = good.clone();
    injected.cmdline.push("a\nshell".into());
    let mut over = good.clone();
    over.expires_at_ms = now_ms() - 1;
    for bad in [wrong_digest, missing, injected, over] {
        assert!(site.runtime.block_on(site.grants.issue(bad)).is_err());
    }
    assert!(site.events().is_empty());
    assert!(site.runtime.block_on(site.grants.status(&good.id)).unwrap().is_none());
    assert!(matches!(site.runtime.block_on(site.grants.release("g-000000000000")), Err(BootError::NoGrant(_))));
}

/// The file alone says nothing that opens a grant.
#[test]
fn no_token_is_stored() {
    let Some(site) = Site::start("boot::grants::no_token_is_stored") else { return };
    let issued = site.issue(site.spec());
    let base = site.files_of(&issued);
    for name in ["grants.db", "grants.db-wal"] {
        let stored = std::fs::read(site.dir.path().join(name)).unwrap();
        for secret in [issued.token.expose(), base.trim_start_matches("/g/")] {
            assert!(!stored.windows(32).any(|w| w == secret.as_bytes()), "{name}");
        }
    }
}

#[test]
fn a_second_opening_of_the_store_sees_and_ends_grants() {
    let Some(site) = Site::start("boot::grants::a_second_opening_of_the_store_sees_and_ends_grants") else { return };
    let other = bringup::boot::Grants::open(&site.dir.path().join("grants.db")).unwrap();
    assert_eq!(other.store_id(), site.grants.store_id());
    assert_eq!(site.runtime.block_on(bringup::boot::ask(site.address)).unwrap(), other.store_id());
    let issued = site.runtime.block_on(other.issue(site.spec())).unwrap();
    assert_eq!(site.get(&issued.script_path()).status, 200);
    site.runtime.block_on(other.release(&issued.public_id)).unwrap();
    assert_eq!(site.get(&issued.script_path()).status, 410);
}

/// What an installer writes to a disk: named after the boot, under the token of its files, until the grant ends.
#[test]
fn a_root_may_be_brought_when_the_system_is_up() {
    let Some(site) = Site::start("boot::grants::a_root_may_be_brought_when_the_system_is_up") else { return };
    let spec = bringup::boot::GrantSpec { root: None, cmdline: vec![], ..site.spec() };
    let (id, until) = (spec.id.clone(), spec.expires_at_ms + 3_600_000);
    let issued = site.issue(spec);
    let root = site.file("later", b"an image for the disk");
    let bring = |root: &bringup::model::Artifact| site.runtime.block_on(site.grants.bring_root(&id, root, until));
    assert!(!bring(&root).unwrap(), "nobody has booted by it");
    let base = site.files_of(&issued);
    assert!(!bring(&root).unwrap(), "a ROM may still ask for its script again");
    assert_eq!(site.get(&format!("{base}/kernel")).status, 200);
    assert_eq!(site.get(&format!("{base}/root")).status, 404);
    std::fs::write(site.dir.path().join("other"), b"other bytes").unwrap();
    let other = bringup::model::Artifact { path: site.dir.path().join("other"), ..root.clone() };
    assert!(bring(&other).is_err() && site.get(&format!("{base}/root")).status == 404);
    assert!(bring(&root).unwrap() && bring(&root).unwrap(), "twice is once");
    assert_eq!(site.get(&format!("{base}/root")).body, b"an image for the disk");
    assert_eq!(site.curl(&format!("{base}/root"), &["-r", "3-7"]).body, b"image");
    assert!(site.get(&issued.script_path()).status == 410, "the script is not given again");
    let status = site.status(&id);
    assert!(status.spec.expires_at_ms == until && status.stages.contains_key(&Stage::Root));
    assert!(site.runtime.block_on(site.grants.release(&id)).unwrap());
    assert!(site.get(&format!("{base}/root")).status == 410 && !bring(&root).unwrap());
    assert!(matches!(site.runtime.block_on(site.grants.bring_root("g-0123456789ab", &root, until)), Err(BootError::NoGrant(_))));
}

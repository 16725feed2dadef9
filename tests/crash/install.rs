//! The same for a run that installs: each machine is booted over the network once, its disk is written once, and it is started from it once.

use std::path::Path;
use std::time::Duration;

use bringup::engine::Ending;
use bringup::journal::Journal;
use bringup::model::{
    DiskContent, DiskImage, DiskInstall, DiskRule, Event, Image, Installable, Packed, Playbook, Touch, Transport, Wipe,
};

use super::{Cut, Road, run_id, site_with, sweep};

/// The simulated site's image with a root file system, for the larger of a node's two disks: the smaller holds its old system.
pub(super) fn wanted(playbook: &Playbook) -> DiskInstall {
    let image = playbook.baseline.image.clone().unwrap();
    let image = Image { name: "sim-disk".into(), root: image.initrd.first().cloned(), ..image };
    let disk = DiskRule { transport: Some(Transport::Nvme), size_min: Some(2_000_000_000_000), ..DiskRule::default() };
    DiskInstall { image: image.into(), disk, wipe: Wipe::BlankOnly, deadline_s: 120 }
}

/// An image of a whole disk for the same disk; no simulated machine looks into it.
fn whole_disk(playbook: &Playbook) -> DiskInstall {
    let image = playbook.baseline.image.clone().unwrap();
    let file = image.initrd.first().unwrap().clone();
    let content = DiskContent { packed: Packed::None, sha256: file.sha256.clone(), bytes: 1 << 30, file };
    let image = DiskImage { name: "site".into(), arch: image.arch, content, ssh_host_keys: Default::default() };
    DiskInstall { image: Installable::Disk(image), ..wanted(playbook) }
}

fn touches(journal: &Path, wanted: impl Fn(&Touch) -> bool) -> usize {
    let events = Journal::events(journal, &run_id()).unwrap();
    events.iter().filter(|e| matches!(&e.event, Event::AttemptBegan { touch, .. } if wanted(touch))).count()
}

/// Events of a run that is never cut.
async fn length() -> usize {
    let site = site_with(3, Road::Http, Some(wanted)).await;
    assert_eq!(site.life(Cut::Never).await, Some(Ending::Finished));
    site.check("uncut, on disk").await;
    let journal = site.state().join("journal.db");
    assert_eq!(touches(&journal, |t| matches!(t, Touch::Power(_))), 2, "one netboot a node");
    assert_eq!(touches(&journal, |t| matches!(t, Touch::InstallImage { holds, .. } if holds.is_empty())), 2);
    assert_eq!(touches(&journal, |t| matches!(t, Touch::StartInstalled(_))), 2);
    assert_eq!(touches(&journal, |t| matches!(t, Touch::Push { to, .. } if to.ends_with("/root"))), 0, "fetched, not sent");
    let events = Journal::events(&journal, &run_id()).unwrap();
    assert_eq!(events.iter().filter(|e| matches!(&e.event, Event::BootSeen { stage, .. } if stage == "root")).count(), 2);
    site.end().await;
    events.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_installs_and_is_cut_after_any_event_ends_the_same() {
    let length = length().await;
    sweep((1..length).map(|cut| async move {
        let site = site_with(cut as u64, Road::Http, Some(wanted)).await;
        let what = format!("on disk, cut after event {cut} of {length}");
        if site.life(Cut::AfterEvents(cut)).await.is_none() {
            assert_eq!(site.life(Cut::Never).await, Some(Ending::Finished), "{what}");
        }
        site.check(&what).await;
        site.end().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_installs_and_is_cut_at_any_moment_and_again_ends_the_same() {
    sweep((0..24_u64).map(|step| async move {
        let site = site_with(2000 + step, Road::Http, Some(wanted)).await;
        let what = format!("on disk, cut after {} ms, and again", step * 80);
        let mut ended = site.life(Cut::AfterTime(Duration::from_millis(step * 80))).await;
        if ended.is_none() {
            ended = site.life(Cut::AfterTime(Duration::from_millis(250))).await;
        }
        if ended.is_none() {
            assert_eq!(site.life(Cut::Never).await, Some(Ending::Finished), "{what}");
        }
        site.check(&what).await;
        site.end().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_writes_a_whole_disk_and_is_cut_after_any_event_ends_the_same() {
    let site = site_with(4, Road::Http, Some(whole_disk)).await;
    assert_eq!(site.life(Cut::Never).await, Some(Ending::Finished));
    site.check("uncut, a whole disk").await;
    let journal = site.state().join("journal.db");
    assert_eq!(touches(&journal, |t| matches!(t, Touch::InstallImage { holds, .. } if holds.is_empty())), 2);
    let sent = |t: &Touch| matches!(t, Touch::Push { to, .. } if to.starts_with("/run/bringup/install/"));
    assert_eq!(touches(&journal, sent), 0, "fetched, and there is nothing else");
    let length = Journal::events(&journal, &run_id()).unwrap().len();
    site.end().await;
    sweep((1..length).map(|cut| async move {
        let site = site_with(3000 + cut as u64, Road::Http, Some(whole_disk)).await;
        let what = format!("a whole disk, cut after event {cut} of {length}");
        if site.life(Cut::AfterEvents(cut)).await.is_none() {
            assert_eq!(site.life(Cut::Never).await, Some(Ending::Finished), "{what}");
        }
        site.check(&what).await;
        site.end().await;
    }))
    .await;
}

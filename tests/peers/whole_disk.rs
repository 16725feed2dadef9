//! The disk of one machine as the image for another: what was installed is shut down, its disk packed by zstd, and written as a whole to a larger
//! blank disk by the bring-up ramdisk. The system that starts there is Debian with systemd; its command line says what the first disk's said.

use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use bringup::action::{Action as _, Scribe as _, Standing};
use bringup::model::{ActionSpec, Digest, DiskContent, DiskRule, EvidenceNote, Packed, PlanId, Touch, Transport, Wipe};
use bringup::shell::Shell as _;

use super::install::{Book, artifact, digest, site};
use crate::support::Service;

const TEST: &str = "a_whole_disk_is_written_to_another_one_and_starts_from_it";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_disk_is_written_to_another_one_and_starts_from_it() {
    let Some(mut site) = site(TEST).await else { return };
    let book = Book::default();
    let nvme = DiskRule { transport: Some(Transport::Nvme), ..DiskRule::default() };
    let file = |site: &super::install::Site, name: &str| site.dir.path().join(name);

    // A disk such as a site takes its image from.
    let disk = file(&site, "a.img");
    std::fs::File::options().write(true).open(&disk).unwrap().set_len(2 << 30).unwrap();
    let first = site.action(nvme.clone());
    assert!(matches!(first.look(None).await.unwrap(), Standing::Ready { .. }));
    first.act(&book).await.unwrap_or_else(|e| panic!("{e}\n{}", site.qemu.console(1)));
    book.progress(&site.until_done(&first, &book).await);
    first.release(&book).await.unwrap();
    let words = site.on_node("cat /proc/cmdline; cat /proc/sys/kernel/random/boot_id; systemctl poweroff --no-block").await;
    let began = Instant::now();
    while site.qemu.process.lock().unwrap().as_mut().is_some_and(Service::alive) {
        assert!(began.elapsed() < Duration::from_secs(180), "{}", site.qemu.console(2));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    site.shell.close().await;
    let (raw, packed) = (file(&site, "taken.raw"), file(&site, "taken.raw.zst"));
    std::fs::rename(&disk, &raw).unwrap();
    zstd::stream::copy_encode(std::fs::File::open(&raw).unwrap(), std::fs::File::create(&packed).unwrap(), 1).unwrap();
    book.progress("its disk is packed");

    // A larger one, blank.
    std::fs::File::create(&disk).unwrap().set_len(5 << 29).unwrap();
    let ActionSpec::InstallImage { netboot, .. } = site.spec.clone() else { panic!("no installation") };
    site.first.plan = PlanId::new("plan-whole").unwrap();
    let content = DiskContent { file: artifact(packed), packed: Packed::Zstd, sha256: digest(&raw), bytes: 2 << 30 };
    let spec = ActionSpec::WriteDisk {
        image: "taken".into(),
        image_digest: Digest::from_bytes(&[9; 32]),
        content,
        disk: nvme,
        wipe: Wipe::BlankOnly,
        deadline_s: 600,
        netboot,
    };
    let action = site.action_of(&spec);
    assert!(matches!(action.look(None).await.unwrap(), Standing::Ready { .. }));
    action.act(&book).await.unwrap_or_else(|e| panic!("{e}\n{}", site.qemu.console(3)));
    let done = site.until_done(&action, &book).await;
    book.progress(&done);
    assert!(done.contains("image 090909090909 from the disk 2.6 GB nvme QEMU NVMe Ctrl, serial NVME-A"), "{done}");
    assert!(done.contains(", partition table "), "{done}");
    let table = done.rsplit(' ').next().unwrap().to_owned();

    // The same words, another start; both copies of the table have the GUID that was told, the second at the end of the disk.
    let again = site.on_node("cat /proc/cmdline; cat /proc/sys/kernel/random/boot_id").await;
    assert!(again.contains("bringup.image=0808") && again.lines().next() == words.lines().next(), "{again} {words}");
    assert_ne!(again.lines().nth(1), words.lines().nth(1));
    let told = site.until_running().await;
    assert!(told.contains("\nrunning\n") && told.contains("\n/dev/nvme0n1p2 ext4\n"), "{told}");
    let on_disk = std::fs::File::open(&disk).unwrap();
    for at in [512, (5 << 29) - 512] {
        let mut header = [0; 72];
        on_disk.read_exact_at(&mut header, at).unwrap();
        assert_eq!(&header[..8], b"EFI PART", "at byte {at}");
        let hex = |order: &[usize]| order.iter().map(|n| format!("{:02x}", header[56 + n])).collect::<String>();
        let guid = [&[3, 2, 1, 0][..], &[5, 4], &[7, 6], &[8, 9], &[10, 11, 12, 13, 14, 15]].map(hex).join("-");
        assert_eq!(guid, table, "at byte {at}");
    }
    let lines = book.lines.lock().unwrap().clone();
    let written = |note: &Option<EvidenceNote>| matches!(note, Some(EvidenceNote::Applied(_)));
    let ours = Digest::from_bytes(&[9; 32]);
    let count =
        lines.iter().filter(|(t, n)| matches!(t, Touch::InstallImage { image, .. } if *image == ours) && written(n)).count();
    assert_eq!(count, 1, "{lines:?}");
    assert!(action.release(&book).await.unwrap().kept.is_empty());
}

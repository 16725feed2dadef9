//! What `install.rs` goes on with: the disk of its machine as the image of a whole disk. The machine's own system is shut down, its disk packed by
//! zstd, and written as a whole to a larger blank disk by the bring-up ramdisk. The system that starts there is Debian with systemd; its command line
//! says what the first disk's said.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use bringup::action::{Action as _, Scribe as _, Standing};
use bringup::model::{ActionSpec, Artifact, Class, Digest, DiskContent, DiskRule, EvidenceNote, Packed, PlanId, Touch, Wipe};
use bringup::shell::Shell as _;
use sha2::{Digest as _, Sha256};

use super::install::{Book, Site, artifact};
use crate::support::Service;

/// Length of the disk that the image is written to: larger than the one that it is taken from.
const LARGER: u64 = 3 << 29;

/// Ends the system on the machine, as whoever makes an image of it would, and takes its disk.
pub(super) async fn taken(site: &Site) -> DiskContent {
    site.on_node("systemctl poweroff --no-block").await;
    let began = Instant::now();
    while site.qemu.process.lock().unwrap().as_mut().is_some_and(Service::alive) {
        assert!(began.elapsed() < Duration::from_secs(300), "{}", site.console());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    site.shell.close().await;
    let packed = site.dir.path().join("taken.raw.zst");
    let mut both = Both(Sha256::new(), zstd::Encoder::new(File::create(&packed).unwrap(), 1).unwrap());
    let bytes = std::io::copy(&mut File::open(site.disk()).unwrap(), &mut both).unwrap();
    both.1.finish().unwrap();
    let sha256 = Digest::from_bytes(&both.0.finalize().into());
    DiskContent { file: artifact(packed), packed: Packed::Zstd, sha256, bytes }
}

/// Hashes and packs.
struct Both(Sha256, zstd::Encoder<'static, File>);

impl Write for Both {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.1.write(bytes)?;
        self.0.update(&bytes[..written]);
        Ok(written)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.1.flush()
    }
}

/// The GUID in the header of a GPT, as it is written.
fn guid_at(disk: &Path, at: u64) -> String {
    let mut header = [0; 72];
    File::open(disk).unwrap().read_exact_at(&mut header, at).unwrap();
    assert_eq!(&header[..8], b"EFI PART", "at byte {at}");
    let hex = |order: &[usize]| order.iter().map(|n| format!("{:02x}", header[56 + n])).collect::<String>();
    [&[3, 2, 1, 0][..], &[5, 4], &[7, 6], &[8, 9], &[10, 11, 12, 13, 14, 15]].map(hex).join("-")
}

/// Has it written to a larger blank disk of the same machine, which runs from the first one until then.
pub(super) async fn is_written_as_a_whole(site: &mut Site, book: &Book, taken: DiskContent, disk: DiskRule) {
    let words = site.on_node("cat /proc/cmdline; cat /proc/sys/kernel/random/boot_id").await;
    let ActionSpec::InstallImage { netboot, .. } = site.spec.clone() else { panic!("no installation") };
    // The machine that runs keeps the old one open.
    let old = site.dir.path().join("old.img");
    std::fs::rename(site.disk(), &old).unwrap();
    File::create(site.disk()).unwrap().set_len(LARGER).unwrap();
    site.first.plan = PlanId::new("plan-whole").unwrap();
    let spec = |content: DiskContent| {
        let (image, image_digest) = ("taken".to_owned(), Digest::from_bytes(&[9; 32]));
        let (disk, netboot) = (disk.clone(), netboot.clone());
        ActionSpec::WriteDisk { image, image_digest, content, disk, wipe: Wipe::BlankOnly, deadline_s: 600, netboot }
    };

    // The system of the first disk is not taken for it. A file that the ramdisk has no room for is not sent there.
    let file = Artifact { path: old.clone(), sha256: taken.sha256.clone() };
    let action = site.action_of(&spec(DiskContent { file, packed: Packed::None, ..taken.clone() }));
    let standing = action.look(None).await.unwrap();
    assert!(
        matches!(&standing, Standing::Ready { seen } if seen.contains("is not the one that this image gets there")),
        "{standing:?}"
    );
    let error = action.act(book).await.unwrap_err();
    assert!(error.class == Class::Refused && error.seen.contains("the disk image has 1.3 GB and it has room for"), "{error}");
    let starts = *site.qemu.starts.lock().unwrap();

    let action = site.action_of(&spec(taken));
    assert!(matches!(action.look(None).await.unwrap(), Standing::Ready { .. }));
    action.act(book).await.unwrap_or_else(|e| panic!("{e}\n{}", site.console()));
    let done = site.until_done(&action, book).await;
    book.progress(&done);
    assert_eq!(*site.qemu.starts.lock().unwrap(), starts + 1, "the start from the disk");
    assert!(done.contains("image 090909090909 from the disk 1.6 GB nvme QEMU NVMe Ctrl, serial NVME-A"), "{done}");
    assert!(done.contains(", partition table "), "{done}");
    let table = done.rsplit(' ').next().unwrap();

    // The same words, another start; both copies of the table have the GUID that was told, the second at the end of the disk.
    let again = site.on_node("cat /proc/cmdline; cat /proc/sys/kernel/random/boot_id").await;
    assert!(again.contains("bringup.image=0808") && again.lines().next() == words.lines().next(), "{again} {words}");
    assert_ne!(again.lines().nth(1), words.lines().nth(1));
    let told = site.until_running().await;
    assert!(told.contains("\nrunning\n") && told.contains("\n/dev/nvme0n1p2 ext4\n"), "{told}");
    for at in [512, LARGER - 512] {
        assert_eq!(guid_at(&site.disk(), at), table, "at byte {at}");
    }
    assert_ne!(guid_at(&old, 512), table);
    let lines = book.lines.lock().unwrap().clone();
    let written = |note: &Option<EvidenceNote>| matches!(note, Some(EvidenceNote::Applied(_)));
    let ours = Digest::from_bytes(&[9; 32]);
    let count =
        lines.iter().filter(|(t, n)| matches!(t, Touch::InstallImage { image, .. } if *image == ours) && written(n)).count();
    assert_eq!(count, 1, "{lines:?}");
    assert!(action.release(book).await.unwrap().kept.is_empty());
}

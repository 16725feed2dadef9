//! A FAT16 file system that holds one file, `\EFI\BOOT\NAME`: what UEFI firmware looks for on a medium (UEFI 2.10 §13.3, "removable media"). Only what
//! lies before and after the file's bytes is made here; the file lies in it in one piece, so it can be streamed from where it is.

/// Bytes of a sector, and of a cluster: enough clusters make it FAT16 beyond doubt.
const SECTOR: u64 = 512;
/// FAT16 has 4,085 to 65,524 clusters (Microsoft's FAT specification 1.03, §3.5); fewer would be read as FAT12.
const FEWEST: u64 = 4_200;
/// El Torito counts sectors in 16 bits.
const MOST_SECTORS: u64 = 65_535;
/// Entries of the root folder; 16 a sector.
const ROOT: u64 = 32;
/// 1980-01-01: the first day of FAT's calendar, so that nothing depends on the clock.
const DAY: u16 = 0x0021;

/// The file system without the file's own bytes.
pub(super) struct Fat {
    /// What comes before the file.
    pub(super) head: Vec<u8>,
    /// Length of it all; after the file there is nothing but zeros.
    pub(super) length: u64,
}

/// A file system around a file of so many bytes. `name` has eight and three characters, filled with spaces. `None`: the file is empty or too
/// large (about 31 MiB).
pub(super) fn around(name: &[u8; 11], bytes: u64) -> Option<Fat> {
    let file = bytes.div_ceil(SECTOR);
    // Two clusters for the two folders; a whole number of 2,048-byte blocks at the end.
    let mut clusters = (file + 2).max(FEWEST);
    let (table, total) = loop {
        let table = ((clusters + 2) * 2).div_ceil(SECTOR);
        let total = 1 + 2 * table + ROOT / 16 + clusters;
        if total.is_multiple_of(4) {
            break (table, total);
        }
        clusters += 1;
    };
    if bytes == 0 || total > MOST_SECTORS {
        return None;
    }
    let mut head = boot_sector(u16::try_from(total).ok()?, u16::try_from(table).ok()?);
    let mut chain: Vec<u16> = vec![0xfff8, 0xffff, 0xffff, 0xffff];
    let first = u16::try_from(chain.len()).ok()?;
    let last = first + u16::try_from(file).ok()? - 1;
    chain.extend((first..last).map(|cluster| cluster + 1));
    chain.push(0xffff);
    let table_bytes = usize::try_from(table * SECTOR).ok()?;
    for _ in 0..2 {
        let from = head.len();
        head.extend(chain.iter().flat_map(|next| next.to_le_bytes()));
        head.resize(from + table_bytes, 0);
    }
    folder(&mut head, &[entry(b"EFI        ", 0x10, 2, 0)], ROOT * 32);
    folder(
        &mut head,
        &[entry(b".          ", 0x10, 2, 0), entry(b"..         ", 0x10, 0, 0), entry(b"BOOT       ", 0x10, 3, 0)],
        SECTOR,
    );
    let length = u32::try_from(bytes).ok()?;
    folder(
        &mut head,
        &[entry(b".          ", 0x10, 3, 0), entry(b"..         ", 0x10, 2, 0), entry(name, 0x20, first, length)],
        SECTOR,
    );
    Some(Fat { head, length: total * SECTOR })
}

fn folder(head: &mut Vec<u8>, entries: &[[u8; 32]], bytes: u64) {
    let end = head.len() + usize::try_from(bytes).unwrap_or_default();
    head.extend(entries.iter().flatten());
    head.resize(end, 0);
}

/// A folder's entry.
fn entry(name: &[u8; 11], attribute: u8, cluster: u16, bytes: u32) -> [u8; 32] {
    let mut entry = [0; 32];
    let mut put = |at: usize, what: &[u8]| what.iter().zip(entry.iter_mut().skip(at)).for_each(|(byte, place)| *place = *byte);
    put(0, name);
    put(11, &[attribute]);
    for at in [16, 18, 24] {
        put(at, &DAY.to_le_bytes());
    }
    put(26, &cluster.to_le_bytes());
    put(28, &bytes.to_le_bytes());
    entry
}

fn boot_sector(sectors: u16, table: u16) -> Vec<u8> {
    let mut sector = vec![0; 512];
    let mut put = |at: usize, what: &[u8]| what.iter().zip(sector.iter_mut().skip(at)).for_each(|(byte, place)| *place = *byte);
    put(0, &[0xeb, 0x3c, 0x90]);
    put(3, b"BRINGUP ");
    put(11, &512_u16.to_le_bytes());
    // Sectors of a cluster, reserved sectors, tables.
    put(13, &[1, 1, 0, 2]);
    put(17, &32_u16.to_le_bytes());
    put(19, &sectors.to_le_bytes());
    put(21, &[0xf8]);
    put(22, &table.to_le_bytes());
    // A geometry that nobody uses any more: 32 sectors a track, 2 heads.
    put(24, &[32, 0, 2, 0]);
    put(36, &[0x80, 0, 0x29]);
    put(39, b"BRUP");
    put(43, b"BRINGUP    FAT16   ");
    put(510, &[0x55, 0xaa]);
    sector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_sizes_are_those_of_fat16() {
        for bytes in [1, 512, 513, 3_833_856, 20 << 20] {
            let fat = around(b"BOOTX64 EFI", bytes).unwrap();
            let table = u64::from(u16::from_le_bytes([fat.head[22], fat.head[23]]));
            let clusters = fat.length / 512 - 1 - 2 * table - 2;
            assert!((4_085..65_525).contains(&clusters) && fat.length.is_multiple_of(2048));
            assert_eq!(fat.head.len() as u64, 512 * (1 + 2 * table + 2 + 2), "the file begins at the first free cluster");
            assert!(fat.head.len() as u64 + bytes <= fat.length);
        }
        assert!(around(b"BOOTX64 EFI", 0).is_none() && around(b"BOOTX64 EFI", 40 << 20).is_none());
    }

    /// mtools, which others wrote, finds the file and reads it whole.
    #[test]
    fn mtools_reads_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("fat.img");
        let content: Vec<u8> = (0..100_003_u32).map(|n| (n % 251) as u8).collect();
        let fat = around(b"BOOTX64 EFI", content.len() as u64).unwrap();
        let mut bytes = fat.head;
        bytes.extend(&content);
        bytes.resize(fat.length as usize, 0);
        std::fs::write(&image, bytes).unwrap();
        let Ok(read) = std::process::Command::new("mtype").arg("-i").arg(&image).arg("::/EFI/BOOT/BOOTX64.EFI").output() else {
            assert!(std::env::var_os("BRINGUP_REQUIRE_ALL").is_none(), "mtools is missing");
            return println!("SKIPPED mtools_reads_the_file: mtype is missing");
        };
        assert!(read.status.success() && read.stdout == content, "{}", String::from_utf8_lossy(&read.stderr));
    }
}

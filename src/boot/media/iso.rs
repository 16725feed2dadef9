//! An ISO 9660 file system with an El Torito boot catalogue, laid out before a byte of its files is read: what lies before the files is made here,
//! the files follow it, each from a block of its own. Same names and lengths, same bytes: it holds no time and no name of the day.
//!
//! Sources: ECMA-119 (ISO 9660), El Torito 1.0, UEFI 2.10 §13.3.2.1. Names are of level 1, which every reader knows.

/// Bytes of a block.
pub(super) const BLOCK: u64 = 2048;
/// Blocks before the first of the boot image: 16 that nobody reads, three descriptors, two path tables, the catalogue, three folders.
const HEAD: u32 = 25;
const TABLE_LE: u32 = 19;
const TABLE_BE: u32 = 20;
const CATALOGUE: u32 = 21;
/// The root, `BOOT` and `BOOT/GRUB`.
const FOLDERS: [u32; 3] = [22, 23, 24];

/// Where a file stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Folder {
    Boot,
    Grub,
}

/// A file: its folder, its name in capitals without a version, its length.
pub(super) struct Entry {
    pub(super) folder: Folder,
    pub(super) name: String,
    pub(super) bytes: u64,
}

/// Everything before the boot image. The boot image comes next, then the files in the order in which they were named, each filled up to a
/// whole block. `None`: a file is larger than an extent may be (4 GiB), the names do not fit their folder, or the boot image is too large.
pub(super) fn head(boot_image: u64, files: &[Entry]) -> Option<Vec<u8>> {
    let blocks = |bytes: u64| u32::try_from(bytes.div_ceil(BLOCK)).ok();
    let mut at = HEAD.checked_add(blocks(boot_image)?)?;
    let (mut boot, mut grub) = (vec![record(b"GRUB", FOLDERS[2], 2048, true)], Vec::new());
    for file in files {
        let length = u32::try_from(file.bytes).ok()?;
        let record = record(format!("{};1", file.name).as_bytes(), at, length, false);
        match file.folder {
            Folder::Boot => boot.push(record),
            Folder::Grub => grub.push(record),
        }
        at = at.checked_add(blocks(file.bytes)?)?;
    }
    let mut head = vec![0; 16 * BLOCK as usize];
    head.extend(volume(at));
    head.extend(boot_record());
    head.extend(block(b"\xffCD001\x01"));
    head.extend(path_table(u32::to_le_bytes, u16::to_le_bytes));
    head.extend(path_table(u32::to_be_bytes, u16::to_be_bytes));
    head.extend(catalogue(u16::try_from(boot_image / 512).ok()?));
    let root = vec![record(b"BOOT", FOLDERS[1], 2048, true)];
    head.extend(folder(FOLDERS[0], FOLDERS[0], root)?);
    head.extend(folder(FOLDERS[1], FOLDERS[0], boot)?);
    head.extend(folder(FOLDERS[2], FOLDERS[1], grub)?);
    (head.len() as u64 == u64::from(HEAD) * BLOCK).then_some(head)
}

/// Bytes, filled up to a block.
fn block(bytes: &[u8]) -> Vec<u8> {
    let mut block = bytes.to_vec();
    block.resize(BLOCK as usize, 0);
    block
}

fn both_32(n: u32) -> Vec<u8> {
    [n.to_le_bytes(), n.to_be_bytes()].concat()
}

fn both_16(n: u16) -> Vec<u8> {
    [n.to_le_bytes(), n.to_be_bytes()].concat()
}

/// A folder's record (ECMA-119 §9.1), with the name first so that records can be sorted by it.
fn record(name: &[u8], at: u32, length: u32, is_folder: bool) -> (Vec<u8>, Vec<u8>) {
    let mut record = vec![0, 0];
    record.extend(both_32(at));
    record.extend(both_32(length));
    // 2000-01-01 00:00:00 UTC, always.
    record.extend([100, 1, 1, 0, 0, 0, 0]);
    record.extend([if is_folder { 2 } else { 0 }, 0, 0]);
    record.extend(both_16(1));
    record.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    record.extend(name);
    if record.len() % 2 == 1 {
        record.push(0);
    }
    let length = u8::try_from(record.len()).unwrap_or(u8::MAX);
    record.splice(..1, [length]);
    (name.to_vec(), record)
}

fn folder(own: u32, parent: u32, mut records: Vec<(Vec<u8>, Vec<u8>)>) -> Option<Vec<u8>> {
    records.sort();
    let (me, above) = (record(&[0], own, 2048, true).1, record(&[1], parent, 2048, true).1);
    let bytes: Vec<u8> = [me, above].into_iter().chain(records.into_iter().map(|(_, record)| record)).flatten().collect();
    (bytes.len() as u64 <= BLOCK).then(|| block(&bytes))
}

/// Number and name of the root, `BOOT` and `BOOT/GRUB`, each with its parent's number.
fn path_table(four: fn(u32) -> [u8; 4], two: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let mut table = Vec::new();
    for (name, at, parent) in [(&b"\0"[..], FOLDERS[0], 1), (b"BOOT", FOLDERS[1], 1), (b"GRUB", FOLDERS[2], 2)] {
        table.extend([u8::try_from(name.len()).unwrap_or(u8::MAX), 0]);
        table.extend(four(at));
        table.extend(two(parent));
        table.extend(name);
        if name.len() % 2 == 1 {
            table.push(0);
        }
    }
    block(&table)
}

/// Length of [`path_table`]: three entries of 8 bytes, and names of 1 (and 1 to fill), 4 and 4.
const PATH_TABLE: u32 = 3 * 8 + 2 + 4 + 4;

/// The primary volume descriptor (ECMA-119 §8.4).
fn volume(blocks: u32) -> Vec<u8> {
    let text = |text: &str, length: usize| format!("{text:<length$}").into_bytes();
    let never = || [b"0000000000000000".to_vec(), vec![0]].concat();
    let mut volume = b"\x01CD001\x01\0".to_vec();
    volume.extend(text("", 32));
    volume.extend(text("BRINGUP", 32));
    volume.extend([0; 8]);
    volume.extend(both_32(blocks));
    volume.extend([0; 32]);
    volume.extend([both_16(1), both_16(1), both_16(2048), both_32(PATH_TABLE)].concat());
    volume.extend([TABLE_LE.to_le_bytes(), [0; 4], TABLE_BE.to_be_bytes(), [0; 4]].concat());
    volume.extend(record(&[0], FOLDERS[0], 2048, true).1);
    volume.extend(text("", 128 * 4 + 37 * 3));
    volume.extend([never(), never(), never(), never()].concat());
    volume.extend([1, 0]);
    block(&volume)
}

/// Where the catalogue is (El Torito §2.0).
fn boot_record() -> Vec<u8> {
    let mut record = b"\0CD001\x01EL TORITO SPECIFICATION".to_vec();
    record.resize(71, 0);
    record.extend(CATALOGUE.to_le_bytes());
    block(&record)
}

/// One entry, for UEFI (platform 0xEF): an image without emulation. `sectors` are of 512 bytes.
fn catalogue(sectors: u16) -> Vec<u8> {
    let mut validation = [0; 32];
    validation[..2].copy_from_slice(&[1, 0xef]);
    validation[4..11].copy_from_slice(b"BRINGUP");
    validation[30..].copy_from_slice(&[0x55, 0xaa]);
    let sum = validation.chunks(2).fold(0_u16, |sum, pair| sum.wrapping_add(u16::from_le_bytes([pair[0], pair[1]])));
    validation[28..30].copy_from_slice(&sum.wrapping_neg().to_le_bytes());
    let mut bytes = validation.to_vec();
    bytes.extend([0x88, 0, 0, 0, 0, 0]);
    bytes.extend(sectors.to_le_bytes());
    bytes.extend(HEAD.to_le_bytes());
    block(&bytes)
}

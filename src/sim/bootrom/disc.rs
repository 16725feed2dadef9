//! Reads a boot medium as firmware and GRUB would, out of its bytes: the El Torito entry for UEFI, the program in its FAT file system, GRUB's text, and the
//! files that it names. A reader of its own: it shares no line with what writes media.

use sha2::{Digest as _, Sha256};

use crate::sim::system::{Blob, Loaded};

const BLOCK: usize = 2048;

/// What a machine that boots from this medium would load.
///
/// # Errors
/// Why it would not boot, for the machine's log.
pub fn boot(disc: &[u8], url: &str) -> Result<Loaded, String> {
    program(disc)?;
    let text = find(disc, &["BOOT", "GRUB", "GRUB.CFG"])?;
    let text = std::str::from_utf8(text).map_err(|_| "GRUB's text is not text")?;
    let command = |name: &str| {
        let line = text.lines().find_map(|line| line.trim_start_matches("if ").strip_prefix(&format!("{name} ")));
        line.map(|line| words(line.trim_end_matches("; then")))
    };
    let mut kernel = command("linux").ok_or("GRUB's text starts no kernel")?.into_iter();
    let path = kernel.next().ok_or("GRUB's text names no kernel")?;
    let cmdline = kernel.collect::<Vec<_>>().join(" ");
    let blob = |path: &str| {
        let parts: Vec<String> = path.split('/').filter(|p| !p.is_empty()).map(str::to_uppercase).collect();
        let bytes = find(disc, &parts.iter().map(String::as_str).collect::<Vec<_>>())?;
        let sha256 = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
        Ok::<_, String>(Blob { url: format!("{url}#{path}"), bytes: bytes.len() as u64, sha256 })
    };
    let initrd = command("initrd").unwrap_or_default().iter().map(|path| blob(path)).collect::<Result<_, _>>()?;
    Ok(Loaded { kernel: blob(&path)?, initrd, cmdline })
}

/// Words, with single quotes taken off.
fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(|word| word.trim_matches('\'').to_owned()).collect()
}

fn at(disc: &[u8], from: usize, bytes: usize) -> Result<&[u8], String> {
    disc.get(from..from.saturating_add(bytes)).ok_or_else(|| "the medium is shorter than it says".to_owned())
}

fn number(disc: &[u8], from: usize, bytes: usize) -> Result<usize, String> {
    Ok(at(disc, from, bytes)?.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
}

/// Firmware's part: the boot catalogue names a FAT file system with `\EFI\BOOT\BOOTX64.EFI`, which is a program.
fn program(disc: &[u8]) -> Result<(), String> {
    let record = 17 * BLOCK;
    if at(disc, record + 7, 23)? != b"EL TORITO SPECIFICATION" {
        return Err("the medium does not boot: no El Torito record".to_owned());
    }
    let catalogue = number(disc, record + 71, 4)?.saturating_mul(BLOCK);
    let sum = (0..16).try_fold(0_usize, |sum, n| number(disc, catalogue + 2 * n, 2).map(|word| sum + word))?;
    if number(disc, catalogue, 2)? != 0xef01 || sum % 0x1_0000 != 0 || at(disc, catalogue + 32, 1)? != [0x88] {
        return Err("the medium does not boot: its catalogue has no entry for UEFI".to_owned());
    }
    let fat = number(disc, catalogue + 40, 4)?.saturating_mul(BLOCK);
    let field = |from, bytes| number(disc, fat + from, bytes);
    let (tables, table, root) = (field(16, 1)?, field(22, 2)?, field(17, 2)?);
    let root_at = fat + (field(14, 2)? + tables * table) * 512;
    let clusters_at = root_at + root * 32;
    let cluster = |n: usize| clusters_at + n.saturating_sub(2) * field(13, 1).unwrap_or(1) * 512;
    let mut folder = root_at;
    for name in [b"EFI        ", b"BOOT       ", b"BOOTX64 EFI"] {
        let entry = (0..16).map(|n| folder + 32 * n).find(|entry| at(disc, *entry, 11).is_ok_and(|found| found == name));
        let entry = entry.ok_or("the medium does not boot: no program for x86-64")?;
        folder = cluster(number(disc, entry + 26, 2)?);
    }
    if at(disc, folder, 2)? == b"MZ" { Ok(()) } else { Err("the medium does not boot: its program is none".to_owned()) }
}

/// A file by its path.
fn find<'a>(disc: &'a [u8], path: &[&str]) -> Result<&'a [u8], String> {
    if at(disc, 16 * BLOCK, 6)? != b"\x01CD001" {
        return Err("the medium has no file system".to_owned());
    }
    let (mut from, mut bytes) = extent(disc, 16 * BLOCK + 156)?;
    for (depth, want) in path.iter().enumerate() {
        let missing = || format!("the medium has no {}", path.get(..=depth).unwrap_or_default().join("/"));
        let (mut record, end) = (from, from.saturating_add(bytes));
        (from, bytes) = loop {
            let length = if record < end { number(disc, record, 1)? } else { 0 };
            if length == 0 {
                return Err(missing());
            }
            let name = at(disc, record + 33, number(disc, record + 32, 1)?)?;
            if name == want.as_bytes() || name.strip_suffix(b";1").is_some_and(|name| name == want.as_bytes()) {
                break extent(disc, record)?;
            }
            record += length;
        };
    }
    at(disc, from, bytes)
}

/// Where the extent of a folder's record lies, and its length.
fn extent(disc: &[u8], record: usize) -> Result<(usize, usize), String> {
    Ok((number(disc, record + 2, 4)?.saturating_mul(BLOCK), number(disc, record + 10, 4)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_boot_or_do_not(mut disc in proptest::collection::vec(any::<u8>(), 0..4096), lead: bool) {
            if lead {
                disc.resize(20 * BLOCK, 1);
                disc[16 * BLOCK..16 * BLOCK + 6].copy_from_slice(b"\x01CD001");
                disc[17 * BLOCK + 7..17 * BLOCK + 30].copy_from_slice(b"EL TORITO SPECIFICATION");
            }
            prop_assert!(boot(&disc, "x").is_err());
        }
    }
}

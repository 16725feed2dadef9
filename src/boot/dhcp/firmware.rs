//! What kind of firmware asks, by option 93, and which loader it can run. The numbers are IANA's "Processor Architecture Types"; RFC 4578
//! had 7 and 9 the wrong way round (its errata), so firmware uses both for x86-64.

use crate::model::Arch;

/// One of the firmware kinds that we have a loader for, and what it is asked for by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Firmware {
    /// Code of option 93.
    pub(super) code: u16,
    /// Word for people.
    pub(super) word: &'static str,
    /// Processor that it runs on.
    pub(super) arch: Arch,
    /// Name of the iPXE build, by TFTP and by HTTP.
    pub(super) loader: &'static str,
    /// It fetches by HTTP (UEFI 2.5 §23.7) instead of TFTP.
    pub(super) http: bool,
}

const fn row(code: u16, word: &'static str, arch: Arch, loader: &'static str, http: bool) -> Firmware {
    Firmware { code, word, arch, loader, http }
}

/// Legacy ROMs get iPXE over their own network driver (UNDI), UEFI gets it over the firmware's (SNP): no driver of iPXE is needed.
const KNOWN: [Firmware; 7] = [
    row(0, "bios", Arch::X86_64, "undionly.kpxe", false),
    row(7, "uefi-x86_64", Arch::X86_64, "snponly.efi", false),
    row(9, "uefi-x86_64", Arch::X86_64, "snponly.efi", false),
    row(11, "uefi-aarch64", Arch::Aarch64, "snponly-arm64.efi", false),
    row(15, "http-x86", Arch::X86_64, "snponly.efi", true),
    row(16, "http-x86_64", Arch::X86_64, "snponly.efi", true),
    row(19, "http-aarch64", Arch::Aarch64, "snponly-arm64.efi", true),
];

/// The first of the codes that we know.
pub(super) fn firmware(codes: &[u16]) -> Option<Firmware> {
    codes.iter().find_map(|code| KNOWN.iter().find(|known| known.code == *code)).copied()
}

/// For people: the word, or the number of one that is not known.
pub(super) fn shown(codes: &[u16]) -> Option<String> {
    let first = codes.first()?;
    Some(firmware(codes).map_or_else(|| format!("architecture {first}"), |known| known.word.to_owned()))
}

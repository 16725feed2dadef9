//! What a program or a kernel module says of itself: the libraries that it needs, and the notes in `.modinfo`. Never runs or loads one.

use object::read::elf::{Dyn as _, FileHeader as _, SectionHeader as _};
use object::{Endianness, FileKind, elf};

/// Names of the libraries that an ELF program or library needs, its loader's path among them; empty for what is no ELF file.
pub(super) fn needs(bytes: &[u8]) -> Vec<String> {
    if FileKind::parse(bytes) != Ok(FileKind::Elf64) {
        return Vec::new();
    }
    dynamic(bytes).unwrap_or_default()
}

fn dynamic(bytes: &[u8]) -> object::Result<Vec<String>> {
    let header = elf::FileHeader64::<Endianness>::parse(bytes)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, bytes)?;
    let mut found = Vec::new();
    for segment in header.program_headers(endian, bytes)? {
        use object::read::elf::ProgramHeader as _;
        if let Some(path) = segment.interpreter(endian, bytes)? {
            found.push(String::from_utf8_lossy(path).into_owned());
        }
    }
    if let Some((entries, link)) = sections.dynamic(endian, bytes)? {
        let strings = sections.strings(endian, bytes, link)?;
        for entry in entries {
            if entry.tag(endian) == elf::DT_NEEDED {
                found.push(String::from_utf8_lossy(entry.string(endian, strings)?).into_owned());
            }
        }
    }
    Ok(found)
}

/// The `key=value` notes of a kernel module, in their order; empty for what is none.
pub(super) fn module_notes(bytes: &[u8]) -> Vec<(String, String)> {
    let Ok(notes) = modinfo(bytes) else { return Vec::new() };
    let one = |note: &[u8]| {
        let text = std::str::from_utf8(note).ok()?;
        text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()))
    };
    notes.split(|b| *b == 0).filter_map(one).collect()
}

fn modinfo(bytes: &[u8]) -> object::Result<&[u8]> {
    let header = elf::FileHeader64::<Endianness>::parse(bytes)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, bytes)?;
    match sections.section_by_name(endian, b".modinfo") {
        Some((_, section)) => section.data(endian, bytes),
        None => Ok(&[]),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn this_test_program_needs_a_c_library_and_its_loader() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let needs = needs(&own);
        assert!(needs.iter().any(|n| n.starts_with("libc.so")) && needs.iter().any(|n| n.starts_with("/lib")), "{needs:?}");
        assert!(module_notes(&own).is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_answer(mut bytes in proptest::collection::vec(any::<u8>(), 0..600), elf: bool) {
            if elf && bytes.len() > 20 {
                bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
            }
            drop(needs(&bytes));
            drop(module_notes(&bytes));
        }
    }
}

//! `disk:` of `images/NAME.yaml`: an image of a whole disk, by the digest of its file and of what is to lie on the disk. Opens nothing.

use super::artifact::{self, Named, Place};
use super::code;
use super::decode::{self, Fields, Spanned};
use super::diagnostic::{Diagnostic, Diagnostics, quote};
use super::yaml::Tree;
use crate::model::{Digest, DiskContent, Packed};

/// Smallest image: a partition table, its copy, and something between them.
const SMALLEST: u64 = 4 << 20;
/// What a partition table counts in, in bytes.
const SECTOR: u64 = 512;
/// Keys of an image that boots over the network.
const OTHERS: [&str; 5] = ["kernel", "initrd", "root", "cmdline", "identity"];

/// Reads the block.
pub(super) fn read(tree: &Tree, at: Place<'_>, named: &mut Vec<Named>, out: &mut Diagnostics) -> Option<DiskContent> {
    let mut fields = Fields::of(tree, "disk", out)?;
    let file = artifact::fields(&mut fields, at, out);
    let bytes = fields.need("size", out).and_then(|t| decode::number::<u64>(t, "disk.size", out));
    let packed = packed(&mut fields, out);
    let unpacked = fields.take("raw_sha256").map(|t| decode::parsed::<Digest>(t, "disk.raw_sha256", out));
    let span = fields.span;
    fields.finish(out);
    if let Some(size) = bytes.as_ref().filter(|b| b.value < SMALLEST || !b.value.is_multiple_of(SECTOR)) {
        let message = format!("disk.size: {} bytes are no disk: whole sectors of {SECTOR}, and {SMALLEST} at least", size.value);
        out.push(Diagnostic::error(code::BAD_VALUE, message).at(size.span));
        return None;
    }
    let (file, file_span) = file?;
    let packed = packed?;
    let sha256 = match (packed, unpacked) {
        (Packed::None, None) => file.sha256.clone(),
        (Packed::None, Some(unpacked)) => {
            let d = Diagnostic::error(code::BAD_VALUE, "disk.raw_sha256: a file that is not packed has one digest, its `sha256`");
            out.push(d.at(unpacked?.span).hint("leave it out, or say how the file is packed: `compression: zstd`"));
            return None;
        }
        (Packed::Zstd, Some(unpacked)) => unpacked?.value,
        (Packed::Zstd, None) => {
            let d = Diagnostic::error(code::MISSING_KEY, "disk: `raw_sha256` is missing").at(span);
            out.push(d.hint("what is read back from the disk is compared with it: `zstd -dc FILE | sha256sum`"));
            return None;
        }
    };
    let content = DiskContent { file, packed, sha256, bytes: bytes?.value };
    named.push(Named { artifact: content.file.clone(), span: file_span, disk: Some(content.clone()) });
    Some(content)
}

fn packed(fields: &mut Fields<'_>, out: &mut Diagnostics) -> Option<Packed> {
    let Some(Spanned { value, span }) = fields.text("compression", out) else { return Some(Packed::None) };
    let found = Packed::WORDS.iter().find(|(word, _)| *word == value).map(|(_, packed)| *packed);
    if found.is_none() {
        let known: Vec<&str> = Packed::WORDS.iter().map(|(word, _)| *word).collect();
        let d = Diagnostic::error(code::BAD_VALUE, format!("disk.compression: `{}` is not known", quote(&value))).at(span);
        out.push(d.hint(format!(
            "known: {}; an image in another form (qcow2, VMDK) is made one by `qemu-img convert -O raw`",
            known.join(", ")
        )));
    }
    found
}

/// A whole disk has a kernel and all the rest of its own, and nothing is put into it.
pub(super) fn alone(fields: &mut Fields<'_>, out: &mut Diagnostics) {
    for key in OTHERS {
        if let Some(tree) = fields.take(key) {
            let d = Diagnostic::error(code::BAD_VALUE, format!("{key}: an image of a whole disk has its own")).at(tree.span);
            out.push(d.hint(format!("leave out `{key}`, or `disk`")));
        }
    }
}

//! An image of a whole disk, as a vendor or a site makes it: written as it is, its partition table marked so that the disk can be known again.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Artifact, Digest, Image, NodeId, PlanId};

/// What `images/NAME.yaml` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Installable {
    /// Kernel, initial RAM disks, and perhaps a root.
    System(Image),
    /// A whole disk.
    Disk(DiskImage),
}

impl Installable {
    /// Name of its file.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::System(image) => &image.name,
            Self::Disk(image) => &image.name,
        }
    }

    /// Machine type, such as `x86_64`.
    #[must_use]
    pub fn arch(&self) -> &str {
        match self {
            Self::System(image) => &image.arch,
            Self::Disk(image) => &image.arch,
        }
    }
}

impl From<Image> for Installable {
    fn from(image: Image) -> Self {
        Self::System(image)
    }
}

/// An image of a whole disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskImage {
    /// Name.
    pub name: String,
    /// Machine type, such as `x86_64`.
    pub arch: String,
    /// What is written.
    pub content: DiskContent,
    /// Host keys baked into the image, as `SHA256:…`; nodes that name their own host keys override this.
    pub ssh_host_keys: BTreeSet<String>,
}

/// The bytes of a whole disk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DiskContent {
    /// The file as it is fetched.
    pub file: Artifact,
    /// How it is packed.
    pub packed: Packed,
    /// SHA-256 of what lies on the disk; that of the file when it is not packed.
    pub sha256: Digest,
    /// Bytes on the disk; whole sectors of 512.
    pub bytes: u64,
}

/// How an image of a disk is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Packed {
    /// It is not.
    None,
    /// Zstandard (RFC 8878).
    Zstd,
}

impl Packed {
    /// The words of `images/NAME.yaml`.
    pub const WORDS: [(&'static str, Self); 2] = [("none", Self::None), ("zstd", Self::Zstd)];

    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, one)| *one == self).map_or("", |(word, _)| word)
    }
}

/// The disk that a running system's root lies on.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RootDisk {
    /// Serial number of the disk.
    pub serial: String,
    /// World Wide Name.
    pub wwn: String,
    /// GUID of its partition table; empty when it has no GPT, or it could not be read.
    pub table: String,
}

/// Which disk of which node holds what, as the GUID of the disk's partition table says it (UUID version 8, RFC 9562 §5.8): its first half is made
/// from node, image and disk, so that anybody who knows these knows it again; its second half from the plan too.
#[derive(Debug, Clone, Copy)]
pub struct DiskMark<'a> {
    /// Node.
    pub node: &'a NodeId,
    /// Digest of the image.
    pub image: &'a Digest,
    /// Serial number of the disk.
    pub serial: &'a str,
    /// World Wide Name of the disk.
    pub wwn: &'a str,
}

/// Characters of a UUID's first half.
const HALF: usize = 18;

impl DiskMark<'_> {
    /// The GUID that a plan gives to the table of this disk when all of it was read back.
    #[must_use]
    pub fn by(&self, plan: &PlanId) -> String {
        self.table(plan.as_str())
    }

    fn table(&self, plan: &str) -> String {
        let hash = |whose: &str| {
            let mut hash = Sha256::new();
            for part in ["bringup", "disk image", self.node.as_str(), self.image.as_str(), self.serial, self.wwn, whose] {
                hash.update(part.as_bytes());
                hash.update([0]);
            }
            hash.finalize()
        };
        // Octet 6 begins with the version, octet 8 with the variant.
        let octet = |(at, byte): (usize, u8)| match at {
            6 => (byte & 0x0f) | 0x80,
            8 => (byte & 0x3f) | 0x80,
            _ => byte,
        };
        let octets = hash("").into_iter().take(8).chain(hash(plan).into_iter().take(8));
        let hex: String = octets.enumerate().map(octet).map(|b| format!("{b:02x}")).collect();
        let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
        format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
    }

    /// Whether a plan, whichever it was, gave this GUID to the table.
    #[must_use]
    pub fn is_on(&self, table: &str) -> bool {
        let any = self.table("");
        matches!((any.get(..HALF), table.get(..HALF)), (Some(want), Some(found)) if want.eq_ignore_ascii_case(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_known_again_by_whoever_knows_node_image_and_disk() {
        let (node, other) = (NodeId::new("a001-s01").unwrap(), NodeId::new("a001-s02").unwrap());
        let (image, later) = (Digest::from_bytes(&[1; 32]), Digest::from_bytes(&[2; 32]));
        let (one, two) = (PlanId::new("plan-1").unwrap(), PlanId::new("plan-2").unwrap());
        let mark = DiskMark { node: &node, image: &image, serial: "S", wwn: "eui.1" };
        let table = mark.by(&one);
        assert_eq!((table.len(), &table[14..15], &table[18..19]), (36, "8", "-"), "{table}");
        assert!("89ab".contains(&table[19..20]), "{table}");
        assert!(mark.is_on(&table.to_uppercase()) && mark.by(&two) != table && mark.by(&two)[..HALF] == table[..HALF]);
        for stranger in [
            DiskMark { node: &other, ..mark },
            DiskMark { image: &later, ..mark },
            DiskMark { serial: "T", ..mark },
            DiskMark { wwn: "", ..mark },
        ] {
            assert!(!stranger.is_on(&table), "{stranger:?}");
        }
        assert!(!mark.is_on("") && !mark.is_on("ü"));
    }
}

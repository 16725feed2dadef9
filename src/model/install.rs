//! What is installed on a node's disk, and on which disk: chosen by what a disk is, never by a device name, which changes between boots.

use serde::{Deserialize, Serialize};

use super::Installable;

/// An image that is to run from a node's disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskInstall {
    /// The image: a whole disk, or one that has a root file system.
    pub image: Installable,
    /// The disk.
    pub disk: DiskRule,
    /// Whether a disk that holds something may be written.
    pub wipe: Wipe,
    /// Longest time from the first byte sent to the last read back, in seconds.
    pub deadline_s: u32,
}

/// Which disk: all that is written must be so of exactly one disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskRule {
    /// Serial number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// World Wide Name, as sysfs has it (`naa.…`, `eui.…`, `nvme.…`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wwn: Option<String>,
    /// Model; `*` stands for any text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How it is attached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<Transport>,
    /// Smallest size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_min: Option<u64>,
    /// Largest size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_max: Option<u64>,
    /// It turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotational: Option<bool>,
    /// Which of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pick: Option<Pick>,
}

/// How a disk is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// NVMe over PCI Express.
    Nvme,
    /// SATA, on whatever controller.
    Sata,
    /// SAS.
    Sas,
    /// Of a virtual machine.
    Virtio,
}

impl Transport {
    /// The words of the playbook.
    pub const WORDS: [(&'static str, Self); 4] =
        [("nvme", Self::Nvme), ("sata", Self::Sata), ("sas", Self::Sas), ("virtio", Self::Virtio)];

    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, one)| *one == self).map_or("", |(word, _)| word)
    }
}

/// Which of several disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pick {
    /// The smallest.
    Smallest,
    /// The largest.
    Largest,
}

/// Whether a disk that holds something may be written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wipe {
    /// Only a blank disk, or what this very plan left unfinished, is written.
    #[default]
    BlankOnly,
    /// What the disk holds is lost.
    Yes,
}

impl std::fmt::Display for DiskRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut words = Vec::new();
        words.extend(self.transport.map(|t| t.word().to_owned()));
        words.extend(self.serial.as_ref().map(|s| format!("serial {s}")));
        words.extend(self.wwn.as_ref().map(|w| format!("wwn {w}")));
        words.extend(self.model.as_ref().map(|m| format!("model {m}")));
        words.extend(self.size_min.map(|n| format!("at least {}", bytes(n))));
        words.extend(self.size_max.map(|n| format!("at most {}", bytes(n))));
        words.extend(self.rotational.map(|turns| if turns { "rotational" } else { "not rotational" }.to_owned()));
        words.extend(self.pick.map(|p| if p == Pick::Smallest { "the smallest" } else { "the largest" }.to_owned()));
        f.write_str(&words.join(", "))
    }
}

/// A size as disks are sold: powers of ten.
#[must_use]
pub fn bytes(n: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match UNITS.iter().find(|(unit, _)| n >= *unit) {
        Some((unit, name)) => {
            let tenths = n / (unit / 10);
            if tenths >= 1000 || tenths.is_multiple_of(10) {
                format!("{} {name}", tenths / 10)
            } else {
                format!("{}.{} {name}", tenths / 10, tenths % 10)
            }
        }
        None => format!("{n} B"),
    }
}

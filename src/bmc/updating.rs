//! Firmware pushed through a BMC: uploaded once, watched as a task, and judged by the version that runs, never by the task alone.
//!
//! A push that is asked for again looks first: a version that runs is not sent, one that waits for its activation is not sent, and while an
//! update is under way nothing is sent. So a push that was killed in the middle is taken up by pushing again.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;

use super::{Bmc, BmcError, BmcTrouble, Written, lacks};
use crate::model::{Component, Digest, Reading, Version};

/// One firmware image for one component.
#[derive(Debug, Clone)]
pub struct FirmwareImage<'a> {
    /// The file.
    pub file: &'a Path,
    /// The name that the BMC is told; some judge by it.
    pub name: &'a str,
    /// SHA-256 of the file. The last bytes are not sent when what was read differs from it.
    pub sha256: &'a Digest,
    /// Which component of the firmware inventory it is for.
    pub component: &'a Component,
    /// The version that must run afterwards.
    pub version: &'a Version,
    /// Where the BMC can fetch the same image, for BMCs that take no upload.
    pub url: Option<&'a str>,
    /// Resources that the update is for, in place of what the BMC's habits say.
    pub targets: Option<&'a [String]>,
}

/// How far an update has come, for people who wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpdateProgress {
    /// The BMC has something else to do; nothing was sent yet.
    Waiting(String),
    /// So many bytes of so many are on their way.
    Uploading {
        /// Bytes handed to the connection.
        sent: u64,
        /// Bytes of the whole request.
        of: u64,
    },
    /// The BMC works at it, in its own words and with the percentage that it tells.
    Working(String, Option<u8>),
    /// The BMC is done or silent; the version is being read.
    Proving(String),
}

/// What an update is told beside the image.
pub struct UpdateTerms<'a> {
    /// All of it must be over by then, from now.
    pub deadline: Duration,
    /// Push once more when an update was lost silently: acknowledged, its task gone, the BMC idle and the old version still there (RC-56).
    /// Off by default: where a version only shows after a reset, what looks lost may be waiting for it.
    pub again: bool,
    /// An HPM.1 upgrade over IPMI was asked for by name (IP-14); it restarts the BMC. Redfish has no use for it.
    pub hpm: bool,
    /// Hears of progress.
    pub tell: &'a (dyn Fn(UpdateProgress) + Send + Sync),
}

/// One component of the firmware inventory, with its banks.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FirmwareItem {
    /// Its name, stable over updates.
    pub component: Component,
    /// The version that runs.
    pub running: Reading<Version>,
    /// A version that lies there and waits for an activation; `Absent`: none is told of.
    pub staged: Reading<Version>,
    /// Whether the BMC takes updates for it.
    pub updateable: Reading<bool>,
}

/// Sorts of failed updates, each with one way to go on (firmware.md §3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateClass {
    /// Something is not as it must be before an update; nothing was sent.
    #[error("precondition: plan again")]
    Precondition,
    /// The BMC has something else to do.
    #[error("busy: later")]
    Busy,
    /// No update runs, and the BMC says that one does (RC-55).
    #[error("stuck in update mode: reset the BMC, then push again")]
    Stuck,
    /// The connection failed before the whole image was sent.
    #[error("transient: may be pushed again")]
    Transient,
    /// The image was sent, and what became of it is not known.
    #[error("ambiguous: look, do not push again")]
    Ambiguous,
    /// The BMC does not take this image.
    #[error("rejected: do not push it again")]
    Rejected,
    /// The BMC tried and failed.
    #[error("device failed: look at the BMC's log, then recover or quarantine")]
    DeviceFailed,
    /// It took the image, and the old version still runs.
    #[error("not activated: the component needs a reset")]
    NotActivated,
    /// Another version runs than the old and the wanted one.
    #[error("activated wrong: stop")]
    ActivatedWrong,
    /// It took the image, and nothing came of it, twice.
    #[error("lost: quarantine")]
    Lost,
    /// The BMC waits for a person, or stands still.
    #[error("blocked: a person has to look")]
    Blocked,
    /// The BMC is silent.
    #[error("unreachable")]
    Unreachable,
}

impl UpdateClass {
    /// The class of an update's error.
    #[must_use]
    pub fn of(error: &BmcError) -> Option<Self> {
        error.source.as_deref()?.downcast_ref::<Self>().copied()
    }

    /// The kind of trouble that a BMC's hand tells of it.
    fn kind(self) -> BmcTrouble {
        match self {
            Self::Busy => BmcTrouble::Busy,
            Self::Transient | Self::Unreachable => BmcTrouble::Unreachable,
            _ => BmcTrouble::Refused,
        }
    }

    /// All of them.
    const ALL: [Self; 12] = [
        Self::Precondition,
        Self::Busy,
        Self::Stuck,
        Self::Transient,
        Self::Ambiguous,
        Self::Rejected,
        Self::DeviceFailed,
        Self::NotActivated,
        Self::ActivatedWrong,
        Self::Lost,
        Self::Blocked,
        Self::Unreachable,
    ];

    /// The class of what became of an update; `None`: it is done, or failed before its class could be told.
    #[must_use]
    pub fn of_written(written: &Written) -> Option<Self> {
        match written {
            Written::Applied(_) => None,
            Written::NotApplied(error) => Self::of(error),
            Written::Ambiguous(seen) => Self::ALL.into_iter().find(|class| seen.starts_with(&format!("{class};"))),
        }
    }

    /// A few words, without what to do about it.
    #[must_use]
    pub fn name(self) -> String {
        let whole = self.to_string();
        whole.split(':').next().unwrap_or(&whole).to_owned()
    }

    /// What this class says of a write whose end is not certain.
    pub fn unclear(self, seen: impl std::fmt::Display) -> Written {
        Written::Ambiguous(format!("{self}; {seen}"))
    }

    /// An error of this class.
    #[must_use]
    pub fn error(self, doing: impl Into<String>, seen: impl Into<String>) -> BmcError {
        BmcError { doing: doing.into(), seen: seen.into(), kind: self.kind(), source: Some(Box::new(self)) }
    }
}

/// The updating half of a BMC.
#[async_trait]
pub trait Updating: Bmc {
    /// The firmware inventory with its banks, by component.
    async fn firmware_items(&self) -> Result<Reading<Vec<FirmwareItem>>, BmcError> {
        Err(lacks("read the firmware inventory"))
    }

    /// Uploads the image once, watches the task, and reads the version back until the deadline. `Applied` only when the version is seen to
    /// run; `Ambiguous` and `NotApplied` name the class.
    async fn update(&self, _image: &FirmwareImage<'_>, _terms: &UpdateTerms<'_>) -> Written {
        Written::NotApplied(lacks("update firmware"))
    }
}

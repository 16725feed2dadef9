//! What a BMC is told beyond power and boot: BIOS attributes and virtual media. Every write is read back.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{Bmc, BmcError, Password, Written, lacks};
use crate::model::Reading;

/// BIOS attributes as the BMC holds them.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Bios {
    /// Attributes in force.
    pub current: BTreeMap<String, BiosValue>,
    /// Attributes that wait for the next boot and differ from those in force.
    pub pending: BTreeMap<String, BiosValue>,
    /// Name of the attribute registry that describes them.
    pub registry: Reading<String>,
    /// When pending attributes take effect, in the BMC's words (`OnReset`, `Immediate`).
    pub apply: Reading<Vec<String>>,
    /// What the BMC says of the last time that attributes were applied.
    pub last: Vec<String>,
}

/// The value of a BIOS attribute.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(untagged)]
pub enum BiosValue {
    /// Text, or a choice of an enumeration.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// Yes or no.
    Boolean(bool),
    /// Not told.
    Null,
}

impl std::fmt::Display for BiosValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.pad(text),
            Self::Integer(number) => f.pad(&number.to_string()),
            Self::Boolean(flag) => f.pad(if *flag { "true" } else { "false" }),
            Self::Null => f.pad("null"),
        }
    }
}

/// BIOS attributes that are wanted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BiosOrder {
    /// Attributes by name. Text is read as the kind that the attribute has.
    pub set: BTreeMap<String, BiosValue>,
    /// What was ordered before and may still be pending: it does not stand in the way.
    pub ours: BTreeMap<String, BiosValue>,
    /// Write although attributes are pending that nobody here ordered; the next boot takes them too.
    pub beside_others: bool,
}

/// One drive of the virtual media.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct MediaSlot {
    /// Its name on the BMC.
    pub name: String,
    /// Where it is on the BMC.
    pub at: String,
    /// Media types that it takes, in the BMC's words.
    pub types: Vec<String>,
    /// The image that is in it, without the query of its address, in which signed addresses carry what lets anybody in; `Absent`: none.
    pub image: Reading<String>,
    /// Whether it is inserted and connected.
    pub inserted: Reading<bool>,
    /// How it is connected, in the BMC's words (`URI`, `Applet`, `NotConnected`).
    pub connected: Reading<String>,
}

/// An image that is wanted in a drive.
#[derive(Clone)]
pub struct MediaOrder {
    /// Name of the drive; `None`: the first that takes a CD.
    pub slot: Option<String>,
    /// Where the BMC fetches the image. Holds no credentials.
    pub url: String,
    /// Account on the share that the image lies on.
    pub share: Option<(String, Password)>,
}

/// The settings half of a BMC.
#[async_trait]
pub trait Settings: Bmc {
    /// BIOS attributes, in force and pending.
    async fn bios(&self) -> Result<Reading<Bios>, BmcError> {
        Err(lacks("read BIOS attributes"))
    }
    /// Checks attributes against the registry, writes them, and reads back that they are pending (or in force). They take effect when the
    /// node boots next; this boots nothing.
    async fn set_bios(&self, _order: &BiosOrder) -> Written {
        Written::NotApplied(lacks("set BIOS attributes"))
    }
    /// Drives of the virtual media.
    async fn media(&self) -> Result<Reading<Vec<MediaSlot>>, BmcError> {
        Err(lacks("read virtual media"))
    }
    /// Puts an image into a drive, ejecting what is in it, and reads it back as connected.
    async fn insert_media(&self, _order: &MediaOrder) -> Written {
        Written::NotApplied(lacks("insert virtual media"))
    }
    /// Ejects what is in `slot` (by default in every drive), and reads it back as empty.
    async fn eject_media(&self, _slot: Option<&str>) -> Written {
        Written::NotApplied(lacks("eject virtual media"))
    }
}

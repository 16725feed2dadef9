//! How BMCs of different makers take firmware, as data. The forms are those of `reference/firmware.md` §1.1 and of the captured trees.

use super::firmware::{Activation, Item};
use super::profile::VendorProfile;

/// Where an answer names its task (RC-38).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// In `Location`.
    Location,
    /// The body is the task.
    Body,
    /// In the arguments of a message (Supermicro).
    Arguments,
    /// Nowhere.
    Nowhere,
}

/// How a version that does not run is told apart (RC-54).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Banks {
    /// The manager goes on telling its own version.
    Manager,
    /// The manager names the image that runs.
    Image,
    /// The entry has two slots (NVIDIA).
    Slots,
}

/// How one maker's BMC takes firmware.
#[derive(Debug, PartialEq, Eq)]
pub struct Pushing {
    /// `MultipartHttpPushUri`.
    pub uri: &'static str,
    /// A push without `If-Match` is refused with 428.
    pub tag: bool,
    /// Where the task is named.
    pub names: Names,
    /// Offers `StartUpdate`.
    pub start: bool,
    /// What it says of the largest image: nothing, null, or a number of bytes.
    pub most: Option<Option<u64>>,
    /// What makes the BMC's own firmware run.
    pub bmc: Activation,
    /// How banks are told apart.
    pub banks: Banks,
    /// Where jobs of updates stay when their tasks are gone, below the manager; a job has its task's name.
    pub jobs: Option<&'static str>,
    /// Names of its tasks: looking at an image, and writing it.
    pub tasks: (&'static str, &'static str),
    /// What must be in `UpdateParameters` of a strict service (RC-52), beside a JSON object: names of properties.
    pub strict: &'static [&'static str],
}

/// iDRAC: an empty `Oem` is a must, the BMC restarts by itself (libredfish `dell.rs:579`).
pub const DELL: Pushing = Pushing {
    uri: "/redfish/v1/UpdateService/MultipartUpload",
    tag: false,
    names: Names::Location,
    start: false,
    most: Some(None),
    bmc: Activation::Itself,
    banks: Banks::Manager,
    jobs: Some("Oem/Dell/Jobs"),
    tasks: ("Firmware Update: verify", "Firmware Update"),
    strict: &["Targets", "@Redfish.OperationApplyTime", "Oem"],
};

/// Supermicro X13: the task in a message, an image may wait for `StartUpdate` (bmclib `x12.go`).
pub const SUPERMICRO: Pushing = Pushing {
    uri: "/redfish/v1/UpdateService/upload",
    tag: false,
    names: Names::Arguments,
    start: true,
    most: None,
    bmc: Activation::Itself,
    banks: Banks::Image,
    jobs: None,
    tasks: ("BMC Verify", "BMC Update"),
    strict: &["Targets", "@Redfish.OperationApplyTime"],
};

/// DGX under AMI: `If-Match: *`, and the BMC waits for its restart (libredfish `nvidia_viking.rs`).
pub const AMI: Pushing = Pushing {
    uri: "/redfish/v1/UpdateService/upload",
    tag: true,
    names: Names::Body,
    start: false,
    most: Some(Some(419_627_008)),
    bmc: Activation::Bmc,
    banks: Banks::Slots,
    jobs: None,
    tasks: ("Update", "Update"),
    strict: &[],
};

/// What a machine of this maker is built with, beside its accelerators.
#[must_use]
pub fn items(profile: &VendorProfile) -> Vec<Item> {
    let mut items = vec![
        Item::new("BMC", profile.bmc_version, profile.pushing.bmc),
        Item::new("BIOS", profile.bios_version, Activation::Node),
        Item::new("CPLD", "0.2.1.6", Activation::Node),
        Item::new("PSU_1", "00.1D.7D", Activation::Live),
    ];
    if profile.pushing.banks == Banks::Image {
        // What the board falls back to; never updated.
        items.push(Item::new(GOLDEN, profile.bmc_version, Activation::Bmc));
    }
    items
}

/// The entry of the image that a board falls back to.
pub const GOLDEN: &str = "Golden_BMC";

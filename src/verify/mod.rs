//! The gate's thought: what to ask each accelerator and how to judge the answer. Pure: it never runs anything.
//!
//! [`probes`] lists the questions of a [`Suite`](crate::model::Suite); somebody with a shell asks them; [`judge`] turns the [`Answers`] into a
//! [`Judged`] and, when the node may work, into an [`Admission`], the only key that a pool takes.
//!
//! Rules that hold for every vendor:
//!
//! * A missing tool, an answer that cannot be read, a missing counter, `[N/A]`, a deadline or a count that is not established is
//!   `inconclusive`, and inconclusive is not admissible unless the policy tolerates that check by name until a day that has not passed.
//! * The number of accelerators is a matter of three witnesses: the PCI bus, the vendor's tool and the purchase. Each one that is missing
//!   is listed as an accelerator of its own, with the verdict `quarantine`.
//! * A check that the policy does not ask for is not made, except for what a device says of its own failure (a failed remap, a wanted reset):
//!   that is always heard.
//! * `reject` is for the wrong part and for a part that has failed for good; `quarantine` for what repair, reset or retest may mend.

mod cabling;
mod check;
mod count;
mod device;
mod furiosa;
mod gate;
mod homogeneous;
mod identity;
mod json;
mod link;
mod nvidia;
mod nvidia_memory;
mod nvidia_xml;
mod nvlink;
mod pci;
mod plain;
mod read;
mod rebellions;
mod rules;
mod serials;
mod tolerate;
mod vendor;
mod version;

pub use check::CHECKS;
pub use gate::{Admission, Answers, Judged, judge, probes};
pub use pci::SCRIPT as PCI_SCRIPT;
pub use version::{VersionRule, VersionRuleError, compare as compare_versions};

//! What the gate needs from a vendor: what to ask, how to read the answer. A new vendor is a new file with this trait and one line in `of`.

use super::Answers;
use super::link::Link;
use super::pci::{Bdf, PciDevice};
use crate::model::{AcceleratorKind, Finding, Probe, Reading, Suite};

/// One accelerator (card) as heard.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// Name, such as `gpu3`.
    pub(super) name: String,
    /// Serial number.
    pub(super) serial: Reading<String>,
    /// PCI addresses: one, or several for a card of several devices. Empty when not known.
    pub(super) pci: Vec<Bdf>,
    /// Model as the device names itself.
    pub(super) model: Reading<String>,
    /// Driver version.
    pub(super) driver: Reading<String>,
    /// Firmware or VBIOS version.
    pub(super) firmware: Reading<String>,
    /// Hottest core sensor in degrees Celsius.
    pub(super) temperature_c: Reading<f64>,
    /// The device's link as the vendor's tool tells it, if it tells.
    pub(super) link: Option<Link>,
    /// What only this vendor knows, judged already.
    pub(super) findings: Vec<Finding>,
}

/// What the vendor's tool said about the node.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Findings on the node: the tool itself.
    pub(super) findings: Vec<Finding>,
    /// Accelerators; `None` when the tool did not establish them.
    pub(super) devices: Option<Vec<Seen>>,
}

/// A vendor family.
pub(super) trait Vendor: Sync {
    /// Probes beside the PCI listing and the identity.
    fn probes(&self, suite: &Suite) -> Vec<Probe>;
    /// PCI vendor id.
    fn pci_vendor(&self, suite: &Suite) -> Result<u16, String>;
    /// True for a PCI device that is an accelerator and not its audio function or a switch.
    fn is_accelerator(&self, suite: &Suite, device: &PciDevice) -> bool;
    /// Kernel drivers that may be bound; empty judges only that one is bound; `None` judges nothing.
    fn drivers(&self) -> Option<&'static [&'static str]>;
    /// Reads the answers. `pci` holds the accelerators on the bus, when they could be listed.
    fn hear(&self, suite: &Suite, answers: &Answers, pci: Option<&[PciDevice]>) -> Heard;
    /// An accelerator of which the vendor's tool says nothing: every reading unknown for this reason, every required vendor check judged so.
    fn unheard(&self, suite: &Suite, name: String, pci: Vec<Bdf>, why: &str) -> Seen;
    /// True when the model that was seen is the one that was bought.
    fn same_model(&self, bought: &str, seen: &str) -> bool;
    /// PCI devices that one bought card consists of.
    fn parts(&self, _suite: &Suite) -> u32 {
        1
    }
    /// False where no source for the version exists at all, so that only a policy that names versions makes it a check.
    fn tells_versions(&self) -> Versions;
}

/// Which versions a vendor's sources tell. What is told is required even when the policy allows any version.
#[derive(Debug, Clone, Copy)]
pub(super) struct Versions {
    pub(super) driver: bool,
    pub(super) firmware: bool,
    pub(super) model: bool,
}

/// The vendor of a kind.
pub(super) fn of(kind: AcceleratorKind) -> &'static dyn Vendor {
    match kind {
        AcceleratorKind::Nvidia => &super::nvidia::Nvidia,
        AcceleratorKind::Furiosa => &super::furiosa::Furiosa,
        AcceleratorKind::Rebellions => &super::rebellions::Rebellions,
        AcceleratorKind::Pci => &super::plain::Plain,
    }
}

impl Seen {
    /// A device of which nothing is known for one reason.
    pub(super) fn silent(name: String, pci: Vec<Bdf>, why: &str) -> Self {
        Self {
            name,
            serial: Reading::unknown(why),
            pci,
            model: Reading::unknown(why),
            driver: Reading::unknown(why),
            firmware: Reading::unknown(why),
            temperature_c: Reading::unknown(why),
            link: None,
            findings: Vec::new(),
        }
    }
}

/// True when `bought`'s words follow one another among the words of `seen`, without case: `H100` in `NVIDIA H100 80GB HBM3`, but `B200` not
/// in `NVIDIA GB200`.
pub(super) fn words_within(bought: &str, seen: &str) -> bool {
    let words = |s: &str| -> Vec<String> {
        s.split(|c: char| !(c.is_alphanumeric() || c == '+')).filter(|w| !w.is_empty()).map(str::to_lowercase).collect()
    };
    let (bought, seen) = (words(bought), words(seen));
    !bought.is_empty() && seen.windows(bought.len()).any(|window| window == bought)
}

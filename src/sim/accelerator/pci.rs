//! What `/sys/bus/pci/devices` would tell, printed in the format of the gate's probe `bringup-pci 1`: one `dev` line per device of a vendor.

use std::fmt::Write as _;

use super::Card;
use crate::model::AcceleratorKind;

/// PCI vendor, device, class and devices per card. The device ids of ATOM-Max and of the plain accelerator are inventions of this file.
fn numbers(kind: AcceleratorKind) -> (&'static str, &'static str, &'static str, u32) {
    match kind {
        AcceleratorKind::Nvidia => ("10de", "2330", "0x030200", 1),
        AcceleratorKind::Furiosa => ("1ed2", "0001", "0x120000", 1),
        AcceleratorKind::Rebellions => ("1eff", "1250", "0x120000", 4),
        AcceleratorKind::Pci => ("209f", "0000", "0x120000", 1),
    }
}

/// `vendor:device` of a kind, as an inventory writes it.
#[must_use]
pub fn id(kind: AcceleratorKind) -> String {
    let (vendor, device, ..) = numbers(kind);
    format!("{vendor}:{device}")
}

/// The listing for one vendor id, such as `0x10de`; `bound` is the driver that holds the devices.
#[must_use]
pub fn listing(kind: AcceleratorKind, cards: &[Card], vendor: &str, bound: Option<&str>) -> String {
    let (own, device, class, per_card) = numbers(kind);
    let mut text = String::from("bringup-pci 1\n");
    let mut count = 0u32;
    if vendor.trim_start_matches("0x").eq_ignore_ascii_case(own) {
        for card in cards.iter().filter(|c| !c.missing) {
            for part in 0..per_card {
                let (bus, numa, width) = (card.bus + part, card.slot / 4, card.width);
                let driver = bound.unwrap_or("-");
                // A write to a String cannot fail.
                let _ = writeln!(
                    text,
                    "dev bdf=0000:{bus:02x}:00.0 id={own}:{device} class={class} numa={numa} speed=32.0 max_speed=32.0 width={width} \
                     max_width=16 up_speed=32.0 up_max_speed=32.0 up_width={width} up_max_width=16 fatal=0 nonfatal=0 correctable=0 \
                     driver={driver} vf=0"
                );
                count += 1;
            }
        }
    }
    let _ = writeln!(text, "end {count}");
    text
}

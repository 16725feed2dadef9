//! HPM.1 image files around simulated firmware, written out by hand from the format and not by the product's code.

use bringup::sim::Image;
use md5::{Digest as _, Md5};

/// One image file for one or more components.
#[derive(Clone)]
pub struct HpmFile {
    pub device: u8,
    pub maker: u32,
    pub product: u16,
    /// Oldest firmware of the controller that may be upgraded: major, minor in BCD.
    pub earliest: [u8; 2],
    /// Number of the component, version, firmware.
    pub parts: Vec<(u8, [u8; 6], Vec<u8>)>,
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)).wrapping_neg()
}

impl HpmFile {
    /// For a simulated BMC of this vendor: firmware of one component, `version` being two numbers such as `99.01`.
    pub fn of(vendor: &str, component: &str, version: &str, len: usize) -> Self {
        let maker = match vendor {
            "dell" => 674,
            "supermicro" => 10876,
            _ => 5703,
        };
        let number = ["BMC", "BIOS", "CPLD", "PSU_1"].iter().position(|name| *name == component).unwrap();
        let (major, minor) = version.split_once('.').unwrap();
        let bytes = [major.parse().unwrap(), u8::from_str_radix(minor, 16).unwrap(), 0, 0, 0, 0];
        let firmware = Image { component: component.to_owned(), version: version.to_owned() }.bytes(len);
        Self {
            device: 0x20,
            maker,
            product: 0x0100,
            earliest: [0, 0],
            parts: vec![(u8::try_from(number).unwrap(), bytes, firmware)],
        }
    }

    /// The file: each component is prepared, then uploaded.
    pub fn bytes(&self) -> Vec<u8> {
        let mask = self.parts.iter().fold(0_u8, |mask, (number, ..)| mask | (1 << number));
        let mut out = b"PICMGFWU\0".to_vec();
        out.push(self.device);
        out.extend(&self.maker.to_le_bytes()[..3]);
        out.extend(self.product.to_le_bytes());
        // The time of its making; no image capabilities; three times in steps of 5 s.
        out.extend([0x00, 0x00, 0x00, 0x60, 0x00, mask, 2, 2, 60]);
        out.extend(self.earliest);
        out.extend(self.parts.first().map_or([0; 6], |(_, version, _)| *version));
        out.extend([0, 0]);
        out.push(sum(&out));
        out.extend([1, mask, sum(&[1, mask])]);
        for (number, version, firmware) in &self.parts {
            let bit = 1 << number;
            out.extend([2, bit, sum(&[2, bit])]);
            out.extend(version);
            let mut text = b"simulated firmware".to_vec();
            text.resize(21, 0);
            out.extend(text);
            out.extend(u32::try_from(firmware.len()).unwrap().to_le_bytes());
            out.extend(firmware);
        }
        out.extend(Md5::digest(&out).as_slice());
        out
    }
}

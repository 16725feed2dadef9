//! PCI devices by sysfs, with no vendor tool: how many, how wide their links are, what AER counted. It reads text; it never runs anything.
//!
//! The probe `pci` is `["sh", "-c", SCRIPT, "bringup-pci", "0x10de", "/sys"]`: one constant script, the PCI vendor id and the root of sysfs.
//! It prints one header, one line per PCI device of that vendor and one footer, and nothing else:
//!
//! ```text
//! bringup-pci 1
//! dev bdf=0000:53:00.0 id=10de:2330 class=0x030200 numa=0 speed=32.0 max_speed=32.0 width=16 max_width=16 up_speed=32.0 up_max_speed=32.0 up_width=16 up_max_width=16 fatal=0 nonfatal=0 correctable=0 driver=nvidia vf=0
//! end 1
//! ```
//!
//! `speed` is in GT/s as sysfs prints it (`current_link_speed`), `width` in lanes; `up_…` is the bridge above (the slot). `fatal`, `nonfatal` and
//! `correctable` are the `TOTAL_ERR_…` lines of `aer_dev_*` (Documentation/ABI/testing/sysfs-bus-pci-devices-aer_stats). `-` means that the
//! file is not there; for `driver` it means that none is bound. `vf=1` marks an SR-IOV virtual function, which is not a card.
//! The number after `end` must equal the number of `dev` lines: a cut answer is not an answer.

use super::link::{Link, generation};
use super::read::shown;
use crate::model::{Answer, Probe, Reading};

/// Name of the probe.
pub(super) const PROBE: &str = "pci";

/// Most devices of one vendor in one node; more is not a node that anybody sells.
const MAX_DEVICES: usize = 256;

/// What runs on the node. POSIX shell with built-ins only, since a rescue image may hold nothing else.
pub const SCRIPT: &str = r#"
r=$2/bus/pci/devices
[ -d "$r" ] || { echo "no $r" >&2; exit 3; }
g() { x=-; [ -r "$1" ] && read -r x <"$1"; x=${x%% *}; [ -n "$x" ] || x=-; }
t() { x=-; [ -r "$1" ] && while read -r k v; do case $k in TOTAL_*) x=$v ;; esac; done <"$1"; }
n=0
echo "bringup-pci 1"
for d in "$r"/*; do
  g "$d/vendor"; [ "$x" = "$1" ] || continue
  o="dev bdf=${d##*/} id=${x#0x}"
  g "$d/device"; o="$o:${x#0x}"
  g "$d/class"; o="$o class=$x"
  g "$d/numa_node"; o="$o numa=$x"
  g "$d/current_link_speed"; o="$o speed=$x"
  g "$d/max_link_speed"; o="$o max_speed=$x"
  g "$d/current_link_width"; o="$o width=$x"
  g "$d/max_link_width"; o="$o max_width=$x"
  u=$(cd -P "$d" && pwd -P); u=${u%/*}
  g "$u/current_link_speed"; o="$o up_speed=$x"
  g "$u/max_link_speed"; o="$o up_max_speed=$x"
  g "$u/current_link_width"; o="$o up_width=$x"
  g "$u/max_link_width"; o="$o up_max_width=$x"
  t "$d/aer_dev_fatal"; o="$o fatal=$x"
  t "$d/aer_dev_nonfatal"; o="$o nonfatal=$x"
  t "$d/aer_dev_correctable"; o="$o correctable=$x"
  x=-; [ -e "$d/driver" ] && { x=$(cd -P "$d/driver" && pwd -P); x=${x##*/}; }
  o="$o driver=$x"
  x=0; [ -e "$d/physfn" ] && x=1
  echo "$o vf=$x"
  n=$((n + 1))
done
echo "end $n"
"#;

/// A PCI address: domain, bus, device, function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Bdf(u32, u8, u8, u8);

impl Bdf {
    /// Reads `0000:53:00.0`, also with the eight-digit domain and the capitals of `nvidia-smi`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (rest, function) = text.trim().rsplit_once('.')?;
        let mut parts = rest.split(':');
        let (domain, bus, device) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || [domain, bus, device, function].iter().any(|p| p.is_empty() || p.contains('+')) {
            return None;
        }
        let byte = |s: &str| u8::from_str_radix(s, 16).ok();
        let address = Self(u32::from_str_radix(domain, 16).ok()?, byte(bus)?, byte(device)?, byte(function)?);
        (address.2 < 32 && address.3 < 8).then_some(address)
    }
}

impl std::fmt::Display for Bdf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{}", self.0, self.1, self.2, self.3)
    }
}

/// One PCI device as sysfs shows it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PciDevice {
    pub(super) bdf: Bdf,
    /// `vendor:device`, lower case.
    pub(super) id: String,
    /// Class code, 24 bits.
    pub(super) class: u32,
    /// The device's own link.
    pub(super) link: Link,
    /// The port above it; `Absent` where there is none.
    pub(super) slot: Link,
    pub(super) fatal: Reading<u64>,
    pub(super) nonfatal: Reading<u64>,
    pub(super) correctable: Reading<u64>,
    /// Kernel driver; `Absent` when none is bound.
    pub(super) driver: Reading<String>,
    pub(super) virtual_function: bool,
}

/// The probe for one PCI vendor.
pub(super) fn probe(vendor: u16) -> Probe {
    Probe::new(PROBE, ["sh", "-c", SCRIPT, "bringup-pci", &format!("0x{vendor:04x}"), "/sys"]).within(30)
}

/// All devices of the answer, or why the answer does not establish them.
pub(super) fn parse(answer: Option<&Answer>, vendor: u16) -> Result<Vec<PciDevice>, String> {
    let text = super::read::output("the PCI listing", answer)?;
    let mut lines = text.lines();
    if lines.next() != Some("bringup-pci 1") {
        return Err(format!("the PCI listing begins with `{}`", shown(text.lines().next().unwrap_or(""))));
    }
    let mut devices = Vec::new();
    for line in lines.by_ref() {
        if let Some(count) = line.strip_prefix("end ") {
            return match count.parse::<usize>() {
                Ok(count) if count == devices.len() => Ok(devices),
                _ => Err(format!("the PCI listing counts {} but lists {}", shown(count), devices.len())),
            };
        }
        if devices.len() == MAX_DEVICES {
            return Err(format!("the PCI listing has more than {MAX_DEVICES} devices"));
        }
        let device = device(line).ok_or_else(|| format!("the PCI listing has an unreadable line `{}`", shown(line)))?;
        if !device.id.starts_with(&format!("{vendor:04x}:")) {
            return Err(format!("the PCI listing has {} though only vendor {vendor:04x} was asked for", shown(&device.id)));
        }
        if devices.iter().any(|other: &PciDevice| other.bdf == device.bdf) {
            return Err(format!("the PCI listing has {} twice", device.bdf));
        }
        devices.push(device);
    }
    Err("the PCI listing was cut off".to_owned())
}

fn device(line: &str) -> Option<PciDevice> {
    let mut words = line.split(' ');
    if words.next() != Some("dev") {
        return None;
    }
    let pairs = words.map(|word| word.split_once('=')).collect::<Option<Vec<_>>>()?;
    let get = |key: &str| pairs.iter().find(|(k, _)| *k == key).map(|(_, v)| *v);
    let speed = |key: &str| of(key, get(key), |v| generation(v.parse().ok()?));
    let lanes = |key: &str| of(key, get(key), |v| v.parse::<u8>().ok().filter(|w| (1..=32).contains(w)));
    let count = |key: &str| of(key, get(key), |v| v.parse::<u64>().ok());
    let id = get("id")?.to_ascii_lowercase();
    let hex4 = |s: &str| s.len() == 4 && s.bytes().all(|b| b.is_ascii_hexdigit());
    if !id.split_once(':').is_some_and(|(v, d)| hex4(v) && hex4(d)) {
        return None;
    }
    Some(PciDevice {
        bdf: Bdf::parse(get("bdf")?)?,
        id,
        class: u32::from_str_radix(get("class")?.strip_prefix("0x")?, 16).ok()?,
        link: Link {
            generation: speed("speed"),
            generation_max: speed("max_speed"),
            width: lanes("width"),
            width_max: lanes("max_width"),
        },
        slot: Link {
            generation: speed("up_speed"),
            generation_max: speed("up_max_speed"),
            width: lanes("up_width"),
            width_max: lanes("up_max_width"),
        },
        fatal: count("fatal"),
        nonfatal: count("nonfatal"),
        correctable: count("correctable"),
        driver: of("driver", get("driver"), |v| Some(shown(v))),
        // A line without the word does not establish that this is a whole card, but a missing card is found by the count.
        virtual_function: get("vf") == Some("1"),
    })
}

fn of<T>(key: &str, value: Option<&str>, read: impl Fn(&str) -> Option<T>) -> Reading<T> {
    match value {
        None => Reading::unknown(format!("the PCI listing does not say `{key}`")),
        Some("-") => Reading::Absent,
        Some(text) => {
            read(text).map_or_else(|| Reading::unknown(format!("sysfs says `{}` for `{key}`", shown(text))), Reading::Known)
        }
    }
}

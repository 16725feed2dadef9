//! Which cable goes where: what is written of it, and what a machine heard of it by LLDP (IEEE 802.1AB).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Mac, NodeId, Reading};

/// The name under which an inventory writes the interface that boots: the one with the boot MAC.
pub const BOOT_INTERFACE: &str = "boot";

/// Where a cable is to end: a port of a switch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Plug {
    /// The switch, as LLDP names it: system name (with or without its domain), chassis id or management address.
    pub switch: String,
    /// The port, as LLDP names it: port id or port description.
    pub port: String,
}

impl Plug {
    /// The same text for every way to write the same plug: names of switches and ports differ in case between a switch's own files.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}\n{}", self.switch.to_ascii_lowercase(), self.port.to_ascii_lowercase())
    }

    /// True when this is the port that a neighbour says it is. A switch that is written without a domain fits its full name.
    #[must_use]
    pub fn fits(&self, heard: &Neighbour) -> bool {
        let same = |said: &str| said.eq_ignore_ascii_case(&self.switch);
        let first_label = |name: &str| name.split('.').next().is_some_and(same);
        let name = heard.system_name.as_deref();
        let switch = same(&heard.chassis)
            || name.is_some_and(|name| same(name) || first_label(name))
            || heard.management_address.as_deref().is_some_and(same);
        switch && heard.ports().any(|port| port.eq_ignore_ascii_case(&self.port))
    }
}

impl fmt::Display for Plug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} port {}", self.switch, self.port)
    }
}

/// A neighbour on a cable, as it names itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Chassis id.
    pub chassis: String,
    /// Port id.
    pub port: String,
    /// Port description.
    #[serde(default)]
    pub port_description: Option<String>,
    /// System name.
    #[serde(default)]
    pub system_name: Option<String>,
    /// Management address.
    #[serde(default)]
    pub management_address: Option<String>,
}

impl Neighbour {
    /// The names of its port.
    pub fn ports(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.port.as_str()).chain(self.port_description.as_deref())
    }
}

impl fmt::Display for Neighbour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} port {}", self.system_name.as_deref().unwrap_or(&self.chassis), self.port)
    }
}

/// An interface of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    /// Name that its kernel gave it.
    pub name: String,
    /// Its hardware address.
    pub mac: Reading<String>,
    /// Its PCI address.
    pub pci: Reading<String>,
    /// `up` or `down`.
    pub link: Reading<String>,
    /// Who speaks LLDP at the other end.
    pub lldp: Reading<Vec<Neighbour>>,
}

impl Nic {
    /// True when it has this hardware address.
    #[must_use]
    pub fn has(&self, mac: Mac) -> bool {
        self.mac.known().and_then(|said| said.parse().ok()) == Some(mac)
    }

    /// The one neighbour that is heard on it, or why that cannot be said.
    ///
    /// # Errors
    /// No link, silence, or several neighbours: none of them is guessed.
    pub fn neighbour(&self) -> Result<&Neighbour, String> {
        if self.link.known().is_some_and(|link| link == "down") {
            return Err(format!("{} has no link", self.name));
        }
        let heard = match &self.lldp {
            Reading::Known(heard) => heard,
            Reading::Absent => return Err(format!("{} hears no LLDP", self.name)),
            Reading::Unknown { why } => return Err(why.clone()),
        };
        match heard.as_slice() {
            [only] => Ok(only),
            [] => Err(format!("{} hears no LLDP", self.name)),
            [one, two, ..] => Err(format!("{} neighbours are heard on {}: {one}, {two} …", heard.len(), self.name)),
        }
    }
}

/// What the bring-up ramdisk's `bringup-report` says of its machine, as far as identity and cabling need it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineReport {
    /// 1.
    pub format_version: u32,
    /// Who it is.
    pub system: SystemName,
    /// Its interfaces.
    pub nics: Vec<Nic>,
}

/// What SMBIOS says of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemName {
    /// Serial number.
    pub serial: Reading<String>,
    /// UUID.
    pub uuid: Reading<String>,
}

impl MachineReport {
    /// Reads a report.
    ///
    /// # Errors
    /// It is no such JSON document, or of a later format.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let report: Self = serde_json::from_slice(bytes).map_err(|e| format!("its report cannot be read: {e}"))?;
        match report.format_version {
            1 => Ok(report),
            other => Err(format!("its report has format {other}; this version reads format 1")),
        }
    }
}

/// The interface that an inventory names: [`BOOT_INTERFACE`], a MAC address, a PCI address, or the kernel's name.
///
/// # Errors
/// No interface is that one, or the boot MAC is not recorded.
pub fn find_nic<'r>(nics: &'r [Nic], interface: &str, boot_mac: Option<Mac>) -> Result<&'r Nic, String> {
    let by_mac = |mac: Mac| nics.iter().find(|nic| nic.has(mac));
    let found = match (interface, interface.parse::<Mac>()) {
        (BOOT_INTERFACE, _) => by_mac(boot_mac.ok_or("the facts hold no boot MAC for it")?),
        (_, Ok(mac)) => by_mac(mac),
        (name, Err(_)) => nics.iter().find(|nic| nic.name == name || nic.pci.known().is_some_and(|pci| pci == name)),
    };
    found.ok_or_else(|| match (interface, boot_mac) {
        (BOOT_INTERFACE, Some(mac)) => format!("the machine has no interface with its boot MAC {mac}"),
        _ => format!("the machine has no interface {interface}"),
    })
}

/// The form in which two SMBIOS UUIDs are compared. Before SMBIOS 2.6 the byte order of the first three fields was open, and BMCs and kernels
/// disagree to this day (DSP0134 §7.2.1): both orders of one UUID give the same form.
#[must_use]
pub fn uuid_key(uuid: &str) -> String {
    let plain: String = uuid.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
    let turned = |range: std::ops::Range<usize>| {
        let field = plain.get(range).unwrap_or_default();
        field.as_bytes().rchunks(2).flat_map(|pair| pair.iter().map(|b| char::from(*b))).collect::<String>()
    };
    if plain.len() != 32 || !plain.is_ascii() {
        return plain;
    }
    let other = format!("{}{}{}{}", turned(0..8), turned(8..12), turned(12..16), plain.get(16..).unwrap_or_default());
    plain.min(other)
}

/// A place in the files where something is written of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cell {
    /// A column of the node's row of facts.
    Fact {
        /// Node.
        node: NodeId,
        /// Column.
        column: &'static str,
    },
    /// Switch and port of one of its cables.
    Cable {
        /// Node.
        node: NodeId,
        /// Interface.
        interface: String,
    },
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fact { node, column } => write!(f, "`{column}` of {node}"),
            Self::Cable { node, interface } => write!(f, "the cable {interface} of {node}"),
        }
    }
}

/// What is written at one place belongs at another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct CellMove {
    /// Where it belongs.
    pub to: Cell,
    /// Where it is written.
    pub from: Cell,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn neighbour() -> Neighbour {
        Neighbour {
            chassis: "02:00:00:00:ab:cd".to_owned(),
            port: "swp7s0".to_owned(),
            port_description: Some("Ethernet1/7".to_owned()),
            system_name: Some("leaf-a017.dc.example".to_owned()),
            management_address: Some("10.0.0.1".to_owned()),
        }
    }

    #[test]
    fn a_plug_fits_by_every_name_of_switch_and_port_and_by_no_other() {
        for switch in ["leaf-a017", "LEAF-A017.dc.example", "02:00:00:00:AB:CD", "10.0.0.1"] {
            for port in ["swp7s0", "SWP7S0", "ethernet1/7"] {
                assert!(Plug { switch: switch.to_owned(), port: port.to_owned() }.fits(&neighbour()), "{switch} {port}");
            }
        }
        for (switch, port) in
            [("leaf", "swp7s0"), ("dc.example", "swp7s0"), ("leaf-a017", "swp7"), ("leaf-a018", "swp7s0"), ("", "")]
        {
            assert!(!Plug { switch: switch.to_owned(), port: port.to_owned() }.fits(&neighbour()), "{switch} {port}");
        }
    }

    #[test]
    fn a_uuid_is_the_same_in_both_byte_orders_and_no_other() {
        let key = uuid_key("00112233-4455-6677-8899-AABBCCDDEEFF");
        assert_eq!(key, uuid_key("33221100-5544-7766-8899-aabbccddeeff"));
        assert_ne!(key, uuid_key("33221100-5544-7766-9988-aabbccddeeff"));
        assert_eq!(uuid_key("é"), "é");
    }

    #[test]
    fn of_several_neighbours_none_is_guessed() {
        let nic = |lldp: Reading<Vec<Neighbour>>, link: &str| Nic {
            name: "eth1".to_owned(),
            mac: Reading::Known("02:00:00:00:00:01".to_owned()),
            pci: Reading::Absent,
            link: Reading::Known(link.to_owned()),
            lldp,
        };
        assert_eq!(nic(Reading::Known(vec![neighbour()]), "up").neighbour(), Ok(&neighbour()));
        assert!(nic(Reading::Known(vec![neighbour(), neighbour()]), "up").neighbour().unwrap_err().starts_with("2 neighbours"));
        assert!(nic(Reading::Known(vec![neighbour()]), "down").neighbour().unwrap_err().contains("no link"));
        for silent in [Reading::Known(vec![]), Reading::Absent, Reading::unknown("nothing was heard in 3 s")] {
            assert!(nic(silent, "up").neighbour().is_err());
        }
    }
}

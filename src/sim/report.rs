//! What `bringup-report` prints on a simulated machine that netbooted: who it is, and which ports of which switches its two interfaces hear. The
//! format is that of the bring-up ramdisk (`src/image/inside/report.pl`), written here a second time.

use serde_json::{Value, json};

use super::fault::Fault;
use super::identity::Identity;

/// A cable: interface as the inventory names it, the kernel's name, switch and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cable {
    /// As an inventory names it.
    pub interface: &'static str,
    /// As the kernel names it.
    pub nic: &'static str,
    /// System name of the switch.
    pub switch: String,
    /// Port of the switch.
    pub port: String,
}

/// The cables of a machine as they were laid: slot N is in port N of the rack's two switches.
#[must_use]
pub fn cables(id: &Identity) -> [Cable; 2] {
    let cable = |interface, nic, switch: &str| Cable {
        interface,
        nic,
        switch: format!("{switch}-{}", id.rack),
        port: format!("swp{}", id.slot),
    };
    [cable("boot", "eth0", "leaf"), cable("eth1", "eth1", "rail")]
}

/// The report. [`Fault::LldpPort`] has the first cable in another port, under [`Fault::LldpSilent`] nobody is heard.
#[must_use]
pub fn report(id: &Identity, faults: &[Fault]) -> Value {
    let other = faults.iter().find_map(|fault| if let Fault::LldpPort(port) = fault { Some(*port) } else { None });
    let known = |value: Value| json!({ "known": value });
    let nic = |cable: &Cable| {
        let boots = cable.interface == "boot";
        let port = other.filter(|_| boots).map_or_else(|| cable.port.clone(), |port| format!("swp{port}"));
        let heard =
            json!([{ "chassis": "02:00:00:00:ab:cd", "port": port, "system_name": format!("{}.dc.example", cable.switch) }]);
        let lldp = if faults.contains(&Fault::LldpSilent) {
            json!({ "unknown": { "why": "nothing was heard in 35 s" } })
        } else {
            known(heard)
        };
        let mac = if boots { id.boot_mac.to_string() } else { mac_of_the_second(id) };
        json!({
            "name": cable.nic, "mac": known(json!(mac)), "link": known(json!("up")), "speed_mbps": known(json!(100_000)),
            "pci": "absent", "driver": known(json!("mlx5_core")), "address": "absent", "lldp": lldp,
        })
    };
    json!({
        "format_version": 1, "uptime_s": 60, "kernel": known(json!("6.8.0-sim")), "grant": "absent",
        "system": {
            "vendor": known(json!(id.profile.manufacturer)), "product": known(json!(id.profile.model)),
            "serial": known(json!(id.serial)), "uuid": known(json!(id.uuid)),
        },
        "nics": cables(id).iter().map(nic).collect::<Vec<_>>(), "accelerators": [],
    })
}

fn mac_of_the_second(id: &Identity) -> String {
    let [b, c, d, e, f, ..] = id.seed.bytes(&format!("{}/second-mac", id.node));
    crate::model::Mac::from_octets([0x52, b, c, d, e, f]).to_string()
}

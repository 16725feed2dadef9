//! Virtual media in a plan: the address that the image is told, and who cannot boot that way.

use std::net::Ipv4Addr;

use bringup::model::{ActionSpec, Arch, BmcProtocol, BootMode, BootTarget, Lan, Node};
use bringup::planner::{Ask, Line, line};

use super::written::{inventory, off, playbook};

fn planned(image: &[&str], change: impl FnOnce(&mut Node)) -> Line {
    let (mut inventory, mut playbook) = (inventory(1, 1), playbook());
    if let Some(written) = &mut playbook.baseline.image {
        written.cmdline = image.iter().map(|word| (*word).to_owned()).collect();
    }
    let node = inventory.nodes.values_mut().next().unwrap();
    node.boot.method = BootTarget::Cd;
    node.boot.lan = Some(Lan {
        network: "10.1.0.0/16".parse().unwrap(),
        router: Some(Ipv4Addr::new(10, 1, 0, 254)),
        dns: [1, 2, 3].map(|n| Ipv4Addr::new(10, 1, 9, n)).to_vec(),
        lease_s: 600,
        next_server: None,
        reply_delay_s: 0,
    });
    change(node);
    line(&Ask { node, playbook: &playbook, observed: &off("SN00101"), in_pool: false })
}

fn cmdline(line: Line) -> Vec<String> {
    let Line::Walk(plan) = line else { panic!("no line: {line:?}") };
    let ActionSpec::Netboot { cmdline, method, .. } = plan.steps[0].action.clone() else { panic!("no netboot") };
    assert_eq!(method, BootTarget::Cd);
    cmdline
}

#[test]
fn the_image_is_told_its_address() {
    let told = cmdline(planned(&["quiet"], |_| {}));
    let want = "ip=10.1.1.1::10.1.0.254:255.255.0.0:a001-s01:52-54-00-00-00-01:off:10.1.9.1:10.1.9.2";
    assert_eq!(told, ["quiet", want], "the kernel takes two name servers");
    let without = cmdline(planned(&["quiet"], |node| node.boot.lan.as_mut().unwrap().router = None));
    assert!(without[1].starts_with("ip=10.1.1.1:::255.255.0.0:"), "{without:?}");
}

#[test]
fn an_image_that_says_its_own_address_or_a_network_with_dhcp_keeps_its_words() {
    assert_eq!(cmdline(planned(&["ip=dhcp"], |_| {})), ["ip=dhcp"]);
    assert_eq!(cmdline(planned(&["quiet"], |node| node.boot.lan = None)), ["quiet"]);
}

#[test]
fn who_cannot_boot_from_our_media_is_told_so() {
    let why = |change: fn(&mut Node)| match planned(&[], change) {
        Line::Blocked(blocked) => blocked.why,
        other => panic!("{other:?}"),
    };
    assert!(why(|node| node.bmc.protocol = BmcProtocol::Ipmi).contains("IPMI has no virtual media"));
    assert!(why(|node| node.boot.mode = BootMode::Legacy).contains("legacy"));
    assert!(why(|node| node.boot.arch = Arch::Aarch64).contains("aarch64"));
}

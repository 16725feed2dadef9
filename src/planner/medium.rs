//! What a node needs to boot from virtual media, and the address that its image is told where no DHCP server is.

use std::net::IpAddr;

use crate::model::{Arch, BmcProtocol, BootMode, BootTarget, Node};

/// The kernel arguments of a node: the image's, and for virtual media its address, unless the image says something of its own.
/// `ip=ADDRESS::ROUTER:MASK:HOST:MAC:off:DNS:DNS`, the kernel's own form (Documentation/admin-guide/nfs/nfsroot.rst), with the MAC address of the
/// interface that boots where the kernel has a name, which nobody knows yet.
pub(super) fn arguments(node: &Node, image: &[String]) -> Vec<String> {
    let mut arguments = image.to_vec();
    let says_itself = image.iter().any(|argument| argument.starts_with("ip="));
    if let (BootTarget::Cd, false, Some(lan), Some(mac), IpAddr::V4(ip)) =
        (node.boot.method, says_itself, &node.boot.lan, node.boot.mac, node.boot.ip)
    {
        let router = lan.router.map(|router| router.to_string()).unwrap_or_default();
        let (mask, mac) = (lan.network.mask(), mac.to_string().replace(':', "-"));
        let mut argument = format!("ip={ip}::{router}:{mask}:{}:{mac}:off", node.id);
        for server in lan.dns.iter().take(2) {
            argument.push_str(&format!(":{server}"));
        }
        arguments.push(argument);
    }
    arguments
}

/// Why a node cannot boot from virtual media, and what to do.
pub(super) fn obstacle(node: &Node) -> Option<(String, &'static str)> {
    if node.boot.method != BootTarget::Cd {
        return None;
    }
    let why = if node.bmc.protocol == BmcProtocol::Ipmi {
        "IPMI has no virtual media, and its BMC is driven by IPMI"
    } else if node.boot.mode == BootMode::Legacy {
        "our boot media start by UEFI, and its `boot.mode` is legacy"
    } else if node.boot.arch != Arch::X86_64 {
        "our boot media are for x86_64, and its `boot.arch` is another"
    } else {
        return None;
    };
    Some((why.to_owned(), "bringup show NODE --why boot.method"))
}

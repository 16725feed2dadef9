//! Seeded faults: what a simulated node does wrong. Names follow `reference/firmware.md` §5 where that table has the fault. This file only
//! names and parses them; each server asks its machine whether one applies.

mod bmc;

use std::fmt;
use std::str::FromStr;

pub use self::bmc::{BmcFault, Placed};
use super::seed::Seed;

/// One thing that is wrong with one node. Accelerator indices count from 0 in the vendor tool's order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The BMC answers nothing at all.
    DeadBmc,
    /// The BMC answers this many requests and then nothing.
    BmcDeadAfter(u32),
    /// A boot override is accepted and reads back as none (RC-60).
    BootIgnore,
    /// A boot override is accepted and reads back, but POST forgets it and boots the disk (RC-60).
    BootLost,
    /// Power changes show this many virtual seconds late (RC-57).
    PowerLag(u32),
    /// A graceful shutdown is accepted and nothing comes of it (IP-13).
    SoftIgnored,
    /// GPU with a remapped row waiting for a reset.
    GpuRemapPending(u32),
    /// GPU whose row remapping failed: no spare rows left.
    GpuRemapFailure(u32),
    /// GPU with uncorrectable memory errors.
    GpuEcc(u32),
    /// Accelerator that the bus does not show.
    Missing(u32),
    /// Accelerator that runs hot, in degrees Celsius.
    Hot(u32, u32),
    /// Accelerator whose PCIe link trained at this width.
    LinkWidth(u32, u32),
    /// Accelerator that is another one than the facts say.
    SwappedAccelerator(u32),
    /// BMC and system say another serial number than the facts do.
    WrongSerial,
    /// The system boots and SSH never comes up.
    SshNever,
    /// The boot ROM fetches this many files and then hangs.
    RomSilent(u32),
    /// A kernel from the network panics, and says so on the console.
    KernelPanic,
    /// The system that comes up cannot reach the boot server.
    NoFetch,
    /// The BMC answers 503 with `Retry-After` this many times (RC-47).
    Http503(u32),
    /// Every session slot is taken (RC-18).
    SessionFull,
    /// This many of a hundred datagrams are lost, in each direction (IP-01).
    UdpLoss(u32),
    /// Every answer of the IPMI service comes twice (IP-01).
    UdpDup,
    /// RAKP 2 carries a wrong authentication code (IP-06).
    RakpBadHmac,
    /// The IPMI service knows no cipher suite 17 (IP-04).
    NoSuite17,
    /// The BMC shows another certificate than the facts record (RC-01).
    WrongCert,
    /// The SSH host key is another one than the facts record.
    WrongHostKey,
    /// The cable of the interface that boots is in this port of its switch.
    LldpPort(u32),
    /// No switch is heard by LLDP.
    LldpSilent,
    /// The BMC's service does something wrong, from some request on.
    Bmc(Placed),
}

/// Why a fault could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown fault `{0}`; known are: dead-bmc, bmc-dead-after(N), boot.ignore, boot.lost, power.lag(S), power.soft-ignored, \
         gpu.remap-pending(I), gpu.remap-failure(I), gpu.ecc(I), gpu.missing(I), npu.missing(I), accelerator.hot(I,C), \
         accelerator.swapped(I), link.width(I,W), wrong-serial, rom.silent(N), kernel.panic, no-fetch, ssh.never, ssh.wrong-key, http.503(N), \
         session.full, wrong-cert, udp.loss(P), udp.dup, rakp.bad-hmac, ipmi.no-suite-17, lldp.port(N), lldp.silent, and the conformance rows' \
         names, such as body.truncate@17x1"
)]
pub struct FaultError(pub String);

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let bad = || FaultError(text.escape_debug().take(80).collect());
        if let Ok(placed) = text.parse() {
            return Ok(Self::Bmc(placed));
        }
        let (name, inner) = match text.strip_suffix(')') {
            Some(open) => open.split_once('(').ok_or_else(bad)?,
            None => (text, ""),
        };
        let mut numbers = Vec::new();
        for part in inner.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            numbers.push(part.parse::<u32>().map_err(|_| bad())?);
        }
        Ok(match (name, numbers.as_slice()) {
            ("dead-bmc", []) => Self::DeadBmc,
            ("bmc-dead-after", [n]) => Self::BmcDeadAfter(*n),
            ("boot.ignore", []) => Self::BootIgnore,
            ("boot.lost", []) => Self::BootLost,
            ("power.lag", [s]) => Self::PowerLag(*s),
            ("power.soft-ignored", []) => Self::SoftIgnored,
            ("gpu.remap-pending", [i]) => Self::GpuRemapPending(*i),
            ("gpu.remap-failure", [i]) => Self::GpuRemapFailure(*i),
            ("gpu.ecc", [i]) => Self::GpuEcc(*i),
            ("gpu.missing" | "npu.missing", [i]) => Self::Missing(*i),
            ("accelerator.hot", [i, c]) => Self::Hot(*i, *c),
            ("accelerator.swapped", [i]) => Self::SwappedAccelerator(*i),
            ("link.width", [i, w]) => Self::LinkWidth(*i, *w),
            ("wrong-serial", []) => Self::WrongSerial,
            ("ssh.never", []) => Self::SshNever,
            ("rom.silent", [n]) => Self::RomSilent(*n),
            ("kernel.panic", []) => Self::KernelPanic,
            ("no-fetch", []) => Self::NoFetch,
            ("ssh.wrong-key", []) => Self::WrongHostKey,
            ("http.503", [n]) => Self::Http503(*n),
            ("session.full", []) => Self::SessionFull,
            ("wrong-cert", []) => Self::WrongCert,
            ("udp.loss", [p]) if *p <= 100 => Self::UdpLoss(*p),
            ("udp.dup", []) => Self::UdpDup,
            ("rakp.bad-hmac", []) => Self::RakpBadHmac,
            ("ipmi.no-suite-17", []) => Self::NoSuite17,
            ("lldp.port", [n]) => Self::LldpPort(*n),
            ("lldp.silent", []) => Self::LldpSilent,
            _ => return Err(bad()),
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeadBmc => write!(f, "dead-bmc"),
            Self::BmcDeadAfter(n) => write!(f, "bmc-dead-after({n})"),
            Self::BootIgnore => write!(f, "boot.ignore"),
            Self::BootLost => write!(f, "boot.lost"),
            Self::PowerLag(s) => write!(f, "power.lag({s})"),
            Self::SoftIgnored => write!(f, "power.soft-ignored"),
            Self::GpuRemapPending(i) => write!(f, "gpu.remap-pending({i})"),
            Self::GpuRemapFailure(i) => write!(f, "gpu.remap-failure({i})"),
            Self::GpuEcc(i) => write!(f, "gpu.ecc({i})"),
            Self::Missing(i) => write!(f, "npu.missing({i})"),
            Self::Hot(i, c) => write!(f, "accelerator.hot({i},{c})"),
            Self::SwappedAccelerator(i) => write!(f, "accelerator.swapped({i})"),
            Self::LinkWidth(i, w) => write!(f, "link.width({i},{w})"),
            Self::WrongSerial => write!(f, "wrong-serial"),
            Self::SshNever => write!(f, "ssh.never"),
            Self::RomSilent(n) => write!(f, "rom.silent({n})"),
            Self::KernelPanic => write!(f, "kernel.panic"),
            Self::NoFetch => write!(f, "no-fetch"),
            Self::WrongHostKey => write!(f, "ssh.wrong-key"),
            Self::Http503(n) => write!(f, "http.503({n})"),
            Self::SessionFull => write!(f, "session.full"),
            Self::WrongCert => write!(f, "wrong-cert"),
            Self::UdpLoss(p) => write!(f, "udp.loss({p})"),
            Self::UdpDup => write!(f, "udp.dup"),
            Self::RakpBadHmac => write!(f, "rakp.bad-hmac"),
            Self::NoSuite17 => write!(f, "ipmi.no-suite-17"),
            Self::LldpPort(n) => write!(f, "lldp.port({n})"),
            Self::LldpSilent => write!(f, "lldp.silent"),
            Self::Bmc(placed) => placed.fmt(f),
        }
    }
}

/// Picks `count` different nodes out of `nodes` and gives each one fault; the same seed picks the same.
#[must_use]
pub fn from_seed(seed: Seed, nodes: &[String], count: usize) -> Vec<(String, Fault)> {
    let mut order: Vec<&String> = nodes.iter().collect();
    order.sort_by_key(|node| (seed.below(&format!("fault-order/{node}"), u64::MAX), (*node).clone()));
    order
        .into_iter()
        .take(count)
        .map(|node| {
            let which = |bound| u32::try_from(seed.below(&format!("fault-index/{node}"), bound)).unwrap_or(0);
            let fault = match seed.below(&format!("fault/{node}"), 9) {
                0 => Fault::DeadBmc,
                1 => Fault::BootIgnore,
                2 => Fault::BootLost,
                3 => Fault::GpuRemapPending(which(8)),
                4 => Fault::Missing(which(8)),
                5 => Fault::LinkWidth(which(8), 8),
                6 => Fault::WrongSerial,
                7 => Fault::SshNever,
                _ => Fault::WrongCert,
            };
            (node.clone(), fault)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_name_reads_back() {
        for text in [
            "dead-bmc",
            "bmc-dead-after(12)",
            "boot.ignore",
            "boot.lost",
            "power.lag(30)",
            "power.soft-ignored",
            "gpu.remap-pending(3)",
            "gpu.remap-failure(0)",
            "gpu.ecc(1)",
            "npu.missing(5)",
            "accelerator.hot(1,99)",
            "accelerator.swapped(2)",
            "link.width(4,8)",
            "wrong-serial",
            "ssh.never",
            "rom.silent(2)",
            "kernel.panic",
            "no-fetch",
            "ssh.wrong-key",
            "http.503(2)",
            "session.full",
            "wrong-cert",
            "udp.loss(30)",
            "udp.dup",
            "rakp.bad-hmac",
            "ipmi.no-suite-17",
            "lldp.port(3)",
            "lldp.silent",
        ] {
            assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
        }
        for text in ["", "dead", "link.width(1)", "gpu.ecc(x)", "http.503", "boot.ignore)", "gpu.ecc(-1)"] {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_seed_picks_the_same_nodes_and_faults() {
        let nodes: Vec<String> = (1..=16).map(|i| format!("a001-s{i:02}")).collect();
        assert_eq!(from_seed(Seed(7), &nodes, 4), from_seed(Seed(7), &nodes, 4));
        assert_ne!(from_seed(Seed(7), &nodes, 4), from_seed(Seed(8), &nodes, 4));
        let picked: std::collections::BTreeSet<String> = from_seed(Seed(7), &nodes, 4).into_iter().map(|(n, _)| n).collect();
        assert_eq!(picked.len(), 4, "different nodes");
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in ".{0,60}") {
            drop(text.parse::<Fault>());
        }
    }
}

//! The whole farm: the same seed gives the same farm, its files are what `spec` reads, and a node really boots from our kind of script.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use bringup::sim::{Farm, FarmSpec, Fault, Seed};

use super::site::{farm, spec};
use crate::support::wait_until;

fn lines(path: &std::path::Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

/// The facts without the addresses, whose port is whatever was free.
fn facts(dir: &std::path::Path) -> Vec<String> {
    lines(&dir.join("inventory/facts/nodes.csv")).iter().map(|l| l.rsplitn(3, ',').last().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_same_seed_gives_the_same_farm() {
    let (one, two, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (dir, seed) in [(&one, 7), (&two, 7), (&other, 8)] {
        let farm = Farm::start(FarmSpec::racks(2, 3, Seed(seed), true).unwrap()).await.unwrap();
        farm.write_inventory(dir.path(), "http://127.0.0.1:8088").unwrap();
        farm.stop().await;
    }
    assert_eq!(facts(one.path()), facts(two.path()), "serials, MACs, certificates and host keys");
    assert_eq!(facts(one.path()).len(), 7);
    assert_ne!(facts(one.path()), facts(other.path()));
    let faults = |seed| FarmSpec::racks(2, 8, Seed(seed), false).unwrap().seed_faults(4);
    assert_eq!(faults(7), faults(7));
    assert_eq!(faults(7).len(), 4);
}

#[tokio::test]
async fn the_facts_know_of_no_fault() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let faults: &[&str] = &[
        "a001-s01=wrong-serial",
        "a001-s01=wrong-cert",
        "a001-s01=ssh.wrong-key",
        "a001-s01=gpu.missing(1)",
        "a001-s01=accelerator.swapped(2)",
    ];
    for (dir, faults) in dirs.iter().zip([&[][..], faults]) {
        let farm = farm(1, 1, faults).await;
        farm.write_inventory(dir.path(), "http://127.0.0.1:8088").unwrap();
        farm.stop().await;
    }
    assert_eq!(facts(dirs[0].path()), facts(dirs[1].path()));
}

#[tokio::test]
async fn its_files_are_what_spec_reads() {
    let farm = Farm::start(FarmSpec::racks(2, 4, Seed(7), true).unwrap()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let written = farm.write_inventory(dir.path(), "http://127.0.0.1:8088").unwrap();
    let loaded = match bringup::spec::load_inventory(&written.inventory, "2026-11-22") {
        Ok(loaded) => loaded,
        Err(mistakes) => panic!("{mistakes:?}"),
    };
    let inventory = loaded.inventory;
    assert_eq!(inventory.nodes.len(), 8);
    for node in farm.nodes() {
        let id = node.machine.identity();
        let read = inventory.nodes.get(&id.node).unwrap();
        assert_eq!((read.bmc.address, read.ssh.address, read.bmc.protocol), (node.bmc, node.ssh, node.protocol));
        assert_eq!(read.serial.as_deref(), Some(id.serial.as_str()));
        assert_eq!(read.accelerator.kind, id.fitted.kind);
        assert_eq!(read.accelerator_serials.len(), 8);
        assert_eq!(read.ssh.host_keys.iter().collect::<Vec<_>>(), [&node.host_key]);
        assert_eq!(read.boot.ip, node.ssh.ip());
    }
    let playbook = match bringup::spec::load_playbook(&written.playbook, "2026-11-22") {
        Ok(playbook) => playbook,
        Err(mistakes) => panic!("{mistakes:?}"),
    };
    assert!(!playbook.check_artifacts().refused(), "digests are true");
    for node in inventory.nodes.values() {
        assert!(playbook.playbook.policies.contains_key(&node.verify));
        assert!(playbook.playbook.stacks.contains_key(node.stack.as_ref().unwrap()));
    }
    for secret in [&written.ssh_key, &written.bmc_password] {
        assert_eq!(std::fs::metadata(secret).unwrap().permissions().mode() & 0o777, 0o600);
    }
    farm.stop().await;
}

#[tokio::test]
async fn wrong_numbers_and_names_are_refused() {
    assert!(FarmSpec::racks(0, 1, Seed(1), false).is_err());
    assert!(FarmSpec::racks(1, 251, Seed(1), false).is_err());
    assert!(FarmSpec::racks(201, 1, Seed(1), false).is_err());
    let mut spec = spec(1, 1, &[]);
    let error = spec.fault("a009-s01", Fault::DeadBmc).unwrap_err();
    assert_eq!(error.to_string(), "there is no simulated node `a009-s01`");
}

/// The sockets of this process that listen at these addresses, by inode: another test may listen there as soon as a farm is gone, with sockets of its own.
fn listening(addresses: &[SocketAddr]) -> BTreeSet<u64> {
    let local: BTreeSet<String> = addresses.iter().map(written_by_the_kernel).collect();
    let inode = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        // `0A` is TCP_LISTEN (include/net/tcp_states.h); the tenth word is the inode (proc_pid_net(5)).
        (words[3] == "0A" && local.contains(words[1])).then(|| words[9].parse().unwrap())
    };
    std::fs::read_to_string("/proc/self/net/tcp").unwrap().lines().skip(1).filter_map(inode).collect()
}

/// An address as `/proc/net/tcp` has it: the four octets as one number of this machine's byte order.
fn written_by_the_kernel(address: &SocketAddr) -> String {
    let IpAddr::V4(ip) = address.ip() else { panic!("farms have IPv4 addresses") };
    format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), address.port())
}

#[tokio::test]
async fn two_farms_live_side_by_side_and_leave_nothing() {
    let (one, two) = (farm(1, 2, &[]).await, farm(1, 2, &[]).await);
    let addresses: Vec<_> = one.nodes().iter().chain(two.nodes()).map(|n| n.bmc).collect();
    for address in &addresses {
        assert!(std::net::TcpStream::connect(address).is_ok());
    }
    let ours = listening(&addresses);
    assert_eq!(ours.len(), addresses.len(), "each address has one listener");
    one.stop().await;
    two.stop().await;
    // A program that another test starts just now holds a copy of every socket between its fork and its exec.
    wait_until("none of them listens", Duration::from_secs(30), || listening(&addresses).is_disjoint(&ours));
}

//! What `udhcpc` runs when a lease comes: on a loopback of its own, with a `/run` of its own.

use std::process::Command;

use crate::support::{need_program, skip};

const LEASE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/image/inside/lease.sh");

#[test]
fn a_card_without_name_servers_does_not_take_those_of_another() {
    let test = "image::lease::a_card_without_name_servers_does_not_take_those_of_another";
    if need_program(test, "unshare").is_none() || need_program(test, "ip").is_none() {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        skip(test, "root");
        return;
    }
    // The console of this machine is not that of a node.
    let script = "set -e; mount -t tmpfs run /run; mount --bind /dev/null /dev/kmsg; mkdir -p /run/bringup/net; ip link set lo up; \
        lease() { env -i interface=lo mask=24 \"$@\" sh $0 bound; }; \
        lease ip=10.9.0.1 dns='10.9.0.53 10.9.1.53'; lease ip=10.9.1.1 dns=; lease ip=10.9.2.1; \
        cat /run/resolv.conf /run/bringup/net/lo; ip -4 -br address show dev lo; lease ip=10.9.3.1 dns=10.9.3.53; cat /run/resolv.conf";
    let out = Command::new("unshare").args(["-m", "-n", "sh", "-c", script, LEASE]).output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success() && out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    let lines: Vec<&str> = said.lines().collect();
    let [one, two, held, addresses, new] = lines[..] else { panic!("{said}") };
    assert_eq!([one, two, held, new], ["nameserver 10.9.0.53", "nameserver 10.9.1.53", "10.9.2.1/24", "nameserver 10.9.3.53"]);
    assert!(["10.9.0.1/24", "10.9.1.1/24", "10.9.2.1/24"].iter().all(|a| addresses.contains(a)), "{addresses}");
}

//! `ipmi_sim` in a network namespace behind `tc netem`: packet loss, delay and reordering by the kernel. A kernel without sch_netem cannot do it; the
//! same weather then comes from the tests' own proxy, and the test says so.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use bringup::bmc::{Bmc, Written};
use bringup::model::{PowerState, PowerVerb, Reading};

use super::ipmi_lossy::{Proxy, Weather};
use super::ipmi_rig::{Sim, admin, client};
use crate::support::need_program;

const ROUNDS: usize = 6;
const LONG: Duration = Duration::from_secs(60);

/// A namespace with one pair of interfaces to it, both of which lose, delay and reorder; gone when dropped.
struct Namespace {
    name: String,
    inside: String,
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Takes the pair of interfaces with it.
        drop(Command::new("ip").args(["netns", "del", &self.name]).status());
    }
}

fn run(words: &str) -> Result<(), String> {
    let mut words = words.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output().map_err(|e| e.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}

impl Namespace {
    /// 5 % loss each way, 20 to 60 ms there and back, one packet in four ahead of its turn; or why that cannot be had.
    fn with_netem() -> Result<Self, String> {
        let pid = std::process::id();
        let namespace = Self { name: format!("bringup-w{pid}"), inside: format!("10.99.{}.2", pid % 250) };
        let (name, near, far) = (&namespace.name, format!("bw{}a", pid % 100_000), format!("bw{}b", pid % 100_000));
        run(&format!("ip netns add {name}"))?;
        run(&format!("ip link add {near} type veth peer name {far} netns {name}"))?;
        run(&format!("ip address add 10.99.{}.1/24 dev {near}", pid % 250))?;
        run(&format!("ip link set {near} up"))?;
        for words in
            [format!("address add {}/24 dev {far}", namespace.inside), format!("link set {far} up"), "link set lo up".to_owned()]
        {
            run(&format!("ip -n {name} {words}"))?;
        }
        let netem = "root netem loss 5% delay 20ms 10ms reorder 25% 50%";
        run(&format!("tc qdisc add dev {near} {netem}"))?;
        run(&format!("tc -n {name} qdisc add dev {far} {netem}"))?;
        Ok(namespace)
    }
}

#[tokio::test]
async fn power_through_loss_delay_and_reordering() {
    let test = "power_through_loss_delay_and_reordering";
    for program in ["ip", "tc"] {
        if need_program(test, program).is_none() {
            return;
        }
    }
    match Namespace::with_netem() {
        Ok(namespace) => {
            println!("{test}: weather by tc netem");
            let addr = format!("{}:623", namespace.inside).parse().unwrap();
            let Some(sim) = Sim::start_at(test, addr, Some(&namespace.name)) else { return };
            rounds(&sim, addr).await;
        }
        Err(why) => {
            println!("{test}: no tc netem here ({why}); the same weather by a proxy");
            let Some(sim) = Sim::start(test) else { return };
            let weather = Weather { loss: 5, twice: 0, forge: 0, late_ms: (10, 30) };
            let proxy = Proxy::start(sim.addr, weather, 42).await;
            rounds(&sim, proxy.addr).await;
        }
    }
}

async fn rounds(sim: &Sim, to: SocketAddr) {
    for round in 1..=ROUNDS {
        // A new socket and a new session each time: ipmi_sim has few slots, and would run out of leaked ones.
        let (lan, bmc) = client(to, admin(Some(3)));
        let bmc = bmc.with_patience(LONG);
        for (verb, end) in [(PowerVerb::On, PowerState::On), (PowerVerb::Off, PowerState::Off)] {
            let written = bmc.set_power(verb, LONG).await;
            assert!(matches!(written, Written::Applied(_)), "round {round}: {written:?}, {:?}", lan.dropped());
            assert_eq!(bmc.power().await.unwrap(), Reading::Known(end), "round {round}");
        }
        bmc.close().await;
        assert_eq!((sim.times("set power 1"), sim.times("set power 0")), (round, round), "{:?}", sim.told());
    }
}

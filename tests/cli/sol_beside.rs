//! The console of a node whose BMC is driven by Redfish: `bmc.sol_port` names the IPMI service beside it, which is OpenIPMI's `ipmi_sim` here; `apply
//! --no-console` leaves it alone; and one that does not answer holds no boot up.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::bad_rig::Rig;
use crate::bmc::ipmi_rig::Sim;

const NODE: &str = "a001-s01";
const PRINTED: &str = "printed on the port beside Redfish";

/// One node, driven by Redfish, whose kernel panics; the inventory names this port for its console.
fn rig(sol: u16) -> Rig {
    let rig = Rig::up(1, &["a001-s01=kernel.panic"]);
    rig.edit("playbooks/sim.yaml", "attempts: 3", "attempts: 1");
    rig.edit("playbooks/sim.yaml", "total_failures: 60%", "total_failures: 100%");
    rig.edit("playbooks/sim.yaml", "canary_failures: 0", "canary_failures: 1");
    rig.edit("playbooks/sim.yaml", "boot_deadline: 30s", "boot_deadline: 10s");
    // ipmi_sim knows no newer cipher suite.
    let bmc = format!("bmc: {{driver: redfish, sol_port: {sol}, cipher_suite: 3, ");
    rig.edit("inventory/site.yaml", "bmc: {driver: redfish, ", &bmc);
    rig
}

fn bmc(rig: &Rig) -> SocketAddr {
    rig.farm().node(NODE).unwrap().bmc
}

/// Lets the node fail, and gives what was seen of it.
fn seen(rig: &Rig, more: &[&str]) -> Vec<String> {
    let ran = rig.run(&[&["apply", "--yes"], more].concat()).ends(4, &[]);
    let status = rig.run(&["status", "-o", "json"]).json();
    let node = &status["nodes"][0];
    assert_eq!((&node["node"], &node["reached"]), (&NODE.into(), &"initrd".into()), "{status:#}\n{}", ran.err);
    node["seen"].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_console_is_overheard_on_the_port_beside_redfish() {
    let test = "cli::sol_beside::a_console_is_overheard_on_the_port_beside_redfish";
    // What a node prints, over and over, for whoever listens.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let serial = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let Ok((mut port, _)) = listener.accept() else { return };
        for n in 0.. {
            if port.write_all(format!("[{n}] {PRINTED}\r\n").as_bytes()).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let rig = rig(6231);
    let addr = SocketAddr::new(bmc(&rig).ip(), 6231);
    // The same account as the Redfish service's.
    let password = rig.farm().bmc_password().to_owned();
    let Some(sim) = Sim::start_beside(test, addr, serial, &password) else { return };
    let lines = seen(&rig, &[]);
    println!("{lines:#?}");
    let console: Vec<&String> = lines.iter().skip_while(|line| !line.starts_with("console, the last 10 lines of ")).collect();
    assert!(console.len() == 11 && console[2..].iter().all(|line| line.ends_with(PRINTED)), "{lines:#?}");
    // It only listened: nothing was asked of the chassis there, and the console was given back.
    assert_eq!(sim.told(), Vec::<String>::new());
    let said = rig.run(&["console", NODE, "--for", "2s", "--record", "rec.log"]).ends(0, &[]);
    assert!(said.out.contains(PRINTED), "{said:?}");
}

/// Counts what comes to a port and answers none of it.
struct Mute {
    heard: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Mute {
    fn at(addr: SocketAddr) -> Self {
        let socket = UdpSocket::bind(addr).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let (heard, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, ended) = (Arc::clone(&heard), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                if socket.recv_from(&mut [0; 512]).is_ok() {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Self { heard, stop, thread: Some(thread) }
    }

    fn heard(&self) -> usize {
        self.heard.load(Ordering::Relaxed)
    }
}

impl Drop for Mute {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(std::thread::JoinHandle::join));
    }
}

#[test]
fn a_console_that_is_left_alone_or_mute_is_told_and_holds_nothing_up() {
    let rig = rig(6232);
    let port = Mute::at(SocketAddr::new(bmc(&rig).ip(), 6232));
    let lines = seen(&rig, &["--no-console"]);
    assert_eq!(lines.last().unwrap(), "console: not captured: --no-console was given", "{lines:#?}");
    assert_eq!(port.heard(), 0, "nobody knocked");
    rig.run(&["power", "off", NODE, "--yes"]).ends(0, &[]);
    // The boot is the same without an answer.
    let lines = seen(&rig, &[]);
    let last = lines.last().unwrap();
    // While it is still being tried, and after the first try has failed: which of the two was last depends on how long the boot took.
    let trying = "console: not captured: the BMC's IPMI service gave no answer within 5 s";
    let failed = format!("no answer from udp/{} within ", SocketAddr::new(bmc(&rig).ip(), 6232));
    assert!(
        last == trying || last.starts_with("console: not captured: open an IPMI session") && last.contains(&failed),
        "{lines:#?}"
    );
    assert!(port.heard() > 0, "it was asked");
    println!("{lines:#?}");
}

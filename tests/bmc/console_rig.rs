//! A console on a simulated BMC, and what is read of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bringup::bmc::Password;
use bringup::bmc::ipmi::sol::{Console, ConsoleOptions, Heard, Mark};
use bringup::bmc::ipmi::{Account, IpmiBmc, Lan};
use bringup::model::{AcceleratorKind, NodeId, PowerVerb, RackId};
use bringup::sim::{Clock, Durations, Fault, Fitted, Identity, MachineHandle, Seed, profile, rmcp};

/// Short enough for a test, long enough for a loaded machine.
pub const SOON: Duration = Duration::from_secs(30);

/// The account's password.
pub const PASSWORD: &str = "s3cret-pass-1";

pub struct Rig {
    pub machine: MachineHandle,
    pub address: SocketAddr,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Rig {
    pub async fn start(maker: &str, faults: &[&str], running: bool) -> Self {
        let faults: Vec<Fault> = faults.iter().map(|f| f.parse().unwrap()).collect();
        let identity = Identity::derive(
            Seed(5),
            NodeId::new("a001-s03").unwrap(),
            RackId::new("a001").unwrap(),
            3,
            profile::by_name(maker).unwrap(),
            Fitted { kind: AcceleratorKind::Nvidia, model: "H100", count: 8 },
            &faults,
        );
        let account = ("admin".to_owned(), PASSWORD.to_owned());
        // A whole boot takes 254 virtual seconds: a quarter of a second here.
        let machine = MachineHandle::new(Clock::start(1000), Arc::new(identity), faults, Durations::default(), running, account);
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let server = tokio::spawn(rmcp::serve(machine.clone(), socket));
        Self { machine, address, server }
    }

    pub fn bmc(&self) -> Arc<IpmiBmc> {
        let account = Account::new("admin", Password::new(PASSWORD), None).unwrap();
        Arc::new(IpmiBmc::new(Lan::new(), self.address, account))
    }

    pub fn power(&self, verb: PowerVerb) {
        self.machine.power(verb);
    }
}

/// Options for a test: doubts come early.
pub fn quick() -> ConsoleOptions {
    ConsoleOptions { keepalive: Duration::from_millis(300), ask_again: Duration::from_millis(200), ..ConsoleOptions::default() }
}

/// A console and all that came from it.
pub struct Watched {
    pub console: Console,
    pub text: String,
    pub marks: Vec<Mark>,
}

impl Watched {
    pub fn new(console: Console) -> Self {
        Self { console, text: String::new(), marks: Vec::new() }
    }

    /// Reads on; gives the error with which it ended.
    pub async fn one(&mut self) -> Option<bringup::bmc::BmcError> {
        let heard = tokio::time::timeout(SOON, self.console.next()).await;
        match heard.unwrap_or_else(|_| panic!("nothing came; so far: {:?} {:?}", self.text, self.marks)) {
            Some(Heard::Printed(bytes)) => self.text.push_str(&String::from_utf8_lossy(&bytes)),
            Some(Heard::Mark(mark)) => self.marks.push(mark),
            Some(Heard::Ended(error)) => return Some(error),
            None => panic!("it ended without a word: {:?} {:?}", self.text, self.marks),
        }
        None
    }

    /// Reads until this was printed.
    pub async fn until(&mut self, text: &str) {
        while !self.text.contains(text) {
            if let Some(error) = self.one().await {
                panic!("ended with {error} before {text:?}: {:?} {:?}", self.text, self.marks);
            }
        }
    }

    /// Reads until a mark like this came.
    pub async fn until_mark(&mut self, like: impl Fn(&Mark) -> bool) {
        while !self.marks.iter().any(&like) {
            if let Some(error) = self.one().await {
                panic!("ended with {error}: {:?} {:?}", self.text, self.marks);
            }
        }
    }

    /// Types a line and reads until this was printed after it.
    pub async fn say(&mut self, line: &str, until: &str) {
        self.text.clear();
        assert!(self.console.type_in(format!("{line}\r").as_bytes()).await);
        self.until(until).await;
    }
}

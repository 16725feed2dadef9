//! IP-12: the console, whose packets are lost, refused, taken in part, whose right another client has, and which the BMC loses in the middle.

use std::sync::Arc;
use std::time::Duration;

use bringup::bmc::Bmc as _;
use bringup::bmc::BmcTrouble;
use bringup::bmc::ipmi::sol::{Console, ConsoleOptions, Heard, Mark};
use bringup::bmc::ipmi::{Account, IpmiBmc, Lan};
use bringup::bmc::Password;
use bringup::model::{AcceleratorKind, NodeId, RackId};
use bringup::sim::{Clock, Durations, Fault, Fitted, Identity, MachineHandle, Seed, profile, rmcp};

use super::row::{Row, Where};

/// Long enough for a loaded machine; nothing waits for it unless something is wrong.
const SOON: Duration = Duration::from_secs(30);

pub fn rows() -> Vec<Row> {
    vec![Row {
        id: "IP-12",
        says: "the console: packets lost, refused, taken in part; held by another client; lost in the middle",
        faults: &["sol.drop", "sol.partial", "sol.nack", "sol.busy", "sol.reset"],
        placed: Where::EachOn,
        own: |maker| Box::pin(own(maker)),
    }]
}

struct Bench {
    machine: MachineHandle,
    bmc: Arc<IpmiBmc>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn bench(maker: &str, fault: &str) -> Bench {
    let faults: Vec<Fault> = vec![fault.parse().unwrap()];
    let identity = Identity::derive(
        Seed(12),
        NodeId::new("a001-s12").unwrap(),
        RackId::new("a001").unwrap(),
        12,
        profile::by_name(maker).unwrap(),
        Fitted { kind: AcceleratorKind::Nvidia, model: "H100", count: 8 },
        &faults,
    );
    let account = ("admin".to_owned(), "s3cret-12".to_owned());
    let machine = MachineHandle::new(Clock::start(1000), Arc::new(identity), faults, Durations::default(), true, account);
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let server = tokio::spawn(rmcp::serve(machine.clone(), socket));
    let account = Account::new("admin", Password::new("s3cret-12"), None).unwrap();
    let bmc = Arc::new(IpmiBmc::new(Lan::new(), address, account));
    Bench { machine, bmc, server }
}

fn quick() -> ConsoleOptions {
    ConsoleOptions { keepalive: Duration::from_millis(300), ..ConsoleOptions::default() }
}

struct Seen {
    console: Console,
    text: String,
    marks: Vec<Mark>,
}

impl Seen {
    fn new(console: Console) -> Self {
        Self { console, text: String::new(), marks: Vec::new() }
    }

    async fn until(&mut self, done: impl Fn(&Self) -> bool) -> Result<(), String> {
        while !done(self) {
            match tokio::time::timeout(SOON, self.console.next()).await {
                Err(_) => return Err(format!("nothing more came: {:?} {:?}", self.text, self.marks)),
                Ok(Some(Heard::Printed(bytes))) => self.text.push_str(&String::from_utf8_lossy(&bytes)),
                Ok(Some(Heard::Mark(mark))) => self.marks.push(mark),
                Ok(Some(Heard::Ended(error))) => return Err(format!("it ended: {error}; {:?}", self.marks)),
                Ok(None) => return Err("it ended without a word".to_owned()),
            }
        }
        Ok(())
    }

    async fn say(&mut self, line: &str, until: &str) -> Result<(), String> {
        self.text.clear();
        self.console.type_in(format!("{line}\r").as_bytes()).await;
        self.until(|seen| seen.text.contains(until)).await
    }

    /// Logs in and has a line printed: each key must arrive once, each character come once.
    async fn work(&mut self, rounds: u32) -> Result<(), String> {
        self.say("", "login: ").await?;
        self.say("root", "Password: ").await?;
        self.say("sim", "# ").await?;
        for n in 0..rounds {
            let words = format!("one-{n} two-{n} three-{n}");
            self.say(&format!("echo {words}"), &format!("\r\n{words}\r\n")).await?;
            if self.text.matches(&words).count() != 2 {
                return Err(format!("not echoed once and printed once: {:?}", self.text));
            }
        }
        Ok(())
    }
}

/// What each fault must come to. Returns what was seen.
async fn own(maker: &'static str) -> Result<String, String> {
    for fault in ["sol.drop", "sol.partial", "sol.nack", "sol.nack@0x1", "sol.drop@0x1"] {
        let bench = bench(maker, fault).await;
        let console = bench.bmc.console(quick()).await.map_err(|e| format!("{fault}: {e}"))?;
        let mut seen = Seen::new(console);
        seen.work(4).await.map_err(|why| format!("{fault}: {why}"))?;
        // Nothing was lost, since a packet that is not acknowledged comes again.
        if seen.marks.iter().any(|m| m.is_gap() || matches!(m, Mark::NotTaken { .. })) {
            return Err(format!("{fault}: {:?}", seen.marks));
        }
        ended(fault, bench, seen).await?;
    }
    let busy = held(maker).await?;
    let gap = lost(maker).await?;
    Ok(format!("every key and character once through loss, refusals and partial takes; held: {busy}; {gap}"))
}

/// Another client has it: who is told, nothing is taken away unasked, and what is asked for is done.
async fn held(maker: &'static str) -> Result<String, String> {
    let bench = bench(maker, "sol.busy").await;
    let error = bench.bmc.console(quick()).await.map(drop).err().ok_or("the console was taken from another client unasked")?;
    let text = error.to_string();
    if error.kind != BmcTrouble::Busy || !text.contains("`admin` from 192.0.2.77:40077") {
        return Err(format!("{:?}: {text}", error.kind));
    }
    let console = bench.bmc.console(ConsoleOptions { take_over: true, ..quick() }).await.map_err(|e| e.to_string())?;
    let mut seen = Seen::new(console);
    seen.work(1).await?;
    ended("sol.busy", bench, seen).await?;
    Ok(text)
}

/// The BMC forgets all sessions in the middle: the console comes back by itself, and the gap is marked.
async fn lost(maker: &'static str) -> Result<String, String> {
    let bench = bench(maker, "sol.reset").await;
    let console = bench.bmc.console(quick()).await.map_err(|e| e.to_string())?;
    let mut seen = Seen::new(console);
    // The work takes more than the 256 characters after which the console is lost; what it then waits for may be in the gap.
    let worked = tokio::select! {
        worked = seen.work(40) => worked.map(|()| true),
        () = tokio::time::sleep(Duration::from_secs(5)) => Ok(false),
    };
    worked?;
    seen.until(|seen| seen.marks.iter().any(|m| matches!(m, Mark::Back { .. }))).await?;
    let lost = seen.marks.iter().position(|m| matches!(m, Mark::Lost { .. }));
    let back = seen.marks.iter().position(|m| matches!(m, Mark::Back { .. }));
    if lost.is_none() || lost >= back {
        return Err(format!("the gap has no beginning: {:?}", seen.marks));
    }
    // It works as before.
    seen.say("", "# ").await?;
    seen.say("echo again", "\r\nagain\r\n").await?;
    let mark = seen.marks.iter().find(|m| matches!(m, Mark::Back { .. })).map(ToString::to_string).unwrap_or_default();
    ended("sol.reset", bench, seen).await?;
    Ok(mark)
}

/// Closed, it leaves no session.
async fn ended(fault: &str, bench: Bench, seen: Seen) -> Result<(), String> {
    seen.console.close().await;
    bench.bmc.close().await;
    for _ in 0..100 {
        if bench.machine.sessions() == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err(format!("{fault}: {} sessions are left", bench.machine.sessions()))
}

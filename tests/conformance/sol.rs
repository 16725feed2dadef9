//! IP-12: the console, whose packets are lost, refused, taken in part, whose right another client has, and which the BMC loses in the middle.

use std::sync::Arc;
use std::time::Duration;

use bringup::bmc::ipmi::IpmiBmc;
use bringup::bmc::ipmi::sol::{Console, ConsoleOptions, Heard, Mark};
use bringup::bmc::{Bmc as _, BmcTrouble};
use bringup::model::BmcProtocol;
use futures_util::future::BoxFuture;

use super::rig::{self, Rig};
use super::row::{Row, Where};
use super::story::{Story, whole};

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

/// What is done with the console while its faults are in their places: opened, worked on, closed. Faults that only strike it change nothing else.
pub fn drive<'a>(rig: &'a Rig, story: &'a mut Story) -> BoxFuture<'a, ()> {
    Box::pin(async move {
        let bmc = Arc::new(rig::ipmi(&rig.farm));
        let console = match bmc.console(quick()).await {
            Ok(console) => console,
            Err(error) => {
                story.heard(whole(&error));
                story.ends(error.to_string());
                return bmc.close().await;
            }
        };
        let mut seen = Seen::new(console);
        let worked = seen.work(3).await;
        for mark in &seen.marks {
            story.heard(mark.to_string());
        }
        match worked {
            Ok(()) => {}
            // What was not seen must be told as a gap, or as not taken.
            Err(why) if seen.marks.iter().any(|m| m.is_gap() || matches!(m, Mark::NotTaken { .. })) => story.ends(why),
            Err(why) => story.wrong(why),
        }
        seen.console.close().await;
        bmc.close().await;
    })
}

async fn bench(maker: &str, fault: &str) -> Rig {
    Rig::start(BmcProtocol::Ipmi, maker, &rig::faults(&[fault]), 12).await
}

fn quick() -> ConsoleOptions {
    ConsoleOptions { keepalive: Duration::from_millis(300), ask_again: Duration::from_millis(200), ..ConsoleOptions::default() }
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
        let rig = bench(maker, fault).await;
        let bmc = Arc::new(rig::ipmi(&rig.farm));
        let console = bmc.console(quick()).await.map_err(|e| format!("{fault}: {e}"))?;
        let mut seen = Seen::new(console);
        seen.work(4).await.map_err(|why| format!("{fault}: {why}"))?;
        // Nothing was lost, since a packet that is not acknowledged comes again.
        if seen.marks.iter().any(|m| m.is_gap() || matches!(m, Mark::NotTaken { .. })) {
            return Err(format!("{fault}: {:?}", seen.marks));
        }
        ended(fault, rig, &bmc, seen).await?;
    }
    let busy = held(maker).await?;
    let gap = lost(maker).await?;
    Ok(format!("every key and character once through loss, refusals and partial takes; held: {busy}; {gap}"))
}

/// Another client has it: who is told, nothing is taken away unasked, and what is asked for is done.
async fn held(maker: &'static str) -> Result<String, String> {
    let rig = bench(maker, "sol.busy").await;
    let bmc = Arc::new(rig::ipmi(&rig.farm));
    let error = bmc.console(quick()).await.map(drop).err().ok_or("the console was taken from another client unasked")?;
    let text = error.to_string();
    if error.kind != BmcTrouble::Busy || !text.contains("`admin` from 192.0.2.77:40077") {
        return Err(format!("{:?}: {text}", error.kind));
    }
    let console = bmc.console(ConsoleOptions { take_over: true, ..quick() }).await.map_err(|e| e.to_string())?;
    let mut seen = Seen::new(console);
    seen.work(1).await?;
    ended("sol.busy", rig, &bmc, seen).await?;
    Ok(text)
}

/// The BMC forgets all sessions in the middle: the console comes back by itself, and the gap is marked.
async fn lost(maker: &'static str) -> Result<String, String> {
    let rig = bench(maker, "sol.reset").await;
    let bmc = Arc::new(rig::ipmi(&rig.farm));
    let console = bmc.console(quick()).await.map_err(|e| e.to_string())?;
    let mut seen = Seen::new(console);
    // The work takes more than the 256 characters after which the console is lost; what it then waits for may be in the gap.
    let worked = tokio::select! {
        worked = seen.work(40) => worked.map(|()| true),
        () = tokio::time::sleep(Duration::from_secs(2)) => Ok(false),
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
    ended("sol.reset", rig, &bmc, seen).await?;
    Ok(mark)
}

/// Closed, it leaves no session.
async fn ended(fault: &str, rig: Rig, bmc: &IpmiBmc, seen: Seen) -> Result<(), String> {
    seen.console.close().await;
    bmc.close().await;
    rig.bmc.close().await;
    for _ in 0..100 {
        if rig.machine().sessions() == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err(format!("{fault}: {} sessions are left", rig.machine().sessions()))
}

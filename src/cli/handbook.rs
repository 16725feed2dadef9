//! What a hand does outside a run: under the run lock, announced in the journal before each touch, and told there again after the look back.
//! It needs no plan and never touches anything itself.

use std::sync::{Mutex, PoisonError};

use super::failure::{Exit, Failure, Result};
use super::global::{Global, now_ms, whoami};
use super::runner;
use crate::journal::{Journal, JournalError, RunLock};
use crate::model::{Event, EvidenceNote, NodeId, RunId, Touch};

/// The journal of one use of a hand. While it lives no run can begin.
pub struct HandBook {
    run: RunId,
    by: String,
    journal: Journal,
    lost: Mutex<Option<JournalError>>,
    _lock: Option<RunLock>,
}

impl HandBook {
    /// Takes the run lock and opens the journal.
    ///
    /// # Errors
    /// Exit code 6 while a run is under way; the journal cannot be written.
    pub async fn open(global: &Global) -> Result<Self> {
        let lock = runner::lock(global).await?;
        Self::begin(global, Some(lock))
    }

    /// Opens the journal beside a run that may be under way: for what a run does not mind.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn beside(global: &Global) -> Result<Self> {
        Self::begin(global, None)
    }

    fn begin(global: &Global, lock: Option<RunLock>) -> Result<Self> {
        global.state_dir()?;
        let journal = Journal::open(&global.journal_path()?)?;
        Ok(Self { run: new_id()?, by: whoami(), journal, lost: Mutex::default(), _lock: lock })
    }

    /// Under which name its lines stand.
    #[must_use]
    pub fn name(&self) -> &RunId {
        &self.run
    }

    /// Announces a touch; returns when that is on the disk. `false` when it is not: the touch must then not be made.
    pub async fn announce(&self, node: &NodeId, touch: &Touch) -> bool {
        self.write(Event::HandTouched { node: node.clone(), by: self.by.clone(), touch: touch.clone() }).await
    }

    /// Writes down what became of a touch. When it cannot be written, [`Self::close`] tells.
    pub async fn tell(&self, node: &NodeId, touch: &Touch, seen: EvidenceNote) {
        self.write(Event::HandSeen { node: node.clone(), touch: touch.clone(), seen }).await;
    }

    async fn write(&self, event: Event) -> bool {
        match self.journal.append(&self.run, now_ms(), event).await {
            Ok(_) => true,
            Err(error) => {
                // The first cause is the one to tell; those after it only say that the writer has stopped.
                self.lost.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                false
            }
        }
    }

    /// Ends the use of the hand.
    ///
    /// # Errors
    /// A line could not be written: what was announced in it was not done, or what was seen is known to the caller alone.
    pub fn close(self) -> Result<()> {
        match self.lost.into_inner().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            Some(error) => Err(Failure::new(Exit::ERROR, error).hint(
                "nodes that say `not journaled` were not touched; free some space or give another --state, then look again",
            )),
        }
    }
}

/// As a run's name, so that journals sort alike.
fn new_id() -> Result<RunId> {
    let time = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
    Ok(RunId::new(format!("hand-{time}-{:04x}", rand::random::<u16>()))?)
}

/// What a journal line of a hand is about, in a few words.
#[must_use]
pub fn words(touch: &Touch) -> String {
    match touch {
        Touch::Power(verb) => format!("power {verb}"),
        Touch::Push { to, .. } => format!("push to {to}"),
        Touch::InstallImage { image, disk, holds } => {
            let lost = if holds.is_empty() { String::new() } else { format!(", which holds {}", holds.join("; ")) };
            format!("install {} on {disk}{lost}", image.short())
        }
        Touch::StartInstalled(verb) => format!("power {verb}, to start from its disk"),
        Touch::Run { argv } => format!("exec {}", argv.join(" ")),
        Touch::Flash { component, version, sha256 } => format!("firmware push {component} {version} ({}…)", sha256.short()),
        Touch::Admit => "pool admit".to_owned(),
        Touch::Drain { why } => format!("pool drain: {why}"),
        Touch::SetBoot(want) => format!("boot {}", want.target),
        Touch::IssueGrant { .. } => "netboot grant".to_owned(),
        Touch::Console { writes, take_over } => {
            let writes = if *writes { "" } else { ", looking only" };
            format!("console{writes}{}", if *take_over { ", taken over" } else { "" })
        }
        Touch::Chassis { what } => format!("bmc chassis {what}"),
        Touch::Raw { netfn, command, data } => format!("raw {netfn:#04x} {command:#04x} {data}").trim_end().to_owned(),
        Touch::SetBios { attributes } => {
            let all: Vec<String> = attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("bmc bios {}", all.join(" "))
        }
        Touch::InsertMedia { url, .. } => format!("bmc media insert {url}"),
        Touch::EjectMedia { .. } => "bmc media eject".to_owned(),
        Touch::SetPassword { user, to } => format!("bmc accounts {user} to {to}"),
        Touch::RequestCertificate => "bmc cert request".to_owned(),
        Touch::ReplaceCertificate { sha256 } => format!("bmc cert replace by {}", sha256.short()),
        Touch::ResetBmc => "bmc reset".to_owned(),
        Touch::CycleMains => "power ac".to_owned(),
        Touch::ClearLog { log } => format!("bmc sel clear {}", log.as_deref().unwrap_or_default()).trim_end().to_owned(),
        Touch::Subscribe { to, .. } => format!("bmc sel follow, pushed to {to}"),
        Touch::Unsubscribe { mark } => format!("bmc sel follow of {mark} ended"),
        Touch::Unknown => "a touch of a newer version".to_owned(),
    }
}

//! The one step that cannot be taken back: the controller is told once to run what it has, restarts, tests itself, and perhaps goes back. What it says
//! of that is told; what runs is read.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::super::fault::Fault;
use super::agent::{Agent, Told};
use super::command::{self, Command, IN_PROGRESS, time};
use super::target::Versions;
use super::upload::Load;
use crate::bmc::updating::{UpdateClass, UpdateProgress};
use crate::bmc::{BmcError, Written};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);
/// How long a controller that did not answer is given to begin.
const UNHEARD: Duration = Duration::from_secs(5);
/// How long the version may lag behind the controller's word at least.
const LAG: Duration = Duration::from_secs(10);

/// What is known of an activation.
struct Seen {
    /// In words.
    story: String,
    /// The self-test found something, or the activation failed, in these words.
    failed: Option<String>,
}

impl Agent<'_> {
    /// Tells the controller to run the firmware that it has, and sees what comes of it.
    pub(super) async fn activate(&mut self, load: &Load<'_>, doing: &str) -> Written {
        let (said, told) = match self.tell(Command::Activate, &[]).await {
            Ok(Told::Done(_)) => ("it was told to activate it and says that it did".to_owned(), true),
            Ok(Told::Going(_)) => ("it was told to activate it and began".to_owned(), true),
            // A controller that restarts at once does not answer first.
            Ok(Told::Lost) => ("it was told to activate it and did not answer".to_owned(), false),
            Ok(Told::No(code)) => return self.refused(load, doing, code).await,
            // Nothing was sent.
            Err(fault) => return Written::NotApplied(failed(doing, &fault)),
        };
        (load.tell)(UpdateProgress::Working("activating".to_owned(), None));
        let mut seen = Seen { story: said, failed: None };
        self.follow(load, told, &mut seen).await;
        (load.tell)(UpdateProgress::Proving(seen.story.clone()));
        self.prove(load, doing, seen).await
    }

    /// It says that it does not activate it: believed when the version says so too.
    async fn refused(&mut self, load: &Load<'_>, doing: &str, code: u8) -> Written {
        let words = refusal(Command::Activate, code);
        match self.versions(load.part).await {
            Ok(Versions { runs, .. }) if runs == Some(load.upload.version) => {
                Written::Applied(format!("{} {} runs; {words}", load.part.name, load.upload.version))
            }
            Ok(_) => {
                self.abort().await;
                Written::NotApplied(UpdateClass::Rejected.error(doing, words))
            }
            Err(fault) => UpdateClass::Ambiguous.unclear(format!("{words}; then {fault}")),
        }
    }

    /// Until the controller is back and has ended what it was told, or long enough.
    async fn follow(&mut self, load: &Load<'_>, told: bool, seen: &mut Seen) {
        let [_, _, away] = load.image.times.map(time);
        let capabilities = load.capabilities;
        let most = capabilities.upgrade.max(LAG) + capabilities.away.max(away).max(LAG);
        let until = self.deadline.min(Instant::now() + most);
        let (began, mut silent) = (Instant::now(), false);
        loop {
            let status = if silent { self.ask(Command::Status, &[]).await } else { self.glance().await };
            match status.as_deref() {
                Ok([at, IN_PROGRESS, ..]) if *at == Command::Activate as u8 => {}
                Ok([at, 0, ..]) if *at == Command::Activate as u8 => break,
                Ok([at, code, ..]) if *at == Command::Activate as u8 => {
                    seen.failed = Some(refusal(Command::Activate, *code));
                    break;
                }
                // It restarted and has forgotten it; where it was not heard, it may not have begun yet.
                Ok(_) if told || silent || began.elapsed() >= UNHEARD => break,
                Ok(_) => {}
                Err(Fault::Credentials(why)) => {
                    seen.story.push_str(&format!("; {why}"));
                    return;
                }
                Err(Fault::Code(_)) => break,
                Err(_) if !silent => {
                    silent = true;
                    (load.tell)(UpdateProgress::Working("the BMC does not answer".to_owned(), None));
                }
                Err(_) => {}
            }
            if Instant::now() + LOOK >= until {
                seen.story.push_str("; it did not end in time");
                return;
            }
            sleep(LOOK).await;
        }
        if capabilities.self_test || load.image.self_test {
            let [test, ..] = load.image.times.map(time);
            match self.result(Command::SelfTest, capabilities.test.max(test)).await {
                Ok(Ok(answer)) => match command::self_test(&answer) {
                    Ok(words) => seen.story.push_str(&format!("; {words}")),
                    Err(words) => seen.failed = Some(words),
                },
                Ok(Err(code)) => seen.story.push_str(&format!("; no self-test: {}", refusal(Command::SelfTest, code))),
                Err(fault) => seen.story.push_str(&format!("; no self-test: {fault}")),
            }
        }
    }

    /// What runs in the end.
    async fn prove(&mut self, load: &Load<'_>, doing: &str, seen: Seen) -> Written {
        let want = load.upload.version;
        let until = self.deadline.min(Instant::now() + LAG);
        let last = loop {
            match self.versions(load.part).await {
                Ok(Versions { runs, .. }) if runs == Some(want) && seen.failed.is_none() => {
                    return Written::Applied(format!("{} {want} runs; {}", load.part.name, seen.story));
                }
                Ok(versions) if Instant::now() + LOOK >= until || seen.failed.is_some() => break Ok(versions),
                Ok(Versions { waits, .. }) if waits == Some(want) && load.part.can.cold_reset => {
                    let words = format!("{} {want} waits; {}", load.part.name, seen.story);
                    return UpdateClass::NotActivated.unclear(format!("{words}; cycling the node's power may activate it"));
                }
                Err(fault) if Instant::now() + LOOK >= until => break Err(fault),
                _ => sleep(LOOK).await,
            }
        };
        let back = self.went_back(load).await;
        let runs = match &last {
            Ok(Versions { runs: Some(runs), .. }) => format!("{} {runs} runs", load.part.name),
            Ok(_) => format!("it tells no version of {}", load.part.name),
            Err(fault) => format!("its version cannot be read: {fault}"),
        };
        let story = format!("{runs}; {}{}", seen.story, back.as_deref().map(|words| format!("; {words}")).unwrap_or_default());
        let old = last.as_ref().is_ok_and(|versions| versions.runs.is_some_and(|runs| runs != want));
        let waits = last.as_ref().is_ok_and(|versions| versions.waits == Some(want));
        match (seen.failed, back) {
            (Some(why), _) if old => Written::NotApplied(UpdateClass::DeviceFailed.error(doing, format!("{why}; {story}"))),
            (Some(why), _) => UpdateClass::DeviceFailed.unclear(format!("{why}; {story}")),
            (None, Some(_)) if old => Written::NotApplied(UpdateClass::DeviceFailed.error(doing, story)),
            (None, _) if waits => UpdateClass::NotActivated.unclear(story),
            (None, _) if last.is_err() => UpdateClass::Unreachable.unclear(story),
            (None, _) => UpdateClass::Ambiguous.unclear(story),
        }
    }

    /// Whether it went back to the old firmware by itself, in words.
    async fn went_back(&mut self, load: &Load<'_>) -> Option<String> {
        if !load.capabilities.goes_back || !load.part.can.backup {
            return None;
        }
        let [_, back, _] = load.image.times.map(time);
        match self.result(Command::Rollback, load.capabilities.back.max(back)).await {
            Ok(Ok(answer)) => {
                let mask = answer.first().copied().unwrap_or(0);
                (mask & (1 << load.part.id) != 0).then(|| "it went back to the old firmware by itself".to_owned())
            }
            Ok(Err(0x81)) => Some(refusal(Command::Rollback, 0x81)),
            Ok(Err(_)) | Err(_) => None,
        }
    }
}

/// A refusal in words.
pub(super) fn refusal(command: Command, code: u8) -> String {
    let words = match command.refusal(code) {
        Some(words) => format!("completion code {code:#04x}: {words}"),
        None => Fault::Code(code).to_string(),
    };
    format!("{}: {words}", command.words())
}

/// The error of a fault on the way, before anything ran that did not run before.
pub(super) fn failed(doing: &str, fault: &Fault) -> BmcError {
    UpdateClass::Transient.error(doing, fault.to_string())
}

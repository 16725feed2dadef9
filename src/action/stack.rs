//! The end "the stack's components are at the versions wanted". Looks by the stack's own version probes; installs in the order written.

use std::sync::Arc;

use async_trait::async_trait;

use super::system::{Heard, hear, identity};
use super::{Action, ActionError, OpenTouch, Returned, Scribe, Standing};
use crate::model::{Answer, Class, EvidenceNote, Install, Probe, ProbeOutput, Touch, VersionProbe};
use crate::shell::{Pushed, Shell, ShellError};

/// Longest wait for one version probe, in seconds.
const PROBE_S: u32 = 60;

/// Prints the command line of every process, one a line (proc(5): words of `cmdline` end in NUL).
const PROCESSES: &str = "for p in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < \"$p\" 2>/dev/null && echo; done; true";

/// Installs a stack on one node.
pub struct InstallStack {
    /// What to install, in order. Commands must be idempotent: after a lost answer they may run again.
    pub install: Vec<Install>,
    /// How the result is read back.
    pub versions: Vec<VersionProbe>,
    /// The node.
    pub shell: Arc<dyn Shell>,
    /// Serial from the facts: nothing is installed on a system that does not name it.
    pub serial: String,
}

#[async_trait]
impl Action for InstallStack {
    async fn look(&self, open: Option<&OpenTouch>) -> Result<Standing, ActionError> {
        match hear(self.shell.as_ref()).await? {
            Heard::System(system) => match identity(&self.serial, &system.serial)? {
                Ok(()) => {}
                Err(why) => return Ok(Standing::Refused { why }),
            },
            Heard::Stranger(why) => return Ok(Standing::Refused { why }),
            Heard::Nothing(seen) => {
                let doing = "ask the system who it is".to_owned();
                return Err(ActionError { doing, seen, class: Class::Transient, source: None });
            }
        }
        let mut right = Vec::new();
        let mut wrong = Vec::new();
        for version in &self.versions {
            match self.version(version).await? {
                Some(found) if found == version.want.as_str() => right.push(format!("{} {found}", version.component)),
                Some(found) => wrong.push(format!("{} {found}", version.component)),
                None => wrong.push(format!("no {}", version.component)),
            }
        }
        if wrong.is_empty() {
            return Ok(Standing::Done(if right.is_empty() { "nothing to read back".to_owned() } else { right.join(", ") }));
        }
        // The command of an earlier life may still run on the node: a controller that dies does not end it.
        if let Some(OpenTouch { touch: Touch::Run { argv }, age_s }) = open {
            let limit = self.install.iter().find(|i| i.run == *argv).map_or(0, |i| u64::from(i.deadline_s));
            match self.runs(argv).await {
                Some(false) => {}
                Some(true) => {
                    return Ok(Standing::Busy { with: format!("`{}` of an earlier attempt still runs", argv.join(" ")) });
                }
                // The process list was not to be had: the command's own deadline is the time that it may need.
                None if *age_s < limit => {
                    let with = format!("`{}` was begun {age_s} s ago and may still run", argv.join(" "));
                    return Ok(Standing::Busy { with });
                }
                None => {}
            }
        }
        Ok(Standing::Ready { seen: wrong.join(", ") })
    }

    async fn act(&self, scribe: &dyn Scribe) -> Result<(), ActionError> {
        for install in &self.install {
            if let (Some(artifact), Some(to)) = (&install.artifact, &install.to) {
                let touch = Touch::Push { to: to.clone(), sha256: artifact.sha256.clone() };
                scribe.before(&touch).await?;
                scribe.progress(&format!("push {}", install.name));
                let pushed = self.shell.push(artifact, to, install.mode).await;
                let seen = match &pushed {
                    Ok(Pushed::AlreadyThere) => EvidenceNote::Applied("it was there already, by digest".to_owned()),
                    Ok(Pushed::Sent { bytes }) => EvidenceNote::Applied(format!("{bytes} bytes, read back by digest")),
                    // A connection that broke says nothing about the file: its last block may have arrived.
                    Err(error) if error.class() == Class::Transient => EvidenceNote::Ambiguous(error.to_string()),
                    Err(error) => EvidenceNote::NotApplied(error.to_string()),
                };
                scribe.after(&touch, seen).await?;
                pushed.map_err(|e| from_shell(&format!("push {}", install.name), e))?;
            }
            if !install.run.is_empty() {
                self.run(install, scribe).await?;
            }
        }
        Ok(())
    }

    async fn release(&self, _scribe: &dyn Scribe) -> Result<Returned, ActionError> {
        Ok(Returned::default())
    }

    fn deadline_s(&self) -> u64 {
        self.install.iter().map(|i| u64::from(i.deadline_s)).sum::<u64>() + 120
    }
}

impl InstallStack {
    /// The version found, or `None` when the component is not there.
    async fn version(&self, version: &VersionProbe) -> Result<Option<String>, ActionError> {
        let doing = || format!("read the version of {}", version.component);
        let probe = Probe::new(format!("version {}", version.component), version.probe.iter().cloned()).within(PROBE_S);
        match self.shell.run(&probe).await.map_err(|e| from_shell(&doing(), e))? {
            Answer::Output(ProbeOutput { exit: 0, stdout, .. }) => {
                let text = String::from_utf8_lossy(&stdout);
                let line = text.lines().next().unwrap_or_default().trim();
                // Cut on a character: what a node prints has no promised length.
                Ok(Some(line.chars().take(128).collect()))
            }
            // Whatever else it says, the version wanted is not there to be read.
            Answer::Output(_) => Ok(None),
            Answer::Unknown { why } => Err(ActionError { doing: doing(), seen: why, class: Class::Transient, source: None }),
        }
    }

    /// Whether a process with this command line is on the node; `None` when that cannot be known.
    async fn runs(&self, argv: &[String]) -> Option<bool> {
        let probe = Probe::new("processes", ["sh", "-c", PROCESSES]).within(PROBE_S);
        match self.shell.run(&probe).await {
            Ok(Answer::Output(ProbeOutput { exit: 0, stdout, .. })) => {
                let list = String::from_utf8_lossy(&stdout);
                // A list without even its own asker was not read from a process table.
                let whole = list.lines().any(|line| !line.trim().is_empty());
                let wanted = argv.join(" ");
                whole.then(|| list.lines().any(|line| line.contains(&wanted)))
            }
            _ => None,
        }
    }

    async fn run(&self, install: &Install, scribe: &dyn Scribe) -> Result<(), ActionError> {
        let touch = Touch::Run { argv: install.run.clone() };
        let doing = format!("install {}: `{}`", install.name, install.run.join(" "));
        scribe.before(&touch).await?;
        scribe.progress(&format!("install {}", install.name));
        let probe = Probe::new(format!("install {}", install.name), install.run.iter().cloned()).within(install.deadline_s);
        match self.shell.run(&probe).await {
            Ok(Answer::Output(ProbeOutput { exit: 0, .. })) => {
                scribe.after(&touch, EvidenceNote::Applied("exit code 0; versions are read next".to_owned())).await
            }
            Ok(Answer::Output(output)) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let last = said.lines().last().unwrap_or_default().escape_debug().to_string();
                let seen = format!("exit code {}: {last}", output.exit);
                scribe.after(&touch, EvidenceNote::NotApplied(seen.clone())).await?;
                Err(ActionError { doing, seen, class: Class::Refused, source: None })
            }
            Ok(Answer::Unknown { why }) => {
                scribe.after(&touch, EvidenceNote::Ambiguous(why.clone())).await?;
                Err(ActionError { doing, seen: why, class: Class::Ambiguous, source: None })
            }
            Err(error) => {
                scribe.after(&touch, EvidenceNote::NotApplied(error.to_string())).await?;
                Err(from_shell(&doing, error))
            }
        }
    }
}

/// An action's error from the in-band hand's.
pub(super) fn from_shell(doing: &str, error: ShellError) -> ActionError {
    ActionError { doing: doing.to_owned(), seen: error.to_string(), class: error.class(), source: error.source }
}

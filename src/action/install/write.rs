//! Has the disk written: chosen by the rule, its files sent by digest, what it held journaled before the first byte.

use std::time::{Duration, Instant};

use super::InstallImage;
use super::disk::{self, Verdict};
use super::order;
use super::remote::{self, State};
use crate::action::stack::from_shell;
use crate::action::{ActionError, Scribe};
use crate::model::{Class, EvidenceNote, Touch};
use crate::shell::Pushed;

/// Mode of the files on the node: root alone.
const MODE: u32 = 0o600;
/// What of a disk's contents goes into the journal, at most.
const NOTED: usize = 16;

fn refused(doing: &str, seen: String) -> ActionError {
    ActionError { doing: doing.to_owned(), seen, class: Class::Refused, source: None }
}

impl InstallImage {
    /// Writes the disk, or finds that this plan has done so already. The system that does the writing runs.
    pub(super) async fn write(&self, scribe: &dyn Scribe) -> Result<(), ActionError> {
        let shell = self.shell();
        if self.is_written().await? {
            return Ok(());
        }
        let survey = remote::survey(shell).await?;
        if !survey.lacks.is_empty() {
            let seen =
                format!("it lacks {}: netboot the image that images/definitions/bringup.yaml makes", survey.lacks.join(", "));
            return Err(refused("see whether the running system can install", seen));
        }
        let chosen = disk::choose(&self.target.disk, &survey.disks).map_err(|seen| refused("choose the disk", seen))?;
        let table = order::table_of(&self.target, chosen);
        match disk::may_write(chosen, self.target.wipe, &table)
            .map_err(|seen| refused("see whether the disk may be written", seen))?
        {
            Verdict::Written => {
                scribe.progress(&format!("the disk {} was written by this plan before", chosen.words()));
                return Ok(());
            }
            Verdict::Write => {}
        }
        remote::make_folder(shell).await?;
        for (name, artifact) in order::files(&self.target) {
            let to = format!("{}/{name}", order::FOLDER);
            let touch = Touch::Push { to: to.clone(), sha256: artifact.sha256.clone() };
            scribe.before(&touch).await?;
            scribe.progress(&format!("send {name}"));
            let pushed = shell.push(artifact, &to, MODE).await;
            let seen = match &pushed {
                Ok(Pushed::AlreadyThere) => EvidenceNote::Applied("it was there already, by digest".to_owned()),
                Ok(Pushed::Sent { bytes }) => EvidenceNote::Applied(format!("{bytes} bytes, read back by digest")),
                Err(error) if error.class() == Class::Transient => EvidenceNote::Ambiguous(error.to_string()),
                Err(error) => EvidenceNote::NotApplied(error.to_string()),
            };
            scribe.after(&touch, seen).await?;
            pushed.map_err(|e| from_shell(&format!("send {name}"), e))?;
        }
        let touch = Touch::InstallImage {
            image: self.target.image_digest.clone(),
            disk: chosen.words(),
            holds: chosen.holds.iter().take(NOTED).cloned().collect(),
        };
        scribe.before(&touch).await?;
        scribe.progress(&format!("write the disk {}", chosen.words()));
        let ended = match remote::begin(shell, &order::order(&self.target, chosen)).await {
            Ok(_) => self.wait_until_written(scribe).await,
            Err(error) => Err(error),
        };
        match ended {
            Ok(()) => scribe.after(&touch, EvidenceNote::Applied("written, and read back from the disk".to_owned())).await,
            Err(error) => {
                // Whatever came in between, bytes may have been written: the next look at the disk says.
                let note = EvidenceNote::Ambiguous(format!("the disk may hold a part of it: {error}"));
                scribe.after(&touch, note).await?;
                Err(error)
            }
        }
    }

    /// Whether an installation of this plan on this node has ended well since the system came up.
    async fn is_written(&self) -> Result<bool, ActionError> {
        let progress = remote::progress(self.shell()).await?;
        Ok(progress.is_some_and(|p| self.is_ours(&p) && p.state == State::Done))
    }

    async fn wait_until_written(&self, scribe: &dyn Scribe) -> Result<(), ActionError> {
        let began = Instant::now();
        let patience = Duration::from_secs(u64::from(self.target.deadline_s));
        let fail = |seen: String, class| ActionError { doing: "write the disk".to_owned(), seen, class, source: None };
        let mut last = String::new();
        loop {
            match remote::progress(self.shell()).await {
                Ok(Some(progress)) if !self.is_ours(&progress) => {
                    let seen = format!("{} is installing on this node", progress.plan.escape_debug());
                    return Err(fail(seen, Class::Transient));
                }
                Ok(Some(progress)) => match progress.state {
                    State::Done => return Ok(()),
                    State::Failed(why) => return Err(fail(why, Class::Transient)),
                    State::Running(step) => {
                        if step != last {
                            scribe.progress(&format!("installing: {step}"));
                        }
                        last = step;
                    }
                },
                Ok(None) => return Err(fail("the node started anew while its disk was written".to_owned(), Class::Transient)),
                Err(error) if error.class == Class::Refused => return Err(error),
                // The installer needs no connection: it is asked again.
                Err(error) => scribe.progress(&format!("ask again: {error}")),
            }
            if began.elapsed() > patience {
                return Err(fail(format!("not written in {} s, it is at: {last}", patience.as_secs()), Class::Ambiguous));
            }
            tokio::time::sleep(self.pace).await;
        }
    }
}

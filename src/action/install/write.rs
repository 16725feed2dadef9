//! Has the disk written: chosen by the rule, its files sent by digest, what it held journaled before the first byte.

use std::time::{Duration, Instant};

use super::InstallImage;
use super::disk::{self, Disk, Survey, Verdict};
use super::order;
use super::remote::{self, State};
use super::target::Payload;
use crate::action::stack::from_shell;
use crate::action::{ActionError, Scribe};
use crate::boot::now_ms;
use crate::model::{Artifact, Class, EvidenceNote, Packed, Touch, bytes};
use crate::shell::Pushed;

/// Mode of the files on the node: root alone.
const MODE: u32 = 0o600;
/// What of a disk's contents goes into the journal, at most.
const NOTED: usize = 16;

/// How the installer begins its words when it could not fetch; it does so before it touches the disk.
const FETCH: &str = "at fetch: ";

fn error_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

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
        self.is_able(&survey)?;
        let chosen = disk::choose(&self.target.disk, &survey.disks).map_err(|seen| refused("choose the disk", seen))?;
        let table = order::table_of(&self.target, chosen);
        let verdict = match order::made(&self.target, chosen) {
            Some(made) if chosen.has_table(&made) && chosen.used.is_empty() => Ok(Verdict::Written),
            _ => self.holds_image(chosen).and_then(|()| disk::may_write(chosen, self.target.wipe, &table)),
        };
        match verdict.map_err(|seen| refused("see whether the disk may be written", seen))? {
            Verdict::Written => {
                scribe.progress(&format!("the disk {} was written by this plan before", chosen.words()));
                return Ok(());
            }
            Verdict::Write => {}
        }
        remote::make_folder(shell).await?;
        let fetches = self.bring_root(scribe).await?;
        for (name, artifact) in order::files(&self.target) {
            if !(fetches && name == order::ROOT) {
                self.send(&name, artifact, scribe).await?;
            }
        }
        match self.install(chosen, fetches, scribe).await {
            Err(error) if fetches && error.seen.starts_with(FETCH) => {
                scribe.progress(&format!("the node did not get it from the boot server, so it is sent: {}", error.seen));
                self.send(order::ROOT, self.target.payload.large(), scribe).await?;
                self.install(chosen, false, scribe).await
            }
            ended => ended,
        }
    }

    /// Whether the running system has all that the installer needs.
    fn is_able(&self, survey: &Survey) -> Result<(), ActionError> {
        let doing = "see whether the running system can install";
        let needed = |what: &str| match &self.target.payload {
            Payload::System { .. } => what != "zstd",
            Payload::Disk(content) => {
                ["sfdisk", "blkid", "UEFI"].contains(&what) || what == "zstd" && content.packed == Packed::Zstd
            }
        };
        let lacks: Vec<&str> = survey.lacks.iter().map(String::as_str).filter(|what| needed(what)).collect();
        if !lacks.is_empty() {
            let seen = format!("it lacks {}: netboot the image that images/definitions/bringup.yaml makes", lacks.join(", "));
            return Err(refused(doing, seen));
        }
        // The file lies in memory while it is written.
        let length = std::fs::metadata(&self.target.payload.large().path).map(|about| about.len());
        if let (Some(room), Ok(length)) = (survey.room, length)
            && length > room
        {
            let word = self.target.payload.word();
            let seen = format!("the {word} has {} and it has room for {} in its memory", bytes(length), bytes(room));
            return Err(refused(doing, seen));
        }
        Ok(())
    }

    /// Whether an image of a whole disk fits on this one.
    fn holds_image(&self, chosen: &Disk) -> Result<(), String> {
        match &self.target.payload {
            Payload::Disk(content) if chosen.size < content.bytes => {
                Err(format!("the image has {} bytes and the disk {} has {}", content.bytes, chosen.words(), chosen.size))
            }
            _ => Ok(()),
        }
    }

    /// Lets the node fetch the root from the boot server, which a rack of nodes does at once; `false`: it has to be sent.
    async fn bring_root(&self, scribe: &dyn Scribe) -> Result<bool, ActionError> {
        let (target, grants) = (&self.target, &self.netboot.grants);
        let doing = "let the node fetch its root from the boot server";
        let fail = |error: crate::boot::BootError| refused(doing, error_text(&error));
        let Some(open) = grants.find_open(&target.plan, &target.node).await.map_err(fail)? else { return Ok(false) };
        let until_ms = now_ms() + i64::from(target.deadline_s) * 1000;
        let brings = grants.bring_root(&open.spec.id, target.payload.large(), until_ms).await.map_err(fail)?;
        if brings {
            scribe.progress(&format!(
                "grant {} brings the {} for {} s more",
                open.spec.id,
                target.payload.word(),
                target.deadline_s
            ));
        }
        Ok(brings)
    }

    /// Sends a file over SSH, by digest.
    async fn send(&self, name: &str, artifact: &Artifact, scribe: &dyn Scribe) -> Result<(), ActionError> {
        let to = format!("{}/{name}", order::FOLDER);
        let touch = Touch::Push { to: to.clone(), sha256: artifact.sha256.clone() };
        scribe.before(&touch).await?;
        scribe.progress(&format!("send {name}"));
        let pushed = self.shell().push(artifact, &to, MODE).await;
        let seen = match &pushed {
            Ok(Pushed::AlreadyThere) => EvidenceNote::Applied("it was there already, by digest".to_owned()),
            Ok(Pushed::Sent { bytes }) => EvidenceNote::Applied(format!("{bytes} bytes, read back by digest")),
            Err(error) if error.class() == Class::Transient => EvidenceNote::Ambiguous(error.to_string()),
            Err(error) => EvidenceNote::NotApplied(error.to_string()),
        };
        scribe.after(&touch, seen).await?;
        pushed.map(drop).map_err(|e| from_shell(&format!("send {name}"), e))
    }

    /// Starts the installer and waits for its end, or finds the one that runs.
    async fn install(&self, chosen: &Disk, fetches: bool, scribe: &dyn Scribe) -> Result<(), ActionError> {
        let touch = Touch::InstallImage {
            image: self.target.image_digest.clone(),
            disk: chosen.words(),
            holds: chosen.holds.iter().take(NOTED).cloned().collect(),
        };
        scribe.before(&touch).await?;
        scribe.progress(&format!("write the disk {}", chosen.words()));
        let ended = match remote::begin(self.shell(), &self.target.payload, &order::order(&self.target, chosen, fetches)).await {
            Ok(_) => self.wait_until_written(scribe).await,
            Err(error) => Err(error),
        };
        match ended {
            Ok(()) => scribe.after(&touch, EvidenceNote::Applied("written, and read back from the disk".to_owned())).await,
            Err(error) => {
                let note = if error.seen.starts_with(FETCH) {
                    EvidenceNote::NotApplied(format!("nothing was written: {}", error.seen))
                } else {
                    // Whatever came in between, bytes may have been written: the next look at the disk says.
                    EvidenceNote::Ambiguous(format!("the disk may hold a part of it: {error}"))
                };
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

//! The vendor's job that takes pending BIOS attributes at the next boot (iDRAC): made by the write itself where an apply time was taken, else by
//! hand, and seen among the jobs before it is believed.

use std::collections::BTreeSet;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::client::{Client, Resource};
use super::error::{malformed, safe};
use super::json as views;
use super::path;
use super::system::soft;
use super::write::Sent;
use crate::bmc::{BmcError, BmcTrouble};

/// How often a job that is not there at once is looked for again.
const LOOKS: u32 = 3;
/// Most jobs that are read; their names are times, so that the last are the newest.
const NEWEST: usize = 16;
const DOING: &str = "make a job for BIOS settings";

/// The jobs of a BMC before the write.
#[derive(Clone)]
pub(super) struct Jobs {
    at: String,
    before: BTreeSet<String>,
}

impl Client {
    /// The jobs that BIOS settings need on this BMC; `None` where they need none.
    pub(super) async fn bios_jobs(&self, system: &Resource) -> Result<Option<Jobs>, BmcError> {
        let manager = match self.manager(system).await {
            Ok(Some(manager)) => manager,
            Ok(None) => return Ok(None),
            Err(e) if soft(&e) => return Ok(None),
            Err(e) => return Err(e),
        };
        let oem = manager.value.get("Links").and_then(|links| links.get("Oem")).and_then(|oem| oem.as_object());
        let named = oem.into_iter().flatten().find_map(|(_, maker)| views::link(maker, "Jobs"));
        let known = self.kin.habit(|habits| habits.bios_jobs.clone());
        let at = match named {
            Some(at) => at,
            None if known.is_empty() => return Ok(None),
            None => format!("{}/{known}", manager.path.trim_end_matches('/')),
        };
        let before = self.job_paths(&at).await?;
        Ok(Some(Jobs { at, before }))
    }

    async fn job_paths(&self, at: &str) -> Result<BTreeSet<String>, BmcError> {
        let (members, _) = self.members(at, Instant::now() + self.limits.request).await?;
        Ok(members.into_iter().map(|member| member.path).collect())
    }

    /// Makes sure that a job will apply what waits at `settings`; says which.
    pub(super) async fn settle_job(&self, jobs: Jobs, settings: &str) -> Result<String, BmcError> {
        let now = self.job_paths(&jobs.at).await?;
        if let Some(made) = now.difference(&jobs.before).next() {
            return self.told_job(made).await;
        }
        if let Some(open) = self.open_job(&now).await? {
            return Ok(open);
        }
        let deadline = Instant::now() + self.limits.request;
        let sent = self.post(&jobs.at, &json!({ "TargetSettingsURI": settings }), deadline).await;
        for look in 0..LOOKS {
            let now = self.job_paths(&jobs.at).await?;
            if let Some(made) = now.difference(&jobs.before).next() {
                return self.told_job(made).await;
            }
            if matches!(sent, Sent::No { .. }) {
                break;
            }
            sleep(self.limits.poll.0 * 2_u32.pow(look)).await;
        }
        Err(match sent {
            Sent::No { error, .. } | Sent::Unclear(error) => error,
            Sent::Taken(said) => {
                BmcError { kind: BmcTrouble::Refused, ..malformed(DOING, format!("{said}, but no new job is to be seen")) }
            }
        })
    }

    /// A job for BIOS settings that has not ended yet, among the newest.
    async fn open_job(&self, all: &BTreeSet<String>) -> Result<Option<String>, BmcError> {
        for at in all.iter().rev().take(NEWEST) {
            let job = match self.get(at).await {
                Ok(job) => job,
                // Jobs are purged while one looks.
                Err(e) if soft(&e) => continue,
                Err(e) => return Err(e),
            };
            let about = [views::text(&job.value, "JobType"), views::text(&job.value, "Name")];
            let about = about.into_iter().flatten().any(|text| text.to_ascii_uppercase().contains("BIOS"));
            let state = views::text(&job.value, "JobState").unwrap_or_default();
            let ended = ["complete", "fail", "cancel"].iter().any(|word| state.to_ascii_lowercase().contains(word));
            if about && !ended {
                return Ok(Some(format!("job {} is {}", safe(path::last(at), 64), safe(&state, 64))));
            }
        }
        Ok(None)
    }

    async fn told_job(&self, at: &str) -> Result<String, BmcError> {
        let job = self.get(at).await?;
        let state = views::text(&job.value, "JobState").unwrap_or_else(|| "in a state that it does not say".to_owned());
        let message = views::text(&job.value, "Message").unwrap_or_default();
        let name = safe(path::last(at), 64);
        if state.to_ascii_lowercase().contains("fail") {
            let seen = format!("job {name} is {}: {}", safe(&state, 64), safe(&message, 256));
            return Err(BmcError { kind: BmcTrouble::Refused, ..malformed(DOING, seen) });
        }
        Ok(format!("job {name} is {}", safe(&state, 64)))
    }
}

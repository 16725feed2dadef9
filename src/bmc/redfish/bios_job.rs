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

/// The jobs of a BMC before the write.
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
    pub(super) async fn settle_job(&self, jobs: Jobs, settings: &str) -> Result<Option<String>, BmcError> {
        if let Some(made) = self.new_job(&jobs).await? {
            return self.told_job(&made).await;
        }
        let deadline = Instant::now() + self.limits.request;
        let sent = self.post(&jobs.at, &json!({ "TargetSettingsURI": settings }), deadline).await;
        for look in 0..LOOKS {
            if let Some(made) = self.new_job(&jobs).await? {
                return self.told_job(&made).await;
            }
            if matches!(sent, Sent::No { .. }) {
                break;
            }
            sleep(self.limits.poll.0 * 2_u32.pow(look)).await;
        }
        Err(match sent {
            Sent::No { error, .. } | Sent::Unclear(error) => error,
            Sent::Taken(said) => BmcError {
                kind: BmcTrouble::Refused,
                ..malformed("make a BIOS job", format!("{said}, but no new job is to be seen"))
            },
        })
    }

    async fn new_job(&self, jobs: &Jobs) -> Result<Option<String>, BmcError> {
        Ok(self.job_paths(&jobs.at).await?.into_iter().find(|job| !jobs.before.contains(job)))
    }

    async fn told_job(&self, at: &str) -> Result<Option<String>, BmcError> {
        let job = self.get(at).await?;
        let state = views::text(&job.value, "JobState").unwrap_or_else(|| "in a state that it does not say".to_owned());
        let message = views::text(&job.value, "Message").unwrap_or_default();
        let name = safe(path::last(at), 64);
        if state.to_ascii_lowercase().contains("fail") {
            let seen = format!("job {name} is {}: {}", safe(&state, 64), safe(&message, 256));
            return Err(BmcError { kind: BmcTrouble::Refused, ..malformed("make a BIOS job", seen) });
        }
        Ok(Some(format!("job {name} is {}", safe(&state, 64))))
    }
}

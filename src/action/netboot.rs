//! The end "the node runs this image, booted by this plan, and lets us in". It borrows a boot grant and the boot override, and gives
//! both back. It never takes a system's word without its serial, and never cycles a node that is on its way.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::giveback::{Back, give_back};
use super::medium::{self, hide};
use super::system::{Heard, hear, identity};
use super::target::NetbootTarget;
use super::trail::{LINES, Trail, console, furthest};
use super::{Action, ActionError, Kept, OpenTouch, Returned, Scribe, Standing};
use crate::bmc::overhearing::{Deaf, Overhearing};
use crate::bmc::{BmcError, WholeBmc, Written};
use crate::boot::{GrantSpec, GrantStatus, Grants, Identity, Issued, Sign, SignsOf, Stage, new_grant_id, now_ms};
use crate::model::{BootMark, BootOverride, BootTarget, Class, EvidenceNote, PowerState, PowerVerb, Reading, Touch};
use crate::shell::Shell;

/// Longest wait for the power to be seen changed. Redfish services lag (sushy's fake driver up to 11 s; iDRAC10 refuses `On` for 60 s
/// after off, firmware.md §1.2).
const POWER: Duration = Duration::from_secs(180);
/// How long a power touch whose answer was lost with the process may take to show (sushy's fake driver: up to 11 s).
const SETTLE: Duration = Duration::from_secs(15);
/// Longest wait for the console before the power is touched: one login and one command of a BMC that answers. Without it the boot goes on.
const CONSOLE: Duration = Duration::from_secs(5);
/// How long an old system may still answer after its power was cut and seen cut, before the cycle counts as lost, in seconds.
const OLD_SYSTEM_GRACE_S: i64 = 30;

/// Netboots one node.
pub struct Netboot {
    /// What is wanted.
    pub target: NetbootTarget,
    /// The out-of-band hand.
    pub bmc: Arc<dyn WholeBmc>,
    /// The in-band hand.
    pub shell: Arc<dyn Shell>,
    /// Where grants are kept.
    pub grants: Grants,
    /// Listens to the node's console from just before its power is touched until the node answers or is given back.
    pub console: Arc<dyn Overhearing>,
    /// The power was seen off and on again since the last touch of this life: whatever answers now booted after it.
    cycled: AtomicBool,
    /// The last look saw the node off while its grant was open.
    saw_off: AtomicBool,
    /// How long a power touch of an earlier life may still show.
    settle: Duration,
    /// Keys that a fresh identity lets in, and the address that it is handed out to; `None`: the image has its own.
    lets_in: Option<(Vec<String>, IpAddr)>,
}

#[async_trait]
impl Action for Netboot {
    async fn look(&self, open: Option<&OpenTouch>) -> Result<Standing, ActionError> {
        let grant = self.open_grant().await?;
        let heard = hear(self.shell.as_ref()).await?;
        let seen = match &heard {
            Heard::System(system) => {
                let mark = system.cmdline.known().map(|c| BootMark::of(c));
                let ours = mark.as_ref().is_some_and(|m| {
                    m.image.as_ref() == Some(&self.target.image_digest) && m.plan.as_ref() == Some(&self.target.plan)
                });
                match identity(&self.target.serial, &system.serial)? {
                    Err(why) => return Ok(Standing::Refused { why }),
                    Ok(()) if ours && self.target.old_boot_id.as_deref() == Some(system.boot_id.as_str()) => {
                        "the system that ran when the plan was made still runs".to_owned()
                    }
                    Ok(()) if ours => {
                        self.console.end().await;
                        return Ok(Standing::Done(format!(
                            "boot id {}, serial {}, image {}",
                            system.boot_id,
                            self.target.serial,
                            self.target.image_digest.short()
                        )));
                    }
                    Ok(()) if self.target.old_boot_id.as_deref() == Some(system.boot_id.as_str()) => {
                        "the system that ran when the plan was made still runs".to_owned()
                    }
                    Ok(()) => match mark.and_then(|m| m.plan) {
                        Some(plan) => format!("a system answers that {plan} booted, boot id {}", system.boot_id),
                        None => format!(
                            "a system answers that does not carry the plan's mark (from its disk?), boot id {}",
                            system.boot_id
                        ),
                    },
                }
            }
            Heard::Stranger(why) => format!("a system answers that lets nobody in: {why}"),
            Heard::Nothing(why) => format!("no system answers: {why}"),
        };
        let Some(grant) = grant else {
            // A grant of this run that is over says how far the node came before its time was up.
            let seen = match self.last_grant().await? {
                Some(grant) => format!("{seen}; {}", self.account(&grant).await?),
                None => seen,
            };
            return Ok(Standing::Ready { seen });
        };
        self.on_its_way(&grant, &heard, seen, open).await
    }

    async fn act(&self, scribe: &dyn Scribe) -> Result<(), ActionError> {
        self.same_machine().await?;
        self.still_off().await?;
        let issued = self.grant(scribe).await?;
        if self.target.method == BootTarget::Cd
            && let Err(error) = medium::insert(self.bmc.as_ref(), &self.target, &issued, scribe).await
        {
            self.take_back(&issued, "the boot medium is not in the drive").await;
            return Err(error);
        }
        self.override_boot(&issued, scribe).await?;
        self.power(&issued, scribe).await
    }

    async fn release(&self, scribe: &dyn Scribe) -> Result<Returned, ActionError> {
        self.console.end().await;
        let mut returned = Returned::default();
        match self.open_grant().await {
            Ok(None) => {}
            Ok(Some(grant)) => {
                let what = format!("grant {}", grant.spec.id);
                match self.grants.release(&grant.spec.id).await {
                    Ok(_) => returned.given.push(what),
                    Err(error) => {
                        let why = format!("{}; it opens nothing after its deadline", self.store("give it back", &error));
                        returned.kept.push(Kept { what, why });
                    }
                }
            }
            Err(error) => returned.kept.push(Kept { what: "boot grant".to_owned(), why: error.to_string() }),
        }
        // A BMC may keep "once" for ever: sushy-tools stores it as continuous, and the node would netboot at its next reboot.
        // Giving back is a write too: never to a machine that is known to be another one.
        if let Err(error) = self.same_machine().await {
            let unread = if error.class == Class::Refused { "" } else { "it could not be read: " };
            let why = format!("{unread}{}: {}", error.doing, error.seen);
            let mut kept = |what: &str| returned.kept.push(Kept { what: what.to_owned(), why: why.clone() });
            kept("boot override");
            // UEFI HTTP too: sushy-tools takes an HttpBootUri for a medium, and keeps it in its drive.
            if matches!(self.target.method, BootTarget::Cd | BootTarget::UefiHttp) {
                kept("boot medium");
            }
            return Ok(returned);
        }
        let mut by_medium = self.target.method == BootTarget::Cd;
        match give_back(self.bmc.as_ref(), &self.target.boot_before, self.target.method, scribe).await? {
            Back::Nothing => {}
            Back::Given(what) => {
                // sushy-tools takes an HttpBootUri for a medium, and keeps it in its drive.
                by_medium |= what.starts_with("boot override cd");
                returned.given.push(what);
            }
            Back::Kept(kept) => returned.kept.push(kept),
        }
        if by_medium {
            let (given, kept) = medium::eject(self.bmc.as_ref(), &self.target.server, scribe).await?;
            returned.given.extend(given);
            returned.kept.extend(kept);
        }
        Ok(returned)
    }

    async fn witness(&self) -> Vec<String> {
        let mut lines = match self.last_grant().await {
            Ok(Some(grant)) => match self.signs(&grant).await {
                Ok(signs) => Trail { target: &self.target, grant: &grant, signs: &signs, now_ms: now_ms() }.witness(),
                Err(error) => vec![format!("boot server: {error}")],
            },
            // Nothing was granted, so nothing was touched.
            Ok(None) => return Vec::new(),
            Err(error) => vec![format!("boot server: {error}")],
        };
        lines.extend(console(&self.console.heard(LINES)));
        lines
    }

    fn deadline_s(&self) -> u64 {
        u64::from(self.target.deadline_s) + POWER.as_secs()
    }
}

impl Netboot {
    /// An action that has touched nothing yet.
    #[must_use]
    pub fn new(target: NetbootTarget, bmc: Arc<dyn WholeBmc>, shell: Arc<dyn Shell>, grants: Grants) -> Self {
        let console = Arc::new(Deaf { why: "nothing was asked to listen to it".to_owned() });
        let (cycled, saw_off) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { target, bmc, shell, grants, console, cycled, saw_off, settle: SETTLE, lets_in: None }
    }

    /// The same with an SSH host key made for each grant, which the node fetches from this address; it lets in who holds one of these keys
    /// (lines of `authorized_keys`).
    #[must_use]
    pub fn letting_in(self, keys: Vec<String>, address: IpAddr) -> Self {
        Self { lets_in: Some((keys, address)), ..self }
    }

    /// The same with an ear at the node's console.
    #[must_use]
    pub fn overhearing(self, console: Arc<dyn Overhearing>) -> Self {
        Self { console, ..self }
    }

    /// The same with another wait for a power touch of an earlier life to show.
    #[must_use]
    pub fn settling(self, settle: Duration) -> Self {
        Self { settle, ..self }
    }

    /// A grant is open: the node may be on its way. Says whether to wait for it or to act (again).
    async fn on_its_way(
        &self,
        grant: &GrantStatus,
        heard: &Heard,
        seen: String,
        open: Option<&OpenTouch>,
    ) -> Result<Standing, ActionError> {
        let age_s = (now_ms() - grant.stages.get(&Stage::Issued).copied().unwrap_or_else(now_ms)) / 1000;
        // That a BMC fetched its medium says nothing of the node.
        let stage = match furthest(grant) {
            Stage::Medium => Stage::Issued,
            stage => stage,
        };
        // The life of the run that issued the grant ended before it touched the power: nothing is on its way.
        let power_not_announced = matches!(
            open,
            Some(OpenTouch { touch: Touch::IssueGrant { .. } | Touch::SetBoot(_) | Touch::InsertMedia { .. }, .. })
        );
        if power_not_announced && stage == Stage::Issued {
            return Ok(Standing::Ready { seen: format!("the power was not touched yet; {seen}") });
        }
        let off = matches!(self.bmc.power().await.map_err(|e| from_bmc("read the power", e))?, Reading::Known(PowerState::Off));
        if let Some(OpenTouch { touch: Touch::Power(verb), age_s }) = open
            && off
            && stage == Stage::Issued
            && Duration::from_secs(*age_s) < self.settle
        {
            // It may have been obeyed just before the process died: acting now would boot the node a second time.
            return Ok(Standing::Busy { with: format!("power {verb} was announced {age_s} s ago and may still show") });
        }
        self.saw_off.store(off, Ordering::Relaxed);
        if off && stage == Stage::Issued {
            return Ok(Standing::Ready { seen: format!("the node is off; {seen}") });
        }
        let answers = matches!(heard, Heard::System(_));
        let booted_since = self.cycled.load(Ordering::Relaxed) || stage > Stage::Issued;
        if answers && (booted_since || age_s > OLD_SYSTEM_GRACE_S) {
            return Ok(Standing::Ready { seen: format!("{seen}; {}", self.account(grant).await?) });
        }
        // A life that ended before this one may have powered it on.
        self.console.begin(Duration::ZERO).await;
        let signs = if stage == Stage::Issued { self.signs(grant).await? } else { Vec::new() };
        let trail = Trail { target: &self.target, grant, signs: &signs, now_ms: now_ms() };
        Ok(Standing::Busy { with: trail.progress() })
    }

    /// The newest grant of this run, open or over.
    async fn last_grant(&self) -> Result<Option<GrantStatus>, ActionError> {
        let newest = self.grants.find_newest(&self.target.plan, &self.target.node).await;
        Ok(newest.map_err(|e| self.store("look for the last grant", &e))?.filter(|g| g.spec.run == self.target.run))
    }

    /// What the boot server saw of the node since its grant was issued.
    async fn signs(&self, grant: &GrantStatus) -> Result<Vec<Sign>, ActionError> {
        let since_ms = grant.stages.get(&Stage::Issued).copied().unwrap_or_else(now_ms);
        let of = SignsOf { grant: grant.spec.id.clone(), mac: self.target.mac, address: self.target.address, since_ms };
        self.grants.signs(of).await.map_err(|e| self.store("look what the boot server saw of the node", &e))
    }

    /// How far the node came under a grant, in words.
    async fn account(&self, grant: &GrantStatus) -> Result<String, ActionError> {
        let signs = self.signs(grant).await?;
        Ok(Trail { target: &self.target, grant, signs: &signs, now_ms: now_ms() }.account())
    }

    async fn open_grant(&self) -> Result<Option<GrantStatus>, ActionError> {
        self.grants.find_open(&self.target.plan, &self.target.node).await.map_err(|e| self.store("look for an open grant", &e))
    }

    /// Asks the BMC once more who it is, just before the first write: cables are swapped between a plan and its wave.
    pub(super) async fn same_machine(&self) -> Result<(), ActionError> {
        let facts = self.bmc.identity().await.map_err(|e| from_bmc("ask the BMC who it is", e))?;
        match &facts.serial {
            Reading::Known(seen) if !seen.trim().eq_ignore_ascii_case(&self.target.serial) => Err(ActionError {
                doing: "check the machine behind the BMC's address".to_owned(),
                seen: format!("the facts say serial {}, the BMC says {}", self.target.serial, seen.trim().escape_debug()),
                class: Class::Refused,
                source: None,
            }),
            _ => Ok(()),
        }
    }

    /// A node that was off when looked at and has power now was powered by somebody: an earlier life of this run, or a person. A new grant
    /// would close the one that it boots with.
    async fn still_off(&self) -> Result<(), ActionError> {
        if !self.saw_off.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        match self.bmc.power().await.map_err(|e| from_bmc("read the power", e))? {
            Reading::Known(PowerState::Off) => Ok(()),
            _ => Err(ActionError {
                doing: "check that the node is still off".to_owned(),
                seen: "it was off a moment ago and is not any more".to_owned(),
                class: Class::Ambiguous,
                source: None,
            }),
        }
    }

    async fn grant(&self, scribe: &dyn Scribe) -> Result<Issued, ActionError> {
        let target = &self.target;
        let id = new_grant_id();
        let touch = Touch::IssueGrant { grant: id.clone() };
        scribe.before(&touch).await?;
        let spec = GrantSpec {
            id,
            node: target.node.clone(),
            plan: target.plan.clone(),
            run: target.run.clone(),
            mac: Some(target.mac),
            uuid: target.uuid.clone(),
            serial: Some(target.serial.clone()),
            image: target.image_digest.clone(),
            kernel: target.kernel.clone(),
            initrd: target.initrd.clone(),
            root: target.root.clone(),
            cmdline: target.cmdline.clone(),
            files_from: target.files_from.clone(),
            expires_at_ms: now_ms() + i64::from(target.deadline_s) * 1000,
        };
        let mut open = format!("open for {} s", target.deadline_s);
        let identity = match &self.lets_in {
            None => Ok(None),
            Some((keys, address)) => Identity::fresh(keys, Some(*address)).map(Some),
        };
        let made = match identity {
            Ok(identity) => {
                if let Some(identity) = &identity {
                    open.push_str(&format!(", brings the host key {}", identity.note().host_key));
                }
                let issued = match (target.method, identity) {
                    (BootTarget::Cd, identity) => self.grants.issue_medium(spec, identity).await,
                    (_, Some(identity)) => self.grants.issue_with(spec, identity).await,
                    (_, None) => self.grants.issue(spec).await,
                };
                issued.map_err(|e| self.store("issue a boot grant", &e))
            }
            Err(error) => Err(self.store("make an identity for a boot grant", &error)),
        };
        match made {
            Ok(issued) => {
                scribe.after(&touch, EvidenceNote::Applied(open)).await?;
                Ok(issued)
            }
            Err(error) => {
                scribe.after(&touch, EvidenceNote::NotApplied(error.seen.clone())).await?;
                Err(error)
            }
        }
    }

    async fn override_boot(&self, issued: &Issued, scribe: &dyn Scribe) -> Result<(), ActionError> {
        let target = &self.target;
        let uri = |path: &str| (target.method == BootTarget::UefiHttp).then(|| format!("{}{path}", target.server));
        let want =
            BootOverride { target: target.method, once: true, mode: Some(target.mode), http_uri: uri(&issued.loader_path()) };
        // The journal gets the address without the grant's secret.
        let touch = Touch::SetBoot(BootOverride { http_uri: uri(&format!("/g/({})", issued.public_id)), ..want.clone() });
        scribe.before(&touch).await?;
        scribe.progress(&format!("boot override {}", want.target));
        match self.bmc.set_boot(&want).await {
            Written::Applied(seen) => scribe.after(&touch, EvidenceNote::Applied(hide(&seen, issued))).await,
            // Some BMCs cannot show what they hold (ipmi_sim reads back "invalid"): the boot itself is the proof.
            Written::Ambiguous(seen) => scribe.after(&touch, EvidenceNote::Ambiguous(hide(&seen, issued))).await,
            Written::NotApplied(error) => {
                let mut error = from_bmc("set the boot override", error);
                error.seen = hide(&error.seen, issued);
                self.take_back(issued, "the boot override was not taken").await;
                scribe.after(&touch, EvidenceNote::NotApplied(error.seen.clone())).await?;
                Err(error)
            }
        }
    }

    /// Closes a grant that nothing boots with: the next look must not wait for a node that was not touched.
    async fn take_back(&self, issued: &Issued, why: &str) {
        // One that cannot be closed is over at its deadline.
        drop(self.grants.revoke(&issued.public_id, why).await);
    }

    /// The time of the grant is the node's, from its power on: a slow BMC and a mute console use up none of it.
    async fn time_begins(&self, issued: &Issued) -> Result<(), ActionError> {
        let until_ms = now_ms() + i64::from(self.target.deadline_s) * 1000;
        let open = self.grants.extend(&issued.public_id, until_ms).await;
        if open.map_err(|e| self.store("give the boot grant its whole time", &e))? {
            return Ok(());
        }
        Err(ActionError {
            doing: "power the node while its boot grant is good".to_owned(),
            seen: format!(
                "the grant was over within {} s, before the node was touched: its BMC took so long for the boot override",
                self.target.deadline_s
            ),
            class: Class::Transient,
            source: None,
        })
    }

    async fn power(&self, issued: &Issued, scribe: &dyn Scribe) -> Result<(), ActionError> {
        let now = self.bmc.power().await.map_err(|e| from_bmc("read the power", e))?;
        let verb = match now {
            Reading::Known(PowerState::Off) => PowerVerb::On,
            _ => PowerVerb::Cycle,
        };
        // It listens, types nothing and takes nothing away: no touch of the node.
        self.console.begin(CONSOLE).await;
        self.time_begins(issued).await?;
        let touch = Touch::Power(verb);
        scribe.before(&touch).await?;
        scribe.progress(&format!("power {verb}"));
        self.cycled.store(false, Ordering::Relaxed);
        // The connection to the old system dies with it.
        self.shell.close().await;
        // A panic of the boot before is none of this one.
        self.console.forget();
        match self.bmc.set_power(verb, POWER).await {
            Written::Applied(seen) => {
                self.cycled.store(true, Ordering::Relaxed);
                scribe.after(&touch, EvidenceNote::Applied(seen)).await
            }
            Written::Ambiguous(seen) => {
                scribe.after(&touch, EvidenceNote::Ambiguous(seen.clone())).await?;
                Err(ActionError { doing: format!("power {verb}"), seen, class: Class::Ambiguous, source: None })
            }
            Written::NotApplied(error) => {
                self.take_back(issued, "the power was not touched").await;
                scribe.after(&touch, EvidenceNote::NotApplied(error.to_string())).await?;
                Err(from_bmc(&format!("power {verb}"), error))
            }
        }
    }

    fn store(&self, doing: &str, error: &dyn std::error::Error) -> ActionError {
        let mut seen = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            seen.push_str(&format!(": {cause}"));
            next = cause.source();
        }
        ActionError { doing: doing.to_owned(), seen, class: Class::Refused, source: None }
    }
}

pub(super) fn from_bmc(doing: &str, error: BmcError) -> ActionError {
    let class = error.class();
    ActionError { doing: doing.to_owned(), seen: error.to_string(), class, source: error.source }
}

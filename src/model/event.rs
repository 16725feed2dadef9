//! What happened, as it is written to the journal before anybody is told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{BootOverride, Digest, Judgement, NodeId, PlanId, RunId, StepId, Verdict};

/// One line of the journal. Old journals stay readable for ever: variants and fields are added, never changed; what is not known reads as
/// [`Event::Unknown`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Event {
    /// A run began; the plan itself is kept beside the journal's events.
    RunStarted {
        /// Plan.
        plan: PlanId,
        /// SHA-256 of the plan's text as the journal keeps it, so that the chain covers the plan too. Missing in a line that no journal
        /// has kept yet.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        plan_digest: Option<Digest>,
        /// Who started it (`user@host`).
        by: String,
        /// Version of `bringup`.
        version: String,
    },
    /// A run was taken up again after a stop.
    RunResumed {
        /// Who resumed it.
        by: String,
    },
    /// The plan could not include this node.
    NodeBlocked {
        /// Node.
        node: NodeId,
        /// Accelerators that stay idle.
        accelerators: u32,
        /// Why.
        why: String,
    },
    /// The node is about to be taken out of the pool.
    DrainBegan {
        /// Node.
        node: NodeId,
    },
    /// The node left the pool, before it is touched.
    NodeDrained {
        /// Node.
        node: NodeId,
        /// False when it was not in the pool.
        was_member: bool,
    },
    /// A step began: its first look is next.
    StepBegan {
        /// Node.
        node: NodeId,
        /// Step.
        step: StepId,
        /// What the step is to bring about, for people.
        title: String,
    },
    /// Intent: the touch that comes next. Written before the touch.
    AttemptBegan {
        /// Node.
        node: NodeId,
        /// Step.
        step: StepId,
        /// Counts from 1 within the step.
        attempt: u32,
        /// What is about to be done.
        touch: Touch,
    },
    /// What became of the touch, read back.
    AttemptEnded {
        /// Node.
        node: NodeId,
        /// Step.
        step: StepId,
        /// Which attempt.
        attempt: u32,
        /// The touch.
        touch: Touch,
        /// What was read back.
        seen: EvidenceNote,
    },
    /// The step's end was seen.
    StepFinished {
        /// Node.
        node: NodeId,
        /// Step.
        step: StepId,
        /// False when it was so already.
        changed: bool,
        /// What was seen.
        evidence: String,
    },
    /// The step's end was not reached.
    StepFailed {
        /// Node.
        node: NodeId,
        /// Step.
        step: StepId,
        /// Kind of failure.
        class: Class,
        /// What was tried and seen.
        error: String,
        /// What was seen of the node meanwhile, line by line: by the boot server, on its console.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        seen: Vec<String>,
    },
    /// The gate judged.
    Checked {
        /// Node.
        node: NodeId,
        /// Verdict on the node.
        verdict: Verdict,
        /// Findings on the node itself.
        findings: Vec<super::Finding>,
        /// Verdict on each accelerator.
        devices: Vec<Judgement>,
    },
    /// The node works in the pool.
    NodeAdmitted {
        /// Node.
        node: NodeId,
        /// Pool.
        pool: String,
        /// Accelerators that work.
        devices: Vec<DeviceVerdict>,
        /// Accelerators that do not.
        withheld: Vec<DeviceVerdict>,
        /// Fewer than bought.
        degraded: bool,
    },
    /// The node stays out, with its evidence.
    NodeQuarantined {
        /// Node.
        node: NodeId,
        /// Accelerators that stay idle.
        accelerators: u32,
        /// Why.
        why: String,
    },
    /// Something borrowed was given back (boot override, grant).
    Released {
        /// Node.
        node: NodeId,
        /// What.
        what: String,
    },
    /// Something borrowed could not be given back: it stays until a person takes it away.
    NotReleased {
        /// Node.
        node: NodeId,
        /// What.
        what: String,
        /// What was tried and seen.
        why: String,
    },
    /// The boot server saw the node come this far under a grant of this run.
    BootSeen {
        /// Node.
        node: NodeId,
        /// Public name of the grant.
        grant: String,
        /// `loader`, `script`, `kernel`, `initrd`, `root` or `identity`; or what the node told of itself: `userspace`, `network`, `ssh`, `installed`.
        stage: String,
        /// Address that asked.
        from: Option<std::net::IpAddr>,
        /// Line of the boot server's own record; those up to it were read.
        line: i64,
    },
    /// Somebody asked for what a grant of this run does not give them: a replay, another machine, a grant that is over.
    GrantRefused {
        /// Node that the grant is for; not who asked.
        node: NodeId,
        /// Public name of the grant.
        grant: String,
        /// Why it was refused.
        why: String,
        /// Address that asked.
        from: Option<std::net::IpAddr>,
        /// Line of the boot server's own record; those up to it were read.
        line: i64,
    },
    /// Nothing new starts until somebody releases the run.
    RunHeld {
        /// Why.
        why: String,
    },
    /// A held run goes on.
    RunReleased {
        /// Who released it.
        by: String,
    },
    /// Somebody gave the run up; what it had borrowed was given back.
    RunAborted {
        /// Who.
        by: String,
    },
    /// Every node has ended.
    RunFinished,
    /// Intent of a hand used by itself (`power`, `push`, `exec`, `pool`), outside any run's plan. Written before the touch.
    HandTouched {
        /// Node.
        node: NodeId,
        /// Who (`user@host`).
        by: String,
        /// What is about to be done.
        touch: Touch,
    },
    /// What became of that touch, read back.
    HandSeen {
        /// Node.
        node: NodeId,
        /// The touch.
        touch: Touch,
        /// What was read back.
        seen: EvidenceNote,
    },
    /// Written by a newer version.
    #[serde(other)]
    Unknown,
}

impl Event {
    /// The node that it is about, if it is about one.
    #[must_use]
    pub fn node(&self) -> Option<&NodeId> {
        match self {
            Self::NodeBlocked { node, .. }
            | Self::DrainBegan { node }
            | Self::NodeDrained { node, .. }
            | Self::StepBegan { node, .. }
            | Self::AttemptBegan { node, .. }
            | Self::AttemptEnded { node, .. }
            | Self::StepFinished { node, .. }
            | Self::StepFailed { node, .. }
            | Self::Checked { node, .. }
            | Self::NodeAdmitted { node, .. }
            | Self::NodeQuarantined { node, .. }
            | Self::Released { node, .. }
            | Self::NotReleased { node, .. }
            | Self::BootSeen { node, .. }
            | Self::GrantRefused { node, .. }
            | Self::HandTouched { node, .. }
            | Self::HandSeen { node, .. } => Some(node),
            Self::RunStarted { .. }
            | Self::RunResumed { .. }
            | Self::RunHeld { .. }
            | Self::RunReleased { .. }
            | Self::RunAborted { .. }
            | Self::RunFinished
            | Self::Unknown => None,
        }
    }
}

/// One change of the world, named before it is made. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", remote = "Self")]
pub enum Touch {
    /// Hand out a netboot grant.
    IssueGrant {
        /// Public name of the grant.
        grant: String,
    },
    /// Set the boot override.
    SetBoot(BootOverride),
    /// Change the power.
    Power(super::PowerVerb),
    /// Push a file.
    Push {
        /// Path on the node.
        to: String,
        /// Its SHA-256.
        sha256: Digest,
    },
    /// Write an image to a disk of the node; whatever was there is lost.
    InstallImage {
        /// SHA-256 of the image.
        image: Digest,
        /// The disk: model, serial number, WWN, size.
        disk: String,
        /// What it holds now; nothing when it is blank.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        holds: Vec<String>,
    },
    /// Change the power, so that the node starts from the disk that was written.
    StartInstalled(super::PowerVerb),
    /// Run an install command.
    Run {
        /// Argument vector.
        argv: Vec<String>,
    },
    /// Push a firmware image through the BMC.
    Flash {
        /// Component as the BMC names it.
        component: super::Component,
        /// The version that is to run.
        version: super::Version,
        /// SHA-256 of the image.
        sha256: Digest,
    },
    /// Put the node to work.
    Admit,
    /// Take the node out of work.
    Drain {
        /// Why.
        why: String,
    },
    /// Open the serial console.
    Console {
        /// Keys are sent to the node. What is typed is never written down.
        writes: bool,
        /// It may be taken away from another client.
        take_over: bool,
    },
    /// Set something of the chassis beside power and boot: its lamp, what it does when the mains come back.
    Chassis {
        /// What, in words.
        what: String,
    },
    /// Send an IPMI command that somebody wrote byte by byte.
    Raw {
        /// Network function.
        netfn: u8,
        /// Command.
        command: u8,
        /// Its data, as hex.
        data: String,
    },
    /// Set BIOS attributes, which the next boot takes.
    SetBios {
        /// Attributes as they were asked for.
        attributes: BTreeMap<String, String>,
    },
    /// Put an image into a virtual drive.
    InsertMedia {
        /// Drive; none: the first that takes a CD.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        slot: Option<String>,
        /// Address of the image; it holds no credentials.
        url: String,
    },
    /// Take out what is in a virtual drive.
    EjectMedia {
        /// Drive; none: all of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        slot: Option<String>,
    },
    /// Change the password of a BMC account.
    SetPassword {
        /// Account.
        user: String,
        /// Where the new password is found; never the password.
        to: super::SecretRef,
    },
    /// Have the BMC make a key and a signing request for it.
    RequestCertificate,
    /// Replace the BMC's certificate.
    ReplaceCertificate {
        /// SHA-256 of the new one.
        sha256: Digest,
    },
    /// Restart the BMC.
    ResetBmc,
    /// Take the standby power away and give it back.
    CycleMains,
    /// Empty an event log.
    ClearLog {
        /// Which; none: the node's hardware event log.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log: Option<String>,
    },
    /// Have a BMC push its events.
    Subscribe {
        /// What the subscription is known by on the BMC.
        mark: String,
        /// Where they are pushed to, without the part that is each BMC's own.
        to: String,
    },
    /// Take such a subscription away.
    Unsubscribe {
        /// What it is known by.
        mark: String,
    },
    /// A kind of touch that a newer version knows.
    Unknown,
}

impl Serialize for Touch {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The derived one: `remote` makes it an associated function.
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Touch {
    /// `#[serde(other)]` would take a word only, and refuse the whole line for `{"flash": {…}}`; old versions must read such lines too.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Any {
            Known(#[serde(with = "Touch")] Touch),
            Other(serde::de::IgnoredAny),
        }
        Ok(match Any::deserialize(deserializer)? {
            Any::Known(touch) => touch,
            Any::Other(_) => Self::Unknown,
        })
    }
}

/// What was read back after a touch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EvidenceNote {
    /// It took effect; seen.
    Applied(String),
    /// It did not take effect; seen.
    NotApplied(String),
    /// The answer was lost and looking has not settled it yet.
    Ambiguous(String),
}

/// An accelerator in a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeviceVerdict {
    /// Which one.
    pub device: String,
    /// Its serial.
    pub serial: Option<String>,
    /// Its verdict.
    pub verdict: Verdict,
}

/// Kind of failure; decides what may be tried next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// May pass by itself: a reset connection, a busy BMC, a time-out on a read.
    Transient,
    /// A write whose answer was lost: settled only by looking.
    Ambiguous,
    /// The far end said no, or is not what was expected: trying again is wrong.
    Refused,
    /// The far end cannot do this.
    Unsupported,
}

impl std::fmt::Display for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Transient => "transient",
            Self::Ambiguous => "ambiguous",
            Self::Refused => "refused",
            Self::Unsupported => "unsupported",
        })
    }
}

/// An event as the journal holds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// Position in the journal, from 1.
    pub seq: u64,
    /// Run.
    pub run: RunId,
    /// Wall-clock time in milliseconds since 1970-01-01 UTC; for people only, order is by `seq`.
    pub at_ms: i64,
    /// What happened.
    pub event: Event,
    /// SHA-256 over the previous line's hash and this line, as hex.
    pub hash: String,
}

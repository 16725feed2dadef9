//! The out-of-band hand: one trait over Redfish and IPMI. It reads, writes once, and reads back; it never decides and never retries a write.

pub mod examining;
pub mod follow;
pub mod ipmi;
pub mod keeping;
pub mod meeting;
pub mod overhearing;
pub mod password;
pub mod quirk;
pub mod redfish;
pub mod sensing;
pub mod settings;
pub mod updating;

use std::collections::BTreeMap;

use async_trait::async_trait;

pub use password::Password;

use crate::model::{BmcFacts, BootOverride, Class, Component, PowerState, PowerVerb, Reading, Version};

/// What became of a write. A blind retry cannot be written: the only way on from `Ambiguous` is to look.
#[derive(Debug)]
#[must_use]
pub enum Written {
    /// Read back and seen in effect; the text says what was seen.
    Applied(String),
    /// It certainly had no effect.
    NotApplied(BmcError),
    /// The answer was lost, or the read-back does not show it yet; the text says what was seen.
    Ambiguous(String),
}

/// Why a BMC was not heard or did not obey.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {seen}")]
pub struct BmcError {
    /// What was tried, as a lower-case fragment, such as `GET /redfish/v1/Systems`.
    pub doing: String,
    /// What was seen, escaped.
    pub seen: String,
    /// What sort of trouble it is.
    pub kind: BmcTrouble,
    /// The error beneath.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Sorts of trouble with a BMC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BmcTrouble {
    /// No answer at the address.
    Unreachable,
    /// The account or password was refused. Never tried again by itself: BMCs lock accounts.
    Credentials,
    /// The account is right, and may do nothing before its password is changed.
    PasswordChange,
    /// The certificate is not the recorded one, or none is recorded and first contact was not allowed. No credential was sent.
    Certificate {
        /// SHA-256 of the certificate that was shown, as hex.
        seen: String,
    },
    /// The BMC asked to wait.
    Busy,
    /// It said no.
    Refused,
    /// It has no such function.
    Unsupported,
    /// It answered something that is not the protocol, or more than the limits allow.
    Malformed,
    /// A deadline passed.
    TimedOut,
}

impl BmcError {
    /// What may be tried next.
    #[must_use]
    pub fn class(&self) -> Class {
        match self.kind {
            BmcTrouble::Unreachable | BmcTrouble::Busy | BmcTrouble::TimedOut | BmcTrouble::Malformed => Class::Transient,
            BmcTrouble::Credentials | BmcTrouble::PasswordChange | BmcTrouble::Certificate { .. } | BmcTrouble::Refused => {
                Class::Refused
            }
            BmcTrouble::Unsupported => Class::Unsupported,
        }
    }
}

/// A long-running operation inside the BMC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BmcTask {
    /// Its name.
    pub id: String,
    /// State in the BMC's words (Redfish `TaskState`).
    pub state: String,
    /// Percent done, when it says.
    pub percent: Option<u8>,
    /// Its messages, escaped.
    pub messages: Vec<String>,
}

/// One node's BMC.
#[async_trait]
pub trait Bmc: Send + Sync {
    /// Who the BMC says it and its node are.
    async fn identity(&self) -> Result<BmcFacts, BmcError>;
    /// Chassis power.
    async fn power(&self) -> Result<Reading<PowerState>, BmcError>;
    /// Changes the chassis power and reads it back until `deadline` (from now) has passed.
    async fn set_power(&self, verb: PowerVerb, deadline: std::time::Duration) -> Written;
    /// Boot override as the BMC holds it.
    async fn boot(&self) -> Result<Reading<BootOverride>, BmcError>;
    /// Sets the boot override and reads it back.
    async fn set_boot(&self, want: &BootOverride) -> Written;
    /// Firmware inventory.
    async fn firmware(&self) -> Result<Reading<BTreeMap<Component, Version>>, BmcError>;
    /// Long-running operations.
    async fn tasks(&self) -> Result<Reading<Vec<BmcTask>>, BmcError>;
    /// SHA-256 of the certificate that was accepted, when TLS was used and a connection has been made.
    fn certificate(&self) -> Option<crate::model::Digest>;
    /// SHA-256 of that certificate's key (SubjectPublicKeyInfo): what stays when it is renewed over the same key.
    fn certificate_key(&self) -> Option<crate::model::Digest> {
        None
    }
    /// How this BMC differs from the specification, as far as it has shown itself; whole after [`Bmc::identity`] or a write. `None`: the protocol
    /// has no quirks here.
    fn profile(&self) -> Option<quirk::Profile> {
        None
    }
    /// Ends the session; leaves no session behind on the BMC.
    async fn close(&self);
}

/// Everything that a BMC can be asked and told. The engine needs [`Bmc`] alone; the rest is for the verbs.
pub trait WholeBmc:
    meeting::Meeting + sensing::Sensing + settings::Settings + keeping::Keeping + updating::Updating + examining::Examining
{
}

impl<T> WholeBmc for T where
    T: meeting::Meeting + sensing::Sensing + settings::Settings + keeping::Keeping + updating::Updating + examining::Examining
{
}

/// The protocol has no such function, or this program does not speak that part of it.
fn lacks(doing: &str) -> BmcError {
    BmcError {
        doing: doing.to_owned(),
        seen: "the protocol that this BMC is reached by has no such function".to_owned(),
        kind: BmcTrouble::Unsupported,
        source: None,
    }
}

//! What a grant is: who may boot what, until when, and how far it has come. Nothing here touches the store or the wire.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::identity::IdentityNote;
use crate::model::{Artifact, Digest, Mac, NodeId, PlanId, RunId};

/// Last part of a medium's address.
pub const MEDIUM: &str = "bringup.iso";
/// Most initial RAM disks of one image.
const INITRDS: usize = 32;
/// Longest kernel command line that x86 Linux takes (`COMMAND_LINE_SIZE` 2048), less what `bringup` adds itself.
const CMDLINE: usize = 1400;

/// What is granted. Serialised into the store as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantSpec {
    /// Public name, from [`new_grant_id`]; made by the caller so that it can be journaled before the grant exists.
    pub id: String,
    /// Node.
    pub node: NodeId,
    /// Plan.
    pub plan: PlanId,
    /// Run.
    pub run: RunId,
    /// Interface that boots. Without it the node cannot be found by `boot.ipxe?mac=`.
    pub mac: Option<Mac>,
    /// SMBIOS UUID, lower case.
    pub uuid: Option<String>,
    /// SMBIOS system serial.
    pub serial: Option<String>,
    /// Digest of the image as a whole; the node finds it as `bringup.image=`.
    pub image: Digest,
    /// Kernel.
    pub kernel: Artifact,
    /// Initial RAM disks, in order.
    pub initrd: Vec<Artifact>,
    /// Root file system, which the initrd fetches by `bringup.root=` (or where the command line says `{root-url}`).
    pub root: Option<Artifact>,
    /// Kernel arguments of the image.
    pub cmdline: Vec<String>,
    /// End of the grant, in milliseconds since 1970-01-01 UTC.
    pub expires_at_ms: i64,
}

/// Why a grant cannot be made as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// The public name did not come from [`new_grant_id`].
    #[error("`{0}` is not a grant id")]
    Id(String),
    /// iPXE splits its commands on spaces, has no quotes, and expands `${…}`.
    #[error("the kernel argument `{argument}` cannot pass through iPXE: {why}")]
    Argument {
        /// Escaped.
        argument: String,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// GRUB, which starts a medium, changes what is quoted.
    #[error("the kernel argument `{argument}` cannot pass through GRUB: {why}")]
    Medium {
        /// Escaped.
        argument: String,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// Too many or too long.
    #[error("{0}")]
    TooMuch(&'static str),
    /// Already over.
    #[error("the grant would have expired before it was issued")]
    Expired,
}

impl GrantSpec {
    /// Checks what needs no file and no store.
    ///
    /// # Errors
    /// [`SpecError`] names the rule that is broken.
    pub fn check(&self, now_ms: i64) -> Result<(), SpecError> {
        if !is_grant_id(&self.id) {
            return Err(SpecError::Id(self.id.escape_debug().take(40).collect()));
        }
        if self.expires_at_ms <= now_ms {
            return Err(SpecError::Expired);
        }
        if self.initrd.len() > INITRDS {
            return Err(SpecError::TooMuch("an image may have 32 initial RAM disks"));
        }
        if self.cmdline.iter().map(|a| a.len() + 1).sum::<usize>() > CMDLINE {
            return Err(SpecError::TooMuch("the kernel command line is longer than 1400 bytes"));
        }
        self.cmdline.iter().try_for_each(|argument| match argument_fault(argument) {
            None => Ok(()),
            Some(why) => Err(SpecError::Argument { argument: argument.escape_debug().take(80).collect(), why }),
        })
    }
}

/// Why a kernel argument would not reach the kernel as it is written (ipxe.org/scripting: words, `${}`, `;`, `&&`, `||`, `#`).
fn argument_fault(argument: &str) -> Option<&'static str> {
    if argument.is_empty() {
        Some("it is empty")
    } else if !argument.bytes().all(|b| b.is_ascii_graphic()) {
        Some("only printable ASCII without spaces is allowed")
    } else if argument.contains("${") {
        Some("`${` would be expanded")
    } else if matches!(argument, ";" | "&&" | "||") || argument.starts_with('#') {
        Some("it is an operator of iPXE's shell")
    } else {
        None
    }
}

/// A fresh public name: `g-` and 12 random hex digits.
#[must_use]
pub fn new_grant_id() -> String {
    format!("g-{:012x}", rand::random::<u64>() & 0xffff_ffff_ffff)
}

fn is_grant_id(id: &str) -> bool {
    id.strip_prefix("g-").is_some_and(|hex| hex.len() == 12 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Wall-clock time in milliseconds since 1970-01-01 UTC, as the grants count it.
#[must_use]
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The secret half of a grant: 128 random bits, as 32 hex digits in a URL. The store holds only its SHA-256. It has no `Debug`.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    pub(super) fn fresh() -> Self {
        Self(format!("{:032x}", rand::random::<u128>()))
    }

    /// Reads a token out of a URL.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let good = text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        good.then(|| Self(text.to_owned()))
    }

    /// Another token that follows from this one, for what must be the same each time it is asked for.
    pub(super) fn derived(&self, purpose: &str) -> Self {
        let digest = Sha256::digest(format!("{purpose} {}", self.0).as_bytes());
        Self(Digest::from_bytes(&digest.into()).as_str().chars().take(32).collect())
    }

    /// What the store knows it by.
    pub(super) fn hash(&self) -> String {
        Digest::from_bytes(&Sha256::digest(self.0.as_bytes()).into()).as_str().to_owned()
    }

    /// The secret, for a URL that goes to the node and nowhere else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// What a grant opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opens {
    /// A script, for a node that comes by the network.
    Script,
    /// A medium, for a BMC; no script is given for it, whoever asks.
    Medium,
}

impl Opens {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::Medium => "medium",
        }
    }
}

/// A grant as it was just issued; the only time its token is known.
pub struct Issued {
    /// Public name, for plans, journals and the node's command line.
    pub public_id: String,
    /// The secret.
    pub token: Token,
}

impl Issued {
    /// Path of the UEFI loader for this grant, for Redfish `HttpBootUri`; it ends in `.efi`, which firmware insists on.
    #[must_use]
    pub fn loader_path(&self) -> String {
        format!("/g/{}/ipxe.efi", self.token.expose())
    }

    /// Path of the medium for this grant, where it was issued for one. The name is all that some BMCs show of what is in their drive.
    #[must_use]
    pub fn medium_path(&self) -> String {
        format!("/g/{}/{MEDIUM}", self.token.expose())
    }

    /// Path of the script for this grant.
    #[must_use]
    pub fn script_path(&self) -> String {
        format!("/g/{}/boot.ipxe", self.token.expose())
    }
}

/// How far a boot has come, or what became of its grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The grant exists.
    Issued,
    /// The BMC asked for the boot medium; the node itself was not heard.
    Medium,
    /// The UEFI loader was fetched.
    Loader,
    /// The script was handed out.
    Script,
    /// The kernel was asked for.
    Kernel,
    /// An initial RAM disk was asked for.
    Initrd,
    /// The root file system was asked for.
    Root,
    /// The node told that its first process runs. A claim, as network, ssh and installed: it shows progress and proves nothing.
    Userspace,
    /// It told that it has an address.
    Network,
    /// Its identity was handed out.
    Identity,
    /// It told that its SSH server listens.
    Ssh,
    /// It told that its system is on its disk.
    Installed,
    /// Given back by its run.
    Released,
    /// Taken back.
    Revoked,
    /// Its time was over.
    Expired,
    /// Somebody asked for what is not granted to them.
    Refused,
}

impl Stage {
    const ALL: [Self; 16] = [
        Self::Issued,
        Self::Medium,
        Self::Loader,
        Self::Script,
        Self::Kernel,
        Self::Initrd,
        Self::Root,
        Self::Userspace,
        Self::Network,
        Self::Identity,
        Self::Ssh,
        Self::Installed,
        Self::Released,
        Self::Revoked,
        Self::Expired,
        Self::Refused,
    ];

    /// As it is stored and printed.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Medium => "medium",
            Self::Loader => "loader",
            Self::Script => "script",
            Self::Kernel => "kernel",
            Self::Initrd => "initrd",
            Self::Root => "root",
            Self::Userspace => "userspace",
            Self::Network => "network",
            Self::Identity => "identity",
            Self::Ssh => "ssh",
            Self::Installed => "installed",
            Self::Released => "released",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::Refused => "refused",
        }
    }

    /// True for a step of the boot itself, false for what became of its grant.
    #[must_use]
    pub fn is_progress(self) -> bool {
        self <= Self::Installed
    }

    pub(super) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.word() == word)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Whether a grant still opens anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GrantState {
    /// It does.
    Open,
    /// Given back by its run.
    Released,
    /// Taken back, or replaced by a newer grant for the same node.
    Revoked,
    /// Its time is over.
    Expired,
}

/// A grant as the store knows it; holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantStatus {
    /// What was granted.
    pub spec: GrantSpec,
    /// Whether it still opens anything.
    pub state: GrantState,
    /// First time of each stage, in milliseconds since 1970-01-01 UTC.
    pub stages: BTreeMap<Stage, i64>,
    /// Attempts refused.
    pub refused: u32,
    /// What it brings the node, when it brings something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<IdentityNote>,
}

/// One line of what the boot server did, in the order of `seq`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    /// Position, from 1.
    pub seq: i64,
    /// When, in milliseconds since 1970-01-01 UTC.
    pub at_ms: i64,
    /// Grant, when one is concerned.
    pub grant: Option<String>,
    /// Node, when one is concerned.
    pub node: Option<NodeId>,
    /// What.
    pub stage: Stage,
    /// Who asked.
    pub from: Option<IpAddr>,
    /// What was asked for, and why it was refused; escaped.
    pub detail: String,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_and_tokens_have_their_form() {
        assert!(is_grant_id(&new_grant_id()));
        assert!(!is_grant_id("g-12") && !is_grant_id("g-00000000000\n"));
        let token = Token::fresh();
        assert_eq!(Token::parse(token.expose()).map(|t| t.hash()), Some(token.hash()));
        assert!(Token::parse("../../../../../../etc/passwd%00aaa").is_none());
    }

    #[test]
    fn arguments_that_ipxe_would_change_are_refused() {
        for good in ["console=ttyS0,115200n8", "ip=::::a:eth0:dhcp", "a;b", "x=#1", "$x", "root={root-url}"] {
            assert_eq!(argument_fault(good), None, "{good}");
        }
        for bad in ["", "a b", "a\nboot", "${net0/mac}", ";", "&&", "||", "#x", "ü"] {
            assert!(argument_fault(bad).is_some(), "{bad:?}");
        }
    }

    #[test]
    fn stages_read_back() {
        assert!(Stage::ALL.iter().all(|s| Stage::from_word(s.word()) == Some(*s)));
    }

    proptest! {
        #[test]
        fn an_accepted_argument_is_one_word_on_one_line(text in ".{0,40}") {
            if argument_fault(&text).is_none() {
                prop_assert_eq!(text.split_whitespace().count(), 1);
                prop_assert!(!text.contains(['\n', '\r', '\0']));
            }
        }
    }
}

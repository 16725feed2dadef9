//! What a node tells of itself on its way up, at `/g/TOKEN/at/WORD`. Whoever holds the token can tell it: it is progress for people, and never
//! proof of anything. A closed list of words, each noted once for a grant, refused when the grant is over.

use std::net::IpAddr;

use super::fetch::Refusal;
use super::grant::{Stage, Token};
use super::store::{BootError, Store};
use crate::model::NodeId;

/// The words that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// Its first process runs.
    Userspace,
    /// It has an address.
    Network,
    /// Its SSH server listens.
    Ssh,
    /// Its system is on its disk.
    Installed,
}

impl Word {
    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Userspace, Self::Network, Self::Ssh, Self::Installed].into_iter().find(|word| word.stage().word() == text)
    }

    pub(super) fn stage(self) -> Stage {
        match self {
            Self::Userspace => Stage::Userspace,
            Self::Network => Stage::Network,
            Self::Ssh => Stage::Ssh,
            Self::Installed => Stage::Installed,
        }
    }
}

/// A word was taken.
pub(super) struct Told {
    pub(super) grant: String,
    pub(super) node: NodeId,
    /// It was not told before.
    pub(super) first: bool,
}

impl Store {
    /// Notes a word under the token that the script names. A look (`HEAD`) notes nothing.
    pub(super) fn told(
        &self,
        token: &Token,
        word: Word,
        look: bool,
        from: IpAddr,
        now_ms: i64,
    ) -> Result<Result<Told, Refusal>, BootError> {
        self.under_grant(token, from, now_ms, move |tx, spec| {
            let first = !look && super::fetch::note_first(tx, spec, word.stage(), from, now_ms)?;
            Ok(Told { grant: spec.id.clone(), node: spec.node.clone(), first })
        })
    }
}

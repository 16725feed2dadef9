//! Sessions written down while they are open, so that those of a killed process are ended by the next, and passwords that were refused, so that
//! many short commands do not lock an account together. Where it is written is the caller's affair ([`SessionStore`]).

use std::net::SocketAddr;
use std::time::Duration;

use zeroize::Zeroizing;

use super::seal::Sealer;
use crate::bmc::Password;

/// One open session.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SessionNote {
    /// The BMC.
    pub bmc: SocketAddr,
    /// The account.
    pub user: String,
    /// The session's path on the BMC.
    pub at: String,
    /// Its token, sealed under the account's password. The token is the proof that the session is this program's: whatever else lives at the path
    /// later, it does not answer to it.
    pub sealed: String,
}

/// A password that a BMC refused.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RefusalNote {
    /// The BMC.
    pub bmc: SocketAddr,
    /// The account.
    pub user: String,
    /// Stands for the password and tells nothing of it.
    pub mark: String,
}

/// Where notes are kept. Every method is brief; what cannot be written is lost, not fatal: sessions then end by the BMC's own timeout.
pub trait SessionStore: Send + Sync {
    /// A session was opened. It is on the disk, or in the kernel's hands, when this returns.
    fn opened(&self, note: &SessionNote);
    /// A session has ended.
    fn ended(&self, note: &SessionNote);
    /// Sessions on this BMC whose process is no more.
    fn left(&self, bmc: SocketAddr, user: &str) -> Vec<SessionNote>;
    /// A password was refused just now.
    fn refused(&self, note: &RefusalNote);
    /// A password was accepted: earlier refusals of this account say nothing more.
    fn accepted(&self, bmc: SocketAddr, user: &str);
    /// Refusals by this BMC, and how long ago they were.
    fn refusals(&self, bmc: SocketAddr, user: &str) -> Vec<(RefusalNote, Duration)>;
}

/// The book of one process, shared by its clients.
pub struct SessionBook {
    store: Box<dyn SessionStore>,
    sealer: Sealer,
}

/// For so long a refused password is not tried again by another process. Lockouts count over one to ten minutes (iDRAC: 60 s by default).
pub(super) const REST: Duration = Duration::from_secs(300);

impl SessionBook {
    /// A book over a store.
    #[must_use]
    pub fn new(store: Box<dyn SessionStore>) -> Self {
        Self { store, sealer: Sealer::new() }
    }

    /// Gets ready to write a session down: whoever is killed between a BMC's answer and the note leaves a session that nobody can name.
    pub(super) fn prepare(&self, password: &Password) {
        self.sealer.prepare(password);
    }

    /// Writes an open session down.
    pub(super) fn opened(&self, bmc: SocketAddr, user: &str, password: &Password, at: &str, token: &[u8]) -> Option<SessionNote> {
        let sealed = self.sealer.seal(password, (&bmc.to_string(), user, at), token)?;
        let note = SessionNote { bmc, user: user.to_owned(), at: at.to_owned(), sealed };
        self.store.opened(&note);
        Some(note)
    }

    /// Strikes an ended session out.
    pub(super) fn ended(&self, note: &SessionNote) {
        self.store.ended(note);
    }

    /// Sessions that processes which are no more left there, with their tokens. One whose token does not open (the password is another one now)
    /// stays in the store.
    pub(super) fn left(&self, bmc: SocketAddr, user: &str, password: &Password) -> Vec<(SessionNote, Zeroizing<Vec<u8>>)> {
        let open = |note: SessionNote| {
            let token = self.sealer.open(password, (&bmc.to_string(), user, &note.at), &note.sealed)?;
            Some((note, token))
        };
        self.store.left(bmc, user).into_iter().filter_map(open).collect()
    }

    /// Notes that the password was refused.
    pub(super) fn refused(&self, bmc: SocketAddr, user: &str, password: &Password) {
        let mark = self.sealer.mark(password, &bmc.to_string(), user);
        self.store.refused(&RefusalNote { bmc, user: user.to_owned(), mark });
    }

    /// Notes that a password was accepted.
    pub(super) fn accepted(&self, bmc: SocketAddr, user: &str) {
        self.store.accepted(bmc, user);
    }

    /// How long ago this very password was refused, when that is not long.
    pub(super) fn refused_before(&self, bmc: SocketAddr, user: &str, password: &Password) -> Option<Duration> {
        let refusals = self.store.refusals(bmc, user).into_iter();
        let recent = refusals.filter(|(_, ago)| *ago < REST);
        recent.filter(|(note, _)| self.sealer.marks(&note.mark, password, &bmc.to_string(), user)).map(|(_, ago)| ago).min()
    }
}

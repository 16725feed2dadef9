//! Open BMC sessions, written down beside the journal: one file a process, locked while the process lives. A file whose lock is free was left by one
//! that was killed; its sessions are this process's to end then. Tokens in it are sealed under the account's password. Refused passwords stand in
//! a file of their own, as marks. Nothing here fails a command: what cannot be written ends by the BMC's own timeout.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::global::{Global, now_ms};
use crate::bmc::redfish::{RefusalNote, SessionNote, SessionStore};

/// Its folder beside the journal.
const FOLDER: &str = "bmc-sessions";
/// Refused passwords, inside it.
const REFUSED: &str = "refused.jsonl";
/// Longest file that is read: 12,500 sessions of 600 bytes, opened and ended twice.
const LONGEST: u64 = 32 << 20;
/// A note older than this is of no session any more: the longest timeout of a BMC's session is a day (bmcweb).
const OLDEST: Duration = Duration::from_secs(86_400);

/// One line of a file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    Opened { at_ms: i64, note: SessionNote },
    Ended { note: SessionNote },
    Refused { at_ms: i64, note: RefusalNote },
    Accepted { bmc: SocketAddr, user: String },
}

/// The notes of one process, and of those that are no more.
pub struct SessionFiles {
    folder: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// This process's own file, made when the first session opens.
    own: Option<Held>,
    /// Files of killed processes, locked by this one; `None` before the folder was looked at.
    left: Option<Vec<Held>>,
    /// Refusals, by when they were.
    refusals: Option<Vec<(i64, RefusalNote)>>,
}

/// A file under this process's lock.
struct Held {
    path: PathBuf,
    file: File,
    open: Vec<SessionNote>,
}

impl Held {
    fn write(&mut self, line: &Line) {
        append(&mut self.file, line);
    }

    /// Strikes a session out; true when it was in here.
    fn end(&mut self, note: &SessionNote) -> bool {
        let before = self.open.len();
        self.open.retain(|known| known != note);
        if self.open.len() == before {
            return false;
        }
        self.write(&Line::Ended { note: note.clone() });
        true
    }
}

/// One write for one line, so that lines of several processes do not mix.
fn append(file: &mut File, line: &Line) {
    if let Ok(mut text) = serde_json::to_string(line) {
        text.push('\n');
        // Lost notes cost a slot until the BMC's timeout, and nothing else.
        drop(file.write_all(text.as_bytes()));
    }
}

fn lines(file: &mut File) -> Vec<Line> {
    let mut text = String::new();
    let read = file.take(LONGEST).read_to_string(&mut text);
    // A torn last line is a note that was never used; what comes before it counts.
    if read.is_err() {
        return Vec::new();
    }
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600);
    options
}

impl SessionFiles {
    /// The notes beside the journal; nothing is made before the first session.
    #[must_use]
    pub fn beside_journal(global: &Global) -> Option<Self> {
        let journal = global.journal_path().ok()?;
        let folder = journal.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some(Self::at(folder.join(FOLDER)))
    }

    /// The notes in this folder.
    #[must_use]
    pub fn at(folder: PathBuf) -> Self {
        Self { folder, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) -> Option<Held> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).ok()?;
        let name = format!("{}-{:08x}.jsonl", std::process::id(), rand::random::<u32>());
        let path = self.folder.join(name);
        let file = options().open(&path).ok()?;
        file.try_lock().ok()?;
        Some(Held { path, file, open: Vec::new() })
    }

    /// Files of processes that are no more, taken over.
    fn take_over(&self, own: Option<&Path>) -> Vec<Held> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return Vec::new() };
        let mut held = Vec::new();
        for path in entries.flatten().map(|entry| entry.path()) {
            let named = path.file_name().and_then(|name| name.to_str());
            if named.is_none_or(|name| name == REFUSED || !name.ends_with(".jsonl")) || Some(path.as_path()) == own {
                continue;
            }
            let Ok(mut file) = OpenOptions::new().read(true).append(true).open(&path) else { continue };
            if file.try_lock().is_err() {
                // Its process lives.
                continue;
            }
            let oldest = now_ms().saturating_sub(i64::try_from(OLDEST.as_millis()).unwrap_or(i64::MAX));
            let mut open: Vec<SessionNote> = Vec::new();
            for line in lines(&mut file) {
                match line {
                    Line::Opened { at_ms, note } if at_ms > oldest => open.push(note),
                    Line::Ended { note } => open.retain(|known| *known != note),
                    Line::Opened { .. } | Line::Refused { .. } | Line::Accepted { .. } => {}
                }
            }
            if open.is_empty() {
                drop(std::fs::remove_file(&path));
            } else {
                held.push(Held { path, file, open });
            }
        }
        held
    }

    /// Refusals of the last minutes by all processes.
    fn read_refusals(&self) -> Vec<(i64, RefusalNote)> {
        let Ok(mut file) = File::open(self.folder.join(REFUSED)) else { return Vec::new() };
        let mut refusals: Vec<(i64, RefusalNote)> = Vec::new();
        for line in lines(&mut file) {
            match line {
                Line::Refused { at_ms, note } => refusals.push((at_ms, note)),
                Line::Accepted { bmc, user } => refusals.retain(|(_, note)| note.bmc != bmc || note.user != user),
                Line::Opened { .. } | Line::Ended { .. } => {}
            }
        }
        let oldest = now_ms().saturating_sub(i64::try_from(OLDEST.as_millis()).unwrap_or(i64::MAX));
        refusals.retain(|(at_ms, _)| *at_ms > oldest);
        if refusals.is_empty() {
            drop(std::fs::remove_file(self.folder.join(REFUSED)));
        }
        refusals
    }

    fn write_refusal(&self, line: &Line) {
        drop(std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder));
        if let Ok(mut file) = options().open(self.folder.join(REFUSED)) {
            append(&mut file, line);
        }
    }
}

impl SessionStore for SessionFiles {
    fn opened(&self, note: &SessionNote) {
        let mut state = self.state();
        if state.own.is_none() {
            state.own = self.begin();
        }
        if let Some(own) = &mut state.own {
            own.write(&Line::Opened { at_ms: now_ms(), note: note.clone() });
            own.open.push(note.clone());
        }
    }

    fn ended(&self, note: &SessionNote) {
        let mut state = self.state();
        if state.own.as_mut().is_some_and(|own| own.end(note)) {
            return;
        }
        for held in state.left.iter_mut().flatten() {
            if held.end(note) {
                break;
            }
        }
        if let Some(left) = &mut state.left {
            left.retain(|held| {
                let done = held.open.is_empty();
                if done {
                    drop(std::fs::remove_file(&held.path));
                }
                !done
            });
        }
    }

    fn left(&self, bmc: SocketAddr, user: &str) -> Vec<SessionNote> {
        let mut state = self.state();
        if state.left.is_none() {
            let own = state.own.as_ref().map(|own| own.path.clone());
            state.left = Some(self.take_over(own.as_deref()));
        }
        let notes = state.left.iter().flatten().flat_map(|held| &held.open);
        notes.filter(|note| note.bmc == bmc && note.user == user).cloned().collect()
    }

    fn refused(&self, note: &RefusalNote) {
        let at_ms = now_ms();
        self.write_refusal(&Line::Refused { at_ms, note: note.clone() });
        if let Some(known) = &mut self.state().refusals {
            known.push((at_ms, note.clone()));
        }
    }

    fn accepted(&self, bmc: SocketAddr, user: &str) {
        let mut state = self.state();
        let known = state.refusals.get_or_insert_with(|| self.read_refusals());
        let before = known.len();
        known.retain(|(_, note)| note.bmc != bmc || note.user != user);
        if known.len() < before {
            self.write_refusal(&Line::Accepted { bmc, user: user.to_owned() });
            // Away with the file when nothing stands in it any more.
            drop(self.read_refusals());
        }
    }

    fn refusals(&self, bmc: SocketAddr, user: &str) -> Vec<(RefusalNote, Duration)> {
        let now = now_ms();
        let mut state = self.state();
        let known = state.refusals.get_or_insert_with(|| self.read_refusals());
        let mine = known.iter().filter(|(_, note)| note.bmc == bmc && note.user == user);
        // A clock that went back makes an old refusal look new, which only costs a wait.
        mine.map(|(at_ms, note)| (note.clone(), Duration::from_millis(u64::try_from(now - at_ms).unwrap_or(0)))).collect()
    }
}

impl Drop for SessionFiles {
    fn drop(&mut self) {
        // A process that ended all of its sessions leaves nothing behind.
        if let Some(own) = self.state().own.take().filter(|own| own.open.is_empty()) {
            drop(std::fs::remove_file(&own.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(at: &str) -> SessionNote {
        SessionNote { bmc: "10.0.0.1:443".parse().unwrap(), user: "admin".into(), at: at.into(), sealed: "00.11.22.33".into() }
    }

    fn files(folder: &Path) -> usize {
        std::fs::read_dir(folder).map(|dir| dir.flatten().count()).unwrap_or(0)
    }

    #[test]
    fn sessions_of_a_process_that_is_no_more_are_taken_over_once() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("sessions");
        let (bmc, user) = (note("").bmc, "admin");
        let killed = SessionFiles::at(folder.clone());
        killed.opened(&note("/a"));
        killed.opened(&note("/b"));
        killed.ended(&note("/a"));
        // While it lives, nobody else may end its sessions.
        assert!(SessionFiles::at(folder.clone()).left(bmc, user).is_empty());
        // Killed: the lock is gone, and its own farewell was never said.
        let own = killed.state().own.take().unwrap();
        drop(own.file);
        drop(killed);
        let next = SessionFiles::at(folder.clone());
        assert_eq!(next.left(bmc, user), [note("/b")]);
        assert!(next.left(bmc, "other").is_empty());
        assert!(SessionFiles::at(folder.clone()).left(bmc, user).is_empty(), "one taker at a time");
        next.opened(&note("/c"));
        next.ended(&note("/b"));
        next.ended(&note("/c"));
        drop(next);
        assert_eq!(files(&folder), 0, "nothing is left on the disk");
    }

    #[test]
    fn refusals_are_known_to_the_next_process_until_one_is_accepted() {
        let dir = tempfile::tempdir().unwrap();
        let at = || SessionFiles::at(dir.path().to_path_buf());
        let refusal = RefusalNote { bmc: note("").bmc, user: "admin".into(), mark: "aa.bb".into() };
        at().refused(&refusal);
        let known = at().refusals(refusal.bmc, "admin");
        assert!(known.len() == 1 && known[0].0 == refusal && known[0].1 < Duration::from_secs(60));
        at().accepted(refusal.bmc, "admin");
        assert!(at().refusals(refusal.bmc, "admin").is_empty());
        assert_eq!(files(dir.path()), 0);
    }

    #[test]
    fn files_are_for_their_owner_alone_and_torn_ones_are_read_as_far_as_they_go() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("x");
        let files = SessionFiles::at(folder.clone());
        files.opened(&note("/a"));
        let path = files.state().own.as_ref().unwrap().path.clone();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        let text = std::fs::read(&path).unwrap();
        let torn = folder.join("1-torn.jsonl");
        std::fs::write(&torn, [text.as_slice(), b"{\"opened\": {\"at_ms\": 1, \"no"].concat()).unwrap();
        std::fs::write(folder.join("2-noise.jsonl"), b"\xff\xfe\x00 nothing").unwrap();
        assert_eq!(SessionFiles::at(folder).left(note("").bmc, "admin"), [note("/a")]);
    }
}

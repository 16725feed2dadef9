//! One run at a time per state directory. The lock is the kernel's (flock): it is gone when its holder is, however that ended.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use super::JournalError;

/// Held while a run is under way; released when dropped.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

impl RunLock {
    /// Takes the lock in `dir`, waiting up to `timeout`. `holder` is written into the file so that others can name who holds it.
    ///
    /// # Errors
    /// [`JournalError::Locked`] with the holder's name when the time has passed; [`JournalError::Lock`] when the file cannot be used.
    pub async fn take(dir: &Path, holder: &str, timeout: Duration) -> Result<Self, JournalError> {
        let path = dir.join("lock");
        let open = |e: std::io::Error| JournalError::Lock { path: path.clone(), source: e };
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(open)?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if start.elapsed() < timeout => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(TryLockError::WouldBlock) => {
                    let mut text = String::new();
                    // The name is a courtesy: without it the lock still holds.
                    drop((&file).take(256).read_to_string(&mut text));
                    let holder = text.lines().next().unwrap_or("another run").escape_debug().to_string();
                    return Err(JournalError::Locked { holder });
                }
                Err(TryLockError::Error(error)) => return Err(open(error)),
            }
        }
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{holder}")).map_err(open)?;
        Ok(Self { _file: file })
    }
}

//! The folder of one build. It goes with its build; one whose build was killed goes with the next. Whose build lives is told by a lock of the
//! kernel's, since numbers of processes come again, and two containers that share a cache have the same.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::{RootError, file};

/// File in it that its build keeps locked.
const LOCK: &str = "lock";

/// A folder of one build.
pub(super) struct Work {
    dir: PathBuf,
    _lock: File,
}

impl Work {
    /// Makes one in a folder of such folders, and removes those that nobody builds in any more.
    pub(super) fn new(all: &Path) -> Result<Self, RootError> {
        fs::create_dir_all(all).map_err(file("make", all))?;
        sweep(all);
        let name = format!("{:016x}", rand::random::<u64>());
        // Locked before others look at it: they pass over names with a dot.
        let (fresh, dir) = (all.join(format!(".{name}")), all.join(name));
        fs::create_dir(&fresh).map_err(file("make", &fresh))?;
        let lock = File::create(fresh.join(LOCK)).and_then(|lock| lock.lock().map(|()| lock)).map_err(file("lock", &fresh))?;
        for part in ["depot", "tmp"] {
            fs::create_dir(fresh.join(part)).map_err(file("make", &fresh))?;
        }
        fs::rename(&fresh, &dir).map_err(file("make", &dir))?;
        Ok(Self { dir, _lock: lock })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.dir));
    }
}

/// Best effort: what cannot be removed only takes room.
fn sweep(all: &Path) {
    for entry in fs::read_dir(all).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let dead = File::open(entry.path().join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok());
        if dead {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_that_lives_keeps_its_folder_and_a_dead_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let all = dir.path().join("work");
        let first = Work::new(&all).unwrap();
        fs::write(first.path("depot").join("x"), "1").unwrap();
        // As a killed process leaves it: the folder stays, the lock is gone.
        let dead = Work::new(&all).unwrap();
        let left = dead.path("");
        let Work { dir: _, _lock } = &dead;
        _lock.unlock().unwrap();
        std::mem::forget(dead);
        assert!(left.exists());
        let second = Work::new(&all).unwrap();
        assert!(!left.exists() && first.path("depot").join("x").exists() && second.path("tmp").exists());
        drop((first, second));
        assert_eq!(fs::read_dir(&all).unwrap().count(), 0);
    }
}

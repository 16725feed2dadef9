//! What a test needs from the machine. Missing things are told, never passed over in silence; with `BRINGUP_REQUIRE_ALL=1` they fail.

mod hpm;
pub mod terminal;

use std::path::{Path, PathBuf};

pub use hpm::HpmFile;

/// Says that `test` is skipped for want of `what`; panics instead when everything is required (`tests/run`, CI).
pub fn skip(test: &str, what: &str) {
    assert!(std::env::var_os("BRINGUP_REQUIRE_ALL").is_none_or(|v| v.is_empty() || v == "0"), "{test} needs {what}");
    println!("SKIPPED {test}: {what} is missing");
}

/// Where `shared/` lies: `BRINGUP_SHARED`, or beside the checkout.
pub fn shared_root() -> PathBuf {
    std::env::var_os("BRINGUP_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a parent folder").join("shared"), PathBuf::from)
}

/// A file of `shared/data`, or `None` after telling that it is missing.
pub fn need_shared(test: &str, path: &str) -> Option<PathBuf> {
    let file = shared_root().join("data").join(path);
    if file.exists() {
        return Some(file);
    }
    skip(test, &format!("shared/data/{path}"));
    None
}

/// Pins the loaders that a folder holds by a lock beside them, as `bringup image loaders --lock` does.
pub fn pin_loaders(folder: &Path) {
    let mut found = bringup::boot::look_at_loaders(folder, None).expect("loaders");
    found.retain(|loader| loader.artifact.path.starts_with(folder));
    std::fs::write(folder.join("loaders.lock"), bringup::boot::write_loaders_lock(&found)).expect("a lock");
}

/// A program on the search path, or `None` after telling that it is missing.
pub fn need_program(test: &str, name: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|candidate| candidate.is_file());
    if found.is_none() {
        skip(test, &format!("the program `{name}`"));
    }
    found
}

/// A child process that is stopped by its process id when the test ends, however it ends.
pub struct Service {
    child: std::process::Child,
}

impl Service {
    /// Starts a service; its output goes where the command says.
    pub fn start(command: &mut std::process::Command) -> std::io::Result<Self> {
        Ok(Self { child: command.spawn()? })
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has ended by itself.
    pub fn wait(mut self, deadline: std::time::Duration) -> std::process::ExitStatus {
        let mut ended = None;
        wait_until("a child ends", deadline, || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        ended.unwrap()
    }

    /// True while it runs.
    pub fn alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl From<std::process::Child> for Service {
    fn from(child: std::process::Child) -> Self {
        Self { child }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Asks again until it is so or the deadline passes; there is no fixed sleep in any test.
pub fn wait_until(what: &str, deadline: std::time::Duration, mut test: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !test() {
        assert!(start.elapsed() < deadline, "waited {deadline:?} in vain: {what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// A program of the Python environment that `tests/run` installs; `None` after telling that it is missing.
pub fn need_venv(test: &str, program: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    let found = std::env::var_os("BRINGUP_VENV")
        .map(PathBuf::from)
        .into_iter()
        .chain(cache.iter().map(|cache| cache.join("bringup-tests/venv")))
        .map(|venv| venv.join("bin").join(program))
        .find(|candidate| candidate.is_file());
    if found.is_none() {
        skip(test, &format!("the Python program `{program}`"));
    }
    found
}

//! Resolves references to secrets, just before a hand needs them. The secret stays in memory that is wiped, and never reaches an error.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::model::SecretRef;

/// Longest secret that is read: a 16,384-bit RSA key in OpenSSH format takes 12 KiB.
const LONGEST: u64 = 64 << 10;
/// Longest run of a helper (kubectl's credential helpers have the same order of time).
const HELPER: Duration = Duration::from_secs(10);

/// Why a secret was not had. Names the reference, never the secret.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SecretError {
    /// The environment variable is not set, or empty.
    #[error("the secret env:{0} is not set")]
    NotSet(String),
    /// The file cannot be read.
    #[error("read the secret file:{}", path.display())]
    File {
        /// File.
        path: PathBuf,
        /// Cause.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// Others may read the file.
    #[error("the secret file:{} may be read by others (mode {mode:o})", path.display())]
    Open {
        /// File.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
    },
    /// The helper failed.
    #[error("ask the helper exec:{program} for a secret: {seen}")]
    Helper {
        /// Its program.
        program: String,
        /// What was seen.
        seen: String,
    },
    /// Nothing in it, or not text.
    #[error("the secret {0} is empty or not text")]
    Empty(String),
}

impl SecretError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NotSet(name) => format!("export {name}=…"),
            Self::Open { path, .. } => format!("chmod 600 {}", path.display()),
            Self::File { .. } => "a relative path counts from the inventory's directory".to_owned(),
            Self::Helper { .. } | Self::Empty(_) => "run the helper by hand and look at its first line".to_owned(),
        }
    }
}

/// Resolves a reference to all of its text (a key has many lines).
///
/// # Errors
/// [`SecretError`].
pub fn text(reference: &SecretRef, base: &Path) -> Result<Zeroizing<String>, SecretError> {
    let found = match reference {
        SecretRef::Env(name) => Zeroizing::new(std::env::var(name).map_err(|_| SecretError::NotSet(name.clone()))?),
        SecretRef::File(path) => file(&base.join(path))?,
        SecretRef::Exec(words) => helper(words)?,
    };
    if found.trim().is_empty() { Err(SecretError::Empty(reference.to_string())) } else { Ok(found) }
}

/// The first line of a secret: a password has one.
#[must_use]
pub fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn file(path: &Path) -> Result<Zeroizing<String>, SecretError> {
    let fail = |error| SecretError::File { path: path.to_path_buf(), source: Arc::new(error) };
    let file = std::fs::File::open(path).map_err(fail)?;
    let mode = file.metadata().map_err(fail)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SecretError::Open { path: path.to_path_buf(), mode });
    }
    let mut text = Zeroizing::new(String::new());
    file.take(LONGEST).read_to_string(&mut text).map_err(fail)?;
    Ok(text)
}

fn helper(words: &[String]) -> Result<Zeroizing<String>, SecretError> {
    let Some((program, arguments)) = words.split_first() else { return Err(SecretError::Empty("exec:".to_owned())) };
    let fail = |seen: String| SecretError::Helper { program: program.clone(), seen };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|e| fail(e.to_string()))?;
    let stdout = child.stdout.take().ok_or_else(|| fail("it has no output".to_owned()))?;
    let reader = std::thread::spawn(move || {
        let mut text = Zeroizing::new(String::new());
        stdout.take(LONGEST).read_to_string(&mut text).map(|_| text)
    });
    let begun = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if begun.elapsed() < HELPER => std::thread::sleep(Duration::from_millis(10)),
            Ok(None) => {
                // Killed and reaped; that it is gone already is no trouble.
                drop(child.kill());
                drop(child.wait());
                return Err(fail(format!("it did not end within {} s", HELPER.as_secs())));
            }
            Err(error) => return Err(fail(error.to_string())),
        }
    };
    if !status.success() {
        return Err(fail(status.to_string()));
    }
    match reader.join() {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) => Err(fail(error.to_string())),
        Err(_) => Err(fail("its output could not be read".to_owned())),
    }
}

//! Resolves a reference to a private key. Other secrets are one line; a key is a whole text, so it is read whole. What is read is wiped
//! and never printed; errors name the reference, which is no secret.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::failure::{Exit, Failure, Result};
use crate::model::SecretRef;
use crate::shell::PrivateKeyText;

/// Longest key that is read; RSA keys of 16,384 bits are 12 KiB.
const LONGEST: u64 = 64 << 10;
/// Longest wait for a helper program.
const HELPER: Duration = Duration::from_secs(30);

/// Why a key was not read.
#[derive(Debug, thiserror::Error)]
enum KeyTrouble {
    #[error("the environment variable {0} is not set, or is not text")]
    NoVariable(String),
    #[error("read the private key {path}")]
    Read { path: String, source: std::io::Error },
    #[error("the private key {0} can be read by others than its owner (mode {1:04o})")]
    Open(String, u32),
    #[error("the private key of `{0}` is longer than 64 KiB or not text")]
    NotText(String),
    #[error("run the helper `{program}` for a private key")]
    Helper { program: String, source: std::io::Error },
    #[error("the helper `{0}` for a private key ended with {1}")]
    HelperFailed(String, String),
}

/// Reads the key; blocks while a helper program runs.
///
/// # Errors
/// Exit code 10: without its key no node can be reached.
pub fn read(reference: &SecretRef) -> Result<PrivateKeyText> {
    let text = match reference {
        SecretRef::Env(name) => std::env::var(name).map_err(|_| KeyTrouble::NoVariable(name.clone())),
        SecretRef::File(path) => from_file(path),
        SecretRef::Exec(words) => from_helper(words),
    };
    text.map(PrivateKeyText::new).map_err(|trouble| {
        let hint = match &trouble {
            KeyTrouble::Open(path, _) => format!("chmod 600 {path}"),
            _ => format!("the inventory's ssh.key says `{reference}`; it must give a private key in OpenSSH format"),
        };
        Failure::new(Exit::UNREACHABLE, trouble).hint(hint)
    })
}

fn from_file(path: &str) -> std::result::Result<String, KeyTrouble> {
    let read = |source| KeyTrouble::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(read)?;
    let mode = file.metadata().map_err(read)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyTrouble::Open(path.to_owned(), mode));
    }
    take(file, path)
}

fn take(from: impl std::io::Read, name: &str) -> std::result::Result<String, KeyTrouble> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = |source| KeyTrouble::Read { path: name.to_owned(), source };
    from.take(LONGEST + 1).read_to_end(&mut bytes).map_err(read)?;
    let short = u64::try_from(bytes.len()).is_ok_and(|n| n <= LONGEST);
    let text = std::str::from_utf8(&bytes).ok().filter(|_| short);
    text.map(str::to_owned).ok_or_else(|| KeyTrouble::NotText(name.to_owned()))
}

fn from_helper(words: &[String]) -> std::result::Result<String, KeyTrouble> {
    let program = words.first().cloned().unwrap_or_default();
    let failed = |source| KeyTrouble::Helper { program: program.clone(), source };
    let mut command = Command::new(&program);
    command.args(words.get(1..).unwrap_or_default()).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    let stdout = child.stdout.take().ok_or_else(|| failed(std::io::Error::other("no output")))?;
    let name = program.clone();
    let reader = std::thread::spawn(move || take(stdout, &name));
    let start = Instant::now();
    let status = loop {
        match child.try_wait().map_err(failed)? {
            Some(status) => break status,
            None if start.elapsed() > HELPER => {
                drop(child.kill());
                drop(child.wait());
                return Err(KeyTrouble::HelperFailed(program, "no end within 30 s".into()));
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    if !status.success() {
        return Err(KeyTrouble::HelperFailed(program, status.to_string()));
    }
    reader.join().unwrap_or_else(|_| Err(KeyTrouble::HelperFailed(program, "its output could not be read".into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_whole_and_errors_do_not_repeat_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "hunter2\nsecond").unwrap();
        let name = path.to_str().unwrap().to_owned();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let failure = read(&SecretRef::File(name.clone())).err().unwrap();
        assert_eq!(failure.exit, Exit::UNREACHABLE);
        assert!(failure.render(false).contains("chmod 600") && !failure.render(false).contains("hunter2"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(from_file(&name).unwrap(), "hunter2\nsecond");
        assert_eq!(from_helper(&["cat".to_owned(), name]).unwrap(), "hunter2\nsecond");
        assert!(from_helper(&["false".to_owned()]).is_err());
        assert!(from_helper(&["/no/such/helper".to_owned()]).is_err());
    }
}

//! Who answers at a node's SSH address.

use super::ActionError;
use crate::model::{Answer, Class, Probe, ProbeOutput, Reading, SystemFacts};
use crate::shell::{Shell, ShellError, ShellTrouble};

/// Longest wait for one file, in seconds.
const READ_S: u32 = 20;

/// Who answers.
#[derive(Debug)]
pub(super) enum Heard {
    /// A system that let us in.
    System(SystemFacts),
    /// A system that we cannot enter: another host key, or our key is refused.
    Stranger(String),
    /// Nobody.
    Nothing(String),
}

/// Listens at a node's SSH address.
pub(super) async fn hear(shell: &dyn Shell) -> Result<Heard, ActionError> {
    let boot_id = match shell.boot_id().await {
        Ok(id) => id,
        Err(error) => return silence(error),
    };
    let mut facts = Vec::new();
    for path in ["/sys/class/dmi/id/product_serial", "/sys/class/dmi/id/product_uuid", "/proc/cmdline"] {
        match read(shell, path).await {
            Ok(reading) => facts.push(reading),
            // It went away between two questions: nobody is there now.
            Err(error) => return silence(error),
        }
    }
    let mut facts = facts.into_iter();
    let mut next = || facts.next().unwrap_or(Reading::Absent);
    Ok(Heard::System(SystemFacts { boot_id, serial: next(), uuid: next(), cmdline: next(), root: None }))
}

fn silence(error: ShellError) -> Result<Heard, ActionError> {
    match error.kind {
        ShellTrouble::Unreachable | ShellTrouble::TimedOut => Ok(Heard::Nothing(error.to_string())),
        ShellTrouble::Credentials | ShellTrouble::HostKey { .. } => Ok(Heard::Stranger(error.to_string())),
        ShellTrouble::Refused | ShellTrouble::Artifact => Err(ActionError {
            doing: "ask the system who it is".to_owned(),
            seen: error.to_string(),
            class: Class::Transient,
            source: error.source,
        }),
    }
}

async fn read(shell: &dyn Shell, path: &str) -> Result<Reading<String>, ShellError> {
    let mut probe = Probe::new(path, ["cat", path]).within(READ_S);
    probe.limit_bytes = 64 << 10;
    Ok(match shell.run(&probe).await? {
        Answer::Output(ProbeOutput { exit: 0, stdout, .. }) => {
            let text = String::from_utf8_lossy(&stdout).trim().to_owned();
            if text.is_empty() { Reading::Absent } else { Reading::Known(text) }
        }
        Answer::Output(output) => Reading::unknown(format!("cat {path} ended with exit code {}", output.exit)),
        Answer::Unknown { why } => Reading::Unknown { why },
    })
}

/// Whether the system is the node that is meant: `Err` in the middle says why it is not. A serial that was not heard is no other serial:
/// it is asked for again.
pub(super) fn identity(want: &str, serial: &Reading<String>) -> Result<Result<(), String>, ActionError> {
    match serial {
        Reading::Known(seen) if seen.trim().eq_ignore_ascii_case(want) => Ok(Ok(())),
        Reading::Known(seen) => Ok(Err(format!(
            "wrong machine behind its SSH address: the facts say serial {want}, it says {}",
            seen.trim().escape_debug()
        ))),
        Reading::Absent => Ok(Err(format!("the system at its SSH address names no serial, the facts say {want}"))),
        Reading::Unknown { why } => Err(ActionError {
            doing: "read the serial of the system at its SSH address".to_owned(),
            seen: why.clone(),
            class: Class::Transient,
            source: None,
        }),
    }
}

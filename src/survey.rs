//! Reads the world into [`Observed`]. It changes nothing, and it never turns silence into absence.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::bmc::{Bmc, BmcError};
use crate::model::{
    Answer, Component, MachineReport, Observed, PowerState, Probe, ProbeOutput, Reading, RootDisk, Stack, SystemFacts, Version,
};
use crate::shell::{Shell, ShellError};

/// Longest wait for one in-band answer, in seconds: the files asked for are in memory, so only a stuck system takes longer.
const READ_DEADLINE_S: u32 = 20;
/// Longest wait for a machine's report, in seconds: it waits up to 35 s for LLDP itself.
const REPORT_DEADLINE_S: u32 = 60;
/// Longest time for a node's whole in-band part: it is tried while the system may be down, and silence is then the answer.
const SHELL_DEADLINE: Duration = Duration::from_secs(30);

/// What is asked beyond what is always asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'a> {
    /// The stack whose versions are to be read.
    pub stack: Option<&'a Stack>,
    /// Whether the disk is to be found that the system's root lies on.
    pub root_disk: bool,
}

/// Surveys one node.
pub async fn survey(bmc: &dyn Bmc, shell: &dyn Shell, asked: Asked<'_>) -> Observed {
    let identity = reading(bmc.identity().await.map(Reading::Known));
    // A BMC that did not answer the first question is not asked four more times.
    let silent = identity.why_unknown().map(str::to_owned);
    let (power, boot, firmware) = match &silent {
        Some(why) => (Reading::unknown(why), Reading::unknown(why), Reading::unknown(why)),
        None => (reading(bmc.power().await), reading(bmc.boot().await), reading(bmc.firmware().await)),
    };
    // A node without power has no system; asking would only wait.
    let system = match power {
        Reading::Known(PowerState::Off) => Reading::Absent,
        _ => in_time(with_root(shell, asked.root_disk)).await,
    };
    let stack = match (&system, asked.stack) {
        (Reading::Known(_), Some(stack)) => versions(shell, stack).await,
        _ => BTreeMap::new(),
    };
    Observed { bmc: identity, power, boot, firmware, system, stack }
}

async fn in_time(system: impl Future<Output = Reading<SystemFacts>>) -> Reading<SystemFacts> {
    let late = || Reading::unknown(format!("no answer by SSH within {} s", SHELL_DEADLINE.as_secs()));
    tokio::time::timeout(SHELL_DEADLINE, system).await.unwrap_or_else(|_| late())
}

/// What the running system says of itself.
pub async fn system(shell: &dyn Shell) -> Reading<SystemFacts> {
    let boot_id = match shell.boot_id().await {
        Ok(id) => id,
        Err(error) => return Reading::unknown(with_cause(&error)),
    };
    let serial = file(shell, "/sys/class/dmi/id/product_serial").await;
    let uuid = file(shell, "/sys/class/dmi/id/product_uuid").await.map(|u| u.to_ascii_lowercase());
    let cmdline = file(shell, "/proc/cmdline").await;
    Reading::Known(SystemFacts { boot_id, serial, uuid, cmdline, root: None })
}

/// The same, with the disk below it when that is asked for.
async fn with_root(shell: &dyn Shell, asked: bool) -> Reading<SystemFacts> {
    match system(shell).await {
        Reading::Known(facts) if asked => {
            let root = root_disk(shell).await;
            Reading::Known(SystemFacts { root: Some(root), ..facts })
        }
        other => other,
    }
}

/// The disk that the running system's root lies on.
async fn root_disk(shell: &dyn Shell) -> Reading<RootDisk> {
    const BELOW: &str = concat!(include_str!("action/inside/disks.sh"), include_str!("action/inside/below.sh"));
    let mut probe = Probe::new("the disk below the root", ["sh", "-c", BELOW, "bringup-survey"]).within(READ_DEADLINE_S);
    probe.limit_bytes = 64 << 10;
    match said(shell.run(&probe).await) {
        Ok(ProbeOutput { exit: 0, stdout, .. }) => {
            let text = String::from_utf8_lossy(&stdout);
            let fact = |key: &str| -> String {
                let value =
                    text.lines().find_map(|l| l.strip_prefix(key).and_then(|rest| rest.strip_prefix(' '))).unwrap_or_default();
                value.trim().chars().filter(|c| (' '..='~').contains(c)).take(200).collect()
            };
            if text.lines().any(|l| l == "whole") {
                Reading::Known(RootDisk { serial: fact("serial"), wwn: fact("wwn"), table: fact("table") })
            } else {
                Reading::unknown("what was told of the disk below its root was cut")
            }
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Reading::unknown(
                said.lines().last().unwrap_or_default().chars().take(200).collect::<String>().escape_debug().to_string(),
            )
        }
        Err(why) => Reading::Unknown { why },
    }
}

/// Who the running system's machine is and what is at the far ends of its cables, as the bring-up ramdisk's `bringup-report` tells it. It may take
/// most of a minute: a neighbour speaks LLDP every 30 s.
pub async fn machine(shell: &dyn Shell) -> Reading<MachineReport> {
    let patient = Probe::new("bringup-report", ["bringup-report", "--wait", "35"]).within(REPORT_DEADLINE_S);
    match said(shell.run(&patient).await) {
        Ok(ProbeOutput { exit: 0, stdout, .. }) => MachineReport::read(&stdout).map_or_else(Reading::unknown, Reading::Known),
        Ok(ProbeOutput { exit: 127, .. }) => {
            Reading::unknown("its system has no bringup-report; the bring-up ramdisk has it (bringup image build)")
        }
        Ok(output) => Reading::unknown(format!(
            "bringup-report ended with exit code {}: {}",
            output.exit,
            String::from_utf8_lossy(&output.stderr).chars().take(200).collect::<String>().trim().escape_debug()
        )),
        Err(why) => Reading::Unknown { why },
    }
}

fn said(answer: Result<Answer, ShellError>) -> Result<ProbeOutput, String> {
    match answer {
        Ok(Answer::Output(output)) => Ok(output),
        Ok(Answer::Unknown { why }) => Err(why),
        Err(error) => Err(with_cause(&error)),
    }
}

/// Installed versions by the stack's own probes.
pub async fn versions(shell: &dyn Shell, stack: &Stack) -> BTreeMap<Component, Reading<Version>> {
    let mut found = BTreeMap::new();
    for probe in &stack.versions {
        let asked = Probe::new(format!("version {}", probe.component), probe.probe.iter().cloned()).within(READ_DEADLINE_S * 3);
        found.insert(probe.component.clone(), version(shell.run(&asked).await));
    }
    found
}

fn version(answer: Result<Answer, ShellError>) -> Reading<Version> {
    match answer {
        Ok(Answer::Output(ProbeOutput { exit: 0, stdout, .. })) => {
            let text = String::from_utf8_lossy(&stdout);
            let line = text.lines().next().unwrap_or_default().trim();
            Version::new(line).map_or_else(|e| Reading::unknown(e.to_string()), Reading::Known)
        }
        // 127 is the shell's "no such program" (POSIX.1-2017 §2.8.2): the component is not installed.
        Ok(Answer::Output(ProbeOutput { exit: 127, .. })) => Reading::Absent,
        Ok(Answer::Output(output)) => Reading::unknown(format!("its version probe ended with exit code {}", output.exit)),
        Ok(Answer::Unknown { why }) => Reading::Unknown { why },
        Err(error) => Reading::unknown(with_cause(&error)),
    }
}

async fn file(shell: &dyn Shell, path: &str) -> Reading<String> {
    let mut probe = Probe::new(path, ["cat", path]).within(READ_DEADLINE_S);
    probe.limit_bytes = 64 << 10;
    match shell.run(&probe).await {
        Ok(Answer::Output(ProbeOutput { exit: 0, stdout, .. })) => {
            let text = String::from_utf8_lossy(&stdout).trim().to_owned();
            // Boards without a written serial carry filler (SMBIOS 3.7 §6.1.3 leaves the text to the vendor).
            let filler = ["", "none", "to be filled by o.e.m.", "default string", "not specified", "system serial number"];
            if filler.contains(&text.to_ascii_lowercase().as_str()) { Reading::Absent } else { Reading::Known(text) }
        }
        Ok(Answer::Output(output)) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().next().unwrap_or_default().escape_debug().to_string();
            if said.contains("No such file") { Reading::Absent } else { Reading::unknown(format!("cat {path}: {said}")) }
        }
        Ok(Answer::Unknown { why }) => Reading::Unknown { why },
        Err(error) => Reading::unknown(with_cause(&error)),
    }
}

fn reading<T>(answer: Result<Reading<T>, BmcError>) -> Reading<T> {
    answer.unwrap_or_else(|error| Reading::unknown(with_cause(&error)))
}

fn with_cause(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

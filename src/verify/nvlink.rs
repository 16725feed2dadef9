//! NVLinks that are up, by `nvidia-smi nvlink --status`. It counts links; it says nothing about the errors on them.
//!
//! The format (nvidia-smi(1), drivers 470 to 580): per GPU a header, then one indented line per link; a link that is down reads `<inactive>`.
//!
//! ```text
//! GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-00000000-0000-0000-0000-000000000000)
//!      Link 0: 26.562 GB/s
//!      Link 1: <inactive>
//! ```

use super::Answers;
use super::check::{finding, unheard};
use super::read::{self, shown};
use crate::model::{Finding, Probe, Verdict};

const PROBE: &str = "nvidia-smi-nvlink";
/// NVLink 5 has 18 links a GPU; this bounds a hostile answer.
const MAX_LINKS: usize = 64;
const MAX_GPUS: usize = 64;

/// One GPU's links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Links {
    uuid: Option<String>,
    up: u8,
    down: u8,
}

pub(super) fn probe() -> Probe {
    Probe::new(PROBE, ["nvidia-smi", "nvlink", "--status"])
}

/// Links per GPU in index order.
pub(super) fn parse(answers: &Answers) -> Result<Vec<Links>, String> {
    let text = read::output("nvidia-smi nvlink", answers.get(PROBE))?;
    let mut gpus: Vec<Links> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let bad = || format!("nvidia-smi nvlink printed `{}`", shown(line));
        if let Some(rest) = line.strip_prefix("GPU ") {
            let (index, rest) = rest.split_once(':').ok_or_else(bad)?;
            if index.parse::<usize>().ok() != Some(gpus.len()) || gpus.len() == MAX_GPUS {
                return Err(bad());
            }
            let uuid = rest.rsplit_once("(UUID:").map(|(_, uuid)| uuid.trim().trim_end_matches(')').to_owned());
            gpus.push(Links { uuid, up: 0, down: 0 });
        } else if let Some(rest) = line.strip_prefix("Link ") {
            let gpu = gpus.last_mut().ok_or_else(bad)?;
            let (_, state) = rest.split_once(':').ok_or_else(bad)?;
            if usize::from(gpu.up) + usize::from(gpu.down) == MAX_LINKS {
                return Err(bad());
            }
            let state = state.trim();
            if state.eq_ignore_ascii_case("<inactive>") {
                gpu.down += 1;
            } else if state.ends_with("GB/s") && read::number("link", Some(state)).known().is_some_and(|speed| *speed > 0.0) {
                gpu.up += 1;
            } else {
                return Err(bad());
            }
        } else {
            return Err(bad());
        }
    }
    Ok(gpus)
}

/// Exactly as many as wanted; the GPU is found by index and its UUID must agree.
pub(super) fn judge(wanted: u8, index: usize, uuid: Option<&str>, links: &Result<Vec<Links>, String>) -> Finding {
    const CHECK: &str = "nvlink";
    let gpu = match links {
        Err(why) => return unheard(CHECK, why),
        Ok(gpus) => match gpus.get(index) {
            None => return unheard(CHECK, "nvidia-smi nvlink does not list this GPU"),
            Some(gpu) => gpu,
        },
    };
    if gpu.uuid.as_deref() != uuid {
        return unheard(CHECK, "nvidia-smi nvlink lists another GPU at this index");
    }
    let verdict = if gpu.up == wanted { Verdict::Pass } else { Verdict::Quarantine };
    finding(CHECK, verdict, format!("wanted {wanted} links up, seen {} up and {} down", gpu.up, gpu.down))
}

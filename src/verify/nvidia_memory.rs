//! NVIDIA memory health: ECC, row remapping, page retirement (accelerators.md §1b, checks 21 to 28). It judges readings; it asks nothing.

use super::check::{finding, need, unheard};
use super::nvidia_xml::Values;
use super::read::{whole, yes};
use crate::model::{Finding, Policy, Reading, Verdict};

/// All memory findings of one GPU. `silent` replaces "is missing" when the tool did not answer at all.
pub(super) fn judge(policy: &Policy, gpu: &Values, silent: Option<&str>) -> Vec<Finding> {
    let source = Source { gpu, silent };
    let mut findings = vec![failure(&source), pending(&source)];
    if policy.ecc {
        findings.push(ecc(&source));
    }
    if let Some(max) = policy.remapped_uncorrectable_max {
        findings.push(remapped(&source, max));
    }
    if let Some(max) = policy.ecc_uncorrectable_max {
        findings.push(need("ecc-dram", &source.count("ecc_errors/volatile/dram_uncorrectable"), |n| {
            limit("uncorrectable DRAM errors", *n, max)
        }));
        findings.push(sram(&source, max));
    }
    findings.extend(threshold(&source, policy.ecc_uncorrectable_max.is_some()));
    findings.extend(histogram(&source));
    findings
}

struct Source<'a> {
    gpu: &'a Values,
    silent: Option<&'a str>,
}

impl Source<'_> {
    fn hush<T>(&self, reading: Reading<T>) -> Reading<T> {
        match (self.silent, reading) {
            (Some(why), Reading::Unknown { .. }) => Reading::unknown(why),
            (_, reading) => reading,
        }
    }
    fn count(&self, path: &str) -> Reading<u64> {
        self.hush(whole(path, self.gpu.get(path)))
    }
    fn flag(&self, path: &str) -> Reading<bool> {
        self.hush(yes(path, self.gpu.get(path)))
    }
}

fn limit(what: &str, seen: u64, max: u64) -> (Verdict, String) {
    (if seen > max { Verdict::Quarantine } else { Verdict::Pass }, format!("{what}: at most {max}, seen {seen}"))
}

/// Current and pending must both be on: a pending "off" takes effect at the next reset, after the gate.
fn ecc(source: &Source<'_>) -> Finding {
    let (now, next) = (source.flag("ecc_mode/current_ecc"), source.flag("ecc_mode/pending_ecc"));
    match (now, next) {
        (Reading::Known(true), Reading::Known(true)) => finding("ecc", Verdict::Pass, "on, and stays on"),
        (Reading::Known(false), _) => finding("ecc", Verdict::Quarantine, "ECC is off"),
        (_, Reading::Known(false)) => finding("ecc", Verdict::Quarantine, "ECC is off after the next reset"),
        (now, next) => unheard("ecc", now.why_unknown().or(next.why_unknown()).unwrap_or("the ECC mode is not said")),
    }
}

/// Row remapping from Ampere on, page retirement before: one of the two must speak.
fn failure(source: &Source<'_>) -> Finding {
    let rows = source.flag("remapped_rows/remapped_row_failure");
    match rows {
        Reading::Known(true) => {
            finding("remap-failure", Verdict::Reject, "a row could not be remapped: the part is out of spares")
        }
        Reading::Known(false) => finding("remap-failure", Verdict::Pass, "no remapping has failed"),
        rows => match source.count("retired_pages/double_bit_retirement/retired_count") {
            // 63 is the number of pages after which NVIDIA replaces a part (DCGM nvvs, page retirement limit).
            Reading::Known(n) if n > 63 => {
                finding("remap-failure", Verdict::Reject, format!("{n} pages are retired, 63 is the limit"))
            }
            Reading::Known(n) => finding("remap-failure", Verdict::Pass, format!("{n} pages are retired")),
            _ => unheard("remap-failure", rows.why_unknown().unwrap_or("neither row remapping nor page retirement is said")),
        },
    }
}

fn pending(source: &Source<'_>) -> Finding {
    const SAYS: [(&str, &str); 4] = [
        ("remapped_rows/remapped_row_pending", "a row remap waits for a reset"),
        ("retired_pages/pending_retirement", "a page retirement waits for a reboot"),
        ("ecc_errors/channel_repair_pending", "a memory channel repair waits for a reset"),
        ("ecc_errors/tpc_repair_pending", "a TPC repair waits for a reset"),
    ];
    let readings = SAYS.map(|(path, says)| (source.flag(path), says));
    if let Some((_, says)) = readings.iter().find(|(reading, _)| *reading == Reading::Known(true)) {
        return finding("remap-pending", Verdict::Quarantine, *says);
    }
    let [rows, pages, ..] = &readings;
    if rows.0.known().is_some() || pages.0.known().is_some() {
        return finding("remap-pending", Verdict::Pass, "nothing waits for a reset");
    }
    unheard("remap-pending", rows.0.why_unknown().unwrap_or("neither row remapping nor page retirement is said"))
}

fn remapped(source: &Source<'_>, max: u64) -> Finding {
    const CHECK: &str = "remap-uncorrectable";
    let rows = source.count("remapped_rows/remapped_row_unc");
    if rows.known().is_some() {
        return need(CHECK, &rows, |n| limit("rows remapped after uncorrectable errors", *n, max));
    }
    match source.count("retired_pages/double_bit_retirement/retired_count") {
        Reading::Known(n) => {
            let (verdict, detail) = limit("pages retired after double-bit errors", n, max);
            finding(CHECK, verdict, detail)
        }
        _ => unheard(CHECK, rows.why_unknown().unwrap_or("neither row remapping nor page retirement is said")),
    }
}

/// Drivers up to R535 print one SRAM counter, later ones split it by parity and SECDED.
fn sram(source: &Source<'_>, max: u64) -> Finding {
    const CHECK: &str = "ecc-sram";
    let parity = source.count("ecc_errors/volatile/sram_uncorrectable_parity");
    let secded = source.count("ecc_errors/volatile/sram_uncorrectable_secded");
    let sum = match (&parity, &secded, source.count("ecc_errors/volatile/sram_uncorrectable")) {
        (Reading::Known(a), Reading::Known(b), _) => Reading::Known(a.saturating_add(*b)),
        (_, _, Reading::Known(all)) => Reading::Known(all),
        // Half a sum is no sum.
        (Reading::Known(_), _, _) => secded,
        _ => parity,
    };
    need(CHECK, &sum, |n| limit("uncorrectable SRAM errors", *n, max))
}

/// The flag by which NVIDIA itself replaces a part. Drivers before R550 do not print it.
fn threshold(source: &Source<'_>, required: bool) -> Option<Finding> {
    const CHECK: &str = "sram-threshold";
    let flag = source.flag("ecc_errors/aggregate/sram_threshold_exceeded");
    match &flag {
        Reading::Known(true) => Some(finding(CHECK, Verdict::Reject, "the lifetime SRAM error threshold is exceeded")),
        Reading::Known(false) => Some(finding(CHECK, Verdict::Pass, "the lifetime SRAM error threshold is not exceeded")),
        _ if required => Some(need(CHECK, &flag, |_| (Verdict::Pass, String::new()))),
        _ => None,
    }
}

/// Banks with few or no spare rows left, before anything fails. Not every driver prints it, so silence is no finding.
fn histogram(source: &Source<'_>) -> Option<Finding> {
    const CHECK: &str = "remap-histogram";
    let low = source.count("remapped_rows/row_remapper_histogram/row_remapper_histogram_low");
    let none = source.count("remapped_rows/row_remapper_histogram/row_remapper_histogram_none");
    match (low, none) {
        (_, Reading::Known(n)) if n > 0 => Some(finding(CHECK, Verdict::Quarantine, format!("{n} banks have no spare row left"))),
        (Reading::Known(n), _) if n > 0 => Some(finding(CHECK, Verdict::Note, format!("{n} banks have few spare rows left"))),
        (Reading::Known(_), Reading::Known(_)) => Some(finding(CHECK, Verdict::Pass, "all banks have spare rows")),
        _ => None,
    }
}

//! Silence that the policy's owner accepts for a while: by name, with a reason and a last day. It lifts `inconclusive` and nothing worse, and it
//! never makes an accelerator of one that nobody has seen.

use super::read::shown;
use crate::model::{Finding, Tolerance, Verdict};

/// Turns an inconclusive finding into a note when a tolerance names it and has not ended; the note says so.
pub(super) fn apply(tolerances: &[Tolerance], today: &str, finding: &mut Finding) {
    if finding.verdict != Verdict::Inconclusive || finding.check == "missing" {
        return;
    }
    let found =
        tolerances.iter().find(|t| t.check == finding.check && is_date(&t.until) && is_date(today) && t.until.as_str() >= today);
    if let Some(tolerance) = found {
        finding.verdict = Verdict::Note;
        finding.detail = format!("{} (tolerated until {}: {})", finding.detail, tolerance.until, shown(&tolerance.reason));
    }
}

/// `YYYY-MM-DD`: only then does comparing strings compare days. A wrong date tolerates nothing.
fn is_date(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(i, b)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() })
        && text.get(5..7).is_some_and(|month| ("01"..="12").contains(&month))
        && text.get(8..10).is_some_and(|day| ("01"..="31").contains(&day))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_silence_and_only_until_then() {
        let tolerance = |until: &str| Tolerance { check: "aer".into(), reason: "no AER".into(), until: until.into() };
        let after = |verdict, until: &str, today: &str| {
            let mut finding = Finding { check: "aer".into(), verdict, detail: "x".into() };
            apply(&[tolerance(until)], today, &mut finding);
            finding.verdict
        };
        assert_eq!(after(Verdict::Inconclusive, "2026-11-22", "2026-11-22"), Verdict::Note);
        assert_eq!(after(Verdict::Inconclusive, "2026-11-21", "2026-11-22"), Verdict::Inconclusive);
        assert_eq!(after(Verdict::Inconclusive, "for ever", "2026-11-22"), Verdict::Inconclusive);
        assert_eq!(after(Verdict::Inconclusive, "9999-99-99", "2026-11-22"), Verdict::Inconclusive);
        assert_eq!(after(Verdict::Inconclusive, "2026-11-22", ""), Verdict::Inconclusive);
        assert_eq!(after(Verdict::Quarantine, "2027-01-01", "2026-11-22"), Verdict::Quarantine);
    }
}

//! The `rollout:` block of a playbook: how the fleet is walked. Decides nothing; that is the room `rollout`.

use super::code;
use super::decode::{self, Fields, Spanned};
use super::diagnostic::{Diagnostic, Diagnostics};
use super::policy::positive;
use super::unit::{LabelTest, Percent};
use crate::model::RolloutPolicy;

/// Tries of one step that are of any use; more only hide a fault.
const ATTEMPTS_MAX: u32 = 10;

/// Reads the block.
pub(super) fn read(mut f: Fields<'_>, out: &mut Diagnostics) -> Option<RolloutPolicy> {
    let waves = waves(&mut f, out);
    let canary = f.parsed::<LabelTest>("canary", out).map(|c| (c.value.0, c.value.1));
    let max_nodes = f.need("max_nodes", out).and_then(|t| {
        let value = positive(t, "rollout.max_nodes", u32::MAX, out)?;
        Some(Spanned { value, span: t.span })
    });
    let max_per_rack = f.take("max_per_rack").map(|t| positive(t, "rollout.max_per_rack", u32::MAX, out));
    let max_per_feed_w = f.take("max_per_feed_w").map(|t| positive(t, "rollout.max_per_feed_w", u32::MAX, out));
    let canary_failures = f.number::<u32>("canary_failures", out);
    let total_failures = f.parsed::<Percent>("total_failures", out);
    let attempts = f.take("attempts").map(|t| positive(t, "rollout.attempts", ATTEMPTS_MAX, out));
    f.finish(out);
    let (waves, max_nodes) = (waves?, max_nodes?);
    for wave in waves.iter().filter(|w| w.value > max_nodes.value) {
        let message = format!("a wave of {} never has more than `max_nodes: {}` under way", wave.value, max_nodes.value);
        out.push(Diagnostic::warning(code::NO_EFFECT, message).at(wave.span).also(max_nodes.span, "this bounds it"));
    }
    Some(RolloutPolicy {
        waves: waves.into_iter().map(|w| w.value).collect(),
        canary,
        max_nodes: max_nodes.value,
        max_per_rack: max_per_rack.unwrap_or(Some(max_nodes.value))?,
        max_per_feed_w: max_per_feed_w.map_or(Some(None), |w| w.map(Some))?,
        canary_failures: canary_failures.map_or(0, |c| c.value),
        total_failures_pct: total_failures.map_or(0.0, |t| t.value.0),
        attempts: attempts.unwrap_or(Some(3))?,
    })
}

fn waves(f: &mut Fields<'_>, out: &mut Diagnostics) -> Option<Vec<Spanned<u32>>> {
    let tree = f.need("waves", out)?;
    let items = decode::list(tree, "rollout.waves", out)?;
    if items.is_empty() {
        let d = Diagnostic::error(code::ROLLOUT, "rollout.waves: without a wave nobody ever starts").at(tree.span);
        out.push(d.hint("such as [1, 8, 64]: one node, then eight, then 64 at a time"));
        return None;
    }
    let wave = |(i, t): (usize, &super::yaml::Tree)| {
        let value = positive(t, &format!("rollout.waves[{i}]"), u32::MAX, out)?;
        Some(Spanned { value, span: t.span })
    };
    let waves: Vec<_> = items.iter().enumerate().filter_map(wave).collect();
    (waves.len() == items.len()).then_some(waves)
}

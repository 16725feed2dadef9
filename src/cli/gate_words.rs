//! What the gate knows, lent to the readers of words, which may not name the gate. Decides nothing.

use std::sync::LazyLock;

use crate::spec::Gate;
use crate::verify::{CHECKS, VersionRule};

static NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| CHECKS.iter().map(|(name, _)| *name).collect());

/// Names of the gate's checks, and whether it can read a version rule.
#[must_use]
pub fn gate() -> Gate<'static> {
    Gate { checks: &NAMES, version_rule: &|rule| VersionRule::parse(rule).map(drop).map_err(|e| e.to_string()) }
}

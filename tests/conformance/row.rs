//! What a row of the suite is. Data only; `sweep` runs it.

use futures_util::future::BoxFuture;

/// One row of the table.
pub struct Row {
    /// Its name, such as `RC-04`.
    pub id: &'static str,
    /// What the BMC does, in a few words, for the table.
    pub says: &'static str,
    /// Faults, as `--fault` takes them, without a place. Each is swept by itself.
    pub faults: &'static [&'static str],
    /// Where they are placed.
    pub placed: Where,
    /// The row's own assertion beside those of the sweep: run once for each vendor's profile (`dell`, `supermicro`, `ami`); says what was seen.
    pub own: fn(profile: &'static str) -> BoxFuture<'static, Result<String, String>>,
}

/// Where a row's fault is placed in a bring-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// Once, at each request index in turn (a fault of one moment).
    EachOnce,
    /// From each request index on, for good (a state that begins some time).
    EachOn,
    /// From the start: a habit that cannot begin in the middle.
    Always,
}

//! What a row of the suite is, and how its fault is met. Data only; `sweep` runs it.

use bringup::model::BmcProtocol;
use futures_util::future::BoxFuture;

use super::rig::Rig;
use super::story::Story;

/// One row of the table.
pub struct Row {
    /// Its name, such as `RC-04`.
    pub id: &'static str,
    /// What the BMC does, in a few words, for the table.
    pub says: &'static str,
    /// Faults, as `--fault` takes them, without a place. Each is swept by itself; `a+b` are two at once; in
    /// `bmc-dead-after(@)` the number is the place.
    pub faults: &'static [&'static str],
    /// Where they are placed.
    pub placed: Where,
    /// The row's own assertion beside those of the sweep: run once for each vendor's profile (`dell`, `supermicro`, `ami`); says what was seen.
    pub own: fn(profile: &'static str) -> Own,
}

/// What was seen, or what was not as it should be.
pub type Own = BoxFuture<'static, Result<String, String>>;

impl Row {
    /// How the BMC is spoken to: IPMI for `IP-nn`, else Redfish.
    pub fn protocol(&self) -> BmcProtocol {
        if self.id.starts_with("IP") { BmcProtocol::Ipmi } else { BmcProtocol::Redfish }
    }
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

/// What is done with the BMC while the fault is in its place. It tells the story what it wrote and read; `rig.bmc.close()` comes after it.
pub type Drive = for<'a> fn(&'a Rig, &'a mut Story) -> BoxFuture<'a, ()>;

/// Rows that are driven alike.
pub struct Group {
    pub rows: Vec<Row>,
    pub drive: Drive,
}

impl Group {
    /// Rows whose faults are met by a full bring-up.
    pub fn of(rows: Vec<Row>) -> Self {
        Self::driven(rows, super::bring_up::drive)
    }

    /// Rows whose faults are met by something else.
    pub fn driven(rows: Vec<Row>, drive: Drive) -> Self {
        Self { rows, drive }
    }
}

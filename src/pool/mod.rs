//! Where admitted nodes work. The only way in is an [`Admission`].

mod capacity;
mod ledger;

use async_trait::async_trait;

use crate::model::{DeviceVerdict, NodeId};
use crate::verify::Admission;

pub use capacity::{Capacity, Causes, Idle, capacity};
pub use ledger::Ledger;

/// Why the pool did not do it.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {seen}")]
pub struct PoolError {
    /// What was tried.
    pub doing: String,
    /// What was seen.
    pub seen: String,
    /// The error beneath.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Whether a node works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Works with these accelerators.
    Working {
        /// Accelerators that work.
        devices: Vec<DeviceVerdict>,
        /// Accelerators that are withheld.
        withheld: Vec<DeviceVerdict>,
    },
    /// Out, for this reason.
    Drained {
        /// Why.
        why: String,
    },
}

/// A node as the pool lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Node.
    pub node: NodeId,
    /// Pool; empty for a node that was drained before it ever joined one.
    pub pool: String,
    /// Whether it works.
    pub standing: Standing,
    /// Since when, in ms since 1970.
    pub since_ms: i64,
}

/// A pool. Both changes are idempotent.
#[async_trait]
pub trait Pool: Send + Sync {
    /// Puts a node to work.
    async fn admit(&self, admission: Admission) -> Result<(), PoolError>;
    /// Takes a node out; `true` when it was working.
    async fn drain(&self, node: &NodeId, why: &str) -> Result<bool, PoolError>;
    /// Everything the pool knows, in node order.
    async fn list(&self) -> Result<Vec<Member>, PoolError>;
}

//! When 1,250 nodes ask at once: so many files are sent at a time, the others wait in order, and no uplink gets more than its budget.
//! Scripts, loaders and other small files wait for nobody.
//!
//! | file | what it is for |
//! |---|---|
//! | `rate` | bytes each second, as people write them |
//! | `bucket` | the budget of one uplink |
//! | `gate` | who may send now |
//!
//! No lock is held across a wait, and what waits takes memory for nothing but its connection.

mod bucket;
mod gate;
mod rate;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

pub use self::rate::{Rate, RateError};

use self::bucket::Bucket;
use self::gate::Gate;
pub(super) use self::gate::{PACE, Pass};
use crate::model::{NodeId, RackId};

/// Files that are sent at once. Enough to fill 100 Gbit/s by one road or another, and few enough that the first nodes boot while the last wait.
pub const TRANSFERS: usize = 64;
/// What is asked of a budget at a time: 10 ms of it, within these bounds.
const QUANTUM: (u64, u64) = (16 << 10, 2 << 20);

/// The rules of a storm.
#[derive(Debug, Clone)]
pub struct StormRules {
    /// Files larger than 2 MiB that are sent at once; at least one.
    pub transfers: usize,
    /// Of all that is sent.
    pub budget: Option<Rate>,
    /// Of what is sent to the nodes of a rack.
    pub racks: BTreeMap<RackId, Rate>,
    /// Where nodes are; needed for `racks` only.
    pub homes: BTreeMap<NodeId, RackId>,
}

impl Default for StormRules {
    /// [`TRANSFERS`], without a budget.
    fn default() -> Self {
        Self { transfers: TRANSFERS, budget: None, racks: BTreeMap::new(), homes: BTreeMap::new() }
    }
}

/// How a storm goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gauge {
    /// Files that are sent now.
    pub sending: usize,
    /// Files that wait for their turn.
    pub waiting: usize,
    /// Files whose client takes them slower than 128 KiB/s, sent beside the others.
    pub slow: usize,
    /// Bytes of files that were sent since the start.
    pub bytes: u64,
}

/// Storm control; cheap to clone.
#[derive(Clone)]
pub struct Storm(Arc<Inner>);

struct Inner {
    gate: Arc<Gate>,
    whole: Option<Arc<Bucket>>,
    racks: BTreeMap<RackId, Arc<Bucket>>,
    homes: BTreeMap<NodeId, RackId>,
}

impl Default for Storm {
    fn default() -> Self {
        Self::new(StormRules::default())
    }
}

impl Storm {
    /// Storm control by these rules.
    #[must_use]
    pub fn new(rules: StormRules) -> Self {
        let bucket = |rate: Rate| Arc::new(Bucket::new(rate));
        Self(Arc::new(Inner {
            gate: Arc::new(Gate::new(rules.transfers.max(1))),
            whole: rules.budget.map(bucket),
            racks: rules.racks.into_iter().map(|(rack, rate)| (rack, bucket(rate))).collect(),
            homes: rules.homes,
        }))
    }

    /// How it goes now.
    #[must_use]
    pub fn gauge(&self) -> Gauge {
        self.0.gate.gauge()
    }

    /// The budgets that count for a node, or for whoever is not known to be one.
    pub(super) fn lane(&self, node: Option<&NodeId>) -> Lane {
        let rack = node.and_then(|node| self.0.homes.get(node)).and_then(|rack| self.0.racks.get(rack));
        let buckets: Vec<Arc<Bucket>> = self.0.whole.iter().chain(rack).cloned().collect();
        let quantum = buckets.iter().map(|bucket| bucket.rate().bytes() / 100).min().unwrap_or(QUANTUM.1);
        let quantum = quantum.clamp(QUANTUM.0, QUANTUM.1);
        Lane { gate: Arc::clone(&self.0.gate), buckets, quantum: usize::try_from(quantum).unwrap_or(usize::MAX), credit: 0 }
    }

    /// Waits for a turn to send; in order.
    pub(super) async fn turn(&self) -> Pass {
        Gate::turn(&self.0.gate).await
    }
}

/// The budgets of one transfer.
pub(super) struct Lane {
    gate: Arc<Gate>,
    buckets: Vec<Arc<Bucket>>,
    quantum: usize,
    /// Taken from the budgets and not sent yet.
    credit: usize,
}

impl Lane {
    /// Waits until something may be sent, and says how much: at least one byte, at most `most`.
    pub(super) async fn take(&mut self, most: usize) -> usize {
        let (some, due) = self.reserve(most, Instant::now());
        if let Some(due) = due {
            tokio::time::sleep_until(due).await;
        }
        some
    }

    /// How much may be sent, and from when on.
    fn reserve(&mut self, most: usize, now: Instant) -> (usize, Option<Instant>) {
        let mut due = None;
        if self.credit == 0 {
            self.credit = most.min(self.quantum);
            due = self.buckets.iter().map(|bucket| bucket.reserve(self.credit, now)).max();
        }
        (self.credit.min(most), due)
    }

    /// Counts what was sent. What nobody waited for is taken from the budgets afterwards: others then wait a little longer.
    pub(super) fn sent(&mut self, bytes: usize) {
        let unpaid = bytes.saturating_sub(self.credit);
        self.credit = self.credit.saturating_sub(bytes);
        if unpaid > 0 {
            for bucket in &self.buckets {
                bucket.reserve(unpaid, Instant::now());
            }
        }
        self.gate.bytes.fetch_add(u64::try_from(bytes).unwrap_or_default(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn rules(transfers: usize, budget: Option<&str>) -> StormRules {
        StormRules { transfers, budget: budget.map(|text| text.parse().unwrap()), ..StormRules::default() }
    }

    /// Sends so much on each lane, by a clock of its own; when each was done, in seconds.
    fn send(lanes: Vec<Lane>, each: usize) -> Vec<f64> {
        let begun = Instant::now();
        let mut done = vec![0.0; lanes.len()];
        let mut queue: BTreeMap<(Instant, usize), (Lane, usize)> =
            lanes.into_iter().enumerate().map(|(n, lane)| ((begun, n), (lane, each))).collect();
        while let Some(((now, n), (mut lane, left))) = queue.pop_first() {
            let (some, due) = lane.reserve(left, now);
            assert!(some > 0 && some <= left);
            let now = due.unwrap_or(now).max(now);
            lane.sent(some);
            match left - some {
                0 => done[n] = (now - begun).as_secs_f64(),
                left => drop(queue.insert((now, n), (lane, left))),
            }
        }
        done
    }

    #[test]
    fn a_budget_is_kept_and_shared_fairly() {
        let storm = Storm::new(rules(64, Some("80Mbit")));
        let done = send((0..20).map(|_| storm.lane(None)).collect(), 1_000_000);
        let (first, last) = (done.iter().copied().fold(f64::MAX, f64::min), done.iter().copied().fold(0.0, f64::max));
        // 20 MB at 10 MB/s, and each of them to the end.
        assert!((1.8..2.1).contains(&last), "{last}");
        assert!(first > 1.6, "one was ahead of all others: {first}");
        assert_eq!(storm.gauge().bytes, 20_000_000);
    }

    #[test]
    fn a_rack_has_its_own_uplink() {
        let [slow, fast]: [NodeId; 2] = ["a001-s01", "a002-s01"].map(|name| NodeId::new(name).unwrap());
        let [near, far]: [RackId; 2] = ["a001", "a002"].map(|name| RackId::new(name).unwrap());
        let homes = BTreeMap::from([(slow.clone(), near.clone()), (fast.clone(), far)]);
        let racks = BTreeMap::from([(near, "8Mbit".parse().unwrap())]);
        let storm = Storm::new(StormRules { racks, homes, ..rules(64, Some("80Mbit")) });
        let done = send(vec![storm.lane(Some(&slow)), storm.lane(Some(&fast))], 1_000_000);
        assert!((0.9..1.1).contains(&done[0]), "{done:?}");
        assert!((0.06..0.4).contains(&done[1]), "{done:?}");
    }

    #[tokio::test]
    async fn turns_come_in_order_and_who_is_slow_gives_its_place() {
        let storm = Storm::new(rules(1, None));
        let mut first = storm.turn().await;
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let mut all = tokio::task::JoinSet::new();
        for n in 0..5 {
            let (storm, order) = (storm.clone(), Arc::clone(&order));
            all.spawn(async move {
                let pass = storm.turn().await;
                order.lock().unwrap().push(n);
                drop(pass);
            });
            tokio::task::yield_now().await;
        }
        assert_eq!((storm.gauge().sending, storm.gauge().waiting), (1, 5));
        // As fast as it should be: it keeps its place.
        first.moved(10 << 20, PACE);
        tokio::task::yield_now().await;
        assert_eq!((storm.gauge().waiting, storm.gauge().slow), (5, 0));
        first.moved(1000, PACE);
        all.join_all().await;
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
        assert_eq!((storm.gauge().sending, storm.gauge().waiting, storm.gauge().slow), (0, 0, 1));
        drop(first);
        assert_eq!(storm.gauge(), Gauge::default());
    }

    #[tokio::test]
    async fn who_hangs_up_while_waiting_leaves_the_line() {
        let storm = Storm::new(rules(1, None));
        let first = storm.turn().await;
        assert!(tokio::time::timeout(Duration::from_millis(50), storm.turn()).await.is_err());
        assert_eq!(storm.gauge().waiting, 0);
        drop(first);
        assert!(tokio::time::timeout(Duration::from_secs(60), storm.turn()).await.is_ok());
    }
}

//! Runs the rows: each fault at each place on each vendor's profile, many small farms at once, and what must hold for every one of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bringup::model::BmcProtocol;
use bringup::sim::{BmcFault, Fault, Seed};
use futures_util::StreamExt as _;

use super::rig::Rig;
use super::row::{Drive, Group, Own, Row, Where};
use super::story::Story;

/// The vendors' profiles.
pub const VENDORS: [&str; 3] = ["dell", "supermicro", "ami"];
/// Nothing that a client does with one BMC in one run may take longer. Each call is bounded by 2.5 s (`rig::limits`); this is all of them.
const BOUND: Duration = Duration::from_secs(60);
/// Runs at once. They wait more than they work.
const AT_ONCE: usize = 20;
/// Own assertions at once: some of them look at how long something takes.
const OWN_AT_ONCE: usize = 6;
/// Without `BRINGUP_SWEEP=full`: on the two profiles that the seed did not choose for a fault, every so manieth request.
const STRIDE: u32 = 6;

/// How much is run.
pub struct Effort {
    pub full: bool,
    pub seed: u64,
    /// Beginnings of the names of the rows to run; empty: all.
    pub only: Vec<String>,
}

impl Effort {
    /// By the environment: see the head of `mod.rs`.
    pub fn from_env() -> Self {
        let var = |name| std::env::var(name).unwrap_or_default();
        let seed = var("BRINGUP_SEED");
        Self {
            full: var("BRINGUP_SWEEP") == "full",
            seed: if seed.is_empty() { 7 } else { seed.parse().expect("BRINGUP_SEED is a number") },
            only: var("BRINGUP_ROWS").split(',').map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned).collect(),
        }
    }

    pub fn wants(&self, id: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| id.starts_with(only.as_str()))
    }
}

/// What became of one row on one vendor's profile.
#[derive(Default)]
pub struct Cell {
    /// Faults placed.
    pub placed: u32,
    /// Runs that came to their end.
    pub done: u32,
    /// Runs that ended early and said why, by reason.
    pub told: BTreeMap<String, u32>,
    /// Time that the runs took, one after the other.
    pub took: Duration,
    /// What the row's own assertion saw.
    pub own: Option<String>,
    /// What did not hold: where, and what.
    pub failed: Vec<String>,
}

/// Cells by row and profile.
pub type Cells = BTreeMap<(&'static str, &'static str), Cell>;

struct Run {
    row: &'static str,
    vendor: &'static str,
    protocol: BmcProtocol,
    faults: Vec<Fault>,
    drive: Drive,
}

/// What is known of one run.
struct Ran {
    wrongs: Vec<String>,
    ended: Option<String>,
    requests: u32,
    took: Duration,
}

/// Runs all rows that are wanted.
pub async fn sweep(groups: Vec<Group>, effort: &Effort) -> Cells {
    let mut cells = Cells::new();
    let (mut runs, mut owns) = (Vec::new(), Vec::new());
    let mut lengths = BTreeMap::new();
    for Group { rows, drive } in groups {
        for row in rows.iter().filter(|row| effort.wants(row.id)) {
            for vendor in VENDORS {
                cells.entry((row.id, vendor)).or_default();
                owns.push((row.id, vendor, (row.own)(vendor)));
                let length = *match lengths.entry((drive as usize, row.protocol() == BmcProtocol::Ipmi, vendor)) {
                    std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
                    std::collections::btree_map::Entry::Vacant(new) => new.insert(clean(row, vendor, drive, effort.seed).await),
                };
                for faults in placements(row, vendor, length, effort) {
                    runs.push(Run { row: row.id, vendor, protocol: row.protocol(), faults, drive });
                }
            }
        }
    }
    own_assertions(owns, &mut cells).await;
    let seed = effort.seed;
    // Rows that wait beside rows that work.
    runs.sort_by_cached_key(|run| Seed(seed).below(&format!("{}/{}/{:?}", run.row, run.vendor, run.faults), 1 << 32));
    let mut done = futures_util::stream::iter(runs.into_iter().map(Arc::new))
        .map(|run| async move {
            let ran = tokio::spawn(one(Arc::clone(&run), seed)).await;
            (run, ran.map_err(panic_text))
        })
        .buffer_unordered(AT_ONCE);
    while let Some((run, ran)) = done.next().await {
        let cell = cells.entry((run.row, run.vendor)).or_default();
        cell.placed += 1;
        cell.took += ran.as_ref().map_or(Duration::ZERO, |ran| ran.took);
        let (wrongs, ended) = match ran {
            Ok(ran) => (ran.wrongs, ran.ended),
            Err(panic) => (vec![format!("it panicked: {panic}")], None),
        };
        match ended {
            Some(why) => *cell.told.entry(why).or_default() += 1,
            None if wrongs.is_empty() => cell.done += 1,
            None => {}
        }
        let place: Vec<String> = run.faults.iter().map(ToString::to_string).collect();
        let place = place.join(" + ");
        cell.failed
            .extend(wrongs.into_iter().map(|wrong| format!("{} on {}, {place}, seed {seed}: {wrong}", run.row, run.vendor)));
    }
    cells
}

/// What is special about each row, once a profile.
async fn own_assertions(owns: Vec<(&'static str, &'static str, Own)>, cells: &mut Cells) {
    let mut done = futures_util::stream::iter(owns)
        .map(|(row, vendor, own)| async move { (row, vendor, tokio::spawn(own).await) })
        .buffer_unordered(OWN_AT_ONCE);
    while let Some((row, vendor, spawned)) = done.next().await {
        let cell = cells.entry((row, vendor)).or_default();
        match spawned.unwrap_or_else(|e| Err(format!("its own assertion panicked: {}", panic_text(e)))) {
            Ok(seen) => cell.own = Some(seen),
            Err(why) => cell.failed.push(format!("{row} on {vendor}, own assertion: {why}")),
        }
    }
}

/// A run without any fault: it must come to its end; its length in requests is what faults are placed in.
async fn clean(row: &Row, vendor: &'static str, drive: Drive, seed: u64) -> u32 {
    let run = Run { row: "clean", vendor, protocol: row.protocol(), faults: Vec::new(), drive };
    let ran = one(Arc::new(run), seed).await;
    assert!(ran.wrongs.is_empty() && ran.ended.is_none(), "without faults, {vendor}: {:?} {:?}", ran.ended, ran.wrongs);
    ran.requests
}

/// Every way in which a row's faults are placed in a run of this length.
fn placements(row: &Row, vendor: &'static str, length: u32, effort: &Effort) -> Vec<Vec<Fault>> {
    if row.faults.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for text in row.faults {
        let times = if row.placed == Where::EachOnce { "x1" } else { "" };
        let read = |one: String| one.parse::<Fault>().ok();
        let at = |index: u32| -> Option<Vec<Fault>> {
            let placed = |one: &str| match one.split_once("(@)") {
                Some((name, "")) => read(format!("{name}({index})")),
                _ => read(format!("{one}@{index}{times}")),
            };
            text.split('+').map(placed).collect()
        };
        // Faults of the machine itself (`udp.loss(5)`, `boot.ignore`) have no place.
        if row.placed == Where::Always || at(0).is_none() {
            let all_along = text.split('+').map(|one| read(one.to_owned())).collect::<Option<Vec<Fault>>>();
            all.push(all_along.unwrap_or_else(|| panic!("{}: `{text}` is no fault", row.id)));
            continue;
        }
        let dice =
            |label: &str, bound| u32::try_from(Seed(effort.seed).below(&format!("{}/{text}/{label}", row.id), bound)).unwrap();
        let chosen = VENDORS[dice("vendor", 3) as usize] == vendor;
        let (first, step) = if effort.full || chosen { (0, 1) } else { (dice(vendor, u64::from(STRIDE)), STRIDE) };
        all.extend((first..length).step_by(step as usize).filter_map(at));
    }
    all
}

/// One run and the assertions that hold for all.
async fn one(run: Arc<Run>, seed: u64) -> Ran {
    let rig = Rig::start(run.protocol, run.vendor, &run.faults, seed).await;
    let before = rig.machine().sessions();
    let mut story = Story::default();
    let start = Instant::now();
    let driven = tokio::time::timeout(BOUND, async {
        (run.drive)(&rig, &mut story).await;
        rig.bmc.close().await;
    });
    if driven.await.is_err() {
        story.wrong(format!("it did not end within {BOUND:?}"));
    }
    let took = start.elapsed();
    // Close Session of IPMI is sent and not waited for.
    while rig.machine().sessions() > before && start.elapsed() < took + Duration::from_secs(1) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let left = rig.machine().sessions();
    if left > before && !run.faults.iter().any(out_of_reach) {
        story.wrong(format!("{left} sessions are open on the BMC after close, {before} were before"));
    }
    story.search(&rig.secrets());
    let requests = rig.machine().requests();
    rig.farm.stop().await;
    let (wrongs, ended) = story.close();
    Ran { wrongs, ended, requests, took }
}

/// What is wrong with one run without faults.
pub async fn wrongs_of(protocol: BmcProtocol, vendor: &'static str, drive: Drive) -> Vec<String> {
    one(Arc::new(Run { row: "self", vendor, protocol, faults: Vec::new(), drive }), 7).await.wrongs
}

/// Faults after which nobody can end a session on the BMC: it does not answer any more, or it shows a certificate that is not the recorded one, and
/// a token is a credential too.
fn out_of_reach(fault: &Fault) -> bool {
    match fault {
        Fault::DeadBmc | Fault::BmcDeadAfter(_) => true,
        // Whoever shows another certificate gets no token either; and a session that the BMC opened under a key that the client has not got
        // (K_G) can be ended by nobody.
        Fault::Bmc(placed) => {
            matches!(placed.what, BmcFault::TlsRotate | BmcFault::TlsRenew | BmcFault::IpmiDisabled | BmcFault::IpmiKg)
        }
        _ => false,
    }
}

fn panic_text(error: tokio::task::JoinError) -> String {
    let panic = error.into_panic();
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "no words".to_owned())
}

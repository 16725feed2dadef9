//! Cut the walk at every event and at many moments between, take it up again, and demand the same end: every node admitted, every machine
//! booted exactly once, no touch made twice.

mod install;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bringup::action::Workbench;
use bringup::boot::{Grants, Loaders, ServeOptions, serve_with};
use bringup::cli::bench::Bench;
use bringup::cli::hands::{Hands, Trust};
use bringup::engine::{self, Ending, Run, Stop, Told};
use bringup::journal::Journal;
use bringup::model::{DiskInstall, Event, Inventory, Phase, Plan, Playbook, RunId, RunState, Touch};
use bringup::planner::{Ask, Line, line};
use bringup::pool::{Ledger, Pool as _, Standing};
use bringup::rollout::{Composition, compose};
use bringup::sim::farm::WrittenSite;
use bringup::sim::{Farm, FarmSpec, Seed};
use bringup::survey::{Asked, survey};
use futures_util::StreamExt as _;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// A fresh rack of two nodes (Redfish and IPMI), off, with its plan.
struct Site {
    farm: Farm,
    written: WrittenSite,
    inventory: Arc<Inventory>,
    playbook: Playbook,
    plan: Arc<Plan>,
    dir: tempfile::TempDir,
    stop: CancellationToken,
    road: Road,
    /// Boots of each machine, and installations.
    boots: (u64, u32),
}

fn run_id() -> RunId {
    RunId::new("run-crash").unwrap()
}

/// The road that the Redfish node of the rack takes; the other is driven by IPMI and netboots always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Road {
    Http,
    Medium,
}

async fn site(seed: u64, road: Road) -> Site {
    site_with(seed, road, None).await
}

/// What goes on a disk of each node.
type OnDisk = fn(&Playbook) -> DiskInstall;

/// The same with an image that goes on a disk of each node, when wanted.
async fn site_with(seed: u64, road: Road, on_disk: Option<OnDisk>) -> Site {
    let mut spec = FarmSpec::racks(1, 2, Seed(seed), true).unwrap();
    spec.speed = 600;
    let farm = Farm::start(spec).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let written = farm.write_inventory(dir.path(), &server).unwrap();
    if road == Road::Medium {
        let file = written.inventory.join("site.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains("method: uefi-http"), "{text}");
        std::fs::write(&file, text.replace("method: uefi-http", "method: virtual-media")).unwrap();
    }
    farm.chain_to(format!("{server}/boot.ipxe"));
    let stop = CancellationToken::new();
    let options = ServeOptions { loaders: Loaders::open(&written.loaders, None).unwrap(), ..ServeOptions::default() };
    let grants = Grants::open(&dir.path().join("grants.db")).unwrap();
    tokio::spawn(serve_with(listener, grants, options, stop.clone()));
    let inventory = bringup::spec::load_inventory(&written.inventory, "2026-11-22").unwrap().inventory;
    let mut playbook = bringup::spec::load_playbook(&written.playbook, "2026-11-22").unwrap().playbook;
    playbook.baseline.install = on_disk.map(|wanted| wanted(&playbook));
    let plan = Arc::new(plan(&written, &inventory, &playbook).await);
    let boots = if on_disk.is_some() { (2, 1) } else { (1, 0) };
    Site { farm, written, inventory: Arc::new(inventory), playbook, plan, dir, stop, road, boots }
}

async fn plan(written: &WrittenSite, inventory: &Inventory, playbook: &Playbook) -> Plan {
    let hands = Hands::new(&written.inventory, Some(playbook), &Trust::default());
    let mut lines = Vec::new();
    for node in inventory.nodes.values() {
        let (bmc, shell) = (hands.bmc(node).unwrap(), hands.shell(node).unwrap());
        let observed = survey(bmc.as_ref(), shell.as_ref(), Asked::default()).await;
        hands.leave(&node.id).await;
        match line(&Ask { node, playbook, observed: &observed, in_pool: false }) {
            Line::Walk(plan) => lines.push(*plan),
            other => panic!("{other:?}"),
        }
    }
    compose(Composition { inventory, playbook, inputs: Default::default(), lines, blocked: vec![] }).unwrap()
}

impl Site {
    fn state(&self) -> &Path {
        self.dir.path()
    }

    /// One life of the run: a new process would have nothing but the files.
    async fn life(&self, cut: Cut) -> Option<Ending> {
        let journal = Journal::open(&self.state().join("journal.db")).unwrap();
        let state = match Journal::load(journal.path(), &run_id()) {
            Ok(run) => {
                let mut state: RunState = run.state;
                let line = journal.append(&run_id(), now(), Event::RunResumed { by: "test".into() }).await.unwrap();
                state.apply(&line.event, line.at_ms).unwrap();
                state
            }
            Err(_) => {
                let line = journal.begin(&run_id(), now(), &self.plan, "test", "0").await.unwrap();
                let mut state = RunState::of_plan(&self.plan);
                state.apply(&line.event, line.at_ms).unwrap();
                state
            }
        };
        let hands = Arc::new(Hands::new(&self.written.inventory, Some(&self.playbook), &Trust::default()));
        let grants = Grants::open(&self.state().join("grants.db")).unwrap();
        let bench: Arc<dyn Workbench> =
            Arc::new(Bench::new(Arc::clone(&self.inventory), hands, grants, Duration::from_millis(30)));
        let run = Run {
            id: run_id(),
            plan: Arc::clone(&self.plan),
            journal: journal.clone(),
            bench: Arc::clone(&bench),
            pool: Arc::new(Ledger::open(&self.state().join("pool.db")).unwrap()),
            clock: now,
            today: "2026-11-22".into(),
        };
        let (told, mut listen) = mpsc::unbounded_channel();
        let (_keep, stop) = watch::channel(Stop::No);
        let mut engine = Box::pin(engine::run(run, state, told, stop));
        let mut events = 0;
        let moment = match cut {
            Cut::AfterTime(moment) => moment,
            _ => Duration::from_secs(120),
        };
        let end = tokio::time::sleep(moment);
        tokio::pin!(end);
        let ending = loop {
            tokio::select! {
                biased;
                Some(told) = listen.recv() => {
                    if matches!(told, Told::Event(_)) { events += 1; }
                    // Dropping the engine is what `kill -9` is: every task ends at its await, nothing is written any more.
                    if matches!(cut, Cut::AfterEvents(n) if events == n) { break None; }
                }
                left = &mut engine => break Some(left.unwrap().ending),
                () = &mut end => {
                    if matches!(cut, Cut::AfterTime(_)) { break None; }
                    let journal = self.state().join("journal.db");
                    let events = Journal::events(&journal, &run_id()).unwrap();
                    let last: Vec<_> = events.iter().rev().take(30).map(|e| format!("{:?}", e.event)).collect();
                    let logs: Vec<_> = self.farm.nodes().iter().map(|n| n.machine.log()).collect();
                    panic!("the run did not end in {moment:?}; newest events first: {last:#?}\nmachines: {logs:#?}");
                }
            }
        };
        // A killed process is gone at once; here its tasks end at their next await, and what they handed to the disk is written. The next
        // life begins when that is over, as it does after a kill.
        drop(engine);
        while Arc::strong_count(&bench) > 1 {
            tokio::task::yield_now().await;
        }
        journal.settle().await.unwrap();
        ending
    }

    /// What must be true at the end, however often the run was cut.
    async fn check(&self, what: &str) {
        let journal = self.state().join("journal.db");
        Journal::verify(&journal).unwrap();
        let run = Journal::load(&journal, &run_id()).unwrap();
        for (id, node) in &run.state.nodes {
            assert_eq!(node.phase, Phase::Admitted, "{what}: {id}: {:?}", node.why);
            let machine = &self.farm.node(id.as_str()).unwrap().machine;
            let (boots, installed) = (machine.boots(), machine.disk().0.begun());
            assert_eq!((boots, installed), self.boots, "{what}: boots and installations of {id}:\n{:#?}", machine.log());
        }
        let pool = Ledger::open(&self.state().join("pool.db")).unwrap();
        let members = pool.list().await.unwrap();
        assert_eq!(members.iter().filter(|m| matches!(m.standing, Standing::Working { .. })).count(), 2, "{what}");
        // Every touch was announced before it was made.
        let events = Journal::events(&journal, &run_id()).unwrap();
        for (at, line) in events.iter().enumerate() {
            if let Event::AttemptEnded { node, touch, .. } = &line.event {
                let announced = |e: &Event| matches!(e, Event::AttemptBegan { node: n, touch: t, .. } if n == node && t == touch);
                assert!(events[..at].iter().any(|e| announced(&e.event)), "{what}: {touch:?} was not announced");
            }
        }
        // What the boot server saw is there once, however often the run was cut.
        let lines: Vec<i64> =
            events.iter().filter_map(|e| if let Event::BootSeen { line, .. } = &e.event { Some(*line) } else { None }).collect();
        assert!(
            lines.windows(2).all(|w| w[0] < w[1]),
            "{what}: a line of the boot server's record is doubled or out of order: {lines:?}"
        );
        for id in run.state.nodes.keys() {
            let machine = &self.farm.node(id.as_str()).unwrap().machine;
            let by_medium = self.road == Road::Medium && machine.media(|media| media.insertions) > 0;
            let last = if by_medium { "medium" } else { "kernel" };
            let came = |e: &Event| matches!(e, Event::BootSeen { node, stage, .. } if node == id && stage == last);
            assert_eq!(events.iter().filter(|e| came(&e.event)).count(), 1, "{what}: {id} fetched its {last}");
            // What was borrowed is given back: no medium is left in a drive, and the next boot goes nowhere but to the disk.
            assert!(machine.media(|media| media.drives.iter().all(|drive| drive.image.is_none())), "{what}: {id} keeps a medium");
        }
        let secret = self.farm.bmc_password();
        assert!(
            !events.iter().any(|e| serde_json::to_string(&e.event).unwrap().contains(secret)),
            "{what}: a password in the journal"
        );
    }

    async fn end(self) {
        self.stop.cancel();
        self.farm.stop().await;
    }
}

#[derive(Debug, Clone, Copy)]
enum Cut {
    Never,
    AfterEvents(usize),
    AfterTime(Duration),
}

fn now() -> i64 {
    bringup::cli::global::now_ms()
}

/// Events of a run that is never cut.
async fn length(road: Road) -> usize {
    let site = site(1, road).await;
    assert_eq!(site.life(Cut::Never).await, Some(Ending::Finished));
    site.check("uncut").await;
    let events = Journal::events(&site.state().join("journal.db"), &run_id()).unwrap();
    let touches = events.iter().filter(|e| matches!(&e.event, Event::AttemptBegan { touch: Touch::Power(_), .. })).count();
    assert_eq!(touches, 2, "one power touch a node");
    site.end().await;
    events.len()
}

/// Sites at a time: a run is mostly waiting, and each has machines, files and a boot server of its own.
const AT_A_TIME: usize = 6;

/// Tries every cut, each on a site of its own; the first that fails ends the test with its own words.
async fn sweep<F: Future<Output = ()> + Send + 'static>(cuts: impl Iterator<Item = F>) {
    let mut left = futures_util::stream::iter(cuts).map(tokio::spawn).buffer_unordered(AT_A_TIME);
    while let Some(done) = left.next().await {
        done.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_cut_after_any_event_ends_the_same() {
    cut_after_any_event(Road::Http).await;
}

/// The same by virtual media: a medium is put in before the power is touched, and taken out at the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_by_virtual_media_that_is_cut_after_any_event_ends_the_same() {
    cut_after_any_event(Road::Medium).await;
}

async fn cut_after_any_event(road: Road) {
    let length = length(road).await;
    sweep((1..length).map(|cut| async move {
        let site = site(cut as u64, road).await;
        let what = format!("{road:?}: cut after event {cut} of {length}");
        if site.life(Cut::AfterEvents(cut)).await.is_none() {
            assert_eq!(site.life(Cut::Never).await, Some(Ending::Finished), "{what}");
        }
        site.check(&what).await;
        site.end().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_cut_at_any_moment_and_again_ends_the_same() {
    sweep((0..24_u64).map(|step| async move {
        // Every third by virtual media.
        let road = if step % 3 == 2 { Road::Medium } else { Road::Http };
        let site = site(1000 + step, road).await;
        let what = format!("{road:?}: cut after {} ms, and again", step * 40);
        let mut ended = site.life(Cut::AfterTime(Duration::from_millis(step * 40))).await;
        if ended.is_none() {
            ended = site.life(Cut::AfterTime(Duration::from_millis(150))).await;
        }
        if ended.is_none() {
            assert_eq!(site.life(Cut::Never).await, Some(Ending::Finished), "{what}");
        }
        site.check(&what).await;
        site.end().await;
    }))
    .await;
}

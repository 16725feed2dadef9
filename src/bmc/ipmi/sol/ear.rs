//! An ear at a console: it listens in the background and keeps the last of what was printed. It waits for a console that somebody else has and takes
//! it from nobody; it gives up where trying again is wrong; it types nothing. One task, one session and at most 16 KiB for each node that boots.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::console::{Console, ConsoleOptions, Heard};
use super::mark::Mark;
use super::paper::Paper;
use crate::bmc::ipmi::IpmiBmc;
use crate::bmc::overhearing::{Overheard, Overhearing};
use crate::bmc::{BmcError, BmcTrouble};

/// Between two tries to get the console: somebody who has it may leave, a BMC may come back.
const PAUSE: Duration = Duration::from_secs(15);
/// How long a console that the BMC ended is left to whoever may want it: a person types two commands for it.
const COURTESY: Duration = Duration::from_secs(10);
/// Tries against a BMC that says no: some do while the node has no power.
const REFUSALS: u32 = 3;
/// How long giving back may take; a console that is not given back by then is when its session ends.
const FAREWELL: Duration = Duration::from_secs(4);

#[derive(Debug, Default)]
struct Kept {
    paper: Paper,
    gaps: u32,
    trouble: Option<String>,
}

struct Running {
    task: JoinHandle<()>,
    stop: CancellationToken,
    settled: watch::Receiver<bool>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // What the task holds says good-bye when it is dropped.
        self.task.abort();
    }
}

/// An ear at one node's console by SOL.
pub struct SolEar {
    bmc: Arc<IpmiBmc>,
    kept: Arc<Mutex<Kept>>,
    running: Mutex<Option<Running>>,
}

impl SolEar {
    /// An ear that does not listen yet.
    #[must_use]
    pub fn new(bmc: IpmiBmc) -> Self {
        let kept = Kept { trouble: Some("it was not listened to yet".to_owned()), ..Kept::default() };
        Self { bmc: Arc::new(bmc), kept: Arc::new(Mutex::new(kept)), running: Mutex::default() }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Overhearing for SolEar {
    async fn begin(&self, patience: Duration) {
        let mut settled = {
            let mut running = lock(&self.running);
            let running = running.get_or_insert_with(|| {
                let (tell, settled) = watch::channel(false);
                let stop = CancellationToken::new();
                let task = tokio::spawn(listen(Arc::clone(&self.bmc), Arc::clone(&self.kept), stop.clone(), tell));
                Running { task, stop, settled }
            });
            running.settled.clone()
        };
        // However it ends: the node is not kept waiting for its console.
        let waited = tokio::time::timeout(patience, settled.wait_for(|settled| *settled)).await.is_ok();
        // It is still being tried; until that has worked or failed, this is what can be said of it.
        if !waited
            && !patience.is_zero()
            && let Some(trouble) = &mut lock(&self.kept).trouble
            && !*settled.borrow()
        {
            *trouble = format!("the BMC's IPMI service gave no answer within {} s", patience.as_secs_f64());
        }
    }

    fn heard(&self, lines: usize) -> Overheard {
        let kept = lock(&self.kept);
        Overheard { lines: kept.paper.last(lines), printed: kept.paper.printed(), gaps: kept.gaps, trouble: kept.trouble.clone() }
    }

    fn forget(&self) {
        let mut kept = lock(&self.kept);
        (kept.paper, kept.gaps) = (Paper::default(), 0);
    }

    async fn end(&self) {
        let Some(mut running) = lock(&self.running).take() else { return };
        running.stop.cancel();
        drop(tokio::time::timeout(FAREWELL, &mut running.task).await);
    }
}

/// Listens until it is stopped or trying again is wrong. `settled` becomes true when it is known for the first time whether that works.
async fn listen(bmc: Arc<IpmiBmc>, kept: Arc<Mutex<Kept>>, stop: CancellationToken, settled: watch::Sender<bool>) {
    // One that was lost is sought for a minute by the console itself, and then here.
    let options =
        ConsoleOptions { take_over: false, patience: Duration::from_secs(60), courtesy: COURTESY, ..ConsoleOptions::default() };
    let mut refusals = 0;
    loop {
        let opened = tokio::select! {
            () = stop.cancelled() => break,
            opened = bmc.console(options) => opened,
        };
        let trouble = match opened {
            Ok(console) => {
                lock(&kept).trouble = None;
                settled.send_replace(true);
                match hear(console, &kept, &stop).await {
                    Some(trouble) => trouble,
                    None => break,
                }
            }
            Err(trouble) => trouble,
        };
        lock(&kept).trouble = Some(trouble.to_string());
        settled.send_replace(true);
        refusals += u32::from(is_no(&trouble));
        if refusals >= REFUSALS || trouble.kind == BmcTrouble::Credentials {
            return bmc_left(&bmc).await;
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
    bmc_left(&bmc).await;
    let mut kept = lock(&kept);
    kept.trouble.get_or_insert_with(|| "it is not listened to any more".to_owned());
}

async fn bmc_left(bmc: &IpmiBmc) {
    crate::bmc::Bmc::close(bmc).await;
}

/// A BMC that says no will say so again, most likely. A wrong password is never tried twice: BMCs lock accounts.
fn is_no(error: &BmcError) -> bool {
    !matches!(error.kind, BmcTrouble::Busy | BmcTrouble::Unreachable | BmcTrouble::TimedOut)
}

/// Keeps what is printed; gives the trouble with which the console ended, or `None` when it was stopped and given back.
async fn hear(mut console: Console, kept: &Mutex<Kept>, stop: &CancellationToken) -> Option<BmcError> {
    loop {
        let heard = tokio::select! {
            () = stop.cancelled() => {
                console.close().await;
                return None;
            }
            heard = console.next() => heard,
        };
        let mut kept = lock(kept);
        match heard {
            Some(Heard::Printed(bytes)) => kept.paper.print(&bytes),
            Some(Heard::Mark(mark)) => {
                // Two marks frame one loss.
                kept.gaps += u32::from(mark.is_gap() && !matches!(mark, Mark::Back { .. }));
                match &mark {
                    Mark::Lost { .. } => kept.trouble = Some(mark.to_string()),
                    Mark::Back { .. } => kept.trouble = None,
                    _ => {}
                }
            }
            Some(Heard::Ended(error)) => return Some(error),
            None => {
                return Some(BmcError {
                    doing: "listen to the console (SOL)".to_owned(),
                    seen: "it ended without a word".to_owned(),
                    kind: BmcTrouble::Unreachable,
                    source: None,
                });
            }
        }
    }
}

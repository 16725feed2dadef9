//! The thin task around an [`Exchange`]: it activates the console on a session of its own, keeps it alive, and activates it again when the BMC has lost
//! it, as after a BMC reset. It takes a console away from nobody unless it is told to, and only once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::exchange::{Event, Exchange};
use super::link::{Link, Refusal};
use super::mark::Mark;
use crate::bmc::BmcError;
use crate::bmc::ipmi::IpmiBmc;
use crate::bmc::ipmi::session::Opened;

/// Events that wait for whoever shows them; when there are more, the BMC waits.
const EVENTS: usize = 64;
/// Typed ahead at most before typing waits.
const TYPED_AHEAD: usize = 4096;
/// Between two tries to activate it again.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Our own session that the BMC has not noticed to be dead ends after 60 s ± 3 s (§6.12.15); it holds the console so long.
const OWN_SESSION_DIES: Duration = Duration::from_secs(75);

/// How a console is kept.
#[derive(Debug, Clone, Copy)]
pub struct ConsoleOptions {
    /// Take the console away from whoever has it. Done once, at the start.
    pub take_over: bool,
    /// When nothing was heard for so long, the BMC is asked whether it is there.
    pub keepalive: Duration,
    /// Without an answer it is asked again after so long, four times in all; then the console counts as lost.
    pub ask_again: Duration,
    /// How long it is tried to activate the console again. A BMC takes one to five minutes to restart.
    pub patience: Duration,
    /// How long one activation may take, login included.
    pub activation: Duration,
    /// When the BMC ended it, somebody may have told it to (`ipmitool sol deactivate`), to have it next: so long it is left to them.
    pub courtesy: Duration,
}

impl Default for ConsoleOptions {
    fn default() -> Self {
        Self {
            take_over: false,
            keepalive: Duration::from_secs(15),
            ask_again: Duration::from_secs(2),
            patience: Duration::from_secs(600),
            activation: Duration::from_secs(15),
            courtesy: Duration::from_secs(3),
        }
    }
}

/// What came from a console.
#[derive(Debug)]
pub enum Heard {
    /// The node printed; every byte as it came.
    Printed(Vec<u8>),
    /// Something happened to the console itself.
    Mark(Mark),
    /// It is over. The last that comes.
    Ended(BmcError),
}

enum Order {
    Type(Vec<u8>),
    Break,
    Close,
}

/// An open console. Dropping it gives it back as well, without waiting.
pub struct Console {
    events: mpsc::Receiver<Heard>,
    orders: mpsc::Sender<Order>,
    task: JoinHandle<()>,
}

impl IpmiBmc {
    /// Opens the node's serial console.
    ///
    /// # Errors
    /// Kind `Busy` when another client has it, with its name; `Unsupported` or `Refused` when the BMC has none or forbids it; as any login.
    pub async fn console(self: &Arc<Self>, options: ConsoleOptions) -> Result<Console, BmcError> {
        let deadline = Instant::now() + options.activation;
        let link = Link::open(self, options.take_over, None, options.ask_again, deadline).await.map_err(Refusal::into_error)?;
        let (to_us, events) = mpsc::channel(EVENTS);
        let (orders, from_us) = mpsc::channel(EVENTS);
        let keeper = Keeper { home: Arc::clone(self), options, events: to_us, orders: from_us, epoch: Instant::now() };
        let task = tokio::spawn(keeper.keep(link));
        Ok(Console { events, orders, task })
    }
}

impl Console {
    /// What comes next; `None` after the end. Dropping the wait loses nothing.
    pub async fn next(&mut self) -> Option<Heard> {
        self.events.recv().await
    }

    /// Types. Waits when too much is typed ahead; `false` when the console has ended.
    pub async fn type_in(&self, bytes: &[u8]) -> bool {
        self.orders.send(Order::Type(bytes.to_vec())).await.is_ok()
    }

    /// Makes a break on the node's serial port.
    pub async fn make_break(&self) -> bool {
        self.orders.send(Order::Break).await.is_ok()
    }

    /// Gives the console and its session back.
    pub async fn close(mut self) {
        let closing = async {
            drop(self.orders.send(Order::Close).await);
            // The task may be waiting for room for an event.
            while self.events.recv().await.is_some() {}
        };
        drop(tokio::time::timeout(Duration::from_secs(3), closing).await);
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // What the task holds says good-bye when it is dropped.
        self.task.abort();
    }
}

/// The console is closed, or nobody listens any more.
struct Closed;

/// Why a console was lost.
struct Lost {
    why: String,
    /// The BMC said so itself; it did not fall silent.
    told: bool,
}

impl Lost {
    fn silent(why: impl ToString) -> Self {
        Self { why: why.to_string(), told: false }
    }

    fn told(why: impl ToString) -> Self {
        Self { why: why.to_string(), told: true }
    }
}

struct Keeper {
    home: Arc<IpmiBmc>,
    options: ConsoleOptions,
    events: mpsc::Sender<Heard>,
    orders: mpsc::Receiver<Order>,
    epoch: Instant,
}

impl Keeper {
    async fn keep(mut self, mut link: Link) {
        loop {
            let own = link.own();
            let mut exchange = Exchange::new(link.payload(), self.epoch.elapsed());
            let Ok(Lost { why, told }) = self.carry(&mut link, &mut exchange).await else {
                link.give_back().await;
                return;
            };
            // What was typed and not confirmed is not typed again: it may have been taken.
            let unconfirmed = exchange.unconfirmed();
            link.leave();
            let lost = Instant::now();
            if self.mark(Mark::Lost { why, unconfirmed }).await.is_err() {
                return;
            }
            let pause = if told { self.options.courtesy } else { Duration::ZERO };
            link = match self.again(own, lost, pause).await {
                Ok(Ok(link)) => link,
                Ok(Err(error)) => return drop(self.events.send(Heard::Ended(error)).await),
                Err(Closed) => return,
            };
            if self.mark(Mark::Back { away: lost.elapsed() }).await.is_err() {
                return link.give_back().await;
            }
        }
    }

    async fn mark(&self, mark: Mark) -> Result<(), Closed> {
        self.events.send(Heard::Mark(mark)).await.map_err(|_| Closed)
    }

    /// Carries characters both ways until the console is lost; says why it was.
    async fn carry(&mut self, link: &mut Link, exchange: &mut Exchange) -> Result<Lost, Closed> {
        loop {
            let now = self.epoch.elapsed();
            while let Some(payload) = exchange.to_send(now) {
                if let Err(fault) = link.send(&payload).await {
                    return Ok(Lost::silent(fault));
                }
            }
            while let Some(event) = exchange.event() {
                let told = match event {
                    Event::Printed(bytes) => Heard::Printed(bytes),
                    Event::Gap(gap) => Heard::Mark(Mark::Missing(gap)),
                    Event::Break => Heard::Mark(Mark::Break),
                    Event::Takes(takes) => Heard::Mark(Mark::Port { takes }),
                    Event::NotTaken(characters) => Heard::Mark(Mark::NotTaken { characters }),
                    Event::Silent => {
                        link.doubt();
                        continue;
                    }
                    Event::Ended => return Ok(Lost::told("the BMC ended it")),
                };
                self.events.send(told).await.map_err(|_| Closed)?;
            }
            match link.keep_alive(self.options.keepalive).await {
                Ok(None) => {}
                Ok(Some(why)) => return Ok(Lost::silent(why)),
                Err(fault) => return Ok(Lost::silent(fault)),
            }
            let asking = link.wake(self.options.keepalive);
            let wake = exchange.wake().map_or(asking, |at| asking.min(self.epoch + at));
            tokio::select! {
                opened = link.hear() => match opened {
                    Opened::Console(payload) => exchange.heard(self.epoch.elapsed(), &payload),
                    Opened::Answer(answer) => if let Some(why) = link.answered(&answer) { return Ok(Lost::told(why)) },
                },
                order = self.orders.recv(), if exchange.unconfirmed() < TYPED_AHEAD => match order {
                    Some(Order::Type(bytes)) => {
                        let taken = exchange.typed(self.epoch.elapsed(), &bytes);
                        let left = bytes.len() - taken;
                        if left > 0 {
                            self.mark(Mark::NotTaken { characters: left }).await?;
                        }
                    }
                    Some(Order::Break) => exchange.make_break(self.epoch.elapsed()),
                    Some(Order::Close) | None => return Err(Closed),
                },
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    /// Activates it again after a pause, telling what is typed meanwhile that it goes nowhere.
    async fn again(&mut self, own: Option<u32>, lost: Instant, pause: Duration) -> Result<Result<Link, BmcError>, Closed> {
        let home = Arc::clone(&self.home);
        let options = self.options;
        let trying = async {
            tokio::time::sleep(pause).await;
            again(&home, options, own, lost).await
        };
        tokio::pin!(trying);
        loop {
            tokio::select! {
                found = &mut trying => return Ok(found),
                order = self.orders.recv() => match order {
                    Some(Order::Type(bytes)) => self.mark(Mark::NotTaken { characters: bytes.len() }).await?,
                    Some(Order::Break) => self.mark(Mark::NotTaken { characters: 0 }).await?,
                    Some(Order::Close) | None => return Err(Closed),
                },
            }
        }
    }
}

/// Tries until the console is back, the patience is over, or trying again is wrong.
async fn again(home: &IpmiBmc, options: ConsoleOptions, own: Option<u32>, lost: Instant) -> Result<Link, BmcError> {
    let mut pause = FIRST_PAUSE;
    loop {
        let refusal = match Link::open(home, false, own, options.ask_again, Instant::now() + options.activation).await {
            Ok(link) => return Ok(link),
            Err(refusal) => refusal,
        };
        let wait = match &refusal {
            // Somebody else took it: two consoles would take it from each other for ever.
            Refusal::Held { by } if by.session.is_some() => Duration::ZERO,
            // Perhaps our own dead session.
            Refusal::Held { .. } => OWN_SESSION_DIES,
            // A wrong password is never tried twice: BMCs lock accounts.
            Refusal::Error(error) if error.kind == crate::bmc::BmcTrouble::Credentials => Duration::ZERO,
            Refusal::Error(_) => options.patience,
        };
        if lost.elapsed() + pause >= wait.min(options.patience) {
            return Err(refusal.into_error());
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

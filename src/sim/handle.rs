//! The handle by which servers act on a machine: sync, brief, safe to clone. It holds the account and counts requests; it opens no socket.
//! A BMC server asks [`MachineHandle::request`] first, once per request: `Dead` means say nothing, `Busy` means the protocol's own "not now" (HTTP 503,
//! IPMI completion code C0h).

mod disk;
mod history;
mod host;
mod life;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use super::accounts::Accounts;
use super::bios::Bios;
use super::clock::{Clock, SimTime};
use super::deeds::Deeds;
use super::fault::{BmcFault, Fault, Placed};
use super::identity::Identity;
use super::machine::{Durations, Effect, Input, Machine, RomSource, Stage};
use super::media::Media;
use super::system::{Loaded, System};
use crate::model::{BootOverride, PowerState, PowerVerb};

/// How the BMC meets one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Answers.
    Well,
    /// Asks to wait.
    Busy,
    /// Says nothing, ever again.
    Dead,
}

/// How long a BMC is away when it restarts for new firmware, in virtual seconds: 3 to 5 minutes on real ones (firmware.md §1.2).
const RESTART: u32 = 200;

/// A shared machine.
#[derive(Clone)]
pub struct MachineHandle {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Clock,
    identity: Arc<Identity>,
    user: String,
    state: Mutex<State>,
    /// Rung when the driver should look at the clock again.
    bell: Notify,
    /// Rung when something went over the serial line.
    serial: Notify,
    system: watch::Sender<Option<Arc<System>>>,
    /// Number of the newest entry of the history.
    history: watch::Sender<u64>,
    /// One moment by both clocks.
    born: (SimTime, jiff::Timestamp),
}

struct State {
    machine: Machine,
    fetches: VecDeque<(u64, RomSource)>,
    requests: u32,
    logins: u32,
    refused: u32,
    /// Sessions that are open on the BMC's service.
    sessions: usize,
    busy_left: u32,
    /// How often each placed fault has struck, in the order of the machine's faults.
    struck: Vec<u32>,
    /// What went over the serial line and nobody has read; `None` while nobody listens.
    serial: Option<Vec<u8>>,
    accounts: Accounts,
    media: Media,
    bmc: BmcLife,
    /// Self-tests that were told of, and when the last of them began.
    host: (u32, Option<jiff::Timestamp>),
}

/// The BMC's own life, which is not that of its node.
#[derive(Debug, Clone, Copy)]
struct BmcLife {
    /// Nothing answers before this moment.
    away_until: Option<SimTime>,
    restarts: u32,
    /// When it started, on the wall's clock. Real BMCs tell it to the second, and two starts never fall into one.
    started: jiff::Timestamp,
}

/// What the BMC keeps of the serial line between two readings; what is older is lost, as in a BMC.
const SERIAL: usize = 64 * 1024;

impl State {
    /// The first fault of this kind whose place has come and whose times are not used up. The request that is being met counts already.
    fn placed(&self, what: BmcFault) -> Option<(usize, Placed)> {
        let now = self.requests.saturating_sub(1);
        let mut all = self.machine.faults().iter().enumerate();
        all.find_map(|(at, fault)| match fault {
            Fault::Bmc(placed) if placed.what == what && now >= placed.from => {
                let used = self.struck.get(at).copied().unwrap_or(0);
                placed.times.is_none_or(|times| used < times).then(|| (at, placed.clone()))
            }
            _ => None,
        })
    }
}

impl std::fmt::Debug for MachineHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MachineHandle").field("node", &self.inner.identity.node).finish_non_exhaustive()
    }
}

impl MachineHandle {
    /// Puts a machine behind a handle. The account's password is a secret of the farm.
    #[must_use]
    pub fn new(
        clock: Clock,
        identity: Arc<Identity>,
        faults: Vec<Fault>,
        durations: Durations,
        running: bool,
        account: (String, String),
    ) -> Self {
        let busy_left = faults.iter().find_map(|f| if let Fault::Http503(n) = f { Some(*n) } else { None }).unwrap_or(0);
        let struck = vec![0; faults.len()];
        let (machine, effects) = Machine::new(Arc::clone(&identity), faults, durations, running);
        let handle = Self {
            inner: Arc::new(Inner {
                clock,
                identity,
                user: account.0.clone(),
                state: Mutex::new(State {
                    machine,
                    fetches: VecDeque::new(),
                    requests: 0,
                    logins: 0,
                    refused: 0,
                    sessions: 0,
                    busy_left,
                    struck,
                    serial: None,
                    accounts: Accounts::new(account.0, account.1),
                    media: Media::default(),
                    bmc: BmcLife { away_until: None, restarts: 0, started: jiff::Timestamp::now() },
                    host: (0, running.then(jiff::Timestamp::now)),
                }),
                bell: Notify::new(),
                serial: Notify::new(),
                system: watch::Sender::new(None),
                history: watch::Sender::new(0),
                born: (clock.now(), jiff::Timestamp::now()),
            }),
        };
        let mut state = handle.lock();
        handle.carry_out(&mut state, effects);
        handle.print(&mut state);
        drop(state);
        handle
    }

    /// Who the machine is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.inner.identity
    }

    /// The farm's clock.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.inner.clock
    }

    /// True when the machine has this fault.
    #[must_use]
    pub fn has(&self, fault: &Fault) -> bool {
        self.lock().machine.faults().contains(fault)
    }

    /// All faults of the machine.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        self.lock().machine.faults().to_vec()
    }

    /// Counts one request to the BMC and says how it is met.
    #[must_use]
    pub fn request(&self) -> Mood {
        let mut state = self.step(Input::Tick);
        if self.still_away(&mut state) {
            return Mood::Dead;
        }
        state.requests = state.requests.saturating_add(1);
        if let Some((at, placed)) = state.placed(BmcFault::BmcReboot) {
            if let Some(count) = state.struck.get_mut(at) {
                *count = count.saturating_add(1);
            }
            self.restart(&mut state, placed.arg());
            return Mood::Dead;
        }
        let limit = state.machine.faults().iter().find_map(|f| match f {
            Fault::DeadBmc => Some(0),
            Fault::BmcDeadAfter(n) => Some(*n),
            _ => None,
        });
        if limit.is_some_and(|n| state.requests > n) {
            return Mood::Dead;
        }
        if state.busy_left > 0 {
            state.busy_left -= 1;
            return Mood::Busy;
        }
        Mood::Well
    }

    /// Counts a packet that is no request of its own (a handshake's): it is never met with "busy".
    pub fn packet(&self) {
        let mut state = self.lock();
        state.requests = state.requests.saturating_add(1);
    }

    /// The placed fault of this kind, when it is in force now: asking does not use it up.
    #[must_use]
    pub fn bends(&self, what: BmcFault) -> Option<Placed> {
        self.lock().placed(what).map(|(_, placed)| placed)
    }

    /// The placed fault of this kind, when it strikes now: asking uses up one of its times.
    #[must_use]
    pub fn strikes(&self, what: BmcFault) -> Option<Placed> {
        let mut state = self.lock();
        let (at, placed) = state.placed(what)?;
        if let Some(count) = state.struck.get_mut(at) {
            *count = count.saturating_add(1);
        }
        Some(placed)
    }

    /// Requests that the BMC has had so far.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.lock().requests
    }

    /// Sessions that are open now, as the service last told.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.lock().sessions
    }

    /// A service tells how many sessions it holds.
    pub fn holds_sessions(&self, open: usize) {
        self.lock().sessions = open;
    }

    /// What was really done to the machine.
    #[must_use]
    pub fn deeds(&self) -> Deeds {
        self.step(Input::Tick).machine.deeds()
    }

    /// True when the BMC is dead already, without counting a request.
    #[must_use]
    pub fn dead(&self) -> bool {
        let state = self.lock();
        state.machine.faults().iter().any(|f| match f {
            Fault::DeadBmc => true,
            Fault::BmcDeadAfter(n) => state.requests >= *n,
            _ => false,
        })
    }

    /// Account name of the BMC.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.inner.user
    }

    /// The password of `user`, when there is such an account and it may log in.
    #[must_use]
    pub fn password(&self, user: &str) -> Option<String> {
        self.lock().accounts.password(user).map(str::to_owned)
    }

    /// Looks at or changes the accounts, which decide who may log in from then on.
    pub fn accounts<T>(&self, f: impl FnOnce(&mut Accounts) -> T) -> T {
        f(&mut self.lock().accounts)
    }

    /// Looks at or changes the virtual drives.
    pub fn media<T>(&self, f: impl FnOnce(&mut Media) -> T) -> T {
        f(&mut self.lock().media)
    }

    /// Looks at or changes the settings of the system ROM, as they are now.
    pub fn bios<T>(&self, f: impl FnOnce(&mut Bios) -> T) -> T {
        f(self.step(Input::Tick).machine.bios())
    }

    /// How often somebody presented credentials to the BMC, right or wrong.
    #[must_use]
    pub fn logins(&self) -> u32 {
        self.lock().logins
    }

    /// Counts credentials that were presented in a way that needs no password to check them against (IPMI's RAKP 1 names an account).
    pub fn presented(&self) {
        let mut state = self.lock();
        state.logins = state.logins.saturating_add(1);
    }

    /// How often a wrong password was proven to the BMC: what a counter that locks accounts counts.
    #[must_use]
    pub fn refused(&self) -> u32 {
        self.lock().refused
    }

    /// Counts a password that was proven, and was wrong.
    pub fn refuse(&self) {
        let mut state = self.lock();
        state.refused = state.refused.saturating_add(1);
    }

    /// True when account and password are right. Counts as a login.
    #[must_use]
    pub fn admits(&self, user: &str, password: &str) -> bool {
        self.presented();
        let right = self.password(user).as_deref() == Some(password);
        if !right {
            self.refuse();
        }
        right
    }

    /// What the BMC says of the power.
    #[must_use]
    pub fn power_state(&self) -> PowerState {
        self.step(Input::Tick).machine.power()
    }

    /// The one bit of IPMI: on until the power is really gone, off until it is really there.
    #[must_use]
    pub fn is_powered(&self) -> bool {
        matches!(self.power_state(), PowerState::On | PowerState::PoweringOff)
    }

    /// Asks for a power change; the effect comes in its own time.
    pub fn power(&self, verb: PowerVerb) {
        drop(self.step(Input::Power(verb)));
    }

    /// The boot override as the BMC tells it.
    #[must_use]
    pub fn boot_override(&self) -> BootOverride {
        self.step(Input::Tick).machine.boot().clone()
    }

    /// Sets the boot override.
    pub fn set_boot_override(&self, want: BootOverride) {
        drop(self.step(Input::SetBoot(want)));
    }

    /// Where the machine stands in its boot.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.step(Input::Tick).machine.stage().clone()
    }

    /// How often a system was loaded.
    #[must_use]
    pub fn boots(&self) -> u64 {
        self.step(Input::Tick).machine.boots()
    }

    /// The system that is up, if one is.
    #[must_use]
    pub fn system(&self) -> Option<Arc<System>> {
        self.step(Input::Tick).machine.system().cloned()
    }

    /// Follows the system as it comes and goes.
    #[must_use]
    pub fn watch_system(&self) -> watch::Receiver<Option<Arc<System>>> {
        self.inner.system.subscribe()
    }

    /// The last lines of the machine's history, for people.
    #[must_use]
    pub fn log(&self) -> Vec<(SimTime, String)> {
        self.step(Input::Tick).machine.log().cloned().collect()
    }

    fn tell_history(&self, state: &State) {
        let made = state.machine.history().made();
        self.inner.history.send_if_modified(|newest| std::mem::replace(newest, made) != made);
    }

    /// The boot ROM's fetch ended.
    pub fn fetched(&self, attempt: u64, result: Result<Box<Loaded>, String>) {
        drop(self.step(Input::Fetched { attempt, result }));
    }

    /// Waits for the next time that the boot ROM wants the network, letting the machine live meanwhile. Dropping it loses nothing.
    pub async fn next_fetch(&self) -> (u64, RomSource) {
        loop {
            let (fetch, wake) = {
                let mut state = self.step(Input::Tick);
                (state.fetches.pop_front(), state.machine.next_wake())
            };
            if let Some(fetch) = fetch {
                return fetch;
            }
            match wake {
                Some(moment) => {
                    drop(tokio::time::timeout(self.inner.clock.until(moment), self.inner.bell.notified()).await);
                }
                None => self.inner.bell.notified().await,
            }
        }
    }

    /// Begins or ends to listen to the serial line.
    pub fn listen(&self, listens: bool) {
        // What is printed up to now is not heard.
        self.step(Input::Tick).serial = listens.then(Vec::new);
    }

    /// What went over the serial line since the last reading, and the real time until the machine does something by itself.
    #[must_use]
    pub fn serial(&self) -> (Vec<u8>, Option<std::time::Duration>) {
        let mut state = self.step(Input::Tick);
        let wake = state.machine.next_wake().map(|moment| self.inner.clock.until(moment));
        (state.serial.as_mut().map(std::mem::take).unwrap_or_default(), wake)
    }

    /// Waits until something goes over the serial line.
    pub async fn serial_rang(&self) {
        self.inner.serial.notified().await;
    }

    /// Shows what the machine printed to whoever listens.
    fn print(&self, state: &mut State) {
        let screens = state.machine.take_screens();
        let Some(serial) = &mut state.serial else { return };
        for screen in &screens {
            serial.extend(screen.text(&self.inner.identity).bytes());
        }
        let over = serial.len().saturating_sub(SERIAL);
        serial.drain(..over);
        if !screens.is_empty() {
            self.inner.serial.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere cannot leave the automaton half-changed in a way that matters more than going on.
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step(&self, input: Input) -> MutexGuard<'_, State> {
        let rings = input != Input::Tick;
        let mut state = self.lock();
        let effects = state.machine.step(self.inner.clock.now(), input);
        let rings = rings || !effects.is_empty();
        self.carry_out(&mut state, effects);
        self.print(&mut state);
        self.tell_history(&state);
        if rings {
            self.inner.bell.notify_one();
        }
        state
    }

    fn carry_out(&self, state: &mut State, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Fetch { attempt, source } => {
                    // Only the latest attempt can still count.
                    state.fetches.clear();
                    state.fetches.push_back((attempt, source));
                }
                Effect::SystemUp(system) => drop(self.inner.system.send_replace(Some(system))),
                Effect::SystemDown => drop(self.inner.system.send_replace(None)),
                Effect::BmcRestart(at) => self.restart_at(state, at, RESTART),
            }
        }
    }
}

//! One simulated machine as a pure automaton: it is told the time and what came in, and says what it wants done. No socket, no clock, no task.
//!
//! ```text
//! Off ──on──► Post ──┬── no override, disk ──────────► DiskLoader ──► Kernel ──► Userspace
//!                    └── pxe, uefi-http ──► Rom ──ok──────────────────► Kernel ──► Userspace
//!                                            └── failed ──► DiskLoader
//! ```
//!
//! A `Once` override is consumed when POST ends, whatever comes of it. The disk always boots: its system says `disk` in its command line, so
//! that a lost override is caught and not hidden.
//!
//! The servers (Redfish, RMCP+, SSH) never hold a `Machine`; they act through [`MachineHandle`](super::handle::MachineHandle), whose methods
//! are sync and brief. That is the API on which `sim::rmcp` and `sim::redfish` are built.

mod powering;

use std::collections::VecDeque;
use std::sync::Arc;

use super::accelerator::{self, Card};
use super::bios::Bios;
use super::clock::SimTime;
use super::console::Screen;
use super::deeds::Deeds;
use super::disk::Disk;
use super::fault::Fault;
use super::firmware::{Activation, Firmware, Item, Pace};
use super::history::{History, What};
use super::identity::Identity;
use super::pushing;
use super::system::{Loaded, Origin, System};
use crate::model::{BootOverride, BootTarget, PowerState, PowerVerb};

/// How long things take, in virtual seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durations {
    /// From the accepted command to the power state that it asked for.
    pub power: u32,
    /// Power stays off in a cycle.
    pub cycle_gap: u32,
    /// Power-on self-test: a large GPU node takes minutes.
    pub post: u32,
    /// Boot loader of the disk.
    pub disk: u32,
    /// Kernel and initrd until the user space starts.
    pub kernel: u32,
    /// User space until SSH listens.
    pub userspace: u32,
    /// Shutdown by the operating system.
    pub shutdown: u32,
    /// The BMC looks at a firmware image.
    pub verify: u32,
    /// The BMC writes it.
    pub flash: u32,
}

impl Default for Durations {
    fn default() -> Self {
        Self { power: 4, cycle_gap: 10, post: 180, disk: 10, kernel: 30, userspace: 20, shutdown: 20, verify: 20, flash: 240 }
    }
}

/// What comes in.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Time passed.
    Tick,
    /// The BMC was asked to change the power.
    Power(PowerVerb),
    /// The BMC was asked to restart the machine by force, and that hangs.
    Hang,
    /// Standby power goes away; the machine comes back on after so many virtual seconds, or stays off.
    Mains {
        /// Seconds until the power comes on by itself.
        back_on: Option<u32>,
    },
    /// The BMC was asked to set the boot override.
    SetBoot(BootOverride),
    /// The boot ROM's fetch of this attempt ended.
    Fetched {
        /// Which attempt, as in [`Effect::Fetch`]; one that is over is ignored.
        attempt: u64,
        /// What was loaded, or why nothing was.
        result: Result<Box<Loaded>, String>,
    },
}

/// Where the boot ROM looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RomSource {
    /// PXE: the site's DHCP chains to the boot server.
    Chain,
    /// UEFI HTTP boot from the URI that the BMC holds.
    Uri(String),
    /// The virtual CD drive, whatever is in it by then.
    Medium,
}

/// What the machine wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// The boot ROM goes on the network.
    Fetch {
        /// Comes back in [`Input::Fetched`].
        attempt: u64,
        /// Where to look.
        source: RomSource,
    },
    /// A system is up; SSH may listen.
    SystemUp(Arc<System>),
    /// The system is gone; SSH must not listen, its connections are dead.
    SystemDown,
    /// The BMC restarts by itself at this moment: it has new firmware.
    BmcRestart(SimTime),
}

/// Where the machine stands in its boot.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// No power.
    Off,
    /// Self-test.
    Post,
    /// The boot ROM waits for the network.
    Rom {
        /// Current attempt.
        attempt: u64,
    },
    /// The disk's boot loader.
    DiskLoader,
    /// Kernel starts.
    Kernel,
    /// User space starts; not reachable yet.
    Starting,
    /// SSH is up (unless the fault says never).
    Up,
    /// The system shuts down.
    Stopping,
    /// A forced restart hangs: nothing runs until the power goes off (RC-58).
    Hung,
}

/// The automaton.
#[derive(Debug, Clone)]
pub struct Machine {
    identity: Arc<Identity>,
    faults: Vec<Fault>,
    durations: Durations,
    power: PowerState,
    /// Power changes that are due, in order.
    pending: VecDeque<(SimTime, PowerState)>,
    stage: Stage,
    /// When the stage ends by itself.
    stage_ends: Option<SimTime>,
    /// A shutdown that is under way ends in a new start.
    restarts: bool,
    /// When the power last came on or went off.
    power_changed: Option<SimTime>,
    boot: BootOverride,
    bios: Bios,
    firmware: Firmware,
    attempts: u64,
    boots: u64,
    disk: Disk,
    deeds: Deeds,
    system: Option<Arc<System>>,
    log: VecDeque<(SimTime, String)>,
    screens: Vec<Screen>,
    history: History,
}

/// Lines of history that a machine keeps.
const LOG_LINES: usize = 64;

impl Machine {
    /// A machine without power, or one whose disk system is long up.
    #[must_use]
    pub fn new(identity: Arc<Identity>, faults: Vec<Fault>, durations: Durations, running: bool) -> (Self, Vec<Effect>) {
        let bios = Bios::new(identity.profile.model);
        let mut items = pushing::items(identity.profile);
        let (word, version) = accelerator::firmware(identity.fitted.kind);
        items.extend((1..=identity.fitted.count).map(|n| Item::new(format!("{word}_{n}"), version, Activation::Node)));
        let firmware = Firmware::new(items, Pace { verify: durations.verify, write: durations.flash });
        let mut machine = Self {
            identity,
            faults,
            durations,
            power: PowerState::Off,
            pending: VecDeque::new(),
            stage: Stage::Off,
            stage_ends: None,
            restarts: false,
            power_changed: None,
            boot: BootOverride::none(),
            bios,
            firmware,
            attempts: 0,
            boots: 0,
            disk: Disk::default(),
            deeds: Deeds::default(),
            system: None,
            log: VecDeque::new(),
            screens: Vec::new(),
            history: History::default(),
        };
        let mut effects = Vec::new();
        if running {
            machine.power = PowerState::On;
            machine.load(SimTime(0), Origin::Disk, None);
            machine.come_up(SimTime(0), &mut effects);
        }
        (machine, effects)
    }

    /// Takes one input at `now` and says what is to be done. Time must not run backwards; if it does, nothing happens early.
    pub fn step(&mut self, now: SimTime, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.catch_up(now, &mut effects);
        match input {
            Input::Tick => {}
            Input::Power(verb) => self.ask_power(now, verb, &mut effects),
            Input::Hang => self.hang(now, &mut effects),
            Input::Mains { back_on } => self.lose_mains(now, back_on, &mut effects),
            Input::SetBoot(want) => self.set_boot(now, want),
            Input::Fetched { attempt, result } => self.fetched(now, attempt, result),
        }
        self.catch_up(now, &mut effects);
        effects
    }

    /// The next moment at which something happens by itself.
    #[must_use]
    pub fn next_wake(&self) -> Option<SimTime> {
        [self.pending.front().map(|(at, _)| *at), self.stage_ends].into_iter().flatten().min()
    }

    /// Who it is.
    #[must_use]
    pub fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// Its faults.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// What its BMC says of the power.
    #[must_use]
    pub fn power(&self) -> PowerState {
        self.power
    }

    /// When the power last came on or went off, if it ever did.
    #[must_use]
    pub fn power_changed(&self) -> Option<SimTime> {
        self.power_changed
    }

    /// Where it stands.
    #[must_use]
    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    /// What its BMC says of the boot override.
    #[must_use]
    pub fn boot(&self) -> &BootOverride {
        &self.boot
    }

    /// Settings of the system ROM; what waits in them is taken when POST ends.
    pub fn bios(&mut self) -> &mut Bios {
        &mut self.bios
    }

    /// Firmware of the machine and updates on their way.
    pub fn firmware(&mut self) -> &mut Firmware {
        &mut self.firmware
    }

    /// The system that is up, if one is.
    #[must_use]
    pub fn system(&self) -> Option<&Arc<System>> {
        self.system.as_ref().filter(|_| matches!(self.stage, Stage::Up))
    }

    /// How often a system was loaded.
    #[must_use]
    pub fn boots(&self) -> u64 {
        self.boots
    }

    /// Its data disk.
    pub fn disk(&mut self) -> &mut Disk {
        &mut self.disk
    }

    /// What was really done to it.
    #[must_use]
    pub fn deeds(&self) -> Deeds {
        self.deeds
    }

    /// The last lines of its history.
    pub fn log(&self) -> impl Iterator<Item = &(SimTime, String)> {
        self.log.iter()
    }

    /// What went over the serial line since this was last asked.
    pub fn take_screens(&mut self) -> Vec<Screen> {
        std::mem::take(&mut self.screens)
    }

    pub(super) fn show(&mut self, screen: Screen) {
        if self.screens.len() < LOG_LINES {
            self.screens.push(screen);
        }
    }

    /// What its BMC remembers of it.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Clears what its BMC remembers.
    pub fn clear_history(&mut self, now: SimTime) {
        self.history.clear(now);
    }

    fn cards(&self) -> Vec<Card> {
        accelerator::cards(&self.identity, &self.faults)
    }

    fn note(&mut self, at: SimTime, line: impl Into<String>) {
        if self.log.len() == LOG_LINES {
            self.log.pop_front();
        }
        self.log.push_back((at, line.into()));
    }

    fn set_boot(&mut self, now: SimTime, want: BootOverride) {
        self.note(now, format!("bmc: boot override {} once={}", want.target, want.once));
        if !self.faults.contains(&Fault::BootIgnore) {
            self.deeds.boot_written = self.deeds.boot_written.saturating_add(1);
            self.boot = want;
        }
    }

    /// Lives through everything that was due until `now`, each at its own moment.
    fn catch_up(&mut self, now: SimTime, effects: &mut Vec<Effect>) {
        // A cycle has at most two power changes and five stages ahead; the bound only guards against a mistake here.
        for _ in 0..64 {
            let power_at = self.pending.front().map(|(at, _)| *at).filter(|at| *at <= now);
            let stage_at = self.stage_ends.filter(|at| *at <= now);
            match (power_at, stage_at) {
                (Some(p), Some(s)) if s < p => self.end_stage(s, effects),
                (Some(_), _) => self.change_power(effects),
                (None, Some(s)) => self.end_stage(s, effects),
                (None, None) => break,
            }
        }
        if let Stage::Stopping = self.stage
            && self.system.take().is_some()
        {
            effects.push(Effect::SystemDown);
        }
        effects.extend(self.firmware.live(now).map(Effect::BmcRestart));
    }

    fn change_power(&mut self, effects: &mut Vec<Effect>) {
        let Some((at, state)) = self.pending.pop_front() else { return };
        self.power = state;
        self.power_changed = Some(at);
        let came = if state == PowerState::On { &mut self.deeds.powered_on } else { &mut self.deeds.powered_off };
        *came = came.saturating_add(1);
        self.note(at, format!("power {state}"));
        self.history.push(at, if state == PowerState::On { What::PowerOn } else { What::PowerOff });
        if state == PowerState::On {
            // A machine that never went dark stays where it is (Off, then On before the Off took effect).
            if self.stage == Stage::Off {
                self.begin_post(at);
            }
        } else {
            self.disk.cut(at);
            self.stage = Stage::Off;
            self.stage_ends = None;
            self.restarts = false;
            self.go_down(effects);
        }
    }

    fn end_stage(&mut self, at: SimTime, effects: &mut Vec<Effect>) {
        self.stage_ends = None;
        match self.stage {
            Stage::Post => self.end_post(at, effects),
            Stage::DiskLoader => self.load(at, Origin::Disk, None),
            Stage::Kernel => {
                self.stage = Stage::Starting;
                self.show(Screen::Userspace);
                self.stage_ends = Some(at.after_s(self.durations.userspace));
            }
            Stage::Starting => self.come_up(at, effects),
            Stage::Stopping if self.restarts => {
                self.disk.cut(at);
                self.go_down(effects);
                self.begin_post(at);
            }
            Stage::Stopping => {
                self.pending = VecDeque::from([(at, PowerState::Off)]);
                self.change_power(effects);
            }
            Stage::Off | Stage::Rom { .. } | Stage::Up | Stage::Hung => {}
        }
    }

    fn end_post(&mut self, at: SimTime, effects: &mut Vec<Effect>) {
        self.bios.boot();
        let chosen = if self.faults.contains(&Fault::BootLost) { BootOverride::none() } else { self.boot.clone() };
        if self.boot.once {
            self.boot = BootOverride::none();
        }
        let cards = self.cards();
        self.history.self_test(at, &cards);
        let source = match (chosen.target, chosen.http_uri) {
            (BootTarget::Pxe, _) | (BootTarget::UefiHttp, None) => RomSource::Chain,
            (BootTarget::UefiHttp, Some(uri)) => RomSource::Uri(uri),
            (BootTarget::Cd, _) => RomSource::Medium,
            (BootTarget::None | BootTarget::Disk | BootTarget::Setup, _) => {
                self.fall_to_disk(at, "boot order");
                return;
            }
        };
        self.attempts += 1;
        self.note(at, format!("rom: network boot, attempt {}", self.attempts));
        self.stage = Stage::Rom { attempt: self.attempts };
        self.show(Screen::Rom(self.attempts));
        effects.push(Effect::Fetch { attempt: self.attempts, source });
    }

    fn fall_to_disk(&mut self, at: SimTime, why: &str) {
        self.note(at, format!("rom: disk ({why})"));
        self.stage = Stage::DiskLoader;
        self.show(Screen::Disk(why.to_owned()));
        self.stage_ends = Some(at.after_s(self.durations.disk));
    }

    fn fetched(&mut self, now: SimTime, attempt: u64, result: Result<Box<Loaded>, String>) {
        if self.stage != (Stage::Rom { attempt }) {
            return;
        }
        match result {
            Ok(loaded) => self.load(now, Origin::Network, Some(*loaded)),
            Err(why) => {
                self.history.push(now, What::NetworkBootFailed(why.clone()));
                self.fall_to_disk(now, &why);
            }
        }
    }

    fn load(&mut self, at: SimTime, origin: Origin, loaded: Option<Loaded>) {
        self.boots += 1;
        let boot_id = self.identity.seed.uuid(&format!("{}/boot/{}", self.identity.node, self.boots));
        self.note(at, format!("kernel: boot {} from {origin:?}", self.boots));
        let system = Arc::new(System::new(boot_id, origin, loaded, self.disk.options()));
        self.show(Screen::Kernel(Arc::clone(&system)));
        self.system = Some(system);
        self.history.push(at, What::Boot(origin));
        if origin == Origin::Network && self.faults.contains(&Fault::KernelPanic) {
            self.note(at, "kernel: panic");
            self.show(Screen::Panic);
            self.system = None;
            self.stage = Stage::Hung;
            return;
        }
        self.stage = Stage::Kernel;
        self.stage_ends = Some(at.after_s(self.durations.kernel));
    }

    fn come_up(&mut self, at: SimTime, effects: &mut Vec<Effect>) {
        self.stage = Stage::Up;
        self.stage_ends = None;
        self.note(at, "system up");
        self.show(Screen::Up);
        self.history.push(at, What::Up);
        let cards = self.cards();
        self.history.at_work(at, &cards);
        if let Some(system) = &self.system {
            effects.push(Effect::SystemUp(Arc::clone(system)));
        }
    }
}

//! The firmware of one machine: what runs, what waits, and updates on their way, as a pure automaton in virtual time. It counts every write to a
//! flash, so that a test can prove that there was one.
//!
//! ```text
//! Verifying ─┬─ staged for a start ──start──► Writing ─┬─ live ─────────────────────────────► runs
//!            ├──────────────────────────────► Writing ─┼─ BMC restarts by itself ──► restart ► runs
//!            ├─ refused                                └─ staged ── BMC restart, node's start ► runs
//!            └─ lost without a word
//! ```

use super::clock::SimTime;
use super::handle::MachineHandle;
use super::image::Image;

/// What makes a written version run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing: it runs when it is written.
    Live,
    /// The BMC restarts by itself when it is written.
    Itself,
    /// A restart of the BMC.
    Bmc,
    /// The next start of the node.
    Node,
}

/// One component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its name in the inventory.
    pub name: String,
    /// The version that runs.
    pub running: String,
    /// The version that lies in the other bank and waits.
    pub staged: Option<String>,
    /// What activates it.
    pub activation: Activation,
    /// Nothing activates what waits: it lies in the wrong bank (RC-54).
    pub astray: bool,
    /// The inventory still shows this until then (RC-53).
    lag: Option<(String, SimTime)>,
}

impl Item {
    /// A component.
    #[must_use]
    pub fn new(name: impl Into<String>, version: impl Into<String>, activation: Activation) -> Self {
        Self { name: name.into(), running: version.into(), staged: None, activation, astray: false, lag: None }
    }

    /// The version that the inventory shows. What was written astray is shown as if it ran.
    #[must_use]
    pub fn shown(&self, now: SimTime) -> &str {
        match (&self.lag, &self.staged) {
            (Some((old, until)), _) if *until > now => old,
            (_, Some(staged)) if self.astray => staged,
            _ => &self.running,
        }
    }

    fn activate(&mut self, now: SimTime, lag_s: u32) {
        if self.astray {
            return;
        }
        if let Some(version) = self.staged.take() {
            let old = std::mem::replace(&mut self.running, version);
            self.lag = (lag_s > 0).then(|| (old, now.after_s(lag_s)));
        }
    }
}

/// What goes wrong with an update, settled when it begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wrong {
    /// It is refused when it is verified.
    pub verify: bool,
    /// It is lost without a word.
    pub vanish: bool,
    /// Writing stands still at so many percent.
    pub stall: Option<u32>,
    /// Writing fails, and the task says Completed.
    pub critical: bool,
    /// It is written to the bank that does not run.
    pub astray: bool,
    /// The new version shows so many virtual seconds late.
    pub lag_s: u32,
}

/// Where an update stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// The image is looked at.
    Verifying,
    /// It waits to be started.
    Waiting,
    /// It is written.
    Writing,
    /// It was written.
    Done,
    /// It was refused or failed, for this reason.
    Failed(&'static str),
    /// It is gone without a word.
    Lost,
}

/// One update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// Which one, from 0 since the machine was made.
    pub number: u64,
    /// Name of the component.
    pub item: String,
    version: String,
    /// Where it stands.
    pub phase: Phase,
    began: SimTime,
    ends: SimTime,
    on_start: bool,
    /// It was activated by a command that restarts the BMC (HPM.1).
    restarts: bool,
    wrong: Wrong,
}

impl Update {
    /// Percent of its present phase, as it is told.
    #[must_use]
    pub fn percent(&self, now: SimTime) -> u32 {
        let whole = self.ends.0.saturating_sub(self.began.0).max(1);
        let passed = now.0.saturating_sub(self.began.0).min(whole);
        let percent = u32::try_from(passed * 100 / whole).unwrap_or(100);
        match (&self.phase, self.wrong.stall) {
            (Phase::Writing, Some(stall)) => percent.min(stall),
            (Phase::Writing | Phase::Verifying, None) | (Phase::Verifying, Some(_)) => percent.min(99),
            _ => 100,
        }
    }

    /// True for one that failed and says that it is complete.
    #[must_use]
    pub fn says_complete(&self) -> bool {
        self.wrong.critical
    }
}

/// How long things take, in virtual seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Looking at an image.
    pub verify: u32,
    /// Writing it. Samples of real ones run from 2 to 25 minutes (firmware.md §1.2).
    pub write: u32,
}

/// All firmware of one machine.
#[derive(Debug, Clone)]
pub struct Firmware {
    items: Vec<Item>,
    updates: Vec<Update>,
    pace: Pace,
    flashes: u32,
    uploads: u32,
}

impl Firmware {
    /// These components.
    #[must_use]
    pub fn new(items: Vec<Item>, pace: Pace) -> Self {
        Self { items, updates: Vec::new(), pace, flashes: 0, uploads: 0 }
    }

    /// All components.
    #[must_use]
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// One component.
    #[must_use]
    pub fn item(&self, name: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.name == name)
    }

    /// One update.
    #[must_use]
    pub fn update(&self, number: u64) -> Option<&Update> {
        self.updates.iter().find(|update| update.number == number)
    }

    /// True while something is looked at or written.
    #[must_use]
    pub fn busy(&self) -> bool {
        self.updates.iter().any(|update| matches!(update.phase, Phase::Verifying | Phase::Writing))
    }

    /// How often a flash was written to since the machine was made.
    #[must_use]
    pub fn flashes(&self) -> u32 {
        self.flashes
    }

    /// How many whole images have arrived, taken or not.
    #[must_use]
    pub fn uploads(&self) -> u32 {
        self.uploads
    }

    /// A whole image has arrived.
    pub fn arrived(&mut self) {
        self.uploads = self.uploads.saturating_add(1);
    }

    /// Takes an image. `None`: there is no such component. `on_start`: it is written only after [`Firmware::start`].
    pub fn begin(&mut self, now: SimTime, image: Image, on_start: bool, wrong: Wrong) -> Option<u64> {
        self.item(&image.component)?;
        // One image waits at most: the newest.
        self.forget();
        let number = self.updates.last().map_or(0, |update| update.number + 1);
        self.updates.push(Update {
            number,
            item: image.component,
            version: image.version,
            phase: Phase::Verifying,
            began: now,
            ends: now.after_s(self.pace.verify),
            on_start,
            restarts: false,
            wrong,
        });
        Some(number)
    }

    /// Starts what waits to be started; says which update that is, or that there is none.
    pub fn start(&mut self, now: SimTime) -> Option<u64> {
        let write = self.pace.write;
        let update = self.updates.iter_mut().find(|update| update.phase == Phase::Waiting)?;
        (update.phase, update.began, update.ends) = (Phase::Writing, now, now.after_s(write));
        self.flashes = self.flashes.saturating_add(1);
        Some(update.number)
    }

    /// As [`Firmware::start`], by a command that restarts the BMC when it is written (HPM.1). `fails`: it is written and does not run.
    pub fn activate(&mut self, now: SimTime, fails: bool) -> Option<u64> {
        let number = self.start(now)?;
        let update = self.updates.iter_mut().find(|update| update.number == number)?;
        (update.restarts, update.wrong.critical) = (true, fails);
        Some(number)
    }

    /// Forgets what waits to be started.
    pub fn forget(&mut self) {
        self.updates.iter_mut().filter(|update| update.phase == Phase::Waiting).for_each(|update| update.phase = Phase::Lost);
    }

    /// The version of a component that waits: for its start, or, written, for what activates it.
    #[must_use]
    pub fn waits(&self, name: &str) -> Option<&str> {
        let staged = self.item(name).and_then(|item| item.staged.as_deref());
        let waiting = self.updates.iter().find(|update| update.item == name && update.phase == Phase::Waiting);
        waiting.map(|update| update.version.as_str()).or(staged)
    }

    /// Lives through what was due until `now`. The moment at which the BMC restarts by itself, when it does.
    pub fn live(&mut self, now: SimTime) -> Option<SimTime> {
        let (pace, mut restart) = (self.pace, None);
        for update in &mut self.updates {
            if update.phase == Phase::Verifying && update.ends <= now {
                update.phase = match update.wrong {
                    Wrong { verify: true, .. } => Phase::Failed("the image is not for this board"),
                    Wrong { vanish: true, .. } => Phase::Lost,
                    _ if update.on_start => Phase::Waiting,
                    _ => {
                        self.flashes = self.flashes.saturating_add(1);
                        (update.began, update.ends) = (update.ends, update.ends.after_s(pace.write));
                        Phase::Writing
                    }
                };
            }
            if update.phase != Phase::Writing || update.ends > now || update.wrong.stall.is_some() {
                continue;
            }
            if update.wrong.critical {
                update.phase = Phase::Failed("writing the flash failed");
                continue;
            }
            update.phase = Phase::Done;
            let Some(item) = self.items.iter_mut().find(|item| item.name == update.item) else { continue };
            item.staged = Some(update.version.clone());
            item.astray = update.wrong.astray;
            match item.activation {
                Activation::Live => item.activate(update.ends, update.wrong.lag_s),
                Activation::Itself if !item.astray => restart = Some(update.ends),
                Activation::Bmc if !item.astray && update.restarts => restart = Some(update.ends),
                Activation::Itself | Activation::Bmc | Activation::Node => {}
            }
        }
        restart
    }

    /// The BMC restarted: what waited for that runs, what was on its way is lost.
    pub fn bmc_restarted(&mut self, now: SimTime) {
        let lag = self.updates.iter().map(|update| update.wrong.lag_s).max().unwrap_or(0);
        for update in &mut self.updates {
            if matches!(update.phase, Phase::Verifying | Phase::Waiting | Phase::Writing) {
                update.phase = Phase::Lost;
            }
        }
        let waits = |item: &&mut Item| matches!(item.activation, Activation::Itself | Activation::Bmc);
        self.items.iter_mut().filter(waits).for_each(|item| item.activate(now, lag));
    }

    /// The node starts.
    pub fn node_started(&mut self, now: SimTime) {
        let lag = self.updates.iter().map(|update| update.wrong.lag_s).max().unwrap_or(0);
        self.items.iter_mut().filter(|item| item.activation == Activation::Node).for_each(|item| item.activate(now, lag));
    }
}

impl MachineHandle {
    /// How often a flash of the machine was written to.
    #[must_use]
    pub fn flashes(&self) -> u32 {
        self.firmware(|firmware, _| firmware.flashes())
    }

    /// How many whole images have arrived at its BMC.
    #[must_use]
    pub fn uploads(&self) -> u32 {
        self.firmware(|firmware, _| firmware.uploads())
    }

    /// The version of a component that really runs, whatever is shown.
    #[must_use]
    pub fn runs(&self, component: &str) -> Option<String> {
        self.firmware(|firmware, _| firmware.item(component).map(|item| item.running.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn firmware() -> Firmware {
        let items = vec![
            Item::new("LIVE", "1", Activation::Live),
            Item::new("SELF", "1", Activation::Itself),
            Item::new("BMC", "1", Activation::Bmc),
            Item::new("BIOS", "1", Activation::Node),
        ];
        Firmware::new(items, Pace { verify: 10, write: 100 })
    }

    fn image(component: &str) -> Image {
        Image { component: component.to_owned(), version: "2".to_owned() }
    }

    fn push(component: &str, wrong: Wrong) -> (Firmware, Option<SimTime>) {
        let mut firmware = firmware();
        assert_eq!(firmware.begin(SimTime(0), image(component), false, wrong), Some(0));
        let restart = firmware.live(SimTime(0).after_s(500));
        // What was due between looks is lived through in one more.
        let restart = restart.or(firmware.live(SimTime(0).after_s(500)));
        (firmware, restart)
    }

    #[test]
    fn every_component_is_activated_in_its_own_way() {
        let run = |firmware: &Firmware, name: &str| firmware.item(name).unwrap().running.clone();
        let (live, restart) = push("LIVE", Wrong::default());
        assert_eq!((run(&live, "LIVE").as_str(), live.flashes(), restart), ("2", 1, None));
        let (mut itself, restart) = push("SELF", Wrong::default());
        assert_eq!((run(&itself, "SELF").as_str(), restart), ("1", Some(SimTime(110_000))));
        itself.bmc_restarted(SimTime(110_000));
        assert_eq!(run(&itself, "SELF"), "2");
        let (mut bmc, _) = push("BMC", Wrong::default());
        bmc.node_started(SimTime(600_000));
        assert_eq!((run(&bmc, "BMC").as_str(), bmc.item("BMC").unwrap().staged.as_deref()), ("1", Some("2")));
        bmc.bmc_restarted(SimTime(600_000));
        assert_eq!(run(&bmc, "BMC"), "2");
        let (mut bios, _) = push("BIOS", Wrong::default());
        bios.bmc_restarted(SimTime(600_000));
        assert_eq!(run(&bios, "BIOS"), "1");
        bios.node_started(SimTime(600_000));
        assert_eq!((run(&bios, "BIOS").as_str(), bios.flashes()), ("2", 1));
    }

    #[test]
    fn what_goes_wrong_is_not_flashed_or_does_not_run() {
        let state = |wrong: Wrong| {
            let (firmware, _) = push("LIVE", wrong);
            let item = firmware.item("LIVE").unwrap().clone();
            (firmware.update(0).unwrap().phase.clone(), firmware.flashes(), item.running)
        };
        let old = || "1".to_owned();
        assert_eq!(
            state(Wrong { verify: true, ..Wrong::default() }),
            (Phase::Failed("the image is not for this board"), 0, old())
        );
        assert_eq!(state(Wrong { vanish: true, ..Wrong::default() }), (Phase::Lost, 0, old()));
        assert_eq!(state(Wrong { stall: Some(40), ..Wrong::default() }), (Phase::Writing, 1, old()));
        assert_eq!(state(Wrong { critical: true, ..Wrong::default() }), (Phase::Failed("writing the flash failed"), 1, old()));
        assert_eq!(state(Wrong { astray: true, ..Wrong::default() }), (Phase::Done, 1, old()));
        let (firmware, _) = push("LIVE", Wrong { astray: true, ..Wrong::default() });
        assert_eq!(firmware.item("LIVE").unwrap().shown(SimTime(600_000)), "2");
        let (firmware, _) = push("LIVE", Wrong { lag_s: 1_000, ..Wrong::default() });
        let item = firmware.item("LIVE").unwrap();
        assert_eq!((item.running.as_str(), item.shown(SimTime(600_000)), item.shown(SimTime(1_200_000))), ("2", "1", "2"));
    }

    #[test]
    fn a_staged_image_waits_for_its_start() {
        let mut firmware = firmware();
        assert_eq!(firmware.begin(SimTime(0), image("LIVE"), true, Wrong::default()), Some(0));
        assert_eq!(firmware.start(SimTime(0)), None);
        assert_eq!(firmware.live(SimTime(500_000)), None);
        assert_eq!((firmware.flashes(), firmware.busy()), (0, false));
        assert_eq!(firmware.start(SimTime(500_000)), Some(0));
        assert_eq!((firmware.flashes(), firmware.busy(), firmware.update(0).unwrap().percent(SimTime(550_000))), (1, true, 50));
        // A restart in the middle of it: lost, and the old version runs.
        firmware.bmc_restarted(SimTime(550_000));
        firmware.live(SimTime(900_000));
        assert_eq!((firmware.item("LIVE").unwrap().running.as_str(), firmware.flashes()), ("1", 1));
        assert!(firmware.begin(SimTime(0), image("NONE"), false, Wrong::default()).is_none());
    }
}

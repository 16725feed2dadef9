//! What a BMC asks of a machine's power, and what comes of it in its own time.

use std::collections::VecDeque;

use super::{Effect, Machine, Stage};
use crate::model::{PowerState, PowerVerb};
use crate::sim::clock::SimTime;
use crate::sim::console::Screen;
use crate::sim::fault::Fault;

impl Machine {
    fn lag(&self) -> u32 {
        let extra = self.faults.iter().find_map(|f| if let Fault::PowerLag(s) = f { Some(*s) } else { None });
        self.durations.power.saturating_add(extra.unwrap_or(0))
    }

    pub(super) fn ask_power(&mut self, now: SimTime, verb: PowerVerb, effects: &mut Vec<Effect>) {
        self.note(now, format!("bmc: power {verb}"));
        let asked = match verb {
            PowerVerb::On => &mut self.deeds.on_asked,
            PowerVerb::Off => &mut self.deeds.off_asked,
            PowerVerb::Graceful => &mut self.deeds.graceful_asked,
            PowerVerb::Cycle => &mut self.deeds.cycle_asked,
            PowerVerb::Restart | PowerVerb::Reset => &mut self.deeds.restart_asked,
            PowerVerb::Nmi => &mut self.deeds.nmi_asked,
        };
        *asked = asked.saturating_add(1);
        let on = matches!(self.power, PowerState::On | PowerState::PoweringOn);
        match verb {
            PowerVerb::On if on => {}
            PowerVerb::On => self.go(now, PowerState::PoweringOn, &[(self.lag(), PowerState::On)]),
            PowerVerb::Off if self.power == PowerState::Off => {}
            PowerVerb::Off => self.go(now, PowerState::PoweringOff, &[(self.lag(), PowerState::Off)]),
            PowerVerb::Cycle if self.power == PowerState::Off => {
                self.go(now, PowerState::PoweringOn, &[(self.lag(), PowerState::On)]);
            }
            PowerVerb::Cycle => {
                let dark = self.lag().saturating_add(self.durations.cycle_gap);
                self.go(now, PowerState::PoweringOff, &[(self.lag(), PowerState::Off), (dark, PowerState::On)]);
            }
            // Only a running system hears it; a ROM or a kernel that is still loading does not.
            PowerVerb::Graceful if self.stage == Stage::Up && !self.faults.contains(&Fault::SoftIgnored) => {
                self.stage = Stage::Stopping;
                self.show(Screen::Stopping);
                self.stage_ends = Some(now.after_s(self.durations.shutdown));
            }
            PowerVerb::Graceful => self.note(now, "bmc: nobody heard the shutdown request"),
            PowerVerb::Restart if self.stage == Stage::Up && !self.faults.contains(&Fault::SoftIgnored) => {
                self.restarts = true;
                self.stage = Stage::Stopping;
                self.show(Screen::Stopping);
                self.stage_ends = Some(now.after_s(self.durations.shutdown));
            }
            PowerVerb::Restart => self.note(now, "bmc: nobody heard the restart request"),
            PowerVerb::Reset if self.power == PowerState::On && self.stage != Stage::Hung => {
                self.go_down(effects);
                self.begin_post(now);
            }
            PowerVerb::Reset | PowerVerb::Nmi => {}
        }
    }

    pub(super) fn hang(&mut self, now: SimTime, effects: &mut Vec<Effect>) {
        if self.power == PowerState::On {
            self.note(now, "bmc: forced restart, which hangs");
            self.deeds.restart_asked = self.deeds.restart_asked.saturating_add(1);
            self.go_down(effects);
            self.stage = Stage::Hung;
            self.stage_ends = None;
        }
    }

    pub(super) fn lose_mains(&mut self, now: SimTime, back_on: Option<u32>, effects: &mut Vec<Effect>) {
        self.note(now, "standby power lost and back");
        self.deeds.ac_cycled = self.deeds.ac_cycled.saturating_add(1);
        if self.power != PowerState::Off {
            self.pending = VecDeque::from([(now, PowerState::Off)]);
            self.change_power(effects);
        }
        self.pending = back_on.map(|s| (now.after_s(s), PowerState::On)).into_iter().collect();
    }

    pub(super) fn go_down(&mut self, effects: &mut Vec<Effect>) {
        if self.system.take().is_some() {
            effects.push(Effect::SystemDown);
        }
    }

    pub(super) fn begin_post(&mut self, at: SimTime) {
        self.deeds.posts = self.deeds.posts.saturating_add(1);
        self.restarts = false;
        self.stage = Stage::Post;
        self.show(Screen::Post);
        self.stage_ends = Some(at.after_s(self.durations.post));
        self.firmware.node_started(at);
    }

    fn go(&mut self, now: SimTime, through: PowerState, then: &[(u32, PowerState)]) {
        self.power = through;
        self.pending = then.iter().map(|(s, state)| (now.after_s(*s), *state)).collect();
    }
}

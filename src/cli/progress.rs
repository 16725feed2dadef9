//! What a run looks like while it runs: one bar a rack, never hundreds; plain lines where no terminal is.

use std::collections::BTreeMap;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::{Out, escape};
use crate::engine::Told;
use crate::model::{Event, NodeId, Phase, Plan, RackId, RunState};

/// Most bars on the screen; more racks than this share bars by the first part of their names.
const MOST_BARS: usize = 20;

/// Listens to a run.
pub struct Progress {
    out: Out,
    verbose: u8,
    state: RunState,
    rack_of: BTreeMap<NodeId, String>,
    bars: BTreeMap<String, ProgressBar>,
    multi: MultiProgress,
}

impl Progress {
    /// Starts listening. `state` is where the run stands.
    #[must_use]
    pub fn new(out: &Out, verbose: u8, plan: &Plan, state: &RunState) -> Self {
        let racks: BTreeMap<&NodeId, &RackId> = plan.limits.domains.iter().map(|(id, d)| (id, &d.0)).collect();
        let names: std::collections::BTreeSet<&str> = racks.values().map(|r| r.as_str()).collect();
        let shared = names.len() > MOST_BARS;
        let line = |rack: &str| if shared { row_of(rack) } else { rack.to_owned() };
        let rack_of: BTreeMap<NodeId, String> = racks.iter().map(|(id, r)| ((*id).clone(), line(r.as_str()))).collect();
        let multi = MultiProgress::with_draw_target(if out.bars {
            ProgressDrawTarget::stderr_with_hz(8)
        } else {
            ProgressDrawTarget::hidden()
        });
        let mut progress = Self { out: out.clone(), verbose, state: state.clone(), rack_of, bars: BTreeMap::new(), multi };
        let mut totals: BTreeMap<String, u64> = BTreeMap::new();
        for node in &plan.nodes {
            *totals.entry(progress.line_of(&node.node)).or_default() += 1;
        }
        for (name, total) in totals {
            let bar = progress.multi.add(ProgressBar::new(total));
            if let Ok(style) = ProgressStyle::with_template("{prefix:>8} {bar:24} {pos:>3}/{len:<3} {elapsed:>4} {wide_msg}") {
                bar.set_style(style.progress_chars("━╸ "));
            }
            bar.set_prefix(name.clone());
            progress.bars.insert(name, bar);
        }
        progress
    }

    fn line_of(&self, node: &NodeId) -> String {
        self.rack_of.get(node).cloned().unwrap_or_else(|| "–".to_owned())
    }

    /// Takes one thing that it was told.
    pub fn take(&mut self, told: &Told) {
        match told {
            Told::Progress { node, text } => {
                if let Some(bar) = self.bars.get(&self.line_of(node)) {
                    bar.set_message(escape(&format!("{node} {text}")).replace('\n', " "));
                }
                if self.verbose > 1 {
                    self.say(&format!("{node}  {text}"));
                }
            }
            Told::Event(line) => {
                // The engine has folded it already, so it is legal; a listener never stops a run.
                drop(self.state.apply(&line.event, line.at_ms));
                self.event(&line.event);
            }
        }
    }

    fn event(&mut self, event: &Event) {
        if let Some(node) = event.node() {
            let name = self.line_of(node);
            let ended = self.rack_of.keys().filter(|id| self.line_of(id) == name && self.phase(id).ended()).count();
            if let Some(bar) = self.bars.get(&name) {
                bar.set_position(u64::try_from(ended).unwrap_or(u64::MAX));
                if let Some(text) = doing(event) {
                    bar.set_message(escape(&format!("{node} {text}")).replace('\n', " "));
                }
            }
        }
        match event {
            Event::NodeAdmitted { node, devices, withheld, degraded, .. } => {
                let total = devices.len() + withheld.len();
                let word = if *degraded { "degraded" } else { "admitted" };
                self.say(&format!("{node}  {word}  {} of {total} accelerators{}", devices.len(), self.took(node)));
            }
            Event::NodeQuarantined { node, why, .. } => {
                self.say(&format!("{node}  {}  {why}{}", self.phase(node), self.took(node)));
            }
            Event::NodeBlocked { node, why, .. } => self.say(&format!("{node}  blocked  {why}")),
            Event::RunHeld { why } => self.say(&format!("held: {why}")),
            other if self.verbose > 0 => {
                if let (Some(node), Some(text)) = (other.node(), doing(other)) {
                    self.say(&format!("{node}  {text}"));
                }
            }
            _ => {}
        }
    }

    fn phase(&self, node: &NodeId) -> Phase {
        self.state.nodes.get(node).map_or(Phase::Pending, |n| n.phase)
    }

    fn took(&self, node: &NodeId) -> String {
        let span = self.state.nodes.get(node).and_then(|n| n.span_ms);
        span.map_or_else(String::new, |(a, b)| format!("  ({}.{} s)", (b - a) / 1000, ((b - a) % 1000) / 100))
    }

    fn say(&self, text: &str) {
        let text = escape(text);
        if self.out.bars {
            self.multi.suspend(|| self.out.talk(text));
        } else {
            self.out.talk(text);
        }
    }

    /// Takes the bars off the screen.
    pub fn finish(&self) {
        for bar in self.bars.values() {
            bar.finish_and_clear();
        }
    }
}

/// The letters that a rack's name starts with: racks `a001`…`a275` share the bar `a*`.
fn row_of(rack: &str) -> String {
    let letters: String = rack.chars().take_while(|c| !c.is_ascii_digit()).collect();
    format!("{letters}*")
}

fn doing(event: &Event) -> Option<String> {
    use crate::model::{EvidenceNote, Touch};
    Some(match event {
        Event::NodeDrained { was_member: true, .. } => "drained from its pool".to_owned(),
        Event::StepBegan { step, title, .. } => format!("{step}: {title}"),
        Event::AttemptBegan { touch, .. } => match touch {
            Touch::IssueGrant { .. } => "boot grant".to_owned(),
            Touch::SetBoot(to) => format!("boot override {}", to.target),
            Touch::Power(verb) => format!("power {verb}"),
            Touch::Push { to, .. } => format!("push {to}"),
            Touch::Run { argv } => format!("run {}", argv.join(" ")),
            Touch::Admit => "into the pool".to_owned(),
            Touch::Drain { .. } | Touch::Unknown => return None,
        },
        Event::AttemptEnded { seen, .. } => match seen {
            EvidenceNote::Applied(text) => format!("seen: {text}"),
            EvidenceNote::NotApplied(text) => format!("no effect: {text}"),
            EvidenceNote::Ambiguous(text) => format!("not settled: {text}"),
        },
        Event::StepFinished { step, evidence, .. } => format!("{step} done: {evidence}"),
        Event::StepFailed { step, class, error, .. } => format!("{step} failed ({class}): {error}"),
        Event::Checked { verdict, .. } => format!("gate: {verdict}"),
        Event::Released { what, .. } => format!("given back: {what}"),
        _ => return None,
    })
}

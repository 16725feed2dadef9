//! What a run looks like while it runs: one bar a rack, never hundreds; plain lines where no terminal is.

use std::collections::BTreeMap;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::fit;
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
    /// How many nodes of each bar have ended; counted along, since counting anew at every event would make a run quadratic in its nodes.
    ended: BTreeMap<String, u64>,
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
        let (bars, ended) = (BTreeMap::new(), BTreeMap::new());
        let mut progress = Self { out: out.clone(), verbose, state: state.clone(), rack_of, bars, ended, multi };
        let bar = if out.colour_err { "{bar:24.cyan}" } else { "{bar:24}" };
        let template = &format!("{{prefix:>8}} {bar} {{pos:>3}}/{{len:<3}} {{elapsed:>4}} {{wide_msg}}");
        let mut totals: BTreeMap<String, u64> = BTreeMap::new();
        for node in &plan.nodes {
            let name = progress.line_of(&node.node);
            if progress.phase(&node.node).ended() {
                *progress.ended.entry(name.clone()).or_default() += 1;
            }
            *totals.entry(name).or_default() += 1;
        }
        for (name, total) in totals {
            let bar = progress.multi.add(ProgressBar::new(total));
            if let Ok(style) = ProgressStyle::with_template(template) {
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
                let before = line.event.node().is_some_and(|id| self.phase(id).ended());
                // The engine has folded it already, so it is legal; a listener never stops a run.
                drop(self.state.apply(&line.event, line.at_ms));
                if let Some(node) = line.event.node().filter(|id| !before && self.phase(id).ended()) {
                    let name = self.line_of(node);
                    *self.ended.entry(name).or_default() += 1;
                }
                self.event(&line.event);
            }
        }
    }

    fn event(&mut self, event: &Event) {
        if let Some(node) = event.node() {
            let name = self.line_of(node);
            if let Some(bar) = self.bars.get(&name) {
                let ended = self.ended.get(&name).copied().unwrap_or(0);
                bar.set_position(ended);
                if ended == total(bar) {
                    bar.abandon_with_message("all ended");
                } else if let Some(text) = doing(event) {
                    bar.set_message(escape(&format!("{node} {text}")).replace('\n', " "));
                }
            }
        }
        if let Event::StepFailed { node, seen, .. } = event
            && self.verbose > 0
        {
            seen.iter().for_each(|line| self.say(&format!("{node}  {line}")));
        }
        match event {
            // The bars count those that came in whole; a line each would push everything else off the screen.
            Event::NodeAdmitted { degraded: false, .. } if self.out.bars && self.verbose == 0 => {}
            Event::NodeAdmitted { node, devices, withheld, degraded, .. } => {
                let total = devices.len() + withheld.len();
                let word = if *degraded { "degraded" } else { "admitted" };
                self.say(&format!("{node}  {word}  {} of {total} accelerators{}", devices.len(), self.took(node)));
            }
            Event::NodeQuarantined { node, why, .. } => {
                self.say(&format!("{node}  {}  {why}{}", self.phase(node), self.took(node)));
            }
            Event::NodeBlocked { node, why, .. } => self.say(&format!("{node}  blocked  {why}")),
            Event::NotReleased { node, what, why } => self.say(&format!("{node}  not given back: {what}: {why}")),
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
        let text = fit::words(&escape(text), self.out.width.into(), 4);
        if self.out.bars {
            self.multi.suspend(|| self.out.talk(text));
        } else {
            self.out.talk(text);
        }
    }

    /// Takes the bars off the screen; a line stays free before what follows.
    pub fn finish(&self) {
        for bar in self.bars.values() {
            bar.finish_and_clear();
        }
        self.out.talk("");
    }
}

fn total(bar: &ProgressBar) -> u64 {
    bar.length().unwrap_or(u64::MAX)
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
            other => super::handbook::words(other),
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
        Event::BootSeen { stage, from, .. } => format!("boot server: {stage}{}", by(from.as_ref())),
        Event::GrantRefused { grant, why, from, .. } => format!("boot server: refused {grant}{}: {why}", by(from.as_ref())),
        _ => return None,
    })
}

/// Who asked.
fn by(from: Option<&std::net::IpAddr>) -> String {
    from.map_or_else(String::new, |address| format!(" to {address}"))
}

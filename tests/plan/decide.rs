//! `decide` never exceeds its budget, whatever happens to the nodes.

use std::collections::{BTreeMap, BTreeSet};

use bringup::model::{Event, NodeId, Phase, Plan, RunState, Verdict};
use bringup::planner::{Ask, Line, line};
use bringup::rollout::{Composition, Decision, compose, decide};
use proptest::prelude::*;

use super::written::{inventory, off, playbook};

pub fn plan(racks: u32, slots: u32, change: impl FnOnce(&mut bringup::model::RolloutPolicy)) -> Plan {
    let inventory = inventory(racks, slots);
    let mut playbook = playbook();
    change(&mut playbook.rollout);
    let mut lines = Vec::new();
    for node in inventory.nodes.values() {
        let observed = off(node.serial.as_ref().unwrap());
        match line(&Ask { node, playbook: &playbook, observed: &observed, in_pool: false }) {
            Line::Walk(plan) => lines.push(*plan),
            other => panic!("{other:?}"),
        }
    }
    compose(Composition { inventory: &inventory, playbook: &playbook, inputs: BTreeMap::new(), lines, blocked: Vec::new() })
        .unwrap()
}

/// Ends a node, well or badly, by the events that the engine would write.
fn end(state: &mut RunState, node: &NodeId, well: bool) {
    let node = node.clone();
    let step = bringup::model::StepId::new("1-netboot").unwrap();
    let mut events = vec![
        Event::DrainBegan { node: node.clone() },
        Event::NodeDrained { node: node.clone(), was_member: false },
        Event::StepBegan { node: node.clone(), step: step.clone(), title: String::new() },
    ];
    if well {
        events.push(Event::StepFinished { node: node.clone(), step, changed: true, evidence: String::new() });
        events.push(Event::Checked { node: node.clone(), verdict: Verdict::Pass, findings: vec![], devices: vec![] });
        events.push(Event::NodeAdmitted { node, pool: "train".into(), devices: vec![], withheld: vec![], degraded: false });
    } else {
        let class = bringup::model::Class::Refused;
        events.push(Event::StepFailed { node: node.clone(), step, class, error: "seeded".into(), seen: vec![] });
        events.push(Event::NodeQuarantined { node, accelerators: 8, why: "seeded".into() });
    }
    for event in events {
        state.apply(&event, 0).unwrap();
    }
}

#[test]
fn the_same_composition_gives_the_same_bytes() {
    let bytes = || serde_json::to_vec(&plan(3, 4, |_| {})).unwrap();
    assert_eq!(bytes(), bytes());
}

#[test]
fn every_node_is_in_exactly_one_wave_and_racks_take_turns() {
    let plan = plan(3, 4, |_| {});
    let all: Vec<&NodeId> = plan.waves.iter().flat_map(|w| &w.nodes).collect();
    assert_eq!(all.len(), 12);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 12);
    let racks: Vec<&str> = all.iter().take(3).map(|n| &n.as_str()[..4]).collect();
    assert_eq!(racks, ["a001", "a002", "a003"]);
    assert!(plan.waves[0].canary && plan.waves[0].nodes.len() == 1);
}

#[test]
fn a_failed_canary_holds() {
    let plan = plan(2, 4, |_| {});
    let mut state = RunState::of_plan(&plan);
    let Decision::Start(first) = decide(&plan, &state, &|_| false) else { panic!() };
    assert_eq!(first.len(), 1);
    end(&mut state, &first[0], false);
    assert!(matches!(decide(&plan, &state, &|_| false), Decision::Hold { why } if why.contains("canary")));
}

#[test]
fn one_node_over_the_limits_holds_instead_of_waiting_for_ever() {
    let plan = plan(1, 1, |r| r.max_per_feed_w = Some(10));
    let state = RunState::of_plan(&plan);
    assert!(matches!(decide(&plan, &state, &|_| false), Decision::Hold { why } if why.contains("limits")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn the_budget_is_never_exceeded(
        racks in 1_u32..6, slots in 1_u32..6, max_nodes in 1_u32..9, per_rack in 1_u32..4, watts in proptest::option::of(6000_u32..40_000),
        pct in 0.0_f64..60.0, canary in 0_u32..3, order in proptest::collection::vec((any::<u16>(), proptest::bool::weighted(0.85)), 1..80),
    ) {
        let plan = plan(racks, slots, |r| {
            (r.max_nodes, r.max_per_rack, r.max_per_feed_w) = (max_nodes, per_rack, watts);
            (r.total_failures_pct, r.canary_failures) = (pct, canary);
        });
        let mut state = RunState::of_plan(&plan);
        let started = Event::RunStarted { plan: plan.id.clone(), plan_digest: None, by: "t".into(), version: "0".into() };
        state.apply(&started, 0).unwrap();
        let mut flying: BTreeSet<NodeId> = BTreeSet::new();
        let mut ever: BTreeSet<NodeId> = BTreeSet::new();
        let mut order = order.into_iter().cycle();
        for _ in 0..200 {
            let taken = ever.clone();
            match decide(&plan, &state, &|n| taken.contains(n)) {
                Decision::Start(nodes) => {
                    // Nothing starts once a budget is breached.
                    let failed = state.count(Phase::failed);
                    #[allow(clippy::cast_precision_loss)]
                    let within = failed as f64 * 100.0 <= pct * plan.nodes.len() as f64;
                    prop_assert!(within, "started with {} failed", failed);
                    for node in nodes {
                        prop_assert!(ever.insert(node.clone()), "{} was started twice", node);
                        flying.insert(node);
                    }
                    prop_assert!(flying.len() <= max_nodes as usize);
                    let mut by_rack: BTreeMap<&str, u32> = BTreeMap::new();
                    let mut by_feed: BTreeMap<String, u32> = BTreeMap::new();
                    for node in &flying {
                        *by_rack.entry(&node.as_str()[..4]).or_default() += 1;
                        let (_, feed, w) = &plan.limits.domains[node];
                        *by_feed.entry(feed.clone().unwrap()).or_default() += w;
                    }
                    prop_assert!(by_rack.values().all(|&n| n <= per_rack));
                    if let Some(limit) = watts { prop_assert!(by_feed.values().all(|&w| w <= limit)); }
                }
                Decision::Wait => {
                    prop_assert!(!flying.is_empty(), "waits for nothing");
                    let (pick, well) = order.next().unwrap();
                    let node = flying.iter().nth(pick as usize % flying.len()).unwrap().clone();
                    flying.remove(&node);
                    end(&mut state, &node, well);
                }
                Decision::Hold { .. } | Decision::Finished => return Ok(()),
            }
        }
        prop_assert!(false, "never ended");
    }
}

#[test]
fn a_run_that_a_person_released_goes_on_until_the_budget_is_breached_again() {
    let plan = plan(2, 4, |r| r.total_failures_pct = 12.5);
    let mut state = RunState::of_plan(&plan);
    let started = Event::RunStarted { plan: plan.id.clone(), plan_digest: None, by: "t".into(), version: "0".into() };
    state.apply(&started, 0).unwrap();
    let Decision::Start(first) = decide(&plan, &state, &|_| false) else { panic!() };
    end(&mut state, &first[0], false);
    let Decision::Hold { why } = decide(&plan, &state, &|_| false) else { panic!() };
    state.apply(&Event::RunHeld { why }, 0).unwrap();
    state.apply(&Event::RunReleased { by: "t".into() }, 0).unwrap();
    let Decision::Start(next) = decide(&plan, &state, &|_| false) else { panic!("a release changes nothing") };
    end(&mut state, &next[0], false);
    assert!(matches!(decide(&plan, &state, &|_| false), Decision::Start(_)), "one of eight is within the budget");
    end(&mut state, &next[1], false);
    assert!(matches!(decide(&plan, &state, &|_| false), Decision::Hold { .. }));
}

#[test]
fn a_failed_node_that_has_not_given_back_what_it_borrowed_is_taken_up_again() {
    let plan = plan(1, 1, |_| {});
    let mut state = RunState::of_plan(&plan);
    let node = plan.nodes[0].node.clone();
    let step = bringup::model::StepId::new("1-netboot").unwrap();
    for event in [
        Event::RunStarted { plan: plan.id.clone(), plan_digest: None, by: "t".into(), version: "0".into() },
        Event::DrainBegan { node: node.clone() },
        Event::StepFailed {
            node: node.clone(),
            step,
            class: bringup::model::Class::Refused,
            error: "seeded".into(),
            seen: vec![],
        },
    ] {
        state.apply(&event, 0).unwrap();
    }
    assert_eq!(decide(&plan, &state, &|_| false), Decision::Start(vec![node.clone()]));
    state.apply(&Event::NodeQuarantined { node, accelerators: 8, why: "seeded".into() }, 0).unwrap();
    assert_eq!(decide(&plan, &state, &|_| false), Decision::Finished);
}

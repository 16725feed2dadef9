//! The fold: one table of legal transitions; no way into the pool except through the gate.

use bringup::model::{Class, Event, EvidenceNote, NodeId, Phase, PowerVerb, RunState, StepId, Touch, Verdict};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

fn node(n: u8) -> NodeId {
    NodeId::new(format!("n{n}")).unwrap()
}

fn any_event() -> impl Strategy<Value = Event> + use<> {
    let step = || StepId::new("1-netboot").unwrap();
    (0_u8..3, 0_u8..16).prop_map(move |(n, kind)| match kind {
        0 => Event::DrainBegan { node: node(n) },
        1 => Event::NodeDrained { node: node(n), was_member: false },
        2 => Event::StepBegan { node: node(n), step: step(), title: String::new() },
        3 => Event::AttemptBegan { node: node(n), step: step(), attempt: 1, touch: Touch::Power(PowerVerb::Cycle) },
        4 => Event::AttemptEnded {
            node: node(n),
            step: step(),
            attempt: 1,
            touch: Touch::Power(PowerVerb::Cycle),
            seen: EvidenceNote::Applied(String::new()),
        },
        5 => Event::StepFinished { node: node(n), step: step(), changed: true, evidence: String::new() },
        6 => Event::StepFailed { node: node(n), step: step(), class: Class::Refused, error: String::new(), seen: vec![] },
        7 => Event::Checked { node: node(n), verdict: Verdict::Pass, findings: vec![], devices: vec![] },
        8 => Event::NodeAdmitted { node: node(n), pool: "p".into(), devices: vec![], withheld: vec![], degraded: false },
        9 => Event::NodeQuarantined { node: node(n), accelerators: 8, why: String::new() },
        10 => Event::NodeBlocked { node: node(n), accelerators: 8, why: String::new() },
        11 => Event::RunHeld { why: String::new() },
        12 => Event::RunReleased { by: String::new() },
        13 => Event::RunFinished,
        14 => Event::RunResumed { by: String::new() },
        _ => Event::Unknown,
    })
}

proptest! {
    #[test]
    fn nothing_is_admitted_that_was_not_judged_since_it_was_last_touched(events in proptest::collection::vec(any_event(), 0..60)) {
        let mut state = RunState { lifecycle: bringup::model::Lifecycle::Running, held: None, excused: Default::default(), nodes: Default::default(), span_ms: None };
        let mut judged = std::collections::BTreeSet::new();
        for event in events {
            let before = state.clone();
            match state.apply(&event, 0) {
                Err(_) => prop_assert_eq!(&state, &before, "a refused event changed the state"),
                Ok(()) => match &event {
                    Event::Checked { node, .. } => { judged.insert(node.clone()); }
                    Event::DrainBegan { node } => { judged.remove(node); }
                    Event::NodeAdmitted { node, .. } => prop_assert!(judged.contains(node)),
                    _ => {}
                },
            }
        }
        for (id, n) in &state.nodes {
            if n.phase == Phase::Admitted { prop_assert!(judged.contains(id)); }
        }
    }

    #[test]
    fn any_json_reads_as_an_event_or_an_error(text in ".{0,200}") {
        drop(serde_json::from_str::<Event>(&text));
    }
}

#[test]
fn events_of_a_newer_version_are_read_as_unknown() {
    let event: Event = serde_json::from_str(r#"{"event":"node-polished","node":"n1","with":["wax"]}"#).unwrap();
    assert_eq!(event, Event::Unknown);
}

#[test]
fn events_read_back_as_they_were_written() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..200 {
        let event = any_event().new_tree(&mut runner).unwrap().current();
        if event != Event::Unknown {
            let text = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event, "{text}");
        }
    }
}

#[test]
fn touches_of_a_newer_version_are_read_as_unknown_whatever_their_shape() {
    for touch in
        [r#""polish""#, r#"{"flash":{"component":"bios","to":"2.1"}}"#, r#"{"flash":["bios"]}"#, r#"{"power":"sideways"}"#]
    {
        let line = format!(r#"{{"event":"attempt-began","node":"n1","step":"1-x","attempt":1,"touch":{touch}}}"#);
        let event: Event = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{touch}: {e}"));
        assert!(matches!(event, Event::AttemptBegan { touch: Touch::Unknown, .. }), "{touch}: {event:?}");
    }
    for (touch, text) in [
        (Touch::ClearLog { log: None }, r#"{"clear-log":{}}"#),
        (Touch::ClearLog { log: Some("IEL".into()) }, r#"{"clear-log":{"log":"IEL"}}"#),
        (
            Touch::Subscribe { mark: "hand-1".into(), to: "https://x".into() },
            r#"{"subscribe":{"mark":"hand-1","to":"https://x"}}"#,
        ),
        (Touch::Unsubscribe { mark: "hand-1".into() }, r#"{"unsubscribe":{"mark":"hand-1"}}"#),
    ] {
        assert_eq!(serde_json::to_string(&touch).unwrap(), text);
        assert_eq!(serde_json::from_str::<Touch>(text).unwrap(), touch);
    }
    let known: Touch = serde_json::from_str(r#"{"power":"cycle"}"#).unwrap();
    assert_eq!(known, Touch::Power(PowerVerb::Cycle));
}

#[test]
fn a_blocked_node_is_known_from_the_plan_alone() {
    let mut plan = super::decide::plan(1, 1, |_| {});
    let why = "held".to_owned();
    plan.blocked.push(bringup::model::Blocked { node: node(9), accelerators: 8, why, hint: String::new() });
    let state = RunState::of_plan(&plan);
    assert_eq!((state.nodes[&node(9)].phase, state.nodes[&node(9)].idle), (Phase::Blocked, 8));
}

proptest! {
    #[test]
    fn a_report_always_adds_up(events in proptest::collection::vec((any_event(), 0_usize..12, 0_usize..4), 0..60)) {
        let plan = super::decide::plan(1, 3, |_| {});
        let names: Vec<NodeId> = plan.nodes.iter().map(|n| n.node.clone()).collect();
        let mut state = RunState::of_plan(&plan);
        let started = Event::RunStarted { plan: plan.id.clone(), plan_digest: None, by: String::new(), version: String::new() };
        state.apply(&started, 0).unwrap();
        for (event, good, bad) in events {
            let text = serde_json::to_string(&event).unwrap();
            let text = (0..3).fold(text, |t, n| t.replace(&format!("\"n{n}\""), &format!("\"{}\"", names[n])));
            let mut event: Event = serde_json::from_str(&text).unwrap();
            let one = |verdict| move |n: usize| bringup::model::DeviceVerdict { device: format!("gpu{n}"), serial: None, verdict };
            match &mut event {
                Event::NodeAdmitted { devices, withheld, degraded, .. } => {
                    *devices = (0..good).map(one(Verdict::Pass)).collect();
                    *withheld = (0..bad).map(one(Verdict::Reject)).collect();
                    *degraded = bad > 0;
                }
                Event::Checked { devices, .. } => {
                    let judged = |n: usize| bringup::model::Judgement {
                        device: format!("gpu{n}"), serial: None, pci: None, model: None, verdict: Verdict::Reject, findings: vec![],
                    };
                    *devices = (0..bad).map(judged).collect();
                }
                _ => {}
            }
            drop(state.apply(&event, 0));
        }
        let id = bringup::model::RunId::new("run-1").unwrap();
        let account = bringup::report::account(&bringup::journal::RunSummary { id, at_ms: 0, state, plan });
        let idle: u64 = account.idle.iter().map(|g| g.accelerators).sum();
        prop_assert_eq!(account.working + idle, account.accelerators);
        prop_assert_eq!(account.accelerators, 24);
    }
}

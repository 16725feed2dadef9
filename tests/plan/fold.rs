//! The fold: one table of legal transitions; no way into the pool except through the gate.

use bringup::model::{Class, Event, EvidenceNote, NodeId, Phase, PowerVerb, RunState, StepId, Touch, Verdict};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

fn node(n: u8) -> NodeId {
    NodeId::new(format!("n{n}")).unwrap()
}

fn any_event() -> impl Strategy<Value = Event> {
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
        6 => Event::StepFailed { node: node(n), step: step(), class: Class::Refused, error: String::new() },
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

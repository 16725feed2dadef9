//! Parsers of what nodes print never panic, whatever they print, and are bounded.

use bringup::model::{Answer, ProbeOutput, Verdict};
use proptest::prelude::*;

use super::world;

fn raw(bytes: Vec<u8>) -> Answer {
    Answer::Output(ProbeOutput { exit: 0, stdout: bytes, stderr: Vec::new() })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..2048), which in 0usize..4, probe in 0usize..6) {
        let (_, mut world) = world::all().swap_remove(which);
        let ids: Vec<String> = world.answers.keys().cloned().collect();
        let id = ids[probe % ids.len()].clone();
        world.answers.insert(id.clone(), raw(bytes));
        let (judged, key) = world.judge();
        prop_assert!(judged.verdict > Verdict::Pass || id.ends_with("nvlink"));
        prop_assert!(key.is_none() || id.ends_with("-module"));
    }

    #[test]
    fn mutated_answers(which in 0usize..4, probe in 0usize..6, cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 1..24)) {
        let (_, mut world) = world::all().swap_remove(which);
        let ids: Vec<String> = world.answers.keys().cloned().collect();
        let id = ids[probe % ids.len()].clone();
        let Some(Answer::Output(out)) = world.answers.get(&id).cloned() else { unreachable!() };
        let mut bytes = out.stdout;
        for (at, byte, how) in cuts {
            if bytes.is_empty() { break; }
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => { bytes.remove(at); }
                _ => bytes.insert(at, byte),
            }
        }
        world.answers.insert(id, raw(bytes));
        let (judged, key) = world.judge();
        // Whatever the bytes: a key never holds a device that is not admissible, and always as many as were bought.
        if let Some(key) = key {
            prop_assert!(key.devices().iter().all(|d| d.verdict.admissible()));
            prop_assert_eq!(key.devices().len(), usize::try_from(world.suite.accelerator.count).unwrap());
            prop_assert!(judged.findings.iter().all(|f| f.verdict.admissible()));
        }
    }

    #[test]
    fn version_rules(rule in "\\PC{0,24}", version in "\\PC{0,24}") {
        if let Ok(rule) = bringup::verify::VersionRule::parse(&rule) {
            prop_assert_eq!(rule.allows(&version), rule.allows(version.trim()));
        }
        let order = bringup::verify::compare_versions(&rule, &version);
        prop_assert_eq!(bringup::verify::compare_versions(&version, &rule), order.reverse());
    }
}

#[test]
fn bounded() {
    for deep in [
        format!("<nvidia_smi_log>{}", "<a>".repeat(100_000)),
        format!("<nvidia_smi_log>{}</nvidia_smi_log>", "<gpu id=\"x\"></gpu>".repeat(100_000)),
        format!(
            "<nvidia_smi_log><gpu>{}</gpu></nvidia_smi_log>",
            (0..100_000).map(|i| format!("<a{i}>1</a{i}>")).collect::<String>()
        ),
        "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><nvidia_smi_log>&b;</nvidia_smi_log>".to_owned(),
    ] {
        let mut world = world::nvidia();
        world.answers.insert("nvidia-smi".into(), raw(deep.into_bytes()));
        let (judged, key) = world.judge();
        assert!(key.is_none() && judged.devices.len() <= 64 + 8);
    }
    for text in ["[".repeat(100_000), format!("[{}]", "{},".repeat(1000).trim_end_matches(','))] {
        let mut world = world::furiosa();
        world.answers.insert("furiosa-smi".into(), raw(text.into_bytes()));
        assert!(world.judge().1.is_none());
    }
}

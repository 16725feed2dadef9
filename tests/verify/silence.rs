//! Unknown never passes: whatever a node leaves unsaid, its verdict is worse than pass.

use bringup::model::{Answer, Verdict};
use bringup::verify::{judge, probes};

use super::world::{self, World, exited, said};

/// What can become of an answer.
fn silences() -> Vec<(&'static str, Option<Answer>)> {
    vec![
        ("not asked", None),
        ("timeout", Some(Answer::Unknown { why: "no answer within 60 s".into() })),
        ("no such program", Some(exited(127, "", "sh: not found"))),
        ("failed", Some(exited(1, "", "boom"))),
        ("killed after printing", Some(exited(137, "[]", ""))),
        ("empty", Some(said(""))),
        ("garbage", Some(said("\u{0}\u{1}garbage"))),
        ("not text", Some(Answer::Output(bringup::model::ProbeOutput { exit: 0, stdout: vec![0xff, 0xfe], stderr: vec![] }))),
        ("empty list", Some(said("[]"))),
    ]
}

#[test]
fn deleting_any_source_never_passes() {
    for (vendor, world) in world::all() {
        let ids: Vec<String> = probes(&world.suite).into_iter().map(|p| p.id).collect();
        for id in &ids {
            assert!(world.answers.contains_key(id), "{vendor}: the test's world does not answer `{id}`");
            for (how, answer) in silences() {
                let mut world = world.clone();
                match answer {
                    Some(answer) => world.answers.insert(id.clone(), answer),
                    None => world.answers.remove(id),
                };
                let (judged, key) = world.judge();
                assert!(judged.verdict > Verdict::Pass, "{vendor}: `{id}` {how}: {judged:#?}");
                // rbln-smi tells the driver version too; FuriosaAI's tool does not, and this policy wants it to be equal.
                let secondary = id == "rebellions-module";
                assert_eq!(key.is_some(), secondary, "{vendor}: `{id}` {how}: {judged:#?}");
            }
        }
        let nothing = World { suite: world.suite.clone(), answers: Default::default() };
        let (judged, key) = nothing.judge();
        assert!(key.is_none());
        assert_eq!(judged.verdict, Verdict::Inconclusive, "{vendor}: a node that nobody heard is not blamed: {judged:#?}");
        assert_eq!(judged.devices.len(), usize::try_from(world.suite.accelerator.count).unwrap(), "{vendor}");
    }
}

/// Every element that a GPU says is left out or replaced in turn; a value that a check needs then never passes.
#[test]
fn deleting_any_counter_never_passes() {
    let needed = [
        "product_name",
        "serial",
        "vbios_version",
        "current_ecc",
        "pending_ecc",
        "sram_uncorrectable_parity",
        "sram_uncorrectable_secded",
        "sram_threshold_exceeded",
        "remapped_row_unc",
        "remapped_row_pending",
        "remapped_row_failure",
        "gpu_temp",
        "uuid",
    ];
    let gpu = world::gpu_xml(5);
    for tag in needed {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        let start = gpu.find(&open).unwrap();
        let end = start + gpu[start..].find(&close).unwrap() + close.len();
        for instead in
            ["".to_owned(), format!("{open}{close}"), format!("{open}[N/A]{close}"), format!("{open}[Unknown Error]{close}")]
        {
            let silent = format!("{}{instead}{}", &gpu[..start], &gpu[end..]);
            let (judged, key) = world::nvidia().edit("nvidia-smi", &gpu, &silent).judge();
            assert_eq!((judged.verdict, key.is_none()), (Verdict::Inconclusive, true), "{tag} → `{instead}`: {judged:#?}");
        }
    }
    let (judged, key) = world::nvidia().edit("nvidia-smi", "<driver_version>580.105.08</driver_version>", "").judge();
    assert_eq!((judged.verdict, key.is_none()), (Verdict::Inconclusive, true));
}

/// An answer that was cut off anywhere is not an answer.
#[test]
fn a_cut_answer_never_passes() {
    for (vendor, world) in world::all() {
        for id in ["nvidia-smi", "furiosa-smi", "rbln-smi", "pci"] {
            let Some(Answer::Output(out)) = world.answers.get(id).cloned() else { continue };
            // Cutting the last newline loses nothing.
            for at in (0..out.stdout.len() - 2).step_by(97) {
                let mut world = world.clone();
                let cut = bringup::model::ProbeOutput { stdout: out.stdout[..at].to_vec(), ..out.clone() };
                world.answers.insert(id.into(), Answer::Output(cut));
                let (judged, key) =
                    judge(&bringup::model::NodeId::new("n").unwrap(), "p", &world.suite, &world.answers, world::TODAY);
                assert!(judged.verdict > Verdict::Note && key.is_none(), "{vendor} {id} cut at {at}");
            }
        }
    }
}

//! The automaton: it never panics, spends a `Once` exactly once, never boots twice under one id, and waits as long as it says.

use std::collections::BTreeSet;
use std::sync::Arc;

use bringup::model::{AcceleratorKind, BootMode, BootOverride, BootTarget, NodeId, PowerState, PowerVerb, RackId};
use bringup::sim::machine::{Effect, Input, RomSource};
use bringup::sim::system::{Blob, DISK_CMDLINE, Loaded};
use bringup::sim::{Durations, Fault, Fitted, Identity, Machine, Seed, SimTime, Stage, profile};
use proptest::prelude::*;

fn machine(faults: &[Fault]) -> Machine {
    let identity = Identity::derive(
        Seed(7),
        NodeId::new("a001-s01").unwrap(),
        RackId::new("a001").unwrap(),
        1,
        &profile::DELL,
        Fitted { kind: AcceleratorKind::Nvidia, model: "H100", count: 8 },
        faults,
    );
    Machine::new(Arc::new(identity), faults.to_vec(), Durations::default(), false).0
}

fn once(target: BootTarget) -> Input {
    Input::SetBoot(BootOverride { target, once: true, mode: Some(BootMode::Uefi), http_uri: None })
}

fn loaded(cmdline: &str) -> Box<Loaded> {
    let kernel = Blob { url: "http://127.0.0.1/k".to_owned(), bytes: 1, sha256: "0".repeat(64) };
    Box::new(Loaded { kernel, initrd: Vec::new(), cmdline: cmdline.to_owned() })
}

/// Powers on and follows the machine until its system is up; `net` answers the ROM.
fn boot(
    machine: &mut Machine,
    from: SimTime,
    net: &dyn Fn(&RomSource) -> Result<Box<Loaded>, String>,
) -> (SimTime, String, String) {
    let mut effects = machine.step(from, Input::Power(PowerVerb::Cycle));
    let mut now = from;
    for _ in 0..40 {
        for effect in std::mem::take(&mut effects) {
            match effect {
                Effect::Fetch { attempt, source } => {
                    effects.extend(machine.step(now, Input::Fetched { attempt, result: net(&source) }));
                }
                Effect::SystemUp(system) => return (now, system.boot_id.clone(), system.cmdline.clone()),
                Effect::SystemDown | Effect::BmcRestart(_) => {}
            }
        }
        now = machine.next_wake().expect("something is due").max(now);
        effects.extend(machine.step(now, Input::Tick));
    }
    panic!("no system came up: {:?}", machine.log().collect::<Vec<_>>());
}

fn no_net(_: &RomSource) -> Result<Box<Loaded>, String> {
    Err("no network".to_owned())
}

#[test]
fn without_an_override_the_disk_boots_and_says_so() {
    let mut machine = machine(&[]);
    let (at, _, cmdline) = boot(&mut machine, SimTime(0), &no_net);
    assert_eq!(cmdline, DISK_CMDLINE);
    let d = Durations::default();
    assert_eq!(at, SimTime(0).after_s(d.power + d.post + d.disk + d.kernel + d.userspace));
}

#[test]
fn once_is_spent_exactly_once() {
    let mut machine = machine(&[]);
    machine.step(SimTime(0), once(BootTarget::Pxe));
    assert_eq!(machine.boot().target, BootTarget::Pxe, "kept until POST");
    let net = |source: &RomSource| {
        assert_eq!(*source, RomSource::Chain);
        Ok(loaded("from=net"))
    };
    let (at, first, cmdline) = boot(&mut machine, SimTime(0), &net);
    assert_eq!(cmdline, "from=net");
    assert_eq!(*machine.boot(), BootOverride::none(), "consumed");
    let (_, second, cmdline) = boot(&mut machine, at, &no_net);
    assert_eq!(cmdline, DISK_CMDLINE, "the second boot has no override");
    assert_ne!(first, second);
}

#[test]
fn a_lasting_override_stays_and_a_failed_fetch_falls_to_the_disk() {
    let mut machine = machine(&[]);
    let want = BootOverride {
        target: BootTarget::UefiHttp,
        once: false,
        mode: Some(BootMode::Uefi),
        http_uri: Some("http://127.0.0.1/x.efi".to_owned()),
    };
    machine.step(SimTime(0), Input::SetBoot(want.clone()));
    let (_, _, cmdline) = boot(&mut machine, SimTime(0), &|source| {
        assert_eq!(*source, RomSource::Uri("http://127.0.0.1/x.efi".to_owned()));
        Err("HTTP 404".to_owned())
    });
    assert_eq!(cmdline, DISK_CMDLINE);
    assert_eq!(*machine.boot(), want);
}

#[test]
fn a_failed_network_boot_spends_the_once_too() {
    let mut machine = machine(&[]);
    machine.step(SimTime(0), once(BootTarget::Pxe));
    boot(&mut machine, SimTime(0), &no_net);
    assert_eq!(*machine.boot(), BootOverride::none());
}

#[test]
fn boot_faults_show() {
    let mut ignores = machine(&[Fault::BootIgnore]);
    ignores.step(SimTime(0), once(BootTarget::Pxe));
    assert_eq!(*ignores.boot(), BootOverride::none(), "accepted and reads back as none");
    let mut loses = machine(&[Fault::BootLost]);
    loses.step(SimTime(0), once(BootTarget::Pxe));
    assert_eq!(loses.boot().target, BootTarget::Pxe, "reads back");
    let (_, _, cmdline) = boot(&mut loses, SimTime(0), &|_| panic!("the ROM must not go on the network"));
    assert_eq!(cmdline, DISK_CMDLINE);
}

#[test]
fn power_lags_and_soft_off_needs_a_system() {
    let mut slow = machine(&[Fault::PowerLag(100)]);
    slow.step(SimTime(0), Input::Power(PowerVerb::On));
    slow.step(SimTime(0).after_s(103), Input::Tick);
    assert_eq!(slow.power(), PowerState::PoweringOn);
    slow.step(SimTime(0).after_s(104), Input::Tick);
    assert_eq!(slow.power(), PowerState::On);
    slow.step(SimTime(0).after_s(105), Input::Power(PowerVerb::Graceful));
    slow.step(SimTime(0).after_s(106), Input::Tick);
    assert_eq!(slow.power(), PowerState::On, "POST does not hear a shutdown request");

    let mut machine = machine(&[]);
    let (at, ..) = boot(&mut machine, SimTime(0), &no_net);
    assert!(machine.step(at, Input::Power(PowerVerb::Graceful)).contains(&Effect::SystemDown));
    machine.step(at.after_s(Durations::default().shutdown), Input::Tick);
    assert_eq!((machine.power(), machine.stage()), (PowerState::Off, &Stage::Off));
}

#[test]
fn an_answer_to_an_old_attempt_changes_nothing() {
    let mut machine = machine(&[]);
    machine.step(SimTime(0), once(BootTarget::Pxe));
    machine.step(SimTime(0), Input::Power(PowerVerb::On));
    let post = SimTime(0).after_s(Durations::default().power + Durations::default().post);
    machine.step(post, Input::Tick);
    assert_eq!(machine.stage(), &Stage::Rom { attempt: 1 });
    machine.step(post, Input::Fetched { attempt: 9, result: Ok(loaded("x")) });
    assert_eq!(machine.stage(), &Stage::Rom { attempt: 1 });
    machine.step(post, Input::Power(PowerVerb::Off));
    machine.step(post.after_s(10), Input::Tick);
    machine.step(post.after_s(10), Input::Fetched { attempt: 1, result: Ok(loaded("x")) });
    assert_eq!(machine.stage(), &Stage::Off);
}

#[derive(Debug, Clone)]
enum Do {
    Wait(u32),
    Power(PowerVerb),
    Boot(BootTarget, bool),
    Answer(bool),
}

fn anything() -> impl Strategy<Value = Do> {
    use PowerVerb::{Cycle, Graceful, Off, On};
    prop_oneof![
        4 => (0u32..400).prop_map(Do::Wait),
        3 => prop_oneof![Just(On), Just(Off), Just(Cycle), Just(Graceful)].prop_map(Do::Power),
        2 => (prop_oneof![Just(BootTarget::Pxe), Just(BootTarget::Disk), Just(BootTarget::None)], any::<bool>())
            .prop_map(|(t, o)| Do::Boot(t, o)),
        2 => any::<bool>().prop_map(Do::Answer),
    ]
}

proptest! {
    #[test]
    fn whatever_is_asked_ids_are_new_and_the_state_is_sound(list in proptest::collection::vec(anything(), 0..60)) {
        let mut machine = machine(&[]);
        let mut now = SimTime(0);
        let (mut ids, mut ups, mut attempt) = (BTreeSet::new(), 0u32, 0u64);
        for what in list {
            let effects = match what {
                Do::Wait(s) => { now = now.after_s(s); machine.step(now, Input::Tick) }
                Do::Power(verb) => machine.step(now, Input::Power(verb)),
                Do::Boot(target, once) => machine.step(now, Input::SetBoot(BootOverride { target, once, mode: None, http_uri: None })),
                Do::Answer(good) => {
                    let result = if good { Ok(loaded("net")) } else { Err("no".to_owned()) };
                    machine.step(now, Input::Fetched { attempt, result })
                }
            };
            for effect in effects {
                match effect {
                    Effect::Fetch { attempt: n, .. } => { prop_assert_eq!(n, attempt + 1); attempt = n; }
                    Effect::SystemUp(system) => { ups += 1; prop_assert!(ids.insert(system.boot_id.clone()), "a boot id came twice"); }
                    Effect::SystemDown | Effect::BmcRestart(_) => {}
                }
            }
            prop_assert!(machine.next_wake().is_none_or(|at| at > now), "nothing that is due is left undone");
            if *machine.stage() == Stage::Up { prop_assert_ne!(machine.power(), PowerState::Off); }
            if machine.power() == PowerState::Off { prop_assert_eq!(machine.stage(), &Stage::Off); }
        }
        prop_assert!(u64::from(ups) <= machine.boots());
    }
}

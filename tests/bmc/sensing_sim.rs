//! What the simulated BMCs of three makers measure and remember, as the client sees it: it moves with the machine, and seeded faults show.

use std::time::Duration;

use bringup::bmc::redfish::{Redfish, RedfishOptions};
use bringup::bmc::sensing::{EventLog, Health, Sensing, Sensor, SensorValue};
use bringup::bmc::{Bmc, Password, Written};
use bringup::model::{BmcTrust, PowerState, PowerVerb, Reading};
use bringup::sim::farm::{BMC_USER, SimNode};
use bringup::sim::{Farm, FarmSpec, Fault, Seed, profile};

use super::redfish_server::quick;

pub const MAKERS: [&str; 3] = ["dell", "supermicro", "ami"];
/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// One simulated node of a maker, and options to reach its BMC.
pub async fn node(maker: &str, running: bool, faults: &[&str]) -> Farm {
    let mut spec = FarmSpec::racks(1, 1, Seed(7), false).unwrap();
    spec.speed = 2_000;
    let node = &mut spec.nodes[0];
    node.profile = profile::by_name(maker).unwrap();
    node.running = running;
    node.faults = faults.iter().map(|text| text.parse::<Fault>().unwrap()).collect();
    Farm::start(spec).await.unwrap()
}

pub fn options(farm: &Farm) -> RedfishOptions {
    let node = &farm.nodes()[0];
    let trust = BmcTrust::Pinned(node.certificate.clone().unwrap());
    let mut options = RedfishOptions::new(node.bmc, BMC_USER, Password::new(farm.bmc_password()), trust);
    options.limits = quick();
    options
}

pub fn client(farm: &Farm) -> Redfish {
    Redfish::new(options(farm)).unwrap()
}

fn sim(farm: &Farm) -> &SimNode {
    &farm.nodes()[0]
}

pub fn known<T: std::fmt::Debug>(reading: Result<Reading<T>, bringup::bmc::BmcError>) -> T {
    match reading {
        Ok(Reading::Known(value)) => value,
        other => panic!("{other:?}"),
    }
}

async fn sensor(bmc: &Redfish, name: &str) -> Sensor {
    let all = known(bmc.sensors().await);
    assert_eq!(all.unread, Vec::<String>::new());
    let names: Vec<String> = all.items.iter().map(|s| s.name.clone()).collect();
    all.items.into_iter().find(|s| s.name == name).unwrap_or_else(|| panic!("no {name} in {names:?}"))
}

fn number(sensor: &Sensor) -> f64 {
    match sensor.value.known() {
        Some(SensorValue::Analog { value, .. }) => *value,
        other => panic!("{other:?} of {sensor:?}"),
    }
}

fn words(log: &EventLog) -> Vec<(Option<Health>, &str)> {
    log.entries.iter().map(|e| (e.severity.known().copied(), e.message.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sensors_move_with_the_machine() {
    for maker in MAKERS {
        let farm = node(maker, false, &["npu.missing(2)", "accelerator.hot(5,93)"]).await;
        let bmc = client(&farm);
        let inlet = sensor(&bmc, "Inlet Temp").await;
        assert!((20.0..24.0).contains(&number(&inlet)) && inlet.health == Reading::Known(Health::Ok), "{maker}: {inlet:?}");
        assert_eq!(inlet.thresholds.upper_critical, Some(42.0), "{maker}");
        assert_eq!(sensor(&bmc, "FAN1").await.value, Reading::Absent, "{maker}: it sleeps with the node");
        let off = known(bmc.drawn().await);
        assert!((15.0..25.0).contains(&off.watts), "{maker}: {off:?}");
        assert!(matches!(bmc.set_power(PowerVerb::On, LONG).await, Written::Applied(_)), "{maker}");
        crate::support::wait_until("the system is up", LONG, || sim(&farm).machine.system().is_some());
        assert!(number(&sensor(&bmc, "FAN1").await) > 4_000.0, "{maker}");
        let on = known(bmc.drawn().await);
        assert!(on.watts > 700.0, "{maker}: {on:?}");
        assert_eq!(sensor(&bmc, "GPU 3 Temp").await.value, Reading::Absent, "{maker}");
        let hot = sensor(&bmc, "GPU 6 Temp").await;
        assert_eq!((number(&hot), hot.health), (93.0, Reading::Known(Health::Critical)), "{maker}");
        bmc.close().await;
        farm.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_tells_power_boots_and_faults_and_is_cleared_once() {
    for (maker, id) in [("dell", "Managers/iDRAC.Embedded.1/Sel"), ("supermicro", "Systems/1/Log1"), ("ami", "Managers/BMC/SEL")]
    {
        let farm = node(maker, false, &["npu.missing(2)", "gpu.ecc(1)"]).await;
        let bmc = client(&farm);
        let empty = known(bmc.log(None, 10).await);
        assert_eq!((empty.log.id.as_str(), empty.held, empty.entries.len()), (id, Reading::Known(0), 0), "{maker}");
        assert!(matches!(bmc.set_power(PowerVerb::On, LONG).await, Written::Applied(_)));
        crate::support::wait_until("the system is up", LONG, || sim(&farm).machine.system().is_some());
        let log = known(bmc.log(None, 100).await);
        let told = words(&log);
        let want = [
            (Health::Ok, "The power came on"),
            (Health::Critical, "Accelerator 3 was not found by self-test"),
            (Health::Ok, "A system was loaded from disk"),
            (Health::Ok, "The operating system is up"),
            (Health::Critical, "Accelerator 2 has 3 uncorrectable memory errors"),
        ];
        assert_eq!(told.len(), want.len(), "{maker}: {told:?}");
        for ((health, text), (want_health, want_text)) in told.iter().zip(want) {
            assert!(*health == Some(want_health) && text.contains(want_text), "{maker}: {told:?}");
        }
        assert!(log.entries.iter().all(|e| e.when.is_some() && !e.origin.is_empty()), "{maker}: {log:?}");
        let last = known(bmc.log(None, 1).await);
        assert_eq!((last.entries.len(), last.held, last.entries.last()), (1, Reading::Known(5), log.entries.last()), "{maker}");
        // Read twice, it says the same: a clock that runs does not move what was written.
        assert_eq!(known(bmc.log(None, 100).await), log, "{maker}");
        match bmc.clear_log(None).await {
            Written::Applied(text) => assert!(text.contains("5 were there before"), "{maker}: {text}"),
            other => panic!("{maker}: {other:?}"),
        }
        let cleared = known(bmc.log(None, 100).await);
        assert_eq!(cleared.entries.len(), 1, "{maker}: {cleared:?}");
        assert!(cleared.entries[0].message.contains("was cleared"), "{maker}: {cleared:?}");
        // The manager's own log is another one, and cannot be cleared here.
        let logs = known(bmc.logs().await);
        assert_eq!(logs.items.len(), 2, "{maker}: {logs:?}");
        assert_eq!(logs.items[0].id, id, "{maker}");
        let own = logs.items[1].id.clone();
        let own_log = known(bmc.log(Some(&own), 10).await);
        assert!(own_log.entries.len() == 1 && own_log.entries[0].message.contains("BMC has started"), "{maker}: {own_log:?}");
        match bmc.clear_log(Some(&own)).await {
            Written::NotApplied(e) => assert!(e.to_string().contains("offers no LogService.ClearLog"), "{maker}: {e}"),
            other => panic!("{maker}: {other:?}"),
        }
        let error = bmc.log(Some("Nonsense"), 1).await.unwrap_err();
        assert!(error.to_string().contains(id), "what there is, is named: {error}");
        bmc.close().await;
        farm.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_entries_are_read_over_pages_in_either_order() {
    for maker in MAKERS {
        let farm = node(maker, false, &[]).await;
        let machine = &sim(&farm).machine;
        // It ends switched off: a machine that is on still has its boot to tell.
        while machine.history().len() < 200 || machine.power_state() != PowerState::Off {
            let was = machine.power_state();
            machine.power(if was == PowerState::Off { PowerVerb::On } else { PowerVerb::Off });
            crate::support::wait_until("the power settles", LONG, || {
                matches!(machine.power_state(), PowerState::On | PowerState::Off) && machine.power_state() != was
            });
        }
        let all = machine.history();
        let newest = all.last().unwrap().number;
        let bmc = client(&farm);
        for most in [1_usize, 60, 160, 1_000] {
            let before = machine.requests();
            let log = known(bmc.log(None, most).await);
            let ids: Vec<u64> = log.entries.iter().map(|e| e.id.parse().unwrap()).collect();
            let want: Vec<u64> = all.iter().map(|h| h.number).skip(all.len().saturating_sub(most)).collect();
            assert_eq!(ids, want, "{maker}: the newest {most}, oldest first");
            assert_eq!(log.held, Reading::Known(all.len() as u64), "{maker}");
            println!("{maker}: newest {most} of {} (to {newest}) in {} requests", all.len(), machine.requests() - before);
        }
        bmc.close().await;
        farm.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_or_a_lost_answer_to_clearing_is_settled_by_looking() {
    for maker in MAKERS {
        // 409 although it was taken (RC-32); a connection that breaks off with the answer; an error in a 200 (RC-30), not taken.
        for (fault, cleared) in [("act.409", true), ("body.truncate@LASTx1", true), ("ok.with_error@LASTx1", false)] {
            // How many requests come before the clearing itself.
            let farm = node(maker, true, &[]).await;
            let bmc = client(&farm);
            drop(bmc.clear_log(None).await);
            bmc.close().await;
            let history = sim(&farm).machine.history();
            assert!(history.len() == 1, "{maker}: {history:?}");
            farm.stop().await;
            let places = if fault.contains("LAST") { 1..40 } else { 0..1 };
            let mut seen = 0;
            for place in places {
                let fault = fault.replace("LAST", &place.to_string());
                let farm = node(maker, true, &[&fault]).await;
                let bmc = client(&farm);
                let written = bmc.clear_log(None).await;
                let really = sim(&farm).machine.history().len() == 1;
                match written {
                    Written::Applied(_) => assert!(really, "{maker} {fault}"),
                    Written::NotApplied(ref e) => assert!(!really, "{maker} {fault}: {e}"),
                    // An error in a 200: neither a refusal nor done.
                    Written::Ambiguous(ref text) => {
                        assert!(!really && fault.starts_with("ok.") && text.contains("still there"), "{maker} {fault}: {text}");
                    }
                }
                seen += usize::from(really == cleared);
                bmc.close().await;
                farm.stop().await;
            }
            assert!(seen > 0, "{maker} {fault}: never {cleared}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn accelerators_are_seen_with_their_faults() {
    for maker in MAKERS {
        let farm = node(maker, true, &["npu.missing(2)", "gpu.ecc(1)", "link.width(4,8)", "gpu.remap-failure(6)"]).await;
        let bmc = client(&farm);
        let seen = known(bmc.accelerators().await);
        assert_eq!(seen.unread, Vec::<String>::new(), "{maker}");
        let there: Vec<_> = seen.items.iter().filter(|a| a.health != Reading::Absent).collect();
        assert_eq!(there.len(), 7, "{maker}: {seen:?}");
        // A BMC that lists processors knows the empty place; one that lists devices does not.
        assert_eq!(seen.items.len(), if maker == "supermicro" { 7 } else { 8 }, "{maker}");
        let cards = bringup::sim::accelerator::cards(sim(&farm).machine.identity(), &sim(&farm).machine.faults());
        for accelerator in there {
            let serial = accelerator.serial.known().unwrap();
            let card = cards.iter().find(|card| card.serial == *serial).unwrap();
            let want = match card.slot {
                1 | 6 => Health::Critical,
                4 => Health::Warning,
                _ => Health::Ok,
            };
            assert_eq!(accelerator.health, Reading::Known(want), "{maker}: {accelerator:?}");
            assert_eq!(accelerator.maker.known().map(String::as_str), Some("NVIDIA"), "{maker}");
            assert_eq!(accelerator.uuid.known(), Some(&card.uuid), "{maker}");
            let errors = if maker == "supermicro" { Reading::Absent } else { Reading::Known(u64::from(card.uncorrectable)) };
            assert_eq!(accelerator.uncorrectable, errors, "{maker}");
        }
        let frus = known(bmc.frus().await);
        assert_eq!(frus.unread, Vec::<String>::new(), "{maker}");
        let count = |kind: &str| frus.items.iter().filter(|f| f.kind == kind).count();
        assert_eq!((count("system"), count("chassis"), count("memory"), count("assembly")), (1, 1, 16, 2), "{maker}: {frus:?}");
        assert_eq!(count("processor") + count("pcie-device"), 2 + 7, "{maker}: {frus:?}");
        let serial = &sim(&farm).machine.identity().serial;
        assert!(frus.items.iter().any(|f| f.kind == "system" && f.serial.known() == Some(serial)), "{maker}");
        bmc.close().await;
        farm.stop().await;
    }
}

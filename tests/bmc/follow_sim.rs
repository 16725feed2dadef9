//! Following the logs of simulated BMCs: streamed, pushed, or read again; and what is told when events are lost, streams end and BMCs restart.

use std::time::Duration;

use bringup::bmc::follow::{Follow, FollowHow, Followed, Intent, PushTo};
use bringup::bmc::redfish::{Doorbell, Redfish};
use bringup::bmc::sensing::Sensing;
use bringup::bmc::{Bmc, Written};
use bringup::model::{PowerState, PowerVerb};
use bringup::sim::{Farm, MachineHandle};

use super::sensing_sim::{MAKERS, client, node};

/// So long that reading the log again can be ruled out as the cause.
const NEVER: Duration = Duration::from_secs(3_600);
const PATIENCE: Duration = Duration::from_secs(30);

fn machine(farm: &Farm) -> &MachineHandle {
    &farm.nodes()[0].machine
}

/// What comes until `enough`, in words: `entry ID`, `event`, `gap …`, `way …`.
async fn until(follower: &mut (dyn Follow + Send), what: &str, enough: impl Fn(&[String]) -> bool) -> Vec<String> {
    let mut told = Vec::new();
    while !enough(&told) {
        let next = tokio::time::timeout(PATIENCE, follower.next()).await.unwrap_or_else(|_| panic!("{what}: only {told:?}"));
        told.push(match next.unwrap_or_else(|e| panic!("{what}: {e}; {told:?}")) {
            Followed::Entry(e) => format!("entry {} {}", e.id, e.message),
            Followed::Event(e) => format!("event {}", e.message),
            Followed::Gap(why) => format!("gap {why}"),
            Followed::Way(how) => format!("way {how}"),
        });
    }
    told
}

fn entries(told: &[String]) -> Vec<u64> {
    told.iter().filter_map(|t| t.strip_prefix("entry ")?.split(' ').next()?.parse().ok()).collect()
}

fn gaps(told: &[String]) -> Vec<&String> {
    told.iter().filter(|t| t.starts_with("gap ")).collect()
}

/// Powers the machine on and waits for its system: three entries.
fn boot(machine: &MachineHandle) {
    machine.power(PowerVerb::On);
}

/// Counts what it is told, and may refuse.
#[derive(Default)]
struct Said {
    times: std::sync::atomic::AtomicU32,
    refuses: bool,
}

#[async_trait::async_trait]
impl Intent for Said {
    async fn announce(&self) -> bool {
        self.times.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        !self.refuses
    }
}

async fn push() -> (std::sync::Arc<Doorbell>, PushTo) {
    let doorbell = Doorbell::listen("127.0.0.1:0".parse().unwrap(), None).await.unwrap();
    let intent = std::sync::Arc::new(Said::default());
    let push = PushTo { doorbell: std::sync::Arc::clone(&doorbell), mark: "hand-test-1".to_owned(), intent };
    (doorbell, push)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_maker_is_followed_in_its_best_way() {
    for maker in MAKERS {
        let farm = node(maker, false, &[]).await;
        let bmc = client(&farm);
        let (doorbell, push) = push().await;
        let how = FollowHow { every: NEVER, push: Some(push) };
        let mut follower = bmc.follow(None, &how).await.unwrap();
        let way = until(follower.as_mut(), maker, |told| told.len() == 1).await.remove(0);
        let want = match maker {
            "dell" => "streamed by /redfish/v1/SSE",
            "ami" => "streamed by /redfish/v1/EventService/SSE",
            _ => doorbell.base(),
        };
        assert!(way.contains(want), "{maker}: {way}");
        assert_eq!(follower.owes().is_some(), maker == "supermicro", "{maker}");
        boot(machine(&farm));
        let told = until(follower.as_mut(), maker, |told| entries(told).len() == 3).await;
        assert_eq!((entries(&told), gaps(&told).len()), (vec![1, 2, 3], 0), "{maker}: {told:?}");
        assert!(told[0].contains("The power came on") && told.last().unwrap().contains("is up"), "{maker}: {told:?}");
        match follower.end().await {
            Written::Applied(text) => assert!(maker != "supermicro" || text.contains("is gone"), "{maker}: {text}"),
            other => panic!("{maker}: {other:?}"),
        }
        drop(follower);
        match bmc.unsubscribe("hand-test-1").await {
            Written::Applied(text) => assert!(text.contains("no subscription stood"), "{maker}: {text}"),
            other => panic!("{maker}: {other:?}"),
        }
        bmc.close().await;
        assert_eq!(machine(&farm).sessions(), 0, "{maker}");
        farm.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_stream_and_a_listener_the_log_is_read() {
    for (maker, fault) in [("supermicro", None), ("dell", Some("event.no_sse"))] {
        let farm = node(maker, false, &fault.into_iter().collect::<Vec<_>>()).await;
        let bmc = client(&farm);
        let mut follower = bmc.follow(None, &FollowHow::every(Duration::from_millis(50))).await.unwrap();
        boot(machine(&farm));
        let told = until(follower.as_mut(), maker, |told| entries(told).len() == 3).await;
        assert!(told[0].contains("is read every 0.05 s: it streams no events"), "{maker}: {told:?}");
        assert_eq!((entries(&told), gaps(&told).len()), (vec![1, 2, 3], 0), "{maker}: {told:?}");
        // A log that was cleared is told so, and followed on.
        machine(&farm).clear_history();
        let told = until(follower.as_mut(), maker, |told| entries(told).len() == 1).await;
        assert!(told[0].contains("gap the log was cleared") && told[1].contains("was cleared"), "{maker}: {told:?}");
        drop(follower);
        bmc.close().await;
        farm.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_event_is_a_gap_and_its_entry_is_found() {
    // The first event is lost: the next one's number tells.
    let farm = node("dell", false, &["event.lost@0x1"]).await;
    let bmc = client(&farm);
    let mut follower = bmc.follow(None, &FollowHow::every(NEVER)).await.unwrap();
    until(follower.as_mut(), "way", |told| told.len() == 1).await;
    machine(&farm).clear_history();
    boot(machine(&farm));
    let told = until(follower.as_mut(), "lost first", |told| entries(told).len() == 4 && !gaps(told).is_empty()).await;
    assert!(gaps(&told)[0].contains("no event came for 1 of the last entries"), "{told:?}");
    let mut found = entries(&told);
    found.sort_unstable();
    assert_eq!(found, [1, 2, 3, 4], "{told:?}");
    drop(follower);
    bmc.close().await;
    farm.stop().await;

    // The last event is lost, and none comes after it: reading the log again tells.
    let farm = node("dell", false, &["event.lost"]).await;
    let bmc = client(&farm);
    let mut follower = bmc.follow(None, &FollowHow::every(Duration::from_millis(50))).await.unwrap();
    until(follower.as_mut(), "way", |told| told.len() == 1).await;
    boot(machine(&farm));
    let told = until(follower.as_mut(), "lost last", |told| entries(told).len() == 3 && !gaps(told).is_empty()).await;
    assert!(gaps(&told)[0].contains("no event came for 3 of the last entries"), "{told:?}");
    drop(follower);
    bmc.close().await;
    farm.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_ends_is_opened_again_and_nothing_is_lost() {
    for maker in ["dell", "ami"] {
        let farm = node(maker, false, &["event.drop@0x1"]).await;
        let bmc = client(&farm);
        let mut follower = bmc.follow(None, &FollowHow::every(NEVER)).await.unwrap();
        until(follower.as_mut(), "way", |told| told.len() == 1).await;
        boot(machine(&farm));
        let told = until(follower.as_mut(), maker, |told| {
            entries(told).len() == 3 && told.iter().any(|t| t.starts_with("way ") && t.ends_with("again"))
        })
        .await;
        assert!(gaps(&told)[0].contains("the stream of events ended"), "{maker}: {told:?}");
        let mut found = entries(&told);
        found.sort_unstable();
        assert_eq!(found, [1, 2, 3], "{maker}: each once: {told:?}");
        drop(follower);
        bmc.close().await;
        farm.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bmc_that_restarts_is_followed_on() {
    for maker in MAKERS {
        let farm = node(maker, false, &[]).await;
        let bmc = client(&farm);
        let (_doorbell, push) = push().await;
        let how = FollowHow { every: Duration::from_millis(40), push: Some(push) };
        let mut follower = bmc.follow(None, &how).await.unwrap();
        until(follower.as_mut(), "way", |told| told.len() == 1).await;
        // 400 virtual seconds are 0.2 s here.
        machine(&farm).restart_bmc(400);
        boot(machine(&farm));
        let told = until(follower.as_mut(), maker, |told| entries(told).len() == 3 && !gaps(told).is_empty()).await;
        let mut found = entries(&told);
        found.sort_unstable();
        assert_eq!(found, [1, 2, 3], "{maker}: {told:?}");
        assert!(!gaps(&told).is_empty(), "{maker}: {told:?}");
        assert!(matches!(follower.end().await, Written::Applied(_)), "{maker}");
        drop(follower);
        bmc.close().await;
        assert_eq!(machine(&farm).power_state(), PowerState::On);
        farm.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_run_left_behind_is_taken_away_by_its_mark() {
    let farm = node("supermicro", true, &[]).await;
    let bmc: Redfish = client(&farm);
    let (_doorbell, push) = push().await;
    for mark in ["hand-killed", "hand-other"] {
        let push = PushTo { mark: mark.to_owned(), ..push.clone() };
        // Dropped without an end, as when the process is killed.
        drop(bmc.follow(None, &FollowHow { every: NEVER, push: Some(push) }).await.unwrap());
    }
    match bmc.unsubscribe("hand-killed").await {
        Written::Applied(text) => assert!(text.contains("Subscriptions/1 is gone"), "{text}"),
        other => panic!("{other:?}"),
    }
    match bmc.unsubscribe("hand-killed").await {
        Written::Applied(text) => assert!(text.contains("no subscription stood"), "{text}"),
        other => panic!("{other:?}"),
    }
    // Another one's is not touched.
    match bmc.unsubscribe("hand-other").await {
        Written::Applied(text) => assert!(text.contains("Subscriptions/2 is gone"), "{text}"),
        other => panic!("{other:?}"),
    }
    bmc.close().await;
    farm.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_services_are_subscribed_to_as_well() {
    for maker in MAKERS {
        let farm = node(maker, false, &["event.old", "event.no_sse"]).await;
        let bmc = client(&farm);
        let (doorbell, push) = push().await;
        let mut follower = bmc.follow(None, &FollowHow { every: NEVER, push: Some(push) }).await.unwrap();
        let way = until(follower.as_mut(), maker, |told| told.len() == 1).await.remove(0);
        assert!(way.contains(doorbell.base()), "{maker}: {way}");
        boot(machine(&farm));
        let told = until(follower.as_mut(), maker, |told| entries(told).len() == 3).await;
        assert_eq!((entries(&told), gaps(&told).len()), (vec![1, 2, 3], 0), "{maker}: {told:?}");
        match follower.end().await {
            Written::Applied(text) => assert!(text.contains("Subscriptions/1 is gone"), "{maker}: {text}"),
            other => panic!("{maker}: {other:?}"),
        }
        drop(follower);
        bmc.close().await;
        farm.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_subscribed_to_before_the_intent_is_written_down() {
    for (maker, refuses, asked) in [("dell", false, 0), ("supermicro", false, 1), ("supermicro", true, 1)] {
        let farm = node(maker, true, &[]).await;
        let bmc = client(&farm);
        let said = std::sync::Arc::new(Said { refuses, ..Said::default() });
        let push = PushTo { intent: std::sync::Arc::clone(&said) as _, ..push().await.1 };
        let mut follower = bmc.follow(None, &FollowHow { every: NEVER, push: Some(push) }).await.unwrap();
        let way = until(follower.as_mut(), maker, |told| told.len() == 1).await.remove(0);
        assert_eq!(said.times.load(std::sync::atomic::Ordering::SeqCst), asked, "{maker}: {way}");
        assert_eq!(follower.owes().is_some(), asked == 1 && !refuses, "{maker}: {way}");
        assert_eq!(way.contains("could not be journaled, so none was made"), refuses, "{maker}: {way}");
        assert!(matches!(follower.end().await, Written::Applied(_)), "{maker}");
        drop(follower);
        match bmc.unsubscribe("hand-test-1").await {
            Written::Applied(text) => assert!(text.contains("no subscription stood"), "{maker}: {text}"),
            other => panic!("{maker}: {other:?}"),
        }
        bmc.close().await;
        farm.stop().await;
    }
}

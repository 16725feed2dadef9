//! Restarts by force and by the mains, as a person or a firmware update asks for them. Each happens once at most, and is told truly.

use std::time::{Duration, Instant};

use bringup::bmc::Written;
use bringup::model::{PowerState, PowerVerb};
use bringup::sim::Stage;
use futures_util::future::BoxFuture;

use super::rig::Rig;
use super::story::{Story, whole};

const SOON: Duration = Duration::from_secs(3);

/// See the head of this file.
pub fn drive<'a>(rig: &'a Rig, story: &'a mut Story) -> BoxFuture<'a, ()> {
    Box::pin(async move {
        let machine = rig.machine();
        if story.read("identity", || rig.bmc.identity()).await.is_none() {
            return;
        }
        let before = machine.deeds();
        let written = rig.bmc.set_power(PowerVerb::Reset, SOON).await;
        let posts = || machine.deeds().posts - before.posts;
        told(story, "reset", &written, posts() > 0 && machine.power_state() == PowerState::On, posts() == 0);
        if !up(rig).await {
            // Off after half of a restart: a person would look and power it on.
            if machine.power_state() == PowerState::Off {
                story.ends("the node was left off, as was told");
            } else {
                story.wrong(format!("the machine never came up: {:?}", machine.log()));
            }
            return;
        }
        if posts() > 1 {
            story.wrong(format!("one restart was wanted: {:?}", machine.deeds()));
        }
        let before = machine.deeds();
        let written = rig.bmc.ac_cycle(SOON).await;
        // A make that cannot do it says so, and does nothing.
        if machine.identity().profile.mains.is_none() {
            let refused = matches!(&written, Written::NotApplied(_)) && machine.deeds() == before;
            story.heard(format!("AC cycle: {written:?}"));
            if !refused {
                story.wrong(format!("AC cycle of a BMC that has none: {written:?}, {:?}", machine.deeds()));
            }
            return;
        }
        let cycled = machine.deeds().ac_cycled - before.ac_cycled;
        let touched = cycled > 0 || machine.deeds().off_asked > before.off_asked;
        told(story, "AC cycle", &written, cycled == 1, !touched);
        if cycled > 1 {
            story.wrong(format!("one AC cycle was wanted, and {cycled} were done"));
        }
    })
}

fn told(story: &mut Story, doing: &str, written: &Written, done: bool, untouched: bool) {
    match written {
        Written::Applied(seen) => {
            story.heard(format!("{doing}: applied: {seen}"));
            if !done {
                story.wrong(format!("{doing} was told Applied ({seen}), but it was not done"));
            }
        }
        Written::NotApplied(error) => {
            story.heard(format!("{doing}: not applied: {}", whole(error)));
            if !untouched {
                story.wrong(format!("{doing} was told NotApplied ({error}), but it had an effect"));
            }
            story.ends(format!("{doing}: {error}"));
        }
        Written::Ambiguous(seen) => {
            story.heard(format!("{doing}: ambiguous: {seen}"));
            story.ends(format!("{doing}: ambiguous"));
        }
    }
}

async fn up(rig: &Rig) -> bool {
    let start = Instant::now();
    while rig.machine().stage() != Stage::Up {
        if start.elapsed() > Duration::from_secs(5) {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    true
}

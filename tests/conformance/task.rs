//! RC-38 … RC-46: which task it is, what it says, and a task that says nothing more.

use bringup::bmc::Written;
use bringup::bmc::updating::UpdateClass;
use bringup::sim::profile;
use futures_util::future::BoxFuture;

use super::flash::{How, Push, WANT, push, rig};
use super::row::{Row, Where};

type Own = BoxFuture<'static, Result<String, String>>;

pub fn rows() -> Vec<Row> {
    let row = |id, says, faults, placed, own| Row { id, says, faults, placed, own };
    vec![
        row(
            "RC-38",
            "names the task in four places, or nowhere",
            &["task.id_in(0)", "task.id_in(1)", "task.id_in(2)", "task.id_in(3)"],
            Where::Always,
            named,
        ),
        row("RC-39", "shows the task late", &["task.late(5)"], Where::Always, late),
        row("RC-40", "takes a task away that is done", &["task.reaped"], Where::EachOn, reaped),
        row("RC-41", "deletes a task when its monitor is read", &["task.monitor_once"], Where::Always, monitor),
        row("RC-42", "gives out task numbers again", &["task.id_reuse"], Where::Always, reused),
        row("RC-43", "says Completed of a failed task", &["task.completed_critical"], Where::Always, critical),
        row("RC-44", "stands still", &["task.stall(40)", "task.stall(100)"], Where::Always, stalled),
        row(
            "RC-45",
            "shows unusual states",
            &["task.state(0)", "task.state(1)", "task.state(2)", "task.state(3)", "task.state(4)", "task.state(5)"],
            Where::EachOn,
            states,
        ),
        row(
            "RC-46",
            "writes Retry-After in its own way",
            &["http.retry_after(0)", "http.retry_after(1)", "http.retry_after(2)", "http.retry_after(3)"],
            Where::EachOnce,
            retry_after,
        ),
    ]
}

/// Pushes under these faults; `Err` tells what was not as wanted. AMI's BMC waits for a restart, which is no failure.
async fn goes_through(vendor: &'static str, texts: &[&str]) -> Result<(Push, String), String> {
    let rig = rig(vendor, texts).await;
    let pushed = push(&rig, How::default()).await;
    let machine = rig.machine();
    let well = match &pushed.written {
        Written::Applied(_) => machine.runs("BMC").as_deref() == Some(WANT) && vendor != "ami",
        Written::Ambiguous(text) => text.starts_with(&UpdateClass::NotActivated.to_string()) && vendor == "ami",
        Written::NotApplied(_) => false,
    };
    let told = format!("{texts:?}: {:?}, {} flashes", pushed.written, machine.flashes());
    let one = machine.flashes() == 1;
    rig.bmc.close().await;
    rig.farm.stop().await;
    if well && one { Ok((pushed, told)) } else { Err(told) }
}

fn named(vendor: &'static str) -> Own {
    Box::pin(async move {
        for place in ["task.id_in(0)", "task.id_in(1)", "task.id_in(2)", "task.id_in(3)"] {
            let (pushed, told) = goes_through(vendor, &[place]).await?;
            // It was followed, not only waited for: seen at work, or, where the machine is slower than the BMC's clock, at its end.
            let at_work = pushed.progress.iter().any(|step| format!("{step:?}").contains("Working"));
            let followed = at_work || told.contains("the task ended") || told.contains("the task is gone");
            if !followed {
                return Err(format!("its task was not found: {told}"));
            }
        }
        Ok("found by Location, body, message and list".to_owned())
    })
}

fn late(vendor: &'static str) -> Own {
    Box::pin(async move { goes_through(vendor, &["task.late(5)"]).await.map(|_| "waited for".to_owned()) })
}

fn reaped(vendor: &'static str) -> Own {
    Box::pin(async move {
        goes_through(vendor, &["task.reaped"]).await?;
        // A failed one that is taken away is no success either. iDRAC keeps its job, which tells why.
        let rig = rig(vendor, &["task.reaped", "upload.verify_fail"]).await;
        let pushed = push(&rig, How::default()).await;
        rig.bmc.close().await;
        let told = match (&pushed.written, vendor) {
            (Written::NotApplied(e), "dell") => {
                UpdateClass::of(e) == Some(UpdateClass::DeviceFailed) && e.seen.contains("Failed, status Critical")
            }
            // Nothing was staged, so that nothing could be started.
            (Written::Ambiguous(text), "supermicro") => text.contains("no image waits to be started"),
            (Written::Ambiguous(text), "ami") => text.starts_with(&UpdateClass::Lost.to_string()),
            _ => false,
        };
        if told && rig.machine().flashes() == 0 {
            Ok("decided by the version".to_owned())
        } else {
            Err(format!("{:?}", pushed.written))
        }
    })
}

fn monitor(vendor: &'static str) -> Own {
    Box::pin(async move {
        goes_through(vendor, &["task.monitor_once", "task.id_in(0)"])
            .await
            .map(|_| "the task was asked, not its monitor".to_owned())
    })
}

fn reused(vendor: &'static str) -> Own {
    Box::pin(async move {
        goes_through(vendor, &["task.id_reuse"]).await?;
        // The old task says Completed under the number of the new one, whose writing fails.
        let rig = rig(vendor, &["task.id_reuse", "task.completed_critical"]).await;
        let pushed = push(&rig, How::default()).await;
        rig.bmc.close().await;
        match pushed.written {
            Written::NotApplied(e) if UpdateClass::of(&e) == Some(UpdateClass::DeviceFailed) => {
                Ok("told apart by their starts".to_owned())
            }
            other => Err(format!("the old task was believed: {other:?}")),
        }
    })
}

fn critical(vendor: &'static str) -> Own {
    Box::pin(async move {
        let rig = rig(vendor, &["task.completed_critical"]).await;
        let pushed = push(&rig, How::default()).await;
        let old = profile::by_name(vendor).unwrap().bmc_version;
        rig.bmc.close().await;
        match pushed.written {
            Written::NotApplied(e)
                if UpdateClass::of(&e) == Some(UpdateClass::DeviceFailed)
                    && e.seen.contains("Completed, status Critical")
                    && e.seen.contains(old)
                    && rig.machine().runs("BMC").as_deref() == Some(old) =>
            {
                Ok("device failed".to_owned())
            }
            other => Err(format!("{other:?}")),
        }
    })
}

fn stalled(vendor: &'static str) -> Own {
    Box::pin(async move {
        for (fault, at) in [("task.stall(40)", "40 %"), ("task.stall(100)", "100 %")] {
            let rig = rig(vendor, &[fault]).await;
            let pushed = push(&rig, How::default()).await;
            rig.bmc.close().await;
            match &pushed.written {
                Written::Ambiguous(text)
                    if text.starts_with(&UpdateClass::Blocked.to_string())
                        && text.contains("no progress for")
                        && text.contains(at) => {}
                other => return Err(format!("{fault}: {other:?}")),
            }
        }
        Ok("given up after the stall, at 100 % too".to_owned())
    })
}

fn states(vendor: &'static str) -> Own {
    Box::pin(async move {
        for state in 0..6 {
            goes_through(vendor, &[&format!("task.state({state})")]).await?;
        }
        Ok("all six borne".to_owned())
    })
}

fn retry_after(vendor: &'static str) -> Own {
    Box::pin(async move {
        for kind in 0..4 {
            // Ten times in a row from the first request on, which a client that obeyed 4294967296000 would not outlive.
            let start = std::time::Instant::now();
            goes_through(vendor, &[&format!("http.retry_after({kind})@0x6")]).await?;
            if start.elapsed() > std::time::Duration::from_secs(20) {
                return Err(format!("kind {kind} was obeyed for {:?}", start.elapsed()));
            }
        }
        Ok("clamped".to_owned())
    })
}

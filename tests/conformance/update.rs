//! RC-47 … RC-56: pushes that are refused, lost or too much, and versions that do not show.

use std::time::{Duration, Instant};

use bringup::bmc::updating::UpdateClass;
use bringup::bmc::{BmcError, Written};
use bringup::model::Class;
use futures_util::future::BoxFuture;

use super::flash::{How, WANT, push, push_by, rig, shown};
use super::row::{Row, Where};

/// How long a BMC may be away at most; it takes under a second here.
const BACK: Duration = Duration::from_secs(60);

type Own = BoxFuture<'static, Result<String, String>>;

pub fn rows() -> Vec<Row> {
    let row = |id, says, faults, placed, own| Row { id, says, faults, placed, own };
    vec![
        // Other rows' faults, in the middle of an update.
        row(
            "00-u",
            "fails in other ways in the middle of an update",
            &[
                "bmc-dead-after(@)",
                "body.truncate",
                "bmc.reboot(200)",
                "conn.rst_on_reuse",
                "ok.empty",
                "ok.with_error",
                "auth.expire_after(9)",
                "coll.no_members",
            ],
            Where::EachOnce,
            |_| Box::pin(async { Ok("swept only".to_owned()) }),
        ),
        row("RC-47", "answers 503 in the middle of an update", &["http.busy", "http.503(2)"], Where::EachOnce, busy),
        row("RC-48", "takes small images only", &["upload.max(1000)"], Where::Always, large),
        row("RC-49", "loses the connection after the last byte", &["upload.drop_after"], Where::Always, dropped),
        row("RC-50", "runs out of memory", &["upload.oom"], Where::Always, oom),
        row("RC-51", "refuses the image late, or has it already", &["upload.verify_fail", "upload.noop"], Where::Always, refused),
        row("RC-52", "takes its own form of push only", &["upload.strict"], Where::Always, strict),
        row("RC-53", "shows the new version late", &["fw.lag(600)"], Where::Always, lag),
        row("RC-54", "writes to the bank that does not run", &["fw.wrong_slot"], Where::Always, astray),
        row("RC-55", "is stuck in update mode", &["fw.update_mode"], Where::EachOn, stuck),
        row("RC-56", "loses an update silently", &["fw.vanish"], Where::EachOnce, vanished),
    ]
}

fn class(error: &BmcError) -> Option<UpdateClass> {
    UpdateClass::of(error)
}

/// True when it is done as far as this vendor's BMC does it by itself: AMI's waits for a restart.
fn done(vendor: &str, written: &Written) -> bool {
    match written {
        Written::Applied(_) => vendor != "ami",
        Written::Ambiguous(text) => vendor == "ami" && text.starts_with(&UpdateClass::NotActivated.to_string()),
        Written::NotApplied(_) => false,
    }
}

fn busy(vendor: &'static str) -> Own {
    Box::pin(async move {
        // The upload is refused with 503 while somebody else's is under way; it goes after that one has ended.
        let rig = rig(vendor, &[]).await;
        let other = bringup::bmc::redfish::Redfish::new(super::rig::redfish(&rig.farm)).unwrap();
        let psu = How { component: "PSU_1", version: "2", ..How::default() };
        // Between looking at an image and its start Supermicro's BMC is idle: who comes then takes the other's place, and nobody can see it. The
        // second comes when the first writes.
        let (first, second) = tokio::join!(push(&rig, How::default()), async {
            while rig.machine().flashes() == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            // BMCs restart when they have written: who comes just then is told that nothing was sent, and comes again.
            let (mut second, began) = (push_by(&other, psu.clone()).await, Instant::now());
            while let Written::NotApplied(error) = &second.written
                && error.class() == Class::Transient
                && began.elapsed() < BACK
            {
                // A port without a listener refuses at once: some tries in a row would all fall into one restart.
                tokio::time::sleep(Duration::from_millis(50)).await;
                second = push_by(&other, psu.clone()).await;
            }
            second
        });
        bringup::bmc::Bmc::close(&other).await;
        let flashes = rig.machine().flashes();
        rig.bmc.close().await;
        if done(vendor, &first.written) && matches!(second.written, Written::Applied(_)) && flashes == 2 {
            Ok("two clients took turns".to_owned())
        } else {
            Err(format!("{:?}, {:?}, {flashes} flashes", first.written, second.written))
        }
    })
}

fn large(vendor: &'static str) -> Own {
    Box::pin(async move {
        let rig = rig(vendor, &["upload.max(1000)"]).await;
        let pushed = push(&rig, How::default()).await;
        let (uploads, flashes) = (rig.machine().uploads(), rig.machine().flashes());
        let small = push(&rig, How { len: 900, ..How::default() }).await;
        rig.bmc.close().await;
        let Written::NotApplied(e) = &pushed.written else { return Err(format!("{:?}", pushed.written)) };
        // Supermicro says no limit, so that only its 413 tells.
        let told = if vendor == "supermicro" { e.seen.contains("413") } else { e.seen.contains("at most 1000") && uploads == 0 };
        if class(e) == Some(UpdateClass::Rejected) && told && flashes == 0 && done(vendor, &small.written) {
            Ok(if uploads == 0 { "refused before the upload".to_owned() } else { "413".to_owned() })
        } else {
            Err(format!("{e}, {uploads} uploads, {flashes} flashes; then {:?}", small.written))
        }
    })
}

fn dropped(vendor: &'static str) -> Own {
    Box::pin(async move {
        let rig = rig(vendor, &["upload.drop_after"]).await;
        let pushed = push(&rig, How::default()).await;
        let (uploads, flashes) = (rig.machine().uploads(), rig.machine().flashes());
        rig.bmc.close().await;
        let (Written::Applied(text) | Written::Ambiguous(text)) = &pushed.written else {
            return Err(format!("{:?}", pushed.written));
        };
        if done(vendor, &pushed.written) && text.contains("the answer lost") && (uploads, flashes) == (1, 1) {
            Ok("its task was adopted".to_owned())
        } else {
            Err(format!("{text}, {uploads} uploads, {flashes} flashes"))
        }
    })
}

fn oom(vendor: &'static str) -> Own {
    Box::pin(async move {
        let rig = rig(vendor, &["upload.oom"]).await;
        // The same client is asked all along for something else.
        let asks = async {
            let mut asked = 0;
            for _ in 0..200 {
                asked += u32::from(rig.bmc.power().await.is_ok());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            asked
        };
        let (pushed, asked) = tokio::join!(push(&rig, How { len: 3 << 20, ..How::default() }), asks);
        let flashes = rig.machine().flashes();
        rig.bmc.close().await;
        let restarts = rig.machine().bmc_restarts();
        let own_restart = u32::from(vendor != "ami");
        if done(vendor, &pushed.written) && flashes == 1 && restarts == own_restart && asked > 10 {
            Ok("nothing else was asked during the upload".to_owned())
        } else {
            Err(format!("{:?}, {flashes} flashes, {restarts} restarts, {asked} answers", pushed.written))
        }
    })
}

fn refused(vendor: &'static str) -> Own {
    Box::pin(async move {
        let late = rig(vendor, &["upload.verify_fail"]).await;
        let pushed = push(&late, How::default()).await;
        late.bmc.close().await;
        let verify = match &pushed.written {
            Written::NotApplied(e) => class(e) == Some(UpdateClass::DeviceFailed) && e.seen.contains("not for this board"),
            _ => false,
        };
        if !verify || late.machine().flashes() != 0 {
            return Err(format!("{:?}, {} flashes", pushed.written, late.machine().flashes()));
        }
        // The BMC says that there is nothing to do, and the old version runs: not believed.
        let noop = rig(vendor, &["upload.noop"]).await;
        let pushed = push(&noop, How::default()).await;
        noop.bmc.close().await;
        match &pushed.written {
            Written::NotApplied(e) if class(e) == Some(UpdateClass::Rejected) && e.seen.contains("nothing to update") => {}
            other => return Err(format!("{other:?}")),
        }
        // What runs already is not sent at all.
        let rig = rig(vendor, &[]).await;
        let version = rig.machine().identity().profile.bmc_version;
        let pushed = push(&rig, How { version, ..How::default() }).await;
        rig.bmc.close().await;
        match &pushed.written {
            Written::Applied(text) if text.contains("nothing was sent") && rig.machine().uploads() == 0 => {
                Ok("rejected late, and what runs is not sent".to_owned())
            }
            other => Err(format!("{other:?}")),
        }
    })
}

fn strict(vendor: &'static str) -> Own {
    Box::pin(async move {
        let rig = rig(vendor, &["upload.strict"]).await;
        let pushed = push(&rig, How::default()).await;
        rig.bmc.close().await;
        if done(vendor, &pushed.written) { Ok("its own form".to_owned()) } else { Err(format!("{:?}", pushed.written)) }
    })
}

fn lag(vendor: &'static str) -> Own {
    Box::pin(async move {
        let rig = rig(vendor, &["fw.lag(600)"]).await;
        let how = || How { component: "PSU_1", ..How::default() };
        let pushed = push(&rig, how()).await;
        let Written::Applied(_) = &pushed.written else { return Err(format!("{:?}", pushed.written)) };
        rig.bmc.close().await;
        // 20,000 virtual seconds are 2 s: longer than it is waited for.
        let rig = super::flash::rig(vendor, &["fw.lag(20000)"]).await;
        let pushed = push(&rig, how()).await;
        rig.bmc.close().await;
        match &pushed.written {
            Written::Ambiguous(text)
                if text.starts_with(&UpdateClass::NotActivated.to_string()) && rig.machine().flashes() == 1 =>
            {
                Ok("waited for, then told as not activated".to_owned())
            }
            other => Err(format!("{other:?}")),
        }
    })
}

fn astray(vendor: &'static str) -> Own {
    Box::pin(async move {
        let rig = rig(vendor, &["fw.wrong_slot"]).await;
        let pushed = push(&rig, How::default()).await;
        let Written::Ambiguous(text) = &pushed.written else { return Err(format!("{:?}", pushed.written)) };
        let old = rig.machine().identity().profile.bmc_version;
        if !text.starts_with(&UpdateClass::NotActivated.to_string()) || rig.machine().runs("BMC").as_deref() != Some(old) {
            return Err(text.clone());
        }
        // Asked again it is not sent again: it lies there.
        let again = push(&rig, How::default()).await;
        let uploads = rig.machine().uploads();
        rig.bmc.close().await;
        match again.written {
            Written::Ambiguous(again) if again.contains("nothing was sent") && uploads == 1 => {
                Ok("seen in the other bank".to_owned())
            }
            other => Err(format!("{text}; then {other:?}, {uploads} uploads")),
        }
    })
}

fn stuck(vendor: &'static str) -> Own {
    Box::pin(async move {
        let rig = rig(vendor, &["fw.update_mode"]).await;
        let pushed = push(&rig, How::default()).await;
        match &pushed.written {
            Written::NotApplied(e) if class(e) == Some(UpdateClass::Stuck) && rig.machine().uploads() == 0 => {}
            other => return Err(format!("{other:?}")),
        }
        // The ladder: nothing runs, so that the BMC may be restarted; then it takes the image.
        rig.machine().restart_bmc(50);
        let pushed = push(&rig, How::default()).await;
        rig.bmc.close().await;
        if done(vendor, &pushed.written) && rig.machine().flashes() == 1 {
            Ok("told, and healed by a restart".to_owned())
        } else {
            Err(format!("{:?}", pushed.written))
        }
    })
}

fn vanished(vendor: &'static str) -> Own {
    Box::pin(async move {
        // Once: pushed once more, when it was asked for.
        let once = rig(vendor, &["fw.vanish@0x1"]).await;
        let pushed = push(&once, How { again: true, ..How::default() }).await;
        once.bmc.close().await;
        let (uploads, flashes) = (once.machine().uploads(), once.machine().flashes());
        // Where 404 is the usual end of a task (Dell), a loss cannot be told from an image that waits: it is not pushed again.
        let known = vendor != "dell";
        let well =
            if known { done(vendor, &pushed.written) && uploads == 2 && flashes == 1 } else { uploads == 1 && flashes == 0 };
        if !well {
            return Err(format!("{:?}, {uploads} uploads, {flashes} flashes", pushed.written));
        }
        // Always: told as lost.
        let always = rig(vendor, &["fw.vanish"]).await;
        let pushed = push(&always, How { again: true, ..How::default() }).await;
        let seen = shown(&always).await?;
        always.bmc.close().await;
        let class = if known { UpdateClass::Lost } else { UpdateClass::Ambiguous };
        match &pushed.written {
            Written::Ambiguous(text)
                if text.starts_with(&class.to_string()) && seen.running.known().is_some_and(|v| v.as_str() != WANT) =>
            {
                Ok("told as lost".to_owned())
            }
            other => Err(format!("{other:?}")),
        }
    })
}

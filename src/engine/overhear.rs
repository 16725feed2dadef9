//! Copies what the boot server saw and refused under this run's grants into the journal. It only listens: no step waits for it, and a record
//! that cannot be read now is read at the next turn.

use std::time::Duration;

use tokio::sync::watch;

use super::EngineError;
use super::recorder::Recorder;

/// Time between two readings; a refused attempt is in the journal this long after it was made.
const TURN: Duration = Duration::from_secs(1);

/// Listens until it is told to stop, and reads once more then. The line it has come to is folded from the events themselves, so that the
/// next life of the run goes on there.
///
/// # Errors
/// The journal cannot be written.
pub(super) async fn overhear(recorder: Recorder, mut line: i64, mut stop: watch::Receiver<bool>) -> Result<(), EngineError> {
    loop {
        line = catch_up(&recorder, line).await?;
        if *stop.borrow() {
            return Ok(());
        }
        // Told to stop, or its sender is gone: one turn more, and that is the last.
        if let Ok(changed) = tokio::time::timeout(TURN, stop.changed()).await
            && changed.is_err()
        {
            return catch_up(&recorder, line).await.map(drop);
        }
    }
}

/// Reads everything that is there, once, and returns the line it came to.
///
/// # Errors
/// The journal cannot be written.
pub(super) async fn catch_up(recorder: &Recorder, mut line: i64) -> Result<i64, EngineError> {
    loop {
        let (events, to) = recorder.run.bench.boots_since(&recorder.run.id, line).await;
        for event in events {
            recorder.write(event).await?;
        }
        if to <= line {
            return Ok(line);
        }
        line = to;
    }
}

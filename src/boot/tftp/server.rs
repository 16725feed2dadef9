//! The loop around the desk: one thread that waits for a datagram, lets the desk answer, and now and then looks after the silent. It decides
//! nothing.
//!
//! A thread of its own and not a task: a block in lock-step then costs two system calls (receive, send), where a readiness loop needs four.

use std::io;
use std::time::{Duration, Instant};

use nix::libc::in_pktinfo;
use tokio_util::sync::CancellationToken;

use super::desk::{Desk, TftpLimits};
use super::files::Files;
use super::packet::LONGEST;
use super::socket::TftpSocket;
use super::told::TftpLog;
use super::transfer::Burst;

/// How exact timeouts are, and how long a stop may take when all is quiet.
const TICK: Duration = Duration::from_millis(50);
/// How long transfers may go on after the server was told to stop, as HTTP has it.
const GOODBYE: Duration = Duration::from_secs(5);

/// Why the server cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The socket takes no timeout.
    #[error("prepare the TFTP socket")]
    Socket(#[source] io::Error),
    /// No thread is to be had.
    #[error("start the TFTP thread")]
    Thread(#[source] io::Error),
}

/// Serves until `stop` is cancelled; transfers under way then have five seconds. Trouble of one client ends its transfer only.
///
/// # Errors
/// [`StartError`]; nothing was served.
pub async fn serve(
    socket: TftpSocket,
    files: Files,
    limits: TftpLimits,
    log: TftpLog,
    stop: CancellationToken,
) -> Result<(), StartError> {
    socket.set_patience(TICK).map_err(StartError::Socket)?;
    let (ended, end) = tokio::sync::oneshot::channel::<()>();
    let work = move || {
        run(&socket, Desk::new(files, limits, log), &stop);
        drop(ended);
    };
    std::thread::Builder::new().name("tftp".into()).spawn(work).map_err(StartError::Thread)?;
    // The sender is dropped when the loop has ended; nothing is ever sent.
    drop(end.await);
    Ok(())
}

fn run(socket: &TftpSocket, mut desk: Desk, stop: &CancellationToken) {
    let start = Instant::now();
    let (mut buffer, mut control) = ([0; LONGEST + 1], nix::cmsg_space!(in_pktinfo));
    let (mut out, mut swept, mut stopping) = (Burst::default(), start, None);
    loop {
        match socket.receive(&mut buffer, &mut control) {
            Ok(Some(heard)) => {
                let ends = heard.ends;
                desk.hear(ends, heard.bytes, start.elapsed(), || socket.mtu(ends), &mut out);
                if !out.bytes.is_empty() {
                    socket.send(ends, &out);
                }
            }
            Ok(None) => {}
            // The network went away for a while: the server lives on, and does not spin.
            Err(_) => std::thread::sleep(TICK),
        }
        let now = Instant::now();
        if now < swept + TICK {
            continue;
        }
        swept = now;
        desk.sweep(now - start, &mut out, |ends, burst| socket.send(ends, burst));
        if stop.is_cancelled() {
            let since = *stopping.get_or_insert(now);
            if desk.busy() == 0 || now >= since + GOODBYE {
                return desk.close_all(now - start);
            }
        }
    }
}

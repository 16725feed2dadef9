//! Stops a command that has had its time, on the node itself: SIGTERM, then SIGKILL. A process in the kernel's D state outlives both.
//! It never touches a process that this connection did not start.

use std::time::Duration;

use russh::{ChannelMsg, Sig};
use tokio::time::timeout;

use super::quote::quote;
use super::ssh::{Line, SshShell};

/// How long a command may take to obey SIGTERM.
const GRACE: Duration = Duration::from_secs(2);

/// Ends the command that runs on this line.
pub(super) async fn stop(shell: &SshShell, mut line: Line<'_>, argv: &[String]) {
    let asked = async {
        line.channel.signal(Sig::TERM).await?;
        loop {
            match line.channel.wait().await {
                None | Some(ChannelMsg::Close | ChannelMsg::ExitSignal { .. } | ChannelMsg::ExitStatus { .. }) => return Ok(()),
                Some(_) => {}
            }
        }
    };
    let obeyed: Result<Result<(), russh::Error>, _> = timeout(GRACE, asked).await;
    let obeyed = matches!(obeyed, Ok(Ok(())));
    if !obeyed {
        drop(timeout(GRACE, line.channel.signal(Sig::KILL)).await);
    }
    drop(timeout(GRACE, line.channel.close()).await);
    // OpenSSH passes no signals on for root, whose sessions it does not separate by privilege (session.c, `session_signal_req`).
    if !obeyed {
        // With every other place taken here, nothing else runs on this connection and nothing else can start.
        let alone = shell.others();
        if let Some(script) = sibling_script(argv, alone.is_some()) {
            drop(timeout(GRACE * 4, run_script(&line, script)).await);
        }
    }
}

async fn run_script(line: &Line<'_>, script: String) -> Result<(), russh::Error> {
    let mut channel = line.beside().await?;
    channel.exec(true, script).await?;
    channel.eof().await?;
    while channel.wait().await.is_some() {}
    Ok(())
}

/// A script for the login shell. All commands of one connection have the same parent, the server's process for that connection, so
/// the one to stop is the only sibling, or the sibling with this very command line. The server gives each a process group of its own.
fn sibling_script(argv: &[String], alone: bool) -> Option<String> {
    let line = quote(argv).ok()?;
    let words = [argv.join(" "), line].map(|word| word.replace('\'', r"'\''"));
    let [plain, quoted] = &words;
    let which = if alone { "*" } else { "\"$plain\"|*\"$quoted\"" };
    Some(format!(
        "plain='{plain} '; quoted='-c {quoted} '; for d in /proc/[0-9]*; do p=${{d#/proc/}}; [ \"$p\" != \"$$\" ] || continue; \
         grep -q \"^PPid:[[:space:]]*$PPID\\$\" \"$d/status\" 2>/dev/null || continue; \
         c=$(tr '\\000' ' ' <\"$d/cmdline\" 2>/dev/null); case \"$c\" in {which}) \
         kill -TERM -- \"-$p\" 2>/dev/null || kill -TERM \"$p\"; sleep 2; kill -KILL -- \"-$p\" 2>/dev/null || kill -KILL \"$p\" 2>/dev/null;; \
         esac; done"
    ))
}

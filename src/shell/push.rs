//! Puts a file on a node: looked for first, streamed with bounded memory, read back by digest on the node, moved into place in one
//! step. A reader on the node sees the old file or the new one, never a part; what is sent and not verified removes itself.

use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::run::{Heard, Step, run};
use super::ssh::SshShell;
use super::{Pushed, ShellError, ShellTrouble, escape, local, quote};
use crate::model::{Answer, Artifact, Digest, Probe};

/// A block of the file in memory; russh cuts it into packets of 32 KiB (the size that measured fastest).
const BLOCK: usize = 256 << 10;
/// Longest time without a block getting through.
const STALL: Duration = Duration::from_secs(60);
/// What a slow node may need to hash a megabyte again, in milliseconds.
const HASH_MS_PER_MIB: u64 = 200;

/// Prints mode and digest of `$1`, or exits 44. Only programs that busybox has.
const LOOK: &str = r#"[ -f "$1" ] && [ ! -L "$1" ] || exit 44; stat -c %a "$1" && sha256sum < "$1""#;

/// Writes stdin to `$1`, and makes it `$2` when its SHA-256 is `$3`, with mode `$4`. `set -C` refuses to write through a link that
/// somebody planted after the `rm`. When the connection breaks, `cat` sees the end of a file that is too short, so the digest removes it;
/// SIGPIPE is ignored since nobody reads the complaint then, and dash runs no EXIT trap when a signal ends it.
const SEND: &str = r#"trap '' PIPE; umask 077; rm -f "$1" || exit 41; [ ! -d "$2" ] || { echo "$2 is a directory" >&2; exit 43; }
trap 'rm -f "$1"' EXIT; trap 'exit 46' HUP INT TERM; set -C; cat > "$1" || exit 41; set +C
sum=$(sha256sum < "$1") || exit 42; [ "${sum%% *}" = "$3" ] || { echo "it arrived with SHA-256 ${sum%% *}" >&2; exit 42; }
chmod "$4" "$1" && mv -f "$1" "$2" || exit 45; trap - EXIT"#;

/// Pushes a file.
pub(super) async fn push(shell: &SshShell, artifact: &Artifact, to: &str, mode: u32) -> Result<Pushed, ShellError> {
    let doing = format!("{}: push {}", shell.options.doing(), escape::shown(to.as_bytes()));
    check_target(to).map_err(|why| ShellError::new(&*doing, ShellTrouble::Refused, why))?;
    let wanted = artifact.clone();
    let opened = tokio::task::spawn_blocking(move || local::open(&wanted)).await;
    let bad = |source: Box<dyn std::error::Error + Send + Sync>| ShellError {
        doing: doing.clone(),
        seen: format!("the local file {} is not what it should be", artifact.path.display()),
        kind: ShellTrouble::Artifact,
        source: Some(source),
    };
    let (file, length) = opened.map_err(|e| bad(Box::new(e)))?.map_err(|e| bad(Box::new(e)))?;
    let patience = STALL + Duration::from_millis((length >> 20).saturating_mul(HASH_MS_PER_MIB));
    if is_there(shell, &artifact.sha256, to, mode, patience).await? == Some(true) {
        return Ok(Pushed::AlreadyThere);
    }
    let part = format!("{to}.bringup-{}.part", artifact.sha256.short());
    let mode_word = format!("{mode:o}");
    let argv = ["sh", "-c", SEND, "bringup", &part, to, artifact.sha256.as_str(), &mode_word].map(str::to_owned);
    let sent = send(shell, &argv, file, patience, &doing).await?;
    match sent.heard.exit {
        Some(0) => Ok(Pushed::Sent { bytes: sent.bytes }),
        // The end was not heard. Looking settles it; nothing is sent twice.
        None if sent.heard.signal.is_none() => match is_there(shell, &artifact.sha256, to, mode, patience).await? {
            Some(true) => Ok(Pushed::Sent { bytes: sent.bytes }),
            Some(false) => {
                Err(ShellError::new(doing, ShellTrouble::Unreachable, "the connection was lost, and the file is not in place"))
            }
            None => Err(ShellError::new(
                doing,
                ShellTrouble::Unreachable,
                "the connection was lost; whether the file is in place is not known",
            )),
        },
        _ if sent.digest.as_ref().is_some_and(|digest| *digest != artifact.sha256) => {
            Err(bad("it changed while it was sent".into()))
        }
        exit => {
            let end = exit.map_or_else(|| "killed by a signal".to_owned(), |code| format!("exit {code}"));
            Err(ShellError::new(doing, ShellTrouble::Refused, format!("{end}: {}", escape::shown(&sent.heard.stderr))))
        }
    }
}

/// The path becomes `$1` of a script, so quoting holds; these rules keep it a path that a person meant.
fn check_target(to: &str) -> Result<(), &'static str> {
    let name = to.rsplit('/').next().unwrap_or_default();
    if !to.starts_with('/') {
        Err("the path on the node is not absolute")
    } else if name.is_empty() || name == "." || to.split('/').any(|part| part == "..") {
        Err("the path on the node does not name a file")
    } else if to.chars().any(char::is_control) {
        Err("the path on the node holds control characters")
    } else if name.len() > 220 || to.len() > 4000 {
        Err("the path on the node is too long")
    } else {
        Ok(())
    }
}

/// `Some(true)`: there with this digest and mode. `None`: the node did not say.
async fn is_there(
    shell: &SshShell,
    digest: &Digest,
    to: &str,
    mode: u32,
    patience: Duration,
) -> Result<Option<bool>, ShellError> {
    let deadline = u32::try_from(patience.as_secs()).unwrap_or(u32::MAX);
    let probe = Probe { limit_bytes: 4096, ..Probe::new("push-look", ["sh", "-c", LOOK, "bringup", to]).within(deadline) };
    let Answer::Output(output) = run(shell, &probe).await? else { return Ok(None) };
    let text = String::from_utf8_lossy(&output.stdout);
    let mut words = text.split_whitespace();
    let mode_there = words.next().and_then(|word| u32::from_str_radix(word, 8).ok());
    Ok(Some(output.exit == 0 && mode_there == Some(mode & 0o7777) && words.next() == Some(digest.as_str())))
}

struct Sent {
    heard: Heard,
    bytes: u64,
    /// Of what was really read and sent, when all of it was.
    digest: Option<Digest>,
}

async fn send(
    shell: &SshShell,
    argv: &[String],
    file: std::fs::File,
    patience: Duration,
    doing: &str,
) -> Result<Sent, ShellError> {
    let command = quote::quote(argv).map_err(|error| ShellError::new(doing, ShellTrouble::Refused, error.to_string()))?;
    let line = shell.line().await?;
    let (channel, _kept) = line.into_parts();
    let (mut reader, writer) = channel.split();
    let mut heard = Heard::default();
    let (mut bytes, mut hasher) = (0_u64, Sha256::new());
    let mut all_sent = false;
    let trouble = {
        let feed = async {
            writer.exec(true, command).await.map_err(|_| Feed::Lost)?;
            let mut file = tokio::fs::File::from_std(file);
            file.set_max_buf_size(BLOCK);
            let mut block = vec![0; BLOCK];
            loop {
                let n = file.read(&mut block).await.map_err(Feed::Read)?;
                let data = Bytes::copy_from_slice(block.get(..n).unwrap_or_default());
                if data.is_empty() {
                    return writer.eof().await.map_err(|_| Feed::Lost);
                }
                hasher.update(&data);
                timeout(STALL, writer.data_bytes(data)).await.map_err(|_| Feed::Stalled)?.map_err(|_| Feed::Lost)?;
                bytes = bytes.saturating_add(u64::try_from(n).unwrap_or_default());
            }
        };
        tokio::pin!(feed);
        let mut fed = false;
        let limit = tokio::time::sleep(patience);
        tokio::pin!(limit);
        loop {
            tokio::select! {
                result = &mut feed, if !fed => match result {
                    Ok(()) => { (fed, all_sent) = (true, true); limit.as_mut().reset(tokio::time::Instant::now() + patience); }
                    // Lost: the reader below hears the end, with the exit status when there is one.
                    Err(Feed::Lost) => fed = true,
                    Err(trouble) => break Some(trouble),
                },
                message = reader.wait() => match heard.take(message) {
                    Step::More => {}
                    Step::End => break None,
                    Step::Refused => return Err(ShellError::new(doing, ShellTrouble::Refused, "the node refused to run a command")),
                },
                () = &mut limit, if fed => break Some(Feed::Stalled),
            }
        }
    };
    // Ends the far command's input early; what it has is too short, so it removes it.
    drop(timeout(Duration::from_secs(1), writer.close()).await);
    match trouble {
        None | Some(Feed::Lost) => {
            Ok(Sent { heard, bytes, digest: all_sent.then(|| Digest::from_bytes(&hasher.finalize().into())) })
        }
        Some(Feed::Stalled) => {
            Err(ShellError::new(doing, ShellTrouble::TimedOut, format!("no progress for {} s", patience.as_secs())))
        }
        Some(Feed::Read(error)) => Err(ShellError {
            doing: doing.to_owned(),
            seen: "the local file cannot be read to its end".into(),
            kind: ShellTrouble::Artifact,
            source: Some(Box::new(error)),
        }),
    }
}

/// Why feeding stopped.
enum Feed {
    Lost,
    Read(std::io::Error),
    Stalled,
}

#[cfg(test)]
mod tests {
    use super::check_target;

    #[test]
    fn only_plain_absolute_paths_are_targets() {
        assert!(check_target("/opt/driver 550/it's.run").is_ok());
        for bad in ["", "opt/x", "/", "/opt/", "/opt/../etc/passwd", "/opt/\n", "/opt/."] {
            assert!(check_target(bad).is_err(), "{bad:?}");
        }
    }
}

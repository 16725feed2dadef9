//! Runs one command and says what became of it. What was not seen to its end is `Unknown`, never a failure.

use std::time::Duration;

use russh::{ChannelMsg, Sig};
use tokio::time::{Instant, timeout_at};

use super::ssh::SshShell;
use super::{ShellError, ShellTrouble, escape, quote, stop};
use crate::model::{Answer, Probe, ProbeOutput};

/// Most of standard error that is kept.
pub(super) const STDERR_KEPT: usize = 64 << 10;

/// Runs a probe. Its deadline starts when the session is open; connecting has limits of its own.
pub(super) async fn run(shell: &SshShell, probe: &Probe) -> Result<Answer, ShellError> {
    let doing = format!("{}: run {}", shell.options.doing(), escape::shown(probe.id.as_bytes()));
    let command = quote::quote(&probe.argv).map_err(|error| ShellError {
        doing: doing.clone(),
        seen: "the command cannot be sent".into(),
        kind: ShellTrouble::Refused,
        source: Some(Box::new(error)),
    })?;
    let mut line = shell.line().await?;
    let deadline = Instant::now() + Duration::from_secs(probe.deadline_s.into());
    let sent = async {
        line.channel.exec(true, command).await?;
        line.channel.eof().await
    };
    if !matches!(timeout_at(deadline, sent).await, Ok(Ok(()))) {
        return Ok(unknown("the connection was lost while the command was sent"));
    }
    let mut heard = Heard::default();
    loop {
        let Ok(message) = timeout_at(deadline, line.channel.wait()).await else {
            stop::stop(shell, line, &probe.argv).await;
            return Ok(unknown(format!("it had not ended after {} s and was stopped", probe.deadline_s)));
        };
        match heard.take(message) {
            Step::More => {}
            Step::Refused => return Err(ShellError::new(doing, ShellTrouble::Refused, "the node refused to run a command")),
            Step::End => return Ok(heard.answer()),
        }
        if heard.stdout.len() > usize::try_from(probe.limit_bytes).unwrap_or(usize::MAX) {
            stop::stop(shell, line, &probe.argv).await;
            return Ok(unknown(format!("it printed more than {} bytes and was stopped", probe.limit_bytes)));
        }
    }
}

/// Linux boot id.
pub(super) async fn boot_id(shell: &SshShell) -> Result<String, ShellError> {
    let doing = || format!("{}: read the boot id", shell.options.doing());
    let probe = Probe { limit_bytes: 4096, ..Probe::new("boot-id", ["cat", "/proc/sys/kernel/random/boot_id"]).within(20) };
    let output = match run(shell, &probe).await? {
        Answer::Output(output) => output,
        Answer::Unknown { why } => return Err(ShellError::new(doing(), ShellTrouble::Unreachable, why)),
    };
    let id = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let is_uuid = id.len() == 36 && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    if output.exit == 0 && is_uuid {
        return Ok(id);
    }
    let seen = format!("exit {}, `{}` `{}`", output.exit, escape::shown(&output.stdout), escape::shown(&output.stderr));
    Err(ShellError::new(doing(), ShellTrouble::Refused, seen))
}

/// What has been heard of a command.
#[derive(Default)]
pub(super) struct Heard {
    stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    pub(super) exit: Option<u32>,
    pub(super) signal: Option<String>,
    started: bool,
    /// The far end said that nothing more comes.
    whole: bool,
}

pub(super) enum Step {
    More,
    End,
    Refused,
}

impl Heard {
    /// Takes one message; `None` is the end of the channel or of the connection.
    pub(super) fn take(&mut self, message: Option<ChannelMsg>) -> Step {
        match message {
            None => return Step::End,
            Some(ChannelMsg::Data { data }) => self.stdout.extend_from_slice(&data),
            Some(ChannelMsg::ExtendedData { data, ext: 1 }) => {
                let room = STDERR_KEPT.saturating_sub(self.stderr.len());
                self.stderr.extend(data.iter().take(room));
            }
            Some(ChannelMsg::Success) => self.started = true,
            Some(ChannelMsg::Failure) if !self.started => return Step::Refused,
            Some(ChannelMsg::ExitStatus { exit_status }) => self.exit = Some(exit_status),
            Some(ChannelMsg::ExitSignal { signal_name, .. }) => self.signal = Some(signal_word(&signal_name)),
            Some(ChannelMsg::Eof) => self.whole = true,
            Some(ChannelMsg::Close) => {
                self.whole = true;
                return Step::End;
            }
            Some(_) => {}
        }
        Step::More
    }

    fn answer(self) -> Answer {
        match (self.signal, self.exit) {
            (Some(signal), _) => unknown(format!("it was killed by signal {signal}")),
            (None, Some(exit)) if self.whole => {
                let exit = i32::try_from(exit).unwrap_or(i32::MAX);
                Answer::Output(ProbeOutput { exit, stdout: self.stdout, stderr: self.stderr })
            }
            (None, Some(_)) => unknown("the connection was lost before all of its output came"),
            (None, None) => unknown("the connection was lost before it ended"),
        }
    }
}

fn signal_word(signal: &Sig) -> String {
    match signal {
        Sig::Custom(name) => escape::shown(name.as_bytes()),
        known => format!("{known:?}"),
    }
}

fn unknown(why: impl Into<String>) -> Answer {
    Answer::Unknown { why: why.into() }
}

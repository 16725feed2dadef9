//! What is asked of the system that does the writing, and of the one that was written. Scripts of `inside/`, each one command.

use super::disk::{self, Survey};
use super::order;
use super::target::Payload;
use crate::action::ActionError;
use crate::action::stack::from_shell;
use crate::model::{Answer, Class, Probe, ProbeOutput};
use crate::shell::Shell;

/// Longest wait for one answer, in seconds: 20 MiB of each of many slow disks are read.
const ASK_S: u32 = 180;

/// How far an installation on the node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Progress {
    pub plan: String,
    pub image: String,
    pub state: State,
}

/// State of an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// Its process is there; the step that it is at.
    Running(String),
    /// Written and read back.
    Done,
    /// It ended; the reason.
    Failed(String),
}

/// Asks how far an installation is; `None` when none was ever begun since the system started.
pub(super) async fn progress(shell: &dyn Shell) -> Result<Option<Progress>, ActionError> {
    let text = ask(shell, "ask how far the installation is", order::STATUS, &[]).await?;
    read_progress(&text).map_err(|seen| unread("read how far the installation is", seen))
}

fn read_progress(text: &str) -> Result<Option<Progress>, String> {
    if text.trim() == "none" {
        return Ok(None);
    }
    let line = |key: &str| text.lines().find_map(|l| l.strip_prefix(key).and_then(|rest| rest.strip_prefix(' ')));
    let short = |text: &str| text.chars().filter(|c| (' '..='~').contains(c)).take(300).collect::<String>();
    if !text.lines().any(|l| l == "whole") {
        return Err("the answer was cut".to_owned());
    }
    let (Some(plan), Some(image)) = (line("plan"), line("image")) else { return Err("the order was not read".to_owned()) };
    let state = line("state").unwrap_or_default();
    let alive = text.lines().any(|l| l == "alive");
    let state = match (state.split_once(' ').unwrap_or((state, "")), alive) {
        (("done", _), _) => State::Done,
        (("failed", why), _) => State::Failed(short(why)),
        (("running", step), true) => State::Running(short(step)),
        ((_, step), _) => State::Failed(format!("the installer ended without a word, at {}", short(step))),
    };
    Ok(Some(Progress { plan: short(plan), image: short(image), state }))
}

/// Asks for the node's disks.
pub(super) async fn survey(shell: &dyn Shell) -> Result<Survey, ActionError> {
    let text = ask(shell, "list the disks", &order::survey(), &[]).await?;
    disk::read(&text).map_err(|seen| unread("read the list of disks", seen))
}

/// Asks for the disk below the root file system.
pub(super) async fn below(shell: &dyn Shell) -> Result<disk::Disk, ActionError> {
    let doing = "find the disk that the system runs from";
    let text = ask(shell, doing, &order::below(), &[]).await?;
    let survey = disk::read(&text).map_err(|seen| unread(doing, seen))?;
    survey.disks.into_iter().next().ok_or_else(|| unread(doing, "no disk was named".to_owned()))
}

/// As [`below`], of a system that may be any: why it does not tell, when it does not.
pub(super) async fn below_any(shell: &dyn Shell) -> Result<Result<disk::Disk, String>, ActionError> {
    let doing = "find the disk that the system runs from";
    let text = match told(shell, doing, &["sh", "-c", &order::below(), "bringup-install"]).await? {
        Ok(text) => text,
        Err(why) => return Ok(Err(why)),
    };
    Ok(disk::read(&text).and_then(|survey| survey.disks.into_iter().next().ok_or_else(|| "no disk was named".to_owned())))
}

/// Brings the installer to the node and starts it; nothing happens when it runs already.
pub(super) async fn begin(shell: &dyn Shell, payload: &Payload, order: &str) -> Result<String, ActionError> {
    let (parts, digest) = order::installer(payload);
    for (n, part) in parts.iter().enumerate() {
        ask(shell, "bring the installer", order::PUT, &[&format!("part.{n:02}"), part]).await?;
    }
    let said = ask(shell, "start the installer", order::BEGIN, &[digest.as_str(), order]).await?;
    Ok(said.trim().chars().take(80).collect())
}

/// Makes the folder that the files go to, for root alone.
pub(super) async fn make_folder(shell: &dyn Shell) -> Result<(), ActionError> {
    run(shell, "make a folder for the files", &["mkdir", "-p", "-m", "700", order::FOLDER]).await.map(drop)
}

async fn ask(shell: &dyn Shell, doing: &str, script: &str, operands: &[&str]) -> Result<String, ActionError> {
    run(shell, doing, &[&["sh", "-c", script, "bringup-install"][..], operands].concat()).await
}

/// Runs a command that must end with 0, and gives what it printed.
async fn run(shell: &dyn Shell, doing: &str, argv: &[&str]) -> Result<String, ActionError> {
    let fail = |seen: String| ActionError { doing: doing.to_owned(), seen, class: Class::Transient, source: None };
    told(shell, doing, argv).await?.map_err(fail)
}

/// Runs a command: what it printed, or how it failed on the node. An error is a node that was not heard.
async fn told(shell: &dyn Shell, doing: &str, argv: &[&str]) -> Result<Result<String, String>, ActionError> {
    let mut probe = Probe::new(doing, argv.iter().copied()).within(ASK_S);
    probe.limit_bytes = 1 << 20;
    Ok(match shell.run(&probe).await.map_err(|e| from_shell(doing, e))? {
        Answer::Output(ProbeOutput { exit: 0, stdout, .. }) => Ok(String::from_utf8_lossy(&stdout).into_owned()),
        Answer::Output(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let last: String = said.lines().last().unwrap_or_default().chars().take(200).collect();
            Err(format!("exit code {}: {}", output.exit, last.escape_debug()))
        }
        Answer::Unknown { why } => {
            return Err(ActionError { doing: doing.to_owned(), seen: why, class: Class::Transient, source: None });
        }
    })
}

fn unread(doing: &str, seen: String) -> ActionError {
    ActionError { doing: doing.to_owned(), seen, class: Class::Transient, source: None }
}

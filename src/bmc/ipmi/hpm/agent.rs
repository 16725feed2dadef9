//! Asking and telling a controller, over one session after the other where it restarts in between. A question may be repeated; what changes something
//! is sent once, and the very same packet again while no answer comes; a block has a number, by which a controller knows one that it has already.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::super::client::IpmiBmc;
use super::super::fault::{Fault, is_busy};
use super::super::turn::{Need, Turn};
use super::command::{Command, IN_PROGRESS, body};

/// For one answer, and how often a packet is sent in all: ipmitool's 1 s and 4 retries (`lanplus.h:68`).
const ANSWER: Duration = Duration::from_secs(1);
const SENDS: u32 = 3;
/// How often a block is told anew under the same number.
const ANEW: u32 = 4;
/// For an answer of a session that may be gone; a new one gets all the patience there is.
const BRIEF: Duration = Duration::from_millis(1500);
/// Between two looks at a long command: first, and at most (ipmitool waits 1 s each time).
const LOOK: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// After "busy".
const BUSY: Duration = Duration::from_millis(250);
/// Least time for a long command, whatever the controller tells; ipmitool takes 60 s where it tells nothing.
const LEAST: Duration = Duration::from_secs(10);
const UNTOLD: Duration = Duration::from_secs(60);

/// What came of a command that changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// Done; what was answered.
    Done(Vec<u8>),
    /// Begun, and going on.
    Going(Vec<u8>),
    /// Not done.
    No(u8),
    /// No answer came.
    Lost,
}

/// The upgrade agent, as HPM.1 calls it.
pub(super) struct Agent<'a> {
    home: &'a IpmiBmc,
    turn: Turn<'a>,
    /// All of it must be over by then.
    pub(super) deadline: Instant,
}

impl<'a> Agent<'a> {
    /// Waits for the right to speak; nobody else speaks with the BMC until it is dropped.
    pub(super) async fn begin(home: &'a IpmiBmc, deadline: Instant) -> Result<Self, Fault> {
        Ok(Self { home, turn: Turn::begin(home, deadline).await?, deadline })
    }

    /// A turn of its own, for what is no HPM.1.
    pub(super) fn turn(&mut self) -> &mut Turn<'a> {
        self.turn.deadline = self.deadline.min(Instant::now() + self.home.patience());
        &mut self.turn
    }

    /// A question.
    pub(super) async fn ask(&mut self, command: Command, data: &[u8]) -> Result<Vec<u8>, Fault> {
        self.ask_within(command, data, self.home.patience()).await
    }

    /// Asks for the status in a session that may be gone: silence ends the session, and whoever asks next opens another.
    pub(super) async fn glance(&mut self) -> Result<Vec<u8>, Fault> {
        self.ask_within(Command::Status, &[], BRIEF).await
    }

    async fn ask_within(&mut self, command: Command, data: &[u8], patience: Duration) -> Result<Vec<u8>, Fault> {
        self.turn.deadline = self.deadline.min(Instant::now() + patience);
        let answer = self.turn.repeat(Need::Administrator, &command.with(data)).await?;
        body(&answer).map(<[u8]>::to_vec).ok_or(Fault::Malformed("for another group of commands than PICMG's"))
    }

    /// A deed. Its packet is sent again while no answer comes; the BMC's replay window lets it be done at most once.
    pub(super) async fn tell(&mut self, command: Command, data: &[u8]) -> Result<Told, Fault> {
        let connection = self.turn().prepare_write_as(Need::Administrator).await?;
        // As long as answers have taken so far, and then longer.
        let (sent, mut answer) = connection.write(command.with(data), Duration::ZERO).await?;
        for _ in 1..SENDS {
            if answer.is_some() {
                break;
            }
            // It was out once: whether this one gets out changes nothing.
            answer = connection.resend(&sent, ANSWER).await.unwrap_or(None);
        }
        let Some(answer) = answer else { return Ok(Told::Lost) };
        let said = || body(&answer.data).unwrap_or_default().to_vec();
        Ok(match answer.code {
            0 => Told::Done(said()),
            IN_PROGRESS => Told::Going(said()),
            code => Told::No(code),
        })
    }

    /// A deed that may be told anew: a block under its number. The second says whether it was. `lost`: no answer at all is told at once, while
    /// the session lives.
    pub(super) async fn insist(&mut self, command: Command, data: &[u8], lost: bool) -> Result<(Told, bool), Fault> {
        let mut anew = 0;
        loop {
            match self.tell(command, data).await? {
                // Where the session is gone, what it was about is gone too.
                Told::Lost if anew < ANEW => {
                    self.glance().await?;
                    if lost {
                        return Ok((Told::Lost, false));
                    }
                }
                Told::No(code) if is_busy(code) && anew < ANEW => sleep(BUSY).await,
                told => return Ok((told, anew > 0)),
            }
            anew += 1;
        }
    }

    /// Waits for the end of a long command; gives its completion code. `most` is what the controller says that one may take.
    pub(super) async fn wait(&mut self, command: Command, most: Duration, mut tell: impl FnMut()) -> Result<u8, Fault> {
        let most = if most.is_zero() { UNTOLD } else { most.max(LEAST) };
        let until = self.deadline.min(Instant::now() + most);
        let mut pause = LOOK.0;
        loop {
            let status = self.ask(Command::Status, &[]).await?;
            match status.as_slice() {
                [_, IN_PROGRESS, ..] => tell(),
                [at, code, ..] if *at == command as u8 => return Ok(*code),
                // It has forgotten it: it restarted, or somebody else told it something.
                [_, _, ..] => return Err(Fault::Malformed("the status of another command than the one that was begun")),
                _ => return Err(Fault::Malformed("an upgrade status that is cut short")),
            }
            if Instant::now() + pause >= until {
                return Ok(IN_PROGRESS);
            }
            sleep(pause).await;
            pause = (pause * 3 / 2).min(LOOK.1);
        }
    }

    /// Asks for a result that comes some time: the self-test's, or that of going back. `Err(code)`: there is none.
    pub(super) async fn result(&mut self, command: Command, most: Duration) -> Result<Result<Vec<u8>, u8>, Fault> {
        let until = self.deadline.min(Instant::now() + most.max(LEAST));
        let mut pause = LOOK.0;
        loop {
            match self.ask(command, &[]).await {
                Ok(answer) => return Ok(Ok(answer)),
                Err(Fault::Code(code)) if code != IN_PROGRESS || Instant::now() + pause >= until => return Ok(Err(code)),
                Err(Fault::Code(_)) => {}
                // It may still restart.
                Err(fault) if Instant::now() + pause >= until || matches!(fault, Fault::Credentials(_)) => return Err(fault),
                Err(_) => {}
            }
            sleep(pause).await;
            pause = (pause * 3 / 2).min(LOOK.1);
        }
    }
}

//! One component's firmware, block after block. Blocks shrink where they are too long (C7h, C8h, or no answer at all to the first), and are told
//! again where one did not arrive as it was sent (82h, 83h). Nothing of it runs before it is activated.

use std::time::Duration;

use tokio::time::sleep;

use super::super::fault::Fault;
use super::agent::{Agent, Told};
use super::command::{self, Capabilities, Command, IN_PROGRESS};
use super::image::{Image, Upload};
use super::target::Part;
use crate::bmc::updating::UpdateProgress;

/// Bytes of a block: the first that is tried, and what it shrinks to. 25 is ipmitool's on a LAN (`HPMFWUPG_SEND_DATA_COUNT_LAN`).
const SIZES: [usize; 8] = [128, 96, 64, 32, 25, 20, 16, 8];
/// How often one block is told again that did not arrive as it was sent (ipmitool `RETRY_COUNT_MAX`).
const AGAIN: u32 = 3;
const PAUSE: Duration = Duration::from_millis(50);
/// How often the controller may say which part comes next.
const JUMPS: u32 = 256;

/// Actions that a controller is told to begin.
const BACK_UP: u8 = 0;
const PREPARE: u8 = 1;
const UPGRADE: u8 = 2;

/// Why an upload came to nothing.
#[derive(Debug)]
pub(super) enum Broke {
    /// Something was lost on the way: it may be begun again.
    Lost(String),
    /// The controller does not take it.
    No(Command, u8),
    /// The way to it failed.
    Fault(Fault),
}

impl From<Fault> for Broke {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// One upload.
pub(super) struct Load<'a> {
    pub(super) image: &'a Image,
    pub(super) upload: &'a Upload,
    pub(super) part: &'a Part,
    pub(super) capabilities: &'a Capabilities,
    pub(super) tell: &'a (dyn Fn(UpdateProgress) + Send + Sync),
}

impl Agent<'_> {
    /// Uploads all of it, from preparing the component to the controller's word that it has everything.
    pub(super) async fn upload(&mut self, load: &Load<'_>) -> Result<(), Broke> {
        let mask = 1_u8 << load.part.id;
        if load.image.backup & mask != 0 && load.part.can.backup {
            self.long(load, Command::Initiate, &[mask, BACK_UP]).await?;
        }
        if load.image.prepare & mask != 0 && load.part.can.prepare {
            self.long(load, Command::Initiate, &[mask, PREPARE]).await?;
        }
        self.long(load, Command::Initiate, &[mask, UPGRADE]).await?;
        let sent = self.blocks(load).await?;
        let mut finish = vec![load.part.id];
        finish.extend(sent.to_le_bytes());
        self.long(load, Command::Finish, &finish).await
    }

    /// Leaves the upgrade, as far as the controller still hears it.
    pub(super) async fn abort(&mut self) {
        drop(self.tell(Command::Abort, &[]).await);
    }

    /// A command that may take long.
    async fn long(&mut self, load: &Load<'_>, command: Command, data: &[u8]) -> Result<(), Broke> {
        let code = match self.tell(command, data).await? {
            Told::Done(_) => return Ok(()),
            Told::No(code) => code,
            // The status could still be that of an earlier one.
            Told::Lost => return Err(Broke::Lost(format!("no answer: {}", command.words()))),
            Told::Going(_) => {
                let tell = || (load.tell)(UpdateProgress::Working(command.words().to_owned(), None));
                self.wait(command, load.capabilities.upgrade, tell).await?
            }
        };
        match code {
            0 => Ok(()),
            IN_PROGRESS => Err(Broke::Lost(format!("it did not end in time: {}", command.words()))),
            code => Err(Broke::No(command, code)),
        }
    }

    /// All blocks; how many bytes there were.
    async fn blocks(&mut self, load: &Load<'_>) -> Result<u32, Broke> {
        let data = load.image.data(load.upload);
        let of = u64::try_from(data.len()).unwrap_or(u64::MAX);
        let (mut at, mut end, mut number, mut sent) = (0, data.len(), 0_u8, 0_u32);
        let (mut sizes, mut proven, mut again, mut jumps) = (SIZES.iter().copied().peekable(), false, 0, 0);
        while at < end {
            let size = sizes.peek().copied().unwrap_or(1);
            let block = data.get(at..end.min(at.saturating_add(size))).unwrap_or_default();
            let mut bytes = vec![number];
            bytes.extend(block);
            let (told, anew) = self.insist(Command::Block, &bytes, !proven).await?;
            let said = match told {
                Told::Done(said) => Ok(said),
                Told::Going(said) => match self.wait(Command::Block, load.capabilities.upgrade, || {}).await? {
                    0 => Ok(said),
                    code => Err(code),
                },
                // It was told twice under one number: the first was taken, and only its answer was lost. The sum over all of it will show.
                Told::No(0x82) if anew => Ok(Vec::new()),
                Told::No(code) => Err(code),
                // Some say nothing to a packet that is too long for them.
                Told::Lost if !proven => Err(0xc7),
                Told::Lost => return Err(Broke::Lost(format!("no answer to block {number}, at byte {at} of {of}"))),
            };
            match said {
                Ok(said) => {
                    (proven, again) = (true, 0);
                    number = number.wrapping_add(1);
                    at = at.saturating_add(block.len());
                    sent = sent.saturating_add(u32::try_from(block.len()).unwrap_or(u32::MAX));
                    (load.tell)(UpdateProgress::Uploading { sent: u64::from(sent), of });
                    if let Some((from, to)) = next(&said, data.len()) {
                        jumps += 1;
                        if jumps > JUMPS {
                            return Err(Broke::Lost("it asks for one part after the other without an end".to_owned()));
                        }
                        (at, end) = (from, to);
                    }
                }
                Err(0xc7 | 0xc8) if sizes.len() > 1 => drop(sizes.next()),
                Err(0x82 | 0x83) if again < AGAIN => {
                    again += 1;
                    sleep(PAUSE).await;
                }
                Err(0xc7) if !proven => return Err(Broke::Lost("no answer to the first block, however short".to_owned())),
                Err(code) => return Err(Broke::No(Command::Block, code)),
            }
        }
        Ok(sent)
    }
}

/// The part that the controller wants next, when it says so and there is such a part: some leave out what they keep.
fn next(said: &[u8], len: usize) -> Option<(usize, usize)> {
    let (offset, length) = command::section(said).filter(|(offset, _)| *offset != 0)?;
    let from = usize::try_from(offset).ok()?;
    let to = from.checked_add(usize::try_from(length).ok()?)?;
    (to <= len).then_some((from, to))
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn a_part_that_is_not_there_is_not_gone_to() {
        let said = |offset: u32, length: u32| [offset.to_le_bytes(), length.to_le_bytes()].concat();
        assert_eq!(next(&said(16, 4), 20), Some((16, 20)));
        assert_eq!((next(&said(16, 5), 20), next(&said(0, 0), 20), next(&[], 20)), (None, None, None));
        assert_eq!(next(&said(u32::MAX, u32::MAX), 20), None);
    }
}

//! The terminal in raw mode, so that every key reaches the node; and back, whatever happens.

use std::io;
use std::os::fd::AsFd as _;

use rustix::termios::{OptionalActions, QueueSelector, Termios, isatty, tcflush, tcgetattr, tcsetattr};
use tokio::sync::mpsc;

/// True when keys are typed by a person.
#[must_use]
pub fn has_keys() -> bool {
    isatty(io::stdin())
}

/// The terminal in raw mode, until this is dropped.
pub struct Raw {
    before: Termios,
}

impl Raw {
    /// Puts the terminal of standard input into raw mode.
    ///
    /// # Errors
    /// It is no terminal, or does not let itself be set.
    pub fn enter() -> io::Result<Self> {
        let stdin = io::stdin();
        let before = tcgetattr(stdin.as_fd())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin.as_fd(), OptionalActions::Now, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // What the terminal itself has typed in answer to the node is thrown away, so that no shell runs it. Nothing is left to do if it fails.
        let _ = tcflush(io::stdin().as_fd(), QueueSelector::IFlush);
        let _ = tcsetattr(io::stdin().as_fd(), OptionalActions::Now, &self.before);
    }
}

/// Keys as they are typed. The thread that reads them ends with the program: a read of a terminal cannot be called off.
pub fn keys() -> mpsc::Receiver<Vec<u8>> {
    let (send, keys) = mpsc::channel(16);
    std::thread::spawn(move || {
        let mut buffer = [0u8; 1024];
        while let Ok(count) = io::Read::read(&mut io::stdin().lock(), &mut buffer) {
            let bytes = buffer.get(..count).unwrap_or_default().to_vec();
            if count == 0 || send.blocking_send(bytes).is_err() {
                return;
            }
        }
    });
    keys
}

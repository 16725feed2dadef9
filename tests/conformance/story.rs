//! What one run told and what was wrong with it. Every word that the client says goes through here, so that credentials in it are found.

use std::fmt::Debug;
use std::time::Duration;

use bringup::bmc::{BmcError, Written};
use bringup::model::Class;
use futures_util::future::BoxFuture;

/// How often a read or a write is asked for again by whoever drives, as the product's runs do (an attempt is bounded by the step, not here).
pub const ATTEMPTS: u32 = 3;

/// One run.
#[derive(Default)]
pub struct Story {
    texts: Vec<String>,
    wrongs: Vec<String>,
    ended: Option<String>,
}

/// How a write ended, after looking where looking was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It is so.
    Done,
    /// It is not, and may be tried again.
    Again,
    /// It is not, and trying again is no use.
    No,
}

/// An error with everything beneath it, as it is shown and as it is logged.
pub fn whole(error: &BmcError) -> String {
    let mut text = format!("{error}; {error:?}");
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text.push_str(&format!("; {cause}; {cause:?}"));
        next = cause.source();
    }
    text
}

impl Story {
    /// Something that a person, a log or a journal could see.
    pub fn heard(&mut self, text: impl Into<String>) {
        self.texts.push(text.into());
    }

    /// A general assertion does not hold.
    pub fn wrong(&mut self, what: impl Into<String>) {
        self.wrongs.push(what.into());
    }

    /// The drive ends before its end, for this reason; the first counts.
    pub fn ends(&mut self, why: impl Into<String>) {
        self.ended.get_or_insert(why.into());
    }

    /// Asks until there is an answer, at most [`ATTEMPTS`] times, and only while the error says that it may pass.
    pub async fn read<'a, T: Debug>(&mut self, doing: &str, ask: impl Fn() -> BoxFuture<'a, Result<T, BmcError>>) -> Option<T> {
        for attempt in 1..=ATTEMPTS {
            match ask().await {
                Ok(answer) => {
                    self.heard(format!("{doing}: {answer:?}"));
                    return Some(answer);
                }
                Err(error) => {
                    self.heard(format!("{doing}: {}", whole(&error)));
                    if attempt == ATTEMPTS || error.class() != Class::Transient {
                        self.ends(format!("{doing}: {error}"));
                        return None;
                    }
                }
            }
        }
        None
    }

    /// Judges one write against the machine. `so`: the machine is as it was wanted; `untouched`: nothing was done to it since the write began.
    /// `look` asks the client what it sees (`Some(true)`: as wanted; `None`: it cannot tell) when the write is `Ambiguous`: what it sees must be true.
    pub async fn written<'a>(
        &mut self,
        doing: &str,
        written: &Written,
        so: impl Fn() -> bool,
        untouched: impl Fn() -> bool,
        look: impl Fn() -> BoxFuture<'a, (Option<bool>, String)>,
    ) -> End {
        match written {
            Written::Applied(seen) => {
                self.heard(format!("{doing}: applied: {seen}"));
                if !so() {
                    self.wrong(format!("{doing} was told Applied ({seen}), but the machine is not so"));
                }
                End::Done
            }
            Written::NotApplied(error) => {
                self.heard(format!("{doing}: not applied: {}", whole(error)));
                if !untouched() {
                    self.wrong(format!("{doing} was told NotApplied ({error}), but it had an effect"));
                }
                if error.class() == Class::Transient {
                    return End::Again;
                }
                self.ends(format!("{doing}: {error}"));
                End::No
            }
            Written::Ambiguous(seen) => {
                self.heard(format!("{doing}: ambiguous: {seen}"));
                for _ in 0..8 {
                    let (is, words) = look().await;
                    self.heard(format!("{doing}: looked: {words}"));
                    match is {
                        Some(is) => {
                            // The machine may have gone on since it was asked; only a claim that never was true is wrong.
                            if is && !so() {
                                self.wrong(format!("{doing} was settled as done ({words}), but the machine is not so"));
                            }
                            return if is { End::Done } else { End::Again };
                        }
                        None => tokio::time::sleep(Duration::from_millis(20)).await,
                    }
                }
                self.ends(format!("{doing}: ambiguous ({seen}) and could not be looked at"));
                End::No
            }
        }
    }

    /// Looks for credentials in everything that was told.
    pub fn search(&mut self, secrets: &[String]) {
        let leaks: Vec<String> = (self.texts.iter())
            .filter(|text| secrets.iter().any(|secret| text.contains(secret.as_str())))
            .map(|text| format!("a credential stands in: {text}"))
            .collect();
        self.wrongs.extend(leaks);
    }

    /// What was wrong, and why the drive ended early if it did.
    pub fn close(self) -> (Vec<String>, Option<String>) {
        (self.wrongs, self.ended)
    }
}

//! Following the logs of many BMCs at once: every new entry is told as it comes, and what may have been missed is told as a gap. It ends by Ctrl-C, by
//! SIGTERM or after a time, and takes away what it had made on the BMCs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::subscription::{Alive, Subscription, end_left, left_behind};
use super::{Args, is_bad, off, severity, text, when};
use crate::bmc::follow::{Follow, FollowHow, Followed, PushTo};
use crate::bmc::redfish::Doorbell;
use crate::bmc::sensing::LogEntry;
use crate::bmc::{WholeBmc, Written};
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::folded::{Told, Went, exit};
use crate::cli::global::{Global, parse_duration};
use crate::cli::handbook::HandBook;
use crate::cli::hands::{Hands, Trust};
use crate::cli::output::{Format, escape};
use crate::cli::{deed, descriptors, site};
use crate::model::{BmcProtocol, Node, NodeId};

/// Flags that are for following.
#[derive(Debug, clap::Args)]
pub struct How {
    /// With `--follow`: how often a log is read where the BMC does not tell of events; six times as long where it does
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    every: Duration,
    /// With `--follow`: leave after this time
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration, requires = "follow")]
    time: Option<Duration>,
    /// With `--follow`: listen here for the events of BMCs that push but do not stream
    #[arg(long, value_name = "ADDRESS:PORT", requires = "follow")]
    listen: Option<SocketAddr>,
    /// What BMCs are told to push to, when that is not the address of `--listen`
    #[arg(long, value_name = "HOST[:PORT]", requires = "listen")]
    listen_as: Option<String>,
}

/// What all nodes share.
struct Desk<'a> {
    global: &'a Global,
    hands: &'a Hands,
    which: Option<&'a str>,
    every: Duration,
    bad: bool,
    /// Columns for a node's name.
    width: usize,
    book: Option<Arc<HandBook>>,
    /// What listens, and the mark of this process.
    push: Option<(Arc<Doorbell>, String)>,
    left: BTreeMap<NodeId, Vec<String>>,
}

/// Follows until it is told to stop.
///
/// # Errors
/// The selection or inventory is wrong, a secret is missing, or nothing can listen; or it was interrupted, which is its usual end.
pub async fn run(args: Args, global: &Global) -> Result {
    if matches!(global.out.format, Format::Json | Format::Csv | Format::Junit) {
        return Err(
            Failure::new(Exit::USAGE, "a log that is followed has no end, which this form of data needs").hint("-o ndjson")
        );
    }
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let loaded = site::inventory(global)?;
    let selected = site::select(global, &loaded.inventory, args.nodes.as_deref())?;
    descriptors::enough(selected.len())?;
    let hands = Hands::new(&global.flags.inventory, None, &Trust::default()).remembering(global);
    let nodes = deed::reach(&loaded.inventory, &hands, &selected).await?;
    let bell = listen(&args.how).await?;
    let left = left_behind(global, &selected)?;
    // A run may go on meanwhile: events are no part of what it changes.
    let book = if bell.is_some() || !left.is_empty() { Some(Arc::new(HandBook::beside(global)?)) } else { None };
    let (mut push, mut _alive) = (None, None);
    if let (Some(bell), Some(book)) = (bell, &book) {
        let mark = book.name().to_string();
        _alive = Some(Alive::begin(global, &mark)?);
        push = Some((bell, mark));
    }
    let width = selected.iter().map(|id| id.as_str().len()).max().unwrap_or_default();
    let which = args.log.as_deref();
    let desk = Desk { global, hands: &hands, which, every: args.how.every, bad: args.bad, width, book, push, left };
    let (stop, stopped) = watch::channel(false);
    let mut told = BTreeMap::new();
    let mut all: FuturesUnordered<_> = nodes.into_iter().map(|node| desk.one(node, stopped.clone())).collect();
    let mut over = std::pin::pin!(async {
        match args.how.time {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    });
    let (mut ending, mut signals) = (false, 0);
    loop {
        tokio::select! {
            ended = all.next() => match ended {
                Some((node, end)) => drop(told.insert(node, end)),
                None => break,
            },
            () = &mut over, if !ending => {
                ending = true;
                stop.send_replace(true);
            }
            () = either(&mut interrupt, &mut terminate) => {
                signals += 1;
                ending = true;
                stop.send_replace(true);
                if signals > 1 {
                    // Sessions and subscriptions that are left are ended by the next run.
                    break;
                }
            }
        }
    }
    drop(all);
    let Desk { book, .. } = desk;
    if let Some(book) = book.and_then(Arc::into_inner) {
        book.close()?;
    }
    if signals > 0 { Err(Failure::new(Exit::INTERRUPTED, "interrupted")) } else { Ok(exit(&told)) }
}

async fn either(interrupt: &mut tokio::signal::unix::Signal, terminate: &mut tokio::signal::unix::Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

async fn listen(how: &How) -> Result<Option<Arc<Doorbell>>> {
    let Some(address) = how.listen else { return Ok(None) };
    if address.ip().is_unspecified() && how.listen_as.is_none() {
        let what = format!("a BMC cannot push to {}", address.ip());
        return Err(Failure::new(Exit::USAGE, what).hint("--listen-as HOST: how BMCs reach this machine"));
    }
    match Doorbell::listen(address, how.listen_as.as_deref()).await {
        Ok(bell) => Ok(Some(bell)),
        Err(error) => Err(Failure::new(Exit::ERROR, error).hint("give another address of this machine to --listen")),
    }
}

/// Waits until it is time to stop.
async fn time_to_stop(stopped: &mut watch::Receiver<bool>) {
    // The sender lives as long as the verb; without it there is nothing to wait for.
    drop(stopped.wait_for(|stop| *stop).await);
}

impl Desk<'_> {
    async fn one(&self, node: &Node, stopped: watch::Receiver<bool>) -> (NodeId, Told) {
        let told = match self.hands.whole(node) {
            Err(failure) => Told::unclear("no hand", failure.error.to_string()),
            Ok(bmc) => {
                let told = self.follow(node, bmc.as_ref(), stopped).await;
                bmc.close().await;
                told
            }
        };
        if told.went != Went::Well {
            self.say(&node.id, "end", &told.detail.clone().unwrap_or_else(|| told.answer.clone()));
        }
        (node.id.clone(), told)
    }

    async fn follow(&self, node: &Node, bmc: &dyn WholeBmc, mut stopped: watch::Receiver<bool>) -> Told {
        let left = self.left.get(&node.id).map(Vec::as_slice).unwrap_or_default();
        let push = self.push.as_ref().filter(|_| node.bmc.protocol == BmcProtocol::Redfish);
        if (push.is_some() || !left.is_empty())
            && let Some(refusal) = deed::stranger(bmc, node).await
        {
            return refusal;
        }
        for (mark, book) in left.iter().zip(self.book.iter().cycle()) {
            match end_left(book, &node.id, bmc, mark).await {
                None => return deed::not_journaled(),
                Some(Written::Applied(seen)) => {
                    self.say(&node.id, "way", &format!("a subscription of {mark}, which was killed: {seen}"))
                }
                Some(other) => {
                    let seen = Told::written(&other).detail.unwrap_or_default();
                    self.say(&node.id, "gap", &format!("a subscription of {mark}, which was killed, may still stand: {seen}"));
                }
            }
        }
        let subscription = push.zip(self.book.as_ref()).map(|((bell, mark), book)| {
            let subscription = Arc::new(Subscription::new(Arc::clone(book), &node.id, mark, bell.base()));
            (PushTo { doorbell: Arc::clone(bell), mark: mark.clone(), intent: Arc::clone(&subscription) as _ }, subscription)
        });
        let (push, subscription) = subscription.unzip();
        let how = FollowHow { every: self.every, push };
        let begun = tokio::select! {
            begun = bmc.follow(self.which, &how) => Some(begun),
            () = time_to_stop(&mut stopped) => None,
        };
        if let Some(subscription) = &subscription {
            let owed = begun.as_ref().and_then(|begun| begun.as_ref().ok()?.owes());
            subscription.begun(bmc, owed).await;
        }
        let mut follower = match begun {
            None => return Told::unclear("not followed", "its BMC had not answered when it was time to stop"),
            Some(Err(error)) => return Told::error(&error),
            Some(Ok(follower)) => follower,
        };
        tokio::select! {
            // What comes meanwhile waits in the follower.
            ahead = bmc.clock_skew() => if let Some(words) = ahead.ok().as_ref().and_then(off) {
                self.say(&node.id, "clock", &words);
            },
            () = time_to_stop(&mut stopped) => {}
        }
        let failed = self.watch(&node.id, follower.as_mut(), &mut stopped).await;
        let owed = follower.owes();
        let ended = match &subscription {
            Some(subscription) => subscription.end(follower.as_mut()).await,
            None => None,
        };
        match (failed, owed, ended) {
            (Some(error), ..) => Told::error(&error),
            (None, Some(_), None) => deed::not_journaled(),
            (None, _, Some(written @ (Written::NotApplied(_) | Written::Ambiguous(_)))) => Told::written(&written),
            (None, ..) => Told::well("followed"),
        }
    }

    /// Tells what comes until it is time to stop; gives the error with which it ended before.
    async fn watch(
        &self,
        node: &NodeId,
        follower: &mut (dyn Follow + Send),
        stopped: &mut watch::Receiver<bool>,
    ) -> Option<crate::bmc::BmcError> {
        loop {
            let next = tokio::select! {
                () = time_to_stop(stopped) => return None,
                next = follower.next() => next,
            };
            match next {
                Ok(Followed::Entry(entry)) => self.tell(node, "entry", &entry),
                Ok(Followed::Event(entry)) => self.tell(node, "event", &entry),
                Ok(Followed::Gap(why)) => self.say(node, "gap", &why),
                Ok(Followed::Way(how)) => self.say(node, "way", &how),
                Err(error) => return Some(error),
            }
        }
    }

    fn line(&self, node: &NodeId, what: &str, key: &str, value: Value) {
        self.global.out.line(json!({ "format_version": 1, "node": node, "told": what, key: value }).to_string());
    }

    fn tell(&self, node: &NodeId, what: &str, entry: &LogEntry) {
        if self.bad && !is_bad(entry) {
            return;
        }
        if self.global.out.format == Format::Ndjson {
            return self.line(node, what, "entry", serde_json::to_value(entry).unwrap_or(Value::Null));
        }
        let origin = if entry.origin.is_empty() { String::new() } else { format!("{}: ", entry.origin) };
        let words = format!("{origin}{}", text(entry));
        let line = format!("{:<20} {node:<width$} {:<8} {words}", when(entry), severity(entry), width = self.width);
        // One entry, one line, whatever the BMC wrote.
        self.global.out.line(escape(&line).replace('\n', " · "));
    }

    /// What is no entry: data for a program, talk for a person.
    fn say(&self, node: &NodeId, what: &str, words: &str) {
        if self.global.out.format == Format::Ndjson {
            return self.line(node, what, "words", Value::from(words));
        }
        let what = match what {
            "gap" => "gap: ",
            "end" => "not followed any more: ",
            _ => "",
        };
        self.global.talk(escape(&format!("{node}: {what}{words}")));
    }
}

//! Connections to one BMC, one exchange at a time on each: how many may be open, which is used again and which is not. It knows nothing of
//! Redfish, never sends a request twice, never follows a redirect, and says of every failure whether the request may have reached the BMC.
//!
//! Between exchanges only the TLS stream is kept, not HTTP's buffers (2 × 8 KiB in hyper): 12,500 waiting BMCs must fit in memory.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use hyper::body::Body;
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::dial::{Dialer, Stream, Unprepared};
use super::exchange::speak;
use super::limits::{Limits, SOCKETS};
use super::trust::Trust;

/// A body that a request may have.
pub(super) trait Streamed:
    Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static
{
}
impl<T: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static> Streamed for T {}

/// A whole answer.
pub(super) struct Answer {
    /// HTTP status.
    pub(super) status: StatusCode,
    /// HTTP headers, at most 100 and 64 KiB.
    pub(super) headers: HeaderMap,
    /// The whole body.
    pub(super) body: Vec<u8>,
}

/// What broke an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broke {
    /// No connection.
    Connect,
    /// TLS could not be agreed on.
    Tls,
    /// The certificate was not accepted.
    Certificate,
    /// The connection ended before the answer did.
    Lost,
    /// A reused connection stood still.
    Stalled,
    /// A deadline passed.
    TimedOut,
    /// The answer is not HTTP, or over a limit.
    Malformed,
}

/// A failed exchange.
#[derive(Debug)]
pub(super) struct Broken {
    /// What broke.
    pub(super) how: Broke,
    /// True when the BMC may have acted on the request.
    pub(super) sent: bool,
    /// True when the connection had carried an exchange before and nothing of an answer came on it.
    pub(super) reused: bool,
    /// Status and headers, when they came whole and the body did not.
    pub(super) head: Option<Box<(StatusCode, HeaderMap)>>,
    /// What was seen.
    pub(super) seen: String,
    /// The error beneath.
    pub(super) source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Broken {
    pub(super) fn new(how: Broke, sent: bool, seen: impl Into<String>) -> Self {
        Self { how, sent, reused: false, head: None, seen: seen.into(), source: None }
    }

    /// A request that cannot be written down.
    pub(super) fn unaskable(source: http::Error) -> Self {
        Self::new(Broke::Malformed, false, "the link cannot be asked for").because(source)
    }

    pub(super) fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(super) fn after(mut self, status: StatusCode, headers: HeaderMap) -> Self {
        self.head = Some(Box::new((status, headers)));
        self
    }
}

/// What an exchange may cost.
pub(super) struct Terms {
    /// When it must be over.
    pub(super) deadline: Instant,
    /// Only on a connection of its own: what must not be lost to a connection that the BMC had given up already (RC-04).
    pub(super) fresh: bool,
    /// A waiting connection is used when it has waited no longer than this.
    pub(super) within: Duration,
    /// Longest wait for an answer on a reused connection (RC-05); then the caller may ask anew.
    pub(super) stall: Option<Duration>,
}

/// Most connections that wait. One waits as a rule; a second while two reads go on at once.
const KEPT: usize = 2;
/// How often in a row a reused connection may fail before none is used again.
const PATIENCE: u32 = 2;
/// Whole answers after which one socket more is tried.
const HEALS: usize = 64;

/// An open connection; its socket counts until it is dropped.
struct Pipe {
    stream: Box<dyn Stream>,
    socket: OwnedSemaphorePermit,
}

struct Kept {
    pipe: Pipe,
    since: Instant,
}

/// The way to one BMC.
pub(super) struct Transport {
    dialer: Dialer,
    limits: Limits,
    /// Connections that wait for the next request.
    kept: Arc<Mutex<Vec<Kept>>>,
    /// Something looks after those that wait too long.
    tended: Arc<AtomicBool>,
    /// Sockets that may still be opened (RC-06).
    sockets: Arc<Semaphore>,
    /// Sockets that the BMC turned out to have no room for.
    lowered: AtomicUsize,
    /// Whole answers since the last change of that.
    good: AtomicUsize,
    /// Reused connections that failed in a row; [`PATIENCE`] of them end all reuse (RC-04, RC-05).
    failed: AtomicU32,
}

impl Transport {
    /// A transport that has not connected yet.
    pub(super) fn new(dialer: Dialer, limits: Limits) -> Self {
        Self {
            dialer,
            limits,
            kept: Arc::default(),
            tended: Arc::default(),
            sockets: Arc::new(Semaphore::new(SOCKETS)),
            lowered: AtomicUsize::new(0),
            good: AtomicUsize::new(0),
            failed: AtomicU32::new(0),
        }
    }

    /// Another way to the same BMC, with connections of its own and what was learned of reuse.
    pub(super) fn twin(&self) -> Result<Self, Unprepared> {
        let twin = Self::new(self.dialer.twin()?, self.limits.clone());
        twin.failed.store(self.failed.load(Ordering::Relaxed), Ordering::Relaxed);
        Ok(twin)
    }

    /// Another way to the same BMC under another trust.
    pub(super) fn under(&self, trust: Trust) -> Result<Self, Unprepared> {
        Ok(Self::new(self.dialer.under(trust)?, self.limits.clone()))
    }

    /// A connection for an exchange that does not end; its socket counts for as long as the second is held.
    pub(super) async fn lend(&self, deadline: Instant) -> Result<(Box<dyn Stream>, OwnedSemaphorePermit), Broken> {
        let Pipe { stream, socket } = self.connect(deadline).await?;
        Ok((stream, socket))
    }

    /// Keeps at most `most` waiting connections and closes the others.
    pub(super) fn trim(&self, most: usize) {
        self.waiting(|kept| kept.truncate(most));
    }

    /// From now on every exchange has a connection of its own: a habit of the BMC, told by whoever knows it.
    pub(super) fn never_reuse(&self) {
        self.failed.store(PATIENCE, Ordering::Relaxed);
        self.trim(0);
    }

    /// True when the BMC has turned out to have room for fewer sockets than it is given.
    pub(super) fn short(&self) -> bool {
        self.lowered.load(Ordering::Relaxed) > 0
    }

    /// Whether connections are used again.
    pub(super) fn reuses(&self) -> bool {
        self.failed.load(Ordering::Relaxed) < PATIENCE
    }

    fn waiting<T>(&self, f: impl FnOnce(&mut Vec<Kept>) -> T) -> T {
        f(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One request, one answer. The request is sent at most once; its body may be streamed.
    pub(super) async fn exchange<B: Streamed>(&self, mut request: Request<B>, terms: &Terms) -> Result<Answer, Broken> {
        let kept = if terms.fresh { None } else { self.take_kept(terms.within).await };
        let reused = kept.is_some();
        let pipe = match kept {
            Some(pipe) => pipe,
            None => self.connect(terms.deadline).await?,
        };
        if !self.reuses() {
            request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let Pipe { stream, socket } = pipe;
        let spoken = timeout_at(terms.deadline, speak(stream, request, &self.limits, terms.stall.filter(|_| reused))).await;
        let (answer, stream) = spoken.map_err(|_| Broken::new(Broke::TimedOut, true, "no whole answer before the deadline"))?;
        if answer.is_ok() {
            self.heal();
        }
        match &answer {
            Ok(_) if reused => self.failed.store(0, Ordering::Relaxed),
            Err(gone) if reused && gone.head.is_none() => match gone.how {
                Broke::Lost => drop(self.failed.fetch_add(1, Ordering::Relaxed)),
                // A stall costs too much to be waited out twice.
                Broke::Stalled => self.never_reuse(),
                _ => {}
            },
            _ => {}
        }
        if let Some(stream) = stream {
            self.keep(Pipe { stream, socket }).await;
        }
        answer.map_err(|gone| Broken { reused: reused && gone.head.is_none(), ..gone })
    }

    async fn keep(&self, mut pipe: Pipe) {
        // The look also lets rustls shrink its buffer from a record's size (up to 18 KiB) to 4 KiB.
        if self.reuses() && silent(&mut pipe).await {
            self.waiting(|kept| {
                kept.push(Kept { pipe, since: Instant::now() });
                // The newest are the likeliest to be alive.
                let surplus = kept.len().saturating_sub(KEPT);
                kept.drain(..surplus);
            });
            self.tend();
        }
    }

    /// Closes connections that wait too long: some BMCs choke on them (RC-05). One task at most, and only while something waits.
    fn tend(&self) {
        if self.tended.swap(true, Ordering::Relaxed) {
            return;
        }
        let (kept, tended, longest) = (Arc::downgrade(&self.kept), Arc::clone(&self.tended), self.limits.reuse);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(longest).await;
                let Some(kept) = kept.upgrade() else { return };
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.retain(|one| one.since.elapsed() < longest);
                if kept.is_empty() {
                    // Under the lock: whoever adds one after this finds that nothing looks after it.
                    tended.store(false, Ordering::Relaxed);
                    return;
                }
            }
        });
    }

    /// The waiting connection, if it is fresh and silent. One that has been closed or has said something unasked is dropped, so that no
    /// request is written to a dead connection.
    async fn take_kept(&self, within: Duration) -> Option<Pipe> {
        let kept = self.waiting(Vec::pop)?;
        let mut pipe = kept.pipe;
        (kept.since.elapsed() <= within && silent(&mut pipe).await).then_some(pipe)
    }

    /// A new connection within the sockets that a BMC is given. When it refuses one while others of ours are open, it may have no room for so
    /// many (bmcweb has 200 for all of its clients, small BMCs a handful): the limit falls by one and waiting ones are closed.
    async fn connect(&self, deadline: Instant) -> Result<Pipe, Broken> {
        loop {
            let socket = self.socket(deadline).await?;
            let taken = self.sockets.available_permits() + self.lowered.load(Ordering::Relaxed) + 1;
            let others = SOCKETS.saturating_sub(taken);
            match self.dialer.dial(deadline.min(Instant::now() + self.limits.connect)).await {
                Ok(stream) => return Ok(Pipe { stream, socket }),
                Err(gone) if others > 0 && matches!(gone.how, Broke::Connect | Broke::Lost) && Instant::now() < deadline => {
                    self.lowered.fetch_add(1, Ordering::Relaxed);
                    self.good.store(0, Ordering::Relaxed);
                    socket.forget();
                    self.trim(0);
                }
                Err(gone) => return Err(gone),
            }
        }
    }

    /// Gives a lost socket back after enough whole answers: a BMC that was short of them for a moment is not short for ever.
    fn heal(&self) {
        let good = self.good.fetch_add(1, Ordering::Relaxed) + 1;
        if good >= HEALS && self.lowered.load(Ordering::Relaxed) > 0 {
            self.good.store(0, Ordering::Relaxed);
            self.lowered.fetch_sub(1, Ordering::Relaxed);
            self.sockets.add_permits(1);
        }
    }

    async fn socket(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, Broken> {
        if let Ok(socket) = Arc::clone(&self.sockets).try_acquire_owned() {
            return Ok(socket);
        }
        // Those that wait give way to those that work.
        self.trim(0);
        match timeout_at(deadline, Arc::clone(&self.sockets).acquire_owned()).await {
            Ok(Ok(socket)) => Ok(socket),
            _ => Err(Broken::new(Broke::TimedOut, false, "no connection to this BMC came free before the deadline")),
        }
    }
}

/// True when the connection is open and says nothing.
async fn silent(pipe: &mut Pipe) -> bool {
    poll_fn(|cx| {
        let mut byte = [0_u8; 1];
        let mut buffer = ReadBuf::new(&mut byte);
        Poll::Ready(std::pin::Pin::new(&mut pipe.stream).poll_read(cx, &mut buffer).is_pending())
    })
    .await
}

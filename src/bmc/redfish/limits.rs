//! Times and sizes that bound every exchange with a BMC. Data only.

use std::time::Duration;

/// Bounds of one BMC's exchanges. [`Limits::default`] is for real BMCs; tests shorten them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Longest wait for TCP and TLS together. BMCs need 1–5 s for an RSA handshake, and some accept slowly (RC-06).
    pub connect: Duration,
    /// Longest time for one read with all its retries.
    pub request: Duration,
    /// The same for firmware inventory: 180 s on DGX (libredfish `nvidia_viking.rs:495`).
    pub inventory: Duration,
    /// Longest silence inside a body (bmcweb gives up after 15 s too).
    pub idle: Duration,
    /// First pause before a read is tried again; doubles each time.
    pub pause: Duration,
    /// Shortest and longest `Retry-After` that is obeyed.
    pub retry_after: (Duration, Duration),
    /// Shortest and longest pause between looks at a state that is changing.
    pub poll: (Duration, Duration),
    /// Longest body, in bytes.
    pub body: usize,
    /// How long a connection waits for the next request before it is closed (RC-05).
    pub reuse: Duration,
    /// Longest wait for an answer on a connection that was used before: some BMCs never give one (RC-05). The question is then asked anew on a
    /// connection of its own, where only the deadline counts. Twice as long for logging in and out.
    pub stall: Duration,
    /// How long the power stays off where a restart is made of off and on (libredfish: 10 s, RC-58), and the longest that a habit may ask for.
    pub dark: (Duration, Duration),
    /// A forced restart that shows nowhere for so long hangs (RC-58).
    pub restart: Duration,
    /// Longest wait for a BMC that refuses changes while its node is in self-test (minutes: ironic bug 2136275, RC-64).
    pub post: Duration,
    /// Bounds of a firmware update.
    pub update: UpdateLimits,
}

/// Bounds of a firmware update. Where the BMC's habits name a time too, the shorter one counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateLimits {
    /// A new task may be missing for so long, and what says that it waits for a reset is given so long to do it by itself.
    pub grace: Duration,
    /// A task without progress for so long is a stall.
    pub stall: Duration,
    /// The new version may show so long after the task has ended.
    pub lag: Duration,
    /// Longest stand-still of an upload.
    pub silent: Duration,
    /// Longest wait for the answer to an upload: ASRock's BMC takes a minute, iDRAC verifies first.
    pub answer: Duration,
    /// Between two uploads to one BMC (30 s by nvfwupd 2.0.9: the memory of the first must be free, RC-50).
    pub gap: Duration,
}

impl Default for UpdateLimits {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(300),
            stall: Duration::from_secs(3_600),
            lag: Duration::from_secs(3_600),
            silent: Duration::from_secs(60),
            answer: Duration::from_secs(600),
            gap: Duration::from_secs(300),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            request: Duration::from_secs(60),
            inventory: Duration::from_secs(180),
            idle: Duration::from_secs(15),
            pause: Duration::from_millis(250),
            retry_after: (Duration::from_secs(1), Duration::from_secs(120)),
            // Just under `reuse`, so that a watch keeps its connection.
            poll: (Duration::from_millis(500), Duration::from_secs(4)),
            body: 8 << 20,
            reuse: Duration::from_secs(5),
            stall: Duration::from_secs(10),
            dark: (Duration::from_secs(10), Duration::from_secs(120)),
            restart: Duration::from_secs(60),
            post: Duration::from_secs(300),
            update: UpdateLimits::default(),
        }
    }
}

/// Most sockets to one BMC (RC-06): two reads and a write.
pub(super) const SOCKETS: usize = 3;
/// How often a read is tried in all.
pub(super) const TRIES: u32 = 3;
/// How many redirects are followed.
pub(super) const REDIRECTS: u32 = 3;
/// How many members or pages of a collection are followed. The largest collection in the captured trees holds 106.
pub(super) const MEMBERS: usize = 2_000;

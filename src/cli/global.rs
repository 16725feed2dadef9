//! Flags that mean the same everywhere, and what follows from them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::failure::{Exit, Failure, Result};
use super::farewell::Farewells;
use super::output::{Format, Out};

/// Flags that every verb takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Flags {
    /// Directory of the inventory
    #[arg(short, long, global = true, value_name = "DIR", default_value = "inventory", help_heading = "Global options")]
    pub inventory: PathBuf,
    /// Playbook file
    #[arg(short, long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub playbook: Option<PathBuf>,
    /// Only these nodes: names, ranges and labels, such as `rack=a017 & accel=nvidia - label:hold`
    #[arg(short, long, global = true, value_name = "EXPR", help_heading = "Global options")]
    pub select: Option<String>,
    /// Form of the data on standard output
    #[arg(short, long, global = true, value_enum, default_value = "text", help_heading = "Global options")]
    pub output: Format,
    /// Journal of runs
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        env = "BRINGUP_STATE",
        default_value = ".bringup/journal.db",
        help_heading = "Global options"
    )]
    pub state: String,
    /// Longest wait for a lock that another run holds, such as `60s` or `5m`
    #[arg(long, global = true, value_name = "TIME", default_value = "0s", value_parser = parse_duration, help_heading = "Global options")]
    pub lock_timeout: Duration,
    /// Say more (repeat for still more)
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Global options")]
    pub verbose: u8,
    /// Say less: errors only
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub quiet: bool,
    /// No colours (also `NO_COLOR`, `CI=true`, no terminal)
    #[arg(long = "no-color", global = true, help_heading = "Global options")]
    pub no_color: bool,
}

/// The flags, and what follows from them.
#[derive(Debug, Clone)]
pub struct Global {
    /// As given.
    pub flags: Flags,
    /// Where data goes.
    pub out: Out,
    /// What is to be ended on BMCs when the verb is interrupted.
    pub farewells: Farewells,
}

impl Global {
    /// Looks at the terminal once.
    #[must_use]
    pub fn new(flags: Flags) -> Self {
        let out = Out::new(flags.output, flags.no_color, flags.quiet);
        Self { flags, out, farewells: Farewells::default() }
    }

    /// Talk for people, on standard error; silent with `-q`.
    pub fn talk(&self, text: impl AsRef<str>) {
        self.out.talk(text);
    }

    /// The journal's file.
    ///
    /// # Errors
    /// A URL of a store that this version cannot use.
    pub fn journal_path(&self) -> Result<PathBuf> {
        let state = &self.flags.state;
        match state.split_once("://") {
            None => Ok(PathBuf::from(state)),
            Some(("sqlite", path)) if !path.is_empty() => Ok(PathBuf::from(path)),
            Some((scheme, _)) => {
                Err(Failure::new(Exit::USAGE, format!("the state `{scheme}://…` is not supported by this version"))
                    .hint("give a file: --state .bringup/journal.db"))
            }
        }
    }

    /// The directory beside the journal where pool, grants and lock lie.
    ///
    /// # Errors
    /// As [`Self::journal_path`], or when the directory cannot be made.
    pub fn state_dir(&self) -> Result<PathBuf> {
        let journal = self.journal_path()?;
        let dir = journal.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf();
        std::fs::create_dir_all(&dir).map_err(|e| {
            Failure::new(Exit::ERROR, StateDirError { dir: dir.clone(), source: e }).hint("give a writable place with --state")
        })?;
        Ok(dir)
    }

    /// True when a person can be asked.
    #[must_use]
    pub fn interactive(&self) -> bool {
        use std::io::IsTerminal as _;
        std::io::stdin().is_terminal() && self.out.bars
    }
}

/// The state directory could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the state directory {}", dir.display())]
struct StateDirError {
    dir: PathBuf,
    source: std::io::Error,
}

/// Reads `90s`, `10m`, `2h` or `500ms`.
///
/// # Errors
/// A message for clap.
pub fn parse_duration(text: &str) -> std::result::Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| format!("`{text}` is not a time; write `90s`, `10m` or `2h`"))?;
    let ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(format!("`{text}` has no unit; write `90s`, `10m` or `2h`")),
    };
    number.checked_mul(ms).map(Duration::from_millis).ok_or_else(|| format!("`{text}` is too long"))
}

/// Milliseconds since 1970-01-01 UTC.
#[must_use]
pub fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Today in UTC as `YYYY-MM-DD`.
#[must_use]
pub fn today() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()
}

/// Who runs this: `user@host`, for the journal.
#[must_use]
pub fn whoami() -> String {
    let user = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).or_else(|_| std::env::var("LOGNAME"));
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let clean = |s: &str| s.chars().filter(|c| c.is_ascii_graphic()).take(64).collect::<String>();
    format!("{}@{}", clean(user.as_deref().unwrap_or("unknown")), clean(host.trim()))
}

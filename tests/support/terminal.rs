//! A program on a terminal of its own, by `script` of util-linux: what it prints is read, keys are typed as a person would.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Longest wait for a word.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Terminal {
    child: Child,
    keys: Option<ChildStdin>,
    seen: Arc<Mutex<Vec<u8>>>,
    /// Up to here it was waited for.
    read: usize,
}

impl Terminal {
    /// Starts a shell command on a terminal.
    pub fn start(line: &str, prepare: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new("script");
        command.args(["-qefc", line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        prepare(&mut command);
        let mut child = command.spawn().unwrap();
        let (keys, mut out) = (child.stdin.take(), child.stdout.take().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = out.read(&mut buffer) {
                sink.lock().unwrap().extend(&buffer[..count]);
            }
        });
        Self { child, keys, seen, read: 0 }
    }

    /// Everything so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    /// Waits until this is printed, after what was waited for before.
    #[track_caller]
    pub fn until(&mut self, word: &str) -> &mut Self {
        let start = Instant::now();
        loop {
            let found = {
                let seen = self.seen.lock().unwrap();
                let rest = &seen[self.read.min(seen.len())..];
                rest.windows(word.len()).position(|window| window == word.as_bytes())
            };
            if let Some(at) = found {
                self.read += at + word.len();
                return self;
            }
            assert!(start.elapsed() < PATIENCE, "waited in vain for {word:?}: {:?}", self.text());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn type_in(&mut self, keys: &str) -> &mut Self {
        let keyboard = self.keys.as_mut().unwrap();
        keyboard.write_all(keys.as_bytes()).unwrap();
        keyboard.flush().unwrap();
        self
    }

    /// Waits for its end; gives its exit code and all that it printed.
    #[track_caller]
    pub fn end(mut self) -> (Option<i32>, String) {
        let start = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None => assert!(start.elapsed() < PATIENCE, "it does not end: {:?}", self.text()),
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        // The reader may still have something in hand.
        std::thread::sleep(Duration::from_millis(50));
        (status.code(), self.text())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.keys.take());
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

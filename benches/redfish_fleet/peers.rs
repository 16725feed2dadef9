//! The other clients, each asking the same BMCs of the same farm. All of them are told to trust any certificate: their best case.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use crate::farm::{Bmc, Farm};
use crate::measure::{Figures, run};

/// `curl --parallel`: one GET of the system by Basic authentication, no session. 300 at once is the most that it takes.
pub fn curl(farm: &Farm) -> Figures {
    let config = farm.dir.path().join("curl.conf");
    let mut text = String::new();
    for bmc in &farm.bmcs {
        let _ = writeln!(text, "url = \"https://{}{}\"\noutput = \"/dev/null\"", bmc.address, bmc.system);
    }
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new("curl");
    command.args([
        "--silent",
        "--no-progress-meter",
        "--insecure",
        "--parallel",
        "--parallel-max",
        "300",
        "--parallel-immediate",
    ]);
    command.args(["--user", &format!("admin:{}", farm.password), "--write-out", "%{http_code}\\n", "--config"]).arg(&config);
    run(&mut command, |text| text.lines().filter(|line| *line == "200").count())
}

const SUSHY: &str = r#"
import sys, warnings
from concurrent.futures import ThreadPoolExecutor
warnings.filterwarnings("ignore")
import sushy
password, path = sys.argv[1], sys.argv[2]
def power(line):
    address, system = line.split()
    auth = sushy.auth.SessionAuth("admin", password)
    root = sushy.Sushy("https://" + address, auth=auth, verify=False)
    state = root.get_system(system).power_state
    auth.close()
    return state
with ThreadPoolExecutor(32) as pool:
    for state in pool.map(power, open(path).read().splitlines()):
        print(state.value)
"#;

/// sushy (the library of OpenStack Ironic) in 32 threads, a session for each BMC, as its users have it.
pub fn sushy(farm: &Farm, python: &PathBuf, bmcs: &[Bmc]) -> Figures {
    let (script, list) = (farm.dir.path().join("peer.py"), farm.dir.path().join("list"));
    std::fs::write(&script, SUSHY).unwrap();
    let lines: Vec<String> = bmcs.iter().map(|bmc| format!("{} {}", bmc.address, bmc.system)).collect();
    std::fs::write(&list, lines.join("\n")).unwrap();
    let mut command = Command::new(python);
    command.arg(script).arg(&farm.password).arg(list).stderr(std::process::Stdio::null());
    // An environment that names a CA bundle overrides `verify=False` in python-requests.
    command.env_remove("REQUESTS_CA_BUNDLE").env_remove("CURL_CA_BUNDLE");
    run(&mut command, |text| text.lines().filter(|line| *line == "Off").count())
}

/// Python with sushy: of `tests/peers/python.sh`, or what `BRINGUP_VENV` says.
pub fn python() -> Option<PathBuf> {
    let home = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = home.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let venv = std::env::var_os("BRINGUP_VENV").map(PathBuf::from).or_else(|| Some(cache?.join("bringup-tests/venv")))?;
    let python = venv.join("bin/python");
    Command::new(&python).args(["-c", "import sushy"]).status().is_ok_and(|status| status.success()).then_some(python)
}

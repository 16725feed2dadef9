//! The simulated console under the clients that everybody uses: `ipmitool sol activate` and FreeIPMI's `ipmiconsole`, on a terminal of their own.

use bringup::model::PowerVerb;

use super::rmcp_rig::{PASSWORD, Rig, USER};
use crate::support::need_program;
use crate::support::terminal::Terminal;

fn ipmitool(rig: &Rig, suite: &str, verb: &str) -> Terminal {
    let port = rig.address.port();
    let line = format!("ipmitool -I lanplus -H 127.0.0.1 -p {port} -U {USER} -E -C {suite} sol {verb}");
    Terminal::start(&line, |command| {
        command.env("IPMITOOL_PASSWORD", PASSWORD);
    })
}

#[test]
fn ipmitool_sees_a_boot_and_types() {
    let name = "ipmitool_sees_a_boot_and_types";
    if need_program(name, "ipmitool").is_none() || need_program(name, "script").is_none() {
        return;
    }
    for suite in ["3", "17"] {
        let rig = Rig::new(&[]);
        let mut screen = ipmitool(&rig, suite, "activate");
        screen.until("SOL Session operational");
        rig.machine.power(PowerVerb::On);
        screen.until("System ROM").until("Linux version").until("a001-s01 login: ");
        screen.type_in("root\r").until("Password: ").type_in("sim\r").until("# ");
        let words: Vec<String> = (0..120).map(|n| format!("w{n}")).collect();
        let words = words.join(" ");
        screen.type_in(&format!("echo {words}\r")).until(&format!("\r\n{words}\r\n")).until("# ");
        // Another one is told that it is taken, and may take it away.
        let mut second = ipmitool(&rig, suite, "activate");
        second.until("already active on another session");
        let (code, _) = second.end();
        assert_ne!(code, Some(0));
        ipmitool(&rig, suite, "deactivate").end();
        // It takes no notice of the farewell, and of nothing else until it has something to send.
        screen.type_in("x").until("closed by BMC");
        let info = crate::sim::rmcp_rig::good(&rig.ipmitool(suite, &["sol", "info"]));
        assert!(info.contains("Enabled                         : true") && info.contains("115.2"), "{info}");
        let mut again = ipmitool(&rig, suite, "activate");
        again.until("SOL Session operational").type_in("\r").until("# ").type_in("\r~.").until("terminated ipmitool");
    }
}

#[test]
fn ipmiconsole_sees_and_types() {
    let name = "ipmiconsole_sees_and_types";
    if need_program(name, "ipmiconsole").is_none() || need_program(name, "script").is_none() {
        return;
    }
    for suite in ["3", "17"] {
        let rig = Rig::on_a_low_port(&[]);
        let line = rig.freeipmi_line("ipmiconsole", suite, "");
        let start = || Terminal::start(&line, |_| {});
        let mut first = start();
        first.until("[SOL established]");
        rig.machine.power(PowerVerb::On);
        first.until("Booting from local disk").until("a001-s01 login: ");
        first.type_in("root\r").until("Password: ").type_in("sim\r").until("# ").type_in("uname -m\r").until("\r\nx86_64\r\n");
        // FreeIPMI takes a console away by itself; whoever had it is told.
        let mut second = start();
        second.until("[SOL established]");
        first.until("[SOL session stolen]");
        second.type_in("\r").until("# ").type_in("exit\r").until("login: ").type_in("&.").until("closing the connection");
    }
}

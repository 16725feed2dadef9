//! Commands: output, exit status, limits, deadlines, and what is Unknown.

use bringup::model::{Answer, Probe, ProbeOutput};
use bringup::shell::{Shell, ShellTrouble};

use super::far::{DEADLINE, Far, block_on};
use crate::support::wait_until;

fn sh(script: &str) -> Probe {
    Probe::new("test", ["sh", "-c", script])
}

fn output(answer: Answer) -> ProbeOutput {
    match answer {
        Answer::Output(output) => output,
        Answer::Unknown { why } => panic!("unknown: {why}"),
    }
}

fn why(answer: Answer) -> String {
    match answer {
        Answer::Unknown { why } => why,
        Answer::Output(output) => panic!("an answer: {output:?}"),
    }
}

/// The same promises for both servers.
fn commands_end_to_end(far: &Far) {
    block_on(async {
        let shell = far.shell();
        let got = output(shell.run(&sh("printf out; printf err >&2; exit 3")).await.unwrap());
        assert_eq!(got, ProbeOutput { exit: 3, stdout: b"out".to_vec(), stderr: b"err".to_vec() });
        // Nothing is spliced: the far end sees the very words.
        let words = ["printf", "%s|", "a b", "$(id)", "it's", "", "-n", "\n"];
        assert_eq!(output(shell.run(&Probe::new("words", words)).await.unwrap()).stdout, b"a b|$(id)|it's||-n|\n|");
        // Standard input is empty, so a program that reads it ends.
        assert_eq!(output(shell.run(&sh("cat; echo end")).await.unwrap()).stdout, b"end\n");
        assert_eq!(output(shell.run(&Probe::new("none", ["no-such-program-here"])).await.unwrap()).exit, 127);
        assert_eq!(shell.boot_id().await.unwrap(), std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim());
        // Two megabytes come whole.
        let big = output(shell.run(&sh("head -c 2000000 /dev/zero")).await.unwrap());
        assert_eq!((big.exit, big.stdout.len()), (0, 2_000_000));
        // Standard error is cut at 64 KiB, not lost.
        let loud = output(shell.run(&sh("head -c 200000 /dev/zero >&2; echo ok")).await.unwrap());
        assert_eq!((loud.stdout.as_slice(), loud.stderr.len()), (b"ok\n".as_slice(), 64 << 10));
        let mut small = sh("yes");
        small.limit_bytes = 100_000;
        assert!(why(shell.run(&small).await.unwrap()).contains("100000 bytes"));
        assert!(why(shell.run(&sh("kill -9 $$")).await.unwrap()).contains("KILL"));
        shell.close().await;
        assert_eq!(output(shell.run(&sh("echo again")).await.unwrap()).stdout, b"again\n", "a closed shell opens again");
    });
}

#[test]
fn openssh_runs_commands() {
    let Some(far) = Far::openssh("shell::run::openssh_runs_commands") else { return };
    commands_end_to_end(&far);
}

#[test]
fn dropbear_runs_commands() {
    let Some(far) = Far::dropbear("shell::run::dropbear_runs_commands") else { return };
    commands_end_to_end(&far);
}

/// A command that outlives its deadline is stopped on the node, not only forgotten here.
fn deadline(far: &Far, alone: bool) {
    let pid_file = far.path("pid-of-it");
    block_on(async {
        let shell = far.shell();
        let script = format!("echo $$ > {}; exec sleep 600", pid_file.display());
        if !alone {
            // Another command runs on the same connection and must live: then only the very command line is stopped.
            let (other, stopped) = (sh("sleep 12; echo lived"), sh("while :; do sleep 1; done").within(1));
            let (lived, stopped) = tokio::join!(shell.run(&other), shell.run(&stopped));
            assert!(why(stopped.unwrap()).contains("after 1 s"));
            assert_eq!(output(lived.unwrap()).stdout, b"lived\n");
        }
        let said = why(shell.run(&sh(&script).within(1)).await.unwrap());
        assert!(said.contains("after 1 s"), "{said}");
    });
    let pid = std::fs::read_to_string(&pid_file).unwrap().trim().to_owned();
    wait_until("the command is stopped on the node", DEADLINE, || {
        !std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == "sleep")
    });
}

#[test]
fn a_deadline_stops_the_command_under_openssh() {
    let Some(far) = Far::openssh("shell::run::a_deadline_stops_the_command_under_openssh") else { return };
    deadline(&far, false);
}

#[test]
fn a_deadline_stops_the_command_under_dropbear() {
    let Some(far) = Far::dropbear("shell::run::a_deadline_stops_the_command_under_dropbear") else { return };
    deadline(&far, true);
}

#[test]
fn a_lost_connection_is_unknown_and_the_next_command_reconnects() {
    let Some(mut far) = Far::openssh("shell::run::a_lost_connection_is_unknown_and_the_next_command_reconnects") else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let shell = std::sync::Arc::new(far.shell());
    let flag = far.path("started");
    let (running, script) = (std::sync::Arc::clone(&shell), format!("touch {}; sleep 600", flag.display()));
    let lost = runtime.spawn(async move { running.run(&sh(&script)).await });
    wait_until("the command runs", DEADLINE, || flag.exists());
    far.crash();
    let said = why(runtime.block_on(lost).unwrap().unwrap());
    assert!(said.contains("lost"), "{said}");
    let error = runtime.block_on(shell.run(&sh("true"))).unwrap_err();
    assert_eq!(error.kind, ShellTrouble::Unreachable, "{error}");
    far.start();
    assert_eq!(output(runtime.block_on(shell.run(&sh("echo back"))).unwrap()).stdout, b"back\n");
}

#[test]
fn many_commands_share_one_connection() {
    let Some(far) = Far::openssh("shell::run::many_commands_share_one_connection") else { return };
    thirty_at_once(&far, "true");
    assert_eq!(far.log().matches("no more sessions").count(), 0, "never more than OpenSSH allows by itself");
}

#[test]
fn a_server_that_allows_fewer_sessions_is_asked_again() {
    let Some(mut far) = Far::openssh("shell::run::a_server_that_allows_fewer_sessions_is_asked_again") else { return };
    far.crash();
    far.start_with("MaxSessions 1\n");
    thirty_at_once(&far, "sleep 0.05");
    assert!(far.log().contains("no more sessions"), "{}", far.log());
}

/// All at once by one connection, and each gets its own answer.
fn thirty_at_once(far: &Far, first: &str) {
    block_on(async {
        let shell = far.shell();
        let probes: Vec<Probe> = (0..30).map(|i| sh(&format!("{first}; echo {i}"))).collect();
        let answers = futures_util::future::join_all(probes.iter().map(|probe| shell.run(probe))).await;
        for (i, answer) in answers.into_iter().enumerate() {
            assert_eq!(output(answer.unwrap()).stdout, format!("{i}\n").as_bytes());
        }
    });
    assert_eq!(far.log().matches("Accepted publickey").count(), 1);
}

#[test]
fn what_cannot_be_sent_is_refused_before_any_connection() {
    let Some(far) = Far::openssh("shell::run::what_cannot_be_sent_is_refused_before_any_connection") else { return };
    block_on(async {
        for argv in [vec![], vec!["a".to_owned(), "b\0".to_owned()]] {
            assert_eq!(far.shell().run(&Probe::new("bad", argv)).await.unwrap_err().kind, ShellTrouble::Refused);
        }
    });
    assert!(!far.log().contains("publickey"));
}

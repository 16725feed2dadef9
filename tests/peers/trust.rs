//! A BMC that is not the recorded one, or that refuses us, ends a plan with exit code 10 before anything is touched.

use super::lab::{self, Lab, Machine};
use super::verbs::{Said, run};
use super::words::{Words, node};

#[test]
fn a_wrong_certificate_ends_before_a_credential_is_sent() {
    let Some((lab, _turn)) = lab::need("a_wrong_certificate_ends_before_a_credential_is_sent") else { return };
    let (machine, words) = (lab.machine(1), Words::write(lab, &[]));
    words.change("inventory/facts/lab.csv", &machine.certificate, &"0".repeat(64));
    let requests = lab.redfish_requests(machine);
    let said = must_not_be_planned(lab, machine, &words);
    assert!(format!("{}{}", said.out, said.err).contains("certificate"), "{said:?}");
    assert_eq!(lab.redfish_requests(machine), requests, "a request was sent through a connection that is not trusted");
}

#[test]
fn a_wrong_uuid_behind_the_address_is_refused() {
    let Some((lab, _turn)) = lab::need("a_wrong_uuid_behind_the_address_is_refused") else { return };
    let (machine, words) = (lab.machine(1), Words::write(lab, &[]));
    words.change("inventory/facts/lab.csv", &machine.uuid, "4c4c4544-0077-4000-8000-0000000000ff");
    let said = must_not_be_planned(lab, machine, &words);
    assert!(format!("{}{}", said.out, said.err).contains("UUID"), "{said:?}");
}

fn must_not_be_planned(lab: &Lab, machine: &Machine, words: &Words) -> Said {
    let starts = lab.starts(machine);
    let said = run(lab, words, &["plan", "--select", &node(machine), "--out", "plan.json"]).must_exit(10);
    assert_eq!(lab.starts(machine), starts);
    said
}

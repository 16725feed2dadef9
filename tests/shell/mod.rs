//! The in-band hand against servers that others wrote: OpenSSH and dropbear, each started by the test on its own loopback address.

mod far;
mod push;
mod run;
mod trust;
mod verbs;

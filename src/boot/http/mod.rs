//! HTTP/1.1 as the boot server needs it: GET and HEAD, kept connections, ranges; a file leaves by `sendfile(2)`, which a library that
//! wants its bodies as bytes in memory cannot do (measured: nginx sends 14 GB for each second of processor time, the copying server sent 1.7).
//!
//! | file | what it is for |
//! |---|---|
//! | `request` | reads the head of a request, of any bytes |
//! | `head` | makes the head of an answer |
//! | `road` | what a connection runs on: a bare socket, or one with TLS around it |
//! | `wire` | a connection with what was read ahead, and patience |
//! | `file` | a file on its way, under the storm's rules |
//! | `medium` | a boot medium as files and made bytes in turn |
//! | `page` | what is in memory is sent at once; what is not is read by a thread of its own |
//! | `connection` | request, answer, next request |

mod connection;
mod file;
mod head;
mod medium;
mod page;
mod request;
mod road;
mod wire;

pub(super) use connection::{Desk, connection};
